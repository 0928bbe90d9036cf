//! `samara storage presign`, `mb` and `rb`: who may reach what, and where it can be.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use samara::Storage;
use samara::storage::{Error, Verb};

use super::{count, remove};
use crate::globals::Globals;
use crate::report::say;
use crate::units;

/// The longest that Amazon's signatures hold.
const EXPIRES_MAX: Duration = Duration::from_hours(7 * 24);

/// Prints a URL with which anybody may read an object without credentials, for some time.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(super) struct PresignArguments {
    /// URL of an object, which need not be there.
    place: String,

    /// How long the URL holds, at most 7 days.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = expires)]
    expires: Duration,

    /// What the URL is for.
    #[arg(long = "for", value_name = "VERB", value_enum, default_value = "get")]
    verb: For,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum For {
    /// Reading.
    Get,
    /// Writing.
    Put,
    /// Removing.
    Delete,
}

/// Makes buckets, or containers. One of yours that is there already is fine.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(super) struct MbArguments {
    /// URLs that end with a bucket's name: `s3://bucket`.
    #[arg(required = true)]
    buckets: Vec<String>,
}

/// Removes empty buckets, or containers.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(super) struct RbArguments {
    /// URLs that end with a bucket's name: `s3://bucket`.
    #[arg(required = true)]
    buckets: Vec<String>,

    /// Removes all objects that they have first. There is no way back.
    #[arg(long)]
    force: bool,
}

fn expires(text: &str) -> Result<Duration, String> {
    let expires = units::parse_duration(text)?;
    match expires <= EXPIRES_MAX {
        true => Ok(expires),
        false => Err("at most 7 days, which is the longest that a signature holds".to_owned()),
    }
}

pub(super) async fn presign(
    storage: &Storage,
    arguments: &PresignArguments,
    globals: &Globals,
) -> Result<()> {
    let verb = match arguments.verb {
        For::Get => Verb::Get,
        For::Put => Verb::Put,
        For::Delete => Verb::Delete,
    };
    let url = storage.presign(&arguments.place, verb, arguments.expires).await?;
    match globals.json {
        true => writeln!(io::stdout(), "{}", serde_json::json!({ "url": url }))?,
        false => writeln!(io::stdout(), "{url}")?,
    }
    Ok(())
}

pub(super) async fn mb(
    storage: &Storage,
    arguments: &MbArguments,
    globals: &Globals,
) -> Result<()> {
    for bucket in &arguments.buckets {
        storage.create_bucket(bucket).await?;
        done("made", bucket, globals)?;
    }
    Ok(())
}

pub(super) async fn rb(
    storage: &Storage,
    arguments: &RbArguments,
    globals: &Globals,
) -> Result<()> {
    for bucket in &arguments.buckets {
        match storage.remove_bucket(bucket).await {
            // Only what says so is a bucket: a store that is none is not emptied.
            Err(Error::Precondition { .. }) if arguments.force => {
                let objects = remove::all(storage, bucket, globals).await?;
                storage.remove_bucket(bucket).await?;
                emptied(bucket, objects, globals)?;
            }
            Err(error @ Error::Precondition { .. }) => {
                let all = format!("with all that it has: samara storage rb --force {bucket}");
                return Err(error).context(format!("{bucket} was not removed; {all}"));
            }
            removed => {
                removed?;
                done("removed", bucket, globals)?;
            }
        }
    }
    Ok(())
}

fn emptied(bucket: &str, objects: u64, globals: &Globals) -> Result<()> {
    if globals.json {
        let json = serde_json::json!({ "removed": bucket, "objects": objects });
        writeln!(io::stdout(), "{json}")?;
    } else if !globals.verbosity.quiet {
        say(format_args!("removed {bucket}, which had {}", count(objects, "object")));
    }
    Ok(())
}

fn done(done: &str, bucket: &str, globals: &Globals) -> Result<()> {
    if globals.json {
        writeln!(io::stdout(), "{}", serde_json::json!({ done: bucket }))?;
    } else if !globals.verbosity.quiet {
        say(format_args!("{done} {bucket}"));
    }
    Ok(())
}
