//! `samara deploy`, `update`, `undeploy` and `list`, and what `status` and `logs` say of a
//! deployment: hosts at a platform, by URL.

pub(crate) mod apply;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod remove;
pub(crate) mod status;
pub(crate) mod wanted;

use anyhow::Result;
use samara::deploy::{PLATFORMS, Place};

use crate::globals::Globals;
use crate::report::usage;

/// One deployment, as every command takes it.
#[derive(Debug, clap::Args)]
pub(crate) struct Name {
    /// The deployment, such as `lambda://NAME?region=REGION` or `knative://NAME`.
    #[arg(value_name = "RUNTIME")]
    url: String,
}

/// Whether a name is that of a deployment; else it is a job's, which has no colon.
pub(crate) fn is_one(name: &str) -> bool {
    name.contains("://")
}

/// The place that a URL names, with the host's program that settings name.
fn open(url: &str, globals: &Globals) -> Result<Place> {
    let settings = globals.reader().read()?;
    Place::from_settings(url, &settings).map_err(failed)
}

/// What is for the person at the keyboard to correct is told from what is the platform's.
fn failed(error: samara::Error) -> anyhow::Error {
    match error {
        samara::Error::Invalid(message) => usage(message),
        other => other.into(),
    }
}

/// The first digits of a hash, for a table.
fn short(hash: &str) -> &str {
    let digits = hash.trim_start_matches("b3:");
    if digits.is_empty() { "-" } else { &digits[..digits.len().min(12)] }
}

/// The platforms of this build, for help where there is none.
fn platforms() -> String {
    let rows =
        PLATFORMS.iter().map(|row| format!("{:<16}  {}", format!("{}:", row.scheme), row.doc));
    rows.collect::<Vec<_>>().join("\n")
}
