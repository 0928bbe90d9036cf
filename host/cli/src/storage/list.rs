//! `samara storage ls` and `stat`: what is there.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use futures::{StreamExt, TryStreamExt};
use samara::Storage;
use samara::storage::{Entry, Error, Found};
use serde_json::{Value, json};

use super::{Place, is_root};
use crate::globals::Globals;
use crate::units;

/// Lists what lies directly below a place, with size and time of modification.
///
/// What others lie below is listed with a `/` at the end. A pattern lists all objects that match.
/// With --json one object per line.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(super) struct LsArguments {
    /// URLs, paths or patterns.
    #[arg(default_value = ".")]
    places: Vec<String>,

    /// Lists all objects below, at any depth.
    #[arg(short, long)]
    recursive: bool,
}

/// Says what is known of objects: size, version, time of modification.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(super) struct StatArguments {
    /// URLs or paths of objects.
    #[arg(required = true)]
    places: Vec<String>,
}

pub(super) async fn ls(
    storage: &Storage,
    arguments: &LsArguments,
    globals: &Globals,
) -> Result<()> {
    for place in &arguments.places {
        match Place::of(storage, place).await? {
            Place::Object(found) => print(&Entry::Object(found), globals)?,
            Place::Pattern(all) => {
                for found in all {
                    print(&Entry::Object(found), globals)?;
                }
            }
            Place::Directory(url) => directory(storage, &url, arguments.recursive, globals).await?,
        }
    }
    Ok(())
}

async fn directory(storage: &Storage, url: &str, recursive: bool, globals: &Globals) -> Result<()> {
    let mut entries = match recursive {
        true => storage.list(url)?.map_ok(Entry::Object).boxed(),
        false => storage.entries(url)?,
    };
    let mut some = false;
    while let Some(entry) = entries.try_next().await? {
        print(&entry, globals)?;
        some = true;
    }
    if !some && !is_root(url) {
        let location = url.trim_end_matches('/').to_owned();
        return Err(Error::NotFound { location, sought: "an object, or objects below it" }.into());
    }
    Ok(())
}

fn print(entry: &Entry, globals: &Globals) -> Result<()> {
    let mut out = io::stdout().lock();
    match (entry, globals.json) {
        (Entry::Object(found), true) => writeln!(out, "{}", as_json(found))?,
        (Entry::Directory(url), true) => writeln!(out, "{}", json!({ "directory": url }))?,
        (Entry::Object(found), false) => {
            let (size, modified) = (found.metadata.size, modified(found));
            writeln!(out, "{size:>12}  {modified:20}  {}", shown(&found.url))?;
        }
        (Entry::Directory(url), false) => {
            writeln!(out, "{:>12}  {:20}  {}", "-", "-", shown(url))?;
        }
    }
    Ok(())
}

pub(super) async fn stat(
    storage: &Storage,
    arguments: &StatArguments,
    globals: &Globals,
) -> Result<()> {
    for place in &arguments.places {
        let metadata = storage.head(place).await?;
        let found = Found { url: storage.url(place)?, metadata };
        let mut out = io::stdout().lock();
        if globals.json {
            writeln!(out, "{}", as_json(&found))?;
            continue;
        }
        let size = found.metadata.size;
        writeln!(out, "object    {}", shown(&found.url))?;
        writeln!(out, "size      {} ({size} bytes)", units::size(size))?;
        writeln!(out, "modified  {}", modified(&found))?;
        writeln!(out, "etag      {}", found.metadata.etag)?;
    }
    Ok(())
}

/// A name in a line of its own: characters that end a line, or tell a terminal something, are written
/// as escapes. With --json names are as they are.
fn shown(url: &str) -> Cow<'_, str> {
    if !url.contains(char::is_control) {
        return url.into();
    }
    let escaped = |c: char| match c.is_control() {
        true => c.escape_default().collect(),
        false => String::from(c),
    };
    url.chars().map(escaped).collect::<String>().into()
}

fn as_json(found: &Found) -> Value {
    json!({
        "url": found.url,
        "size": found.metadata.size,
        "modified_ms": found.metadata.modified_ms,
        "etag": found.metadata.etag,
    })
}

/// The time in UTC, as RFC 3339 has it.
fn modified(found: &Found) -> String {
    let since = found.metadata.modified_ms.map(Duration::from_millis);
    let time = since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
    time.map_or_else(|| "-".to_owned(), |time| humantime::format_rfc3339_seconds(time).to_string())
}
