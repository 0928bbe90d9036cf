//! `samara status` of a deployment.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use samara::blocking::Wait as _;
use samara::deploy::Deployment;

use super::{failed, open};
use crate::globals::Globals;
use crate::report::usage;
use crate::units;

pub(crate) fn run(url: &str, globals: &Globals) -> Result<ExitCode> {
    let status = open(url, globals)?.status().wait().map_err(failed)?;
    let Some(deployment) = status else {
        return Err(usage(format!("nothing is deployed as {url}; `samara deploy` does that")));
    };
    let mut out = io::stdout().lock();
    match globals.json {
        true => writeln!(out, "{}", serde_json::to_string(&deployment)?)?,
        false => write!(out, "{}", text(&deployment))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn text(deployment: &Deployment) -> String {
    let local = match deployment.is_local {
        Some(true) => "the same as on this machine",
        Some(false) => "another than on this machine; `samara update` deploys that",
        None => "there is none on this machine to compare with",
    };
    let mut text = format!(
        "deployment  {}\nruntime     {}\nhost        {}\n            {local}\nversion     {}\n\
         state       {}\nmachine     {}\nmemory      {}\ntimeout     {} s\nchanged     {}\n",
        deployment.name,
        deployment.url,
        deployment.host,
        deployment.version,
        deployment.state,
        deployment.machine,
        units::size(deployment.memory_bytes),
        deployment.time_seconds,
        deployment.changed
    );
    if let Some(number) = deployment.concurrency {
        text += &format!("at once     {number} hosts at most\n");
    }
    for content in &deployment.contents {
        let live = if content.is_live { " (newest)" } else { "" };
        text += &format!("content     {}{live}\n", content.url);
    }
    text
}
