//! `samara storage rm`: never removes more than was named.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use samara::Storage;
use samara::storage::Error;

use super::copy::literal_directory;
use super::{Place, REMOVED_TOGETHER, REQUESTS, count, is_root};
use crate::globals::Globals;
use crate::report::{say, usage};

/// Removes objects: those of exactly the given names.
///
/// What lies below a name, and several objects that match a pattern, are removed with --recursive
/// only, and nothing behind links to other directories. There is no way back.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(super) struct Arguments {
    /// URLs or paths of objects; patterns and directories with --recursive.
    #[arg(required = true)]
    places: Vec<String>,

    /// Removes all objects that match a pattern, or lie below a name.
    #[arg(short, long)]
    recursive: bool,

    /// Prints what would be removed, and removes nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What the URLs of files begin with.
const FILE: &str = "file://";

/// Directories that were looked at, and are no links.
#[derive(Debug)]
pub(super) struct Links {
    /// How many bytes of a URL were named.
    top: usize,
    known: BTreeSet<String>,
}

pub(super) async fn rm(storage: &Storage, arguments: &Arguments, globals: &Globals) -> Result<()> {
    // All are looked at first: a slip in the last name is not to be found after the first is gone.
    let mut places = Vec::new();
    for place in &arguments.places {
        places.push(looked_at(storage, place, arguments.recursive).await?);
    }
    let mut removed = 0;
    for place in places {
        removed += match place {
            Place::Object(found) => remove(storage, one(found.url), arguments, globals).await?,
            Place::Pattern(all) => {
                let urls = stream::iter(all.into_iter().map(|found| Ok(found.url)));
                remove(storage, urls.boxed(), arguments, globals).await?
            }
            Place::Directory(url) => {
                let urls = storage.list(&url)?.map_ok(|found| found.url);
                remove(storage, urls.boxed(), arguments, globals).await?
            }
        };
    }
    if arguments.dry_run {
        return Ok(());
    }
    if globals.json {
        writeln!(io::stdout(), "{}", serde_json::json!({ "removed": removed }))?;
    } else if !globals.verbosity.quiet {
        say(format_args!("removed {}", count(removed, "object")));
    }
    Ok(())
}

/// What a place is, where it may be removed at all.
async fn looked_at(storage: &Storage, place: &str, recursive: bool) -> Result<Place> {
    let found = Place::of(storage, place).await?;
    match &found {
        Place::Object(_) => {}
        Place::Pattern(all) if all.len() == 1 || recursive => {
            let mut links = Links::below(literal_directory(&storage.url(place)?));
            all.iter().try_for_each(|found| links.refuse(&found.url))?;
        }
        Place::Pattern(all) => {
            let all = count(all.len() as u64, "object");
            return Err(usage(format!(
                "{place}: {all} match this pattern; to remove all of them: --recursive; to see \
                 them: samara storage ls"
            )));
        }
        Place::Directory(url) => {
            if is_root(url) {
                return Err(usage(format!(
                    "{url} is a whole store; name what is to be removed, if it is all: {url}**"
                )));
            }
            let none = storage.list(url)?.try_next().await?.is_none();
            let location = url.trim_end_matches('/').to_owned();
            if none {
                let sought = "an object, or objects below it";
                return Err(Error::NotFound { location, sought }.into());
            }
            if !recursive {
                return Err(usage(format!(
                    "{location}: no object is called so, but objects lie below it; to remove all \
                     of them: --recursive"
                )));
            }
            if url.starts_with(FILE) {
                let (mut links, mut all) = (Links::below(url), storage.list(url)?);
                while let Some(found) = all.try_next().await? {
                    links.refuse(&found.url)?;
                }
            }
        }
    }
    Ok(found)
}

// === impl Links ===

impl Links {
    /// Below a directory, which itself may be reached by links: that one was named.
    pub(super) fn below(directory: &str) -> Self {
        Self { top: directory.len(), known: BTreeSet::new() }
    }

    /// Refuses a file that lies behind a link: it belongs to another directory, which nobody named.
    pub(super) fn refuse(&mut self, url: &str) -> Result<()> {
        let Some(path) = url.strip_prefix(FILE) else { return Ok(()) };
        let from = self.top.saturating_sub(FILE.len());
        let slashes = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > from);
        for directory in slashes.map(|at| &path[..at]) {
            if self.known.contains(directory) {
                continue;
            }
            if Path::new(directory).is_symlink() {
                return Err(usage(format!(
                    "{FILE}{directory} is a link, and what lies behind it is another directory's; \
                     remove the link first (`rm` does), or name that directory"
                )));
            }
            self.known.insert(directory.to_owned());
        }
        Ok(())
    }
}

fn one(url: String) -> stream::BoxStream<'static, Result<String, Error>> {
    stream::once(async { Ok(url) }).boxed()
}

/// Removes objects as they are listed, and says how many.
async fn remove(
    storage: &Storage,
    urls: stream::BoxStream<'static, Result<String, Error>>,
    arguments: &Arguments,
    globals: &Globals,
) -> Result<u64> {
    let removed = urls.chunks(REMOVED_TOGETHER).map(|urls| async {
        let urls: Vec<String> = urls.into_iter().collect::<Result<_, Error>>()?;
        if !arguments.dry_run {
            storage.delete_many(&urls).await?;
        }
        Ok::<_, Error>(urls)
    });
    let mut removed = removed.buffered(REQUESTS);
    let mut total = 0;
    while let Some(urls) = removed.try_next().await? {
        for url in urls {
            total += 1;
            if arguments.dry_run {
                match globals.json {
                    true => writeln!(io::stdout(), "{}", serde_json::json!({ "url": url }))?,
                    false => writeln!(io::stdout(), "{url}")?,
                }
            } else if globals.verbosity.verbose {
                say(format_args!("removed {url}"));
            }
        }
    }
    Ok(total)
}
