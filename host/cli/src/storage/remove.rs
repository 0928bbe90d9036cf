//! `samara storage rm`: never removes more than was named.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Result;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use samara::Storage;
use samara::storage::Error;

use super::plan::literal_directory;
use super::{NO_MATCH, NO_OBJECT, Place, REMOVED_TOGETHER, REQUESTS, count, is_root, some};
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

/// How objects go, and what is said of them.
#[derive(Clone, Copy)]
struct Gone<'a> {
    storage: &'a Storage,
    dry_run: bool,
    globals: &'a Globals,
}

/// What objects are called.
#[derive(Clone, Copy)]
enum Names {
    Keys,
    /// No URL has such a one.
    Foreign,
}

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
        let gone = Gone { storage, dry_run: arguments.dry_run, globals };
        removed += match place {
            Place::Object(found) => gone.objects(one(found.url)).await?,
            Place::Pattern(url) => {
                gone.objects(storage.matching(&url)?.map_ok(|found| found.url).boxed()).await?
            }
            Place::Directory(url) => gone.all_below(&url).await?,
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

/// Removes all that a bucket has, and says how much that was.
pub(super) async fn all(storage: &Storage, bucket: &str, globals: &Globals) -> Result<u64> {
    Gone { storage, dry_run: false, globals }.all_below(&storage.url(bucket)?).await
}

/// What a place is, where it may be removed at all.
async fn looked_at(storage: &Storage, place: &str, recursive: bool) -> Result<Place> {
    let found = Place::of(storage, place).await?;
    match &found {
        Place::Object(_) => Ok(found),
        Place::Pattern(url) => {
            let mut all = some(storage.matching(url)?, url, NO_MATCH).await?;
            let mut links = Links::below(literal_directory(url));
            let (mut first, mut number) = (None, 0);
            while let Some(found) = all.try_next().await? {
                links.refuse(&found.url)?;
                first.get_or_insert(found);
                number += 1;
                // Elsewhere there are no links, and what is not counted is not listed twice.
                if recursive && !url.starts_with(FILE) {
                    break;
                }
            }
            match (first, number, recursive) {
                // It was named, and not what matches a moment later.
                (Some(first), 1, false) => Ok(Place::Object(first)),
                (_, _, true) => Ok(found),
                _ => {
                    let all = count(number, "object");
                    Err(usage(format!(
                        "{place}: {all} match this pattern; to remove all of them: --recursive; to \
                         see them: samara storage ls"
                    )))
                }
            }
        }
        Place::Directory(url) => {
            may_go(storage, url, recursive).await?;
            Ok(found)
        }
    }
}

/// Refuses a directory that is not to be removed with all that lies below it.
async fn may_go(storage: &Storage, url: &str, recursive: bool) -> Result<()> {
    if is_root(url) {
        return Err(usage(format!(
            "{url} is a whole store; name what is to be removed, if it is all: {url}**"
        )));
    }
    let none = storage.list(url)?.try_next().await?.is_none()
        && storage.list_foreign(url)?.try_next().await?.is_none();
    let location = url.trim_end_matches('/').to_owned();
    if none {
        return Err(Error::NotFound { location, sought: NO_OBJECT }.into());
    }
    if !recursive {
        return Err(usage(format!(
            "{location}: no object is called so, but objects lie below it; to remove all of them: \
             --recursive"
        )));
    }
    if url.starts_with(FILE) {
        let (mut links, mut all) = (Links::below(url), storage.list(url)?);
        while let Some(found) = all.try_next().await? {
            links.refuse(&found.url)?;
        }
    }
    Ok(())
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

fn one(url: String) -> BoxStream<'static, Result<String, Error>> {
    stream::once(async { Ok(url) }).boxed()
}

// === impl Gone ===

impl Gone<'_> {
    /// Removes all that lies below a URL that ends with `/`, also what other programs put there under
    /// names that no URL has; and says how much that was.
    async fn all_below(self, url: &str) -> Result<u64> {
        let objects = self.storage.list(url)?.map_ok(|found| found.url).boxed();
        let objects = self.objects(objects).await?;
        let foreign = self.storage.list_foreign(url)?;
        Ok(objects + self.each(foreign, Names::Foreign).await?)
    }

    /// Removes objects.
    async fn objects(self, urls: BoxStream<'static, Result<String, Error>>) -> Result<u64> {
        self.each(urls, Names::Keys).await
    }

    /// Removes objects as they are listed, of which it holds some thousands, and says how many.
    async fn each(
        self,
        urls: BoxStream<'static, Result<String, Error>>,
        names: Names,
    ) -> Result<u64> {
        let removed = urls.chunks(REMOVED_TOGETHER).map(|urls| async move {
            let urls: Vec<String> = urls.into_iter().collect::<Result<_, Error>>()?;
            match names {
                _ if self.dry_run => {}
                Names::Keys => self.storage.delete_many(&urls).await?,
                Names::Foreign => self.storage.delete_foreign(&urls).await?,
            }
            Ok::<_, Error>(urls)
        });
        let mut removed = std::pin::pin!(removed.buffered(REQUESTS));
        let mut total = 0;
        while let Some(urls) = removed.try_next().await? {
            for url in urls {
                total += 1;
                if self.dry_run {
                    match self.globals.json {
                        true => writeln!(io::stdout(), "{}", serde_json::json!({ "url": url }))?,
                        false => writeln!(io::stdout(), "{url}")?,
                    }
                } else if self.globals.verbosity.verbose {
                    say(format_args!("removed {url}"));
                }
            }
        }
        Ok(total)
    }
}
