//! `samara storage uploads`: what a process that died has left of an upload in parts.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use samara::Storage;
use samara::storage::Unfinished;
use samara_core::{Clock as _, SystemClock};

use super::count;
use crate::globals::Globals;
use crate::report::{say, usage};
use crate::units;

/// Uploads that a store tells of at once.
const PAGE: usize = 1_000;

/// Lists uploads in parts that have begun and not ended, and removes them with --remove.
///
/// They are under way, or were left by a process that died: the store keeps their parts, and has
/// them paid for, though no listing shows them. Only `s3:` has such a thing; other stores remove
/// what is left by themselves.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(super) struct Arguments {
    /// URL of an object, or of what the objects lie below.
    place: String,

    /// Only those that were begun so long ago. Those that are removed are a day old, if it is not
    /// said: one that is under way would fail.
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    older_than: Option<Duration>,

    /// Removes their parts.
    #[arg(long)]
    remove: bool,
}

/// How old what is removed is, unless it is said.
const OLD: Duration = Duration::from_hours(24);

pub(super) async fn uploads(
    storage: &Storage,
    arguments: &Arguments,
    globals: &Globals,
) -> Result<()> {
    let url = storage.url(&arguments.place)?;
    if !url.starts_with("s3:") {
        return Err(usage(format!("{url}: only stores of s3: have uploads that can be left")));
    }
    let least = arguments.older_than.unwrap_or(if arguments.remove { OLD } else { Duration::ZERO });
    let now = SystemClock::new().unix();
    let mut removed = 0;
    loop {
        let all = storage.unfinished(&url).await?;
        let is_full = all.len() >= PAGE;
        let old = all.into_iter().filter(|found| is_at(&url, found) && age(found, now) >= least);
        let old: Vec<Unfinished> = old.collect();
        if !arguments.remove {
            return print(&old, is_full, globals);
        }
        for found in &old {
            storage.discard(found).await?;
        }
        removed += old.len() as u64;
        // Behind a page that is full of others there may be more that are never shown.
        if !is_full || old.is_empty() {
            break;
        }
    }
    if globals.json {
        writeln!(io::stdout(), "{}", serde_json::json!({ "removed": removed }))?;
    } else if !globals.verbosity.quiet {
        say(format_args!("removed {}", count(removed, "upload")));
    }
    Ok(())
}

/// Whether it is at the place, or below it, and does not merely begin alike.
fn is_at(url: &str, found: &Unfinished) -> bool {
    let rest = found.url.strip_prefix(url);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || url.ends_with('/'))
}

/// One without a time may have begun just now.
fn age(found: &Unfinished, now: Duration) -> Duration {
    let since = found.since_ms.map(Duration::from_millis);
    since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
}

fn print(found: &[Unfinished], is_full: bool, globals: &Globals) -> Result<()> {
    let mut out = io::stdout().lock();
    for upload in found {
        let since = upload.since_ms.map(Duration::from_millis);
        let since = since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
        let since = since.map(|since| humantime::format_rfc3339_seconds(since).to_string());
        if globals.json {
            let Unfinished { url, id, since_ms } = upload;
            writeln!(out, "{}", serde_json::json!({ "url": url, "id": id, "since_ms": since_ms }))?;
        } else {
            writeln!(
                out,
                "{:20}  {}",
                since.as_deref().unwrap_or("-"),
                super::list::shown(&upload.url)
            )?;
        }
    }
    if is_full && !globals.verbosity.quiet {
        say(format_args!("these are of the first {PAGE}; there may be more"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(url: &str, since_ms: Option<u64>) -> Unfinished {
        Unfinished { url: url.to_owned(), id: "1".to_owned(), since_ms }
    }

    #[test]
    fn what_merely_begins_alike_is_not_meant() {
        for (place, is_meant) in [("s3://b/a", true), ("s3://b/a/c", true), ("s3://b/ab", false)] {
            assert_eq!(is_at("s3://b/a", &upload(place, None)), is_meant, "{place}");
        }
        assert!(is_at("s3://b/", &upload("s3://b/ab", None)));
    }

    #[test]
    fn what_says_no_time_is_taken_to_be_new() {
        let now = Duration::from_secs(100);
        assert_eq!(age(&upload("s3://b/a", Some(40_000)), now), Duration::from_mins(1));
        assert_eq!(age(&upload("s3://b/a", None), now), Duration::ZERO);
        assert_eq!(age(&upload("s3://b/a", Some(200_000)), now), Duration::ZERO);
    }
}
