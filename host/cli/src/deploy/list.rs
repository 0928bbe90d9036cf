//! `samara list`: what is deployed at a place.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use samara::blocking::Wait as _;
use samara::deploy::Deployment;

use super::{failed, open, platforms, short};
use crate::globals::Globals;
use crate::report::say;
use crate::units;

/// Lists the deployments of a platform.
///
/// A platform goes by its scheme, with what else says where it is: `lambda:`, or
/// `lambda://?region=REGION`. Without one it lists the platforms. With --json one object per line.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(crate) struct Arguments {
    /// The platform, such as `lambda:`.
    #[arg(value_name = "RUNTIME")]
    url: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, globals: &Globals) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    let Some(url) = &arguments.url else {
        writeln!(out, "{}", platforms())?;
        return Ok(ExitCode::SUCCESS);
    };
    let deployments = open(url, globals)?.list().wait().map_err(failed)?;
    if globals.json {
        for deployment in &deployments {
            writeln!(out, "{}", serde_json::to_string(deployment)?)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    match deployments.is_empty() {
        false => write!(out, "{}", table(&deployments))?,
        true if !globals.verbosity.quiet => say(format_args!("nothing is deployed at {url}")),
        true => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn table(deployments: &[Deployment]) -> String {
    let width = deployments.iter().map(|one| one.name.len()).max().unwrap_or(0).max(4);
    let mut text = format!(
        "{:<width$}  {:<12}  {:<8}  {:<8}  {:>8}  changed\n",
        "name", "host", "version", "state", "memory"
    );
    for one in deployments {
        text += &format!(
            "{:<width$}  {:<12}  {:<8}  {:<8}  {:>8}  {}\n",
            one.name,
            short(&one.host),
            one.version,
            one.state,
            units::size(one.memory_bytes),
            one.changed
        );
    }
    text
}
