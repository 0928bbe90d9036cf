//! `samara storage rm`: never removes more than was named.

use std::io::{self, Write};

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use samara::Storage;
use samara::storage::Error;

use super::{Place, REMOVED_TOGETHER, REQUESTS, count, is_root};
use crate::globals::Globals;
use crate::report::{say, usage};

/// Removes objects: those of exactly the given names.
///
/// What lies below a name, and several objects that match a pattern, are removed with --recursive
/// only. There is no way back.
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
        Place::Pattern(all) if all.len() == 1 || recursive => {}
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
        }
    }
    Ok(found)
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
