//! `samara inspect`: what a component is, without running its functions.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::component;
use crate::globals::Globals;
use crate::report::usage;

/// Says what a component is: its id, size, world and functions.
///
/// With --json one object, with the whole documentation of each function.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(crate) struct Arguments {
    /// The component's file.
    component: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, globals: &Globals) -> Result<ExitCode> {
    let path = &arguments.component;
    if path.is_dir() {
        let dir = path.display();
        return Err(usage(format!("{dir} is a directory; `samara build {dir}` builds a crate")));
    }
    let component = component::read(path)?;
    component::describe(&component, path)?.print(globals.json)?;
    Ok(ExitCode::SUCCESS)
}
