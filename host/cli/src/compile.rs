//! `samara build`: from a crate to a component.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use samara::Component;
use samara_build::Output;

use crate::component;
use crate::globals::{Globals, Verbosity};

/// Builds a crate to a component, and says what is in it.
///
/// The target wasm32-wasip2 is installed on the way where it is missing. Nothing is compiled where
/// nothing changed.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(crate) struct Arguments {
    /// The crate's directory, or that of a project with its functions in `function/`.
    #[arg(default_value = ".")]
    dir: PathBuf,

    /// Copies the component to this file.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, globals: &Globals) -> Result<ExitCode> {
    let built = component::build(&arguments.dir, &output(globals.verbosity))?;
    let component = Component::from_path(&built.path)?;
    // Described first: what is no component of ours is not handed out as one.
    let path = arguments.out.as_ref().unwrap_or(&built.path);
    let description = component::describe(&component, path)?;
    if let Some(out) = &arguments.out {
        fs::write(out, component.bytes())
            .with_context(|| format!("cannot write {}", out.display()))?;
    }
    description.print(globals.json)?;
    Ok(ExitCode::SUCCESS)
}

/// Where the compiler's messages go.
pub(crate) fn output(verbosity: Verbosity) -> Output {
    if verbosity.quiet { Output::Quiet } else { Output::Stderr }
}
