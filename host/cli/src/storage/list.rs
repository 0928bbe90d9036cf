//! `samara storage ls` and `stat`: what is there.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use samara::Storage;
use samara::storage::{Entry, Error, Found};
use serde_json::{Value, json};

use super::{NO_MATCH, NO_OBJECT, Place, count, is_root, some};
use crate::globals::Globals;
use crate::report::usage;
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

    /// Prints sizes as people read them: `1.50 MiB`.
    #[arg(short = 'H', long)]
    human: bool,

    /// Closes with the number of the objects that were listed, and the size of all.
    #[arg(long)]
    summarize: bool,
}

/// Says what is known of objects: size, version, time of modification, and what their writer said.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(super) struct StatArguments {
    /// URLs or paths of objects.
    #[arg(required = true)]
    places: Vec<String>,
}

/// How it is printed, and what it comes to.
struct Listing<'a> {
    globals: &'a Globals,
    human: bool,
    objects: u64,
    bytes: u64,
}

pub(super) async fn ls(
    storage: &Storage,
    arguments: &LsArguments,
    globals: &Globals,
) -> Result<()> {
    let mut listing = Listing { globals, human: arguments.human, objects: 0, bytes: 0 };
    for place in &arguments.places {
        if is_bucketless(place) {
            return Err(usage(format!(
                "{place} names no bucket, and buckets are not listed here: their vendor's own \
                 command does that, such as `aws s3 ls`"
            )));
        }
        let mut entries = match Place::of(storage, place).await? {
            Place::Object(found) => {
                listing.print(&Entry::Object(found))?;
                continue;
            }
            Place::Pattern(url) => {
                some(storage.matching(&url)?, &url, NO_MATCH).await?.map_ok(Entry::Object).boxed()
            }
            Place::Directory(url) => below(storage, &url, arguments.recursive).await?,
        };
        while let Some(entry) = entries.try_next().await? {
            listing.print(&entry)?;
        }
    }
    if arguments.summarize { listing.summarize() } else { Ok(()) }
}

/// What lies below a directory. Only a whole store may have nothing.
async fn below(
    storage: &Storage,
    url: &str,
    recursive: bool,
) -> Result<BoxStream<'static, Result<Entry, Error>>> {
    let mut entries = match recursive {
        true => storage.list(url)?.map_ok(Entry::Object).boxed(),
        false => storage.entries(url)?,
    };
    let first = entries.try_next().await?;
    if first.is_none() && !is_root(url) {
        let location = url.trim_end_matches('/').to_owned();
        return Err(Error::NotFound { location, sought: NO_OBJECT }.into());
    }
    Ok(stream::iter(first.map(Ok)).chain(entries).boxed())
}

/// Whether it is a store that has buckets, without a bucket's name.
fn is_bucketless(place: &str) -> bool {
    let scheme = place.trim_end_matches('/').strip_suffix(':');
    scheme.is_some_and(|scheme| ["s3", "gs", "az", "swift", "oss"].contains(&scheme))
}

// === impl Listing ===

impl Listing<'_> {
    fn print(&mut self, entry: &Entry) -> Result<()> {
        let mut out = io::stdout().lock();
        if let Entry::Object(found) = entry {
            (self.objects, self.bytes) = (self.objects + 1, self.bytes + found.metadata.size);
        }
        match (entry, self.globals.json) {
            (Entry::Object(found), true) => writeln!(out, "{}", as_json(found))?,
            (Entry::Directory(url), true) => writeln!(out, "{}", json!({ "directory": url }))?,
            (Entry::Object(found), false) => {
                let (size, modified) = (self.size(found.metadata.size), modified(found));
                writeln!(out, "{size:>12}  {modified:20}  {}", shown(&found.url))?;
            }
            (Entry::Directory(url), false) => {
                writeln!(out, "{:>12}  {:20}  {}", "-", "-", shown(url))?;
            }
        }
        Ok(())
    }

    fn size(&self, bytes: u64) -> String {
        if self.human { units::size(bytes) } else { bytes.to_string() }
    }

    /// The last line: what was listed, directories not counted.
    fn summarize(&self) -> Result<()> {
        let mut out = io::stdout().lock();
        match self.globals.json {
            true => writeln!(out, "{}", json!({ "objects": self.objects, "bytes": self.bytes }))?,
            false => {
                let objects = count(self.objects, "object");
                writeln!(out, "{:>12}  {objects}", self.size(self.bytes))?;
            }
        }
        Ok(())
    }
}

pub(super) async fn stat(
    storage: &Storage,
    arguments: &StatArguments,
    globals: &Globals,
) -> Result<()> {
    for place in &arguments.places {
        let metadata = storage.head(place).await?;
        let attributes = storage.attributes(place).await?;
        let found = Found { url: storage.url(place)?, metadata };
        let mut out = io::stdout().lock();
        if globals.json {
            let mut json = as_json(&found);
            json["content_type"] = attributes.content_type.into();
            json["metadata"] = json!(attributes.user);
            writeln!(out, "{json}")?;
            continue;
        }
        let size = found.metadata.size;
        writeln!(out, "object    {}", shown(&found.url))?;
        writeln!(out, "size      {} ({size} bytes)", units::size(size))?;
        writeln!(out, "modified  {}", modified(&found))?;
        writeln!(out, "etag      {}", found.metadata.etag)?;
        if let Some(content_type) = &attributes.content_type {
            writeln!(out, "type      {}", shown(content_type))?;
        }
        for (name, value) in &attributes.user {
            writeln!(out, "metadata  {}={}", shown(name), shown(value))?;
        }
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
