//! `samara inspect`: what a component is, without running its functions.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::component;
use crate::report::usage;

/// Says what a component is: its id, size, world and functions.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The component's file.
    component: PathBuf,

    /// Prints one JSON object, with the whole documentation of each function.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let path = &arguments.component;
    if path.is_dir() {
        let dir = path.display();
        return Err(usage(format!("{dir} is a directory; `samara build {dir}` builds a crate")));
    }
    let component = component::read(path)?;
    component::describe(&component, path)?.print(arguments.json)?;
    Ok(ExitCode::SUCCESS)
}
