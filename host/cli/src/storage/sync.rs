//! `samara storage sync`: makes one place like another, with as little as that takes.

use std::cmp::Ordering;
use std::io::{self, Write};
use std::pin::Pin;

use anyhow::Result;
use futures::stream::Peekable;
use futures::{Stream, StreamExt, TryStreamExt, future, stream};
use samara::Storage;
use samara::storage::{Error, Found, PutOptions};
use serde_json::json;

use super::bar::Bar;
use super::remove::Links;
use super::together::Together;
use super::{REMOVED_TOGETHER, REQUESTS, count, is_root, stays};
use crate::globals::Globals;
use crate::interrupt::interrupted;
use crate::report::{say, usage};
use crate::units;

/// Makes the target have all that the source has: copies what is missing, of another size, or
/// modified later than its copy.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(super) struct Arguments {
    /// URL or path; all objects below it.
    source: String,

    /// URL or path; the objects keep their names below it.
    target: String,

    /// Removes what the target has and the source has not.
    #[arg(long)]
    delete: bool,

    /// Prints what would be done, and does nothing.
    #[arg(long)]
    dry_run: bool,

    /// Objects that are copied at the same moment.
    #[arg(short, long, value_name = "N", default_value_t = REQUESTS)]
    jobs: usize,
}

/// What is to be done about one name.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Copy { name: String, size: u64 },
    Remove(String),
}

type Listing = Peekable<Pin<Box<dyn Stream<Item = Result<Found, Error>> + Send>>>;

pub(super) async fn sync(
    storage: &Storage,
    arguments: &Arguments,
    globals: &Globals,
) -> Result<()> {
    let (source, target) =
        (directory(storage, &arguments.source)?, directory(storage, &arguments.target)?);
    if source.starts_with(&target) || target.starts_with(&source) {
        return Err(usage(format!("{source} and {target}: one is a part of the other")));
    }
    stays(&target)?;
    has_some(storage, (&source, &target), arguments.delete).await?;
    let steps = steps(
        (storage.list(&source)?.boxed().peekable(), &source),
        (storage.list(&target)?.boxed().peekable(), &target),
    );
    let (bar, together) = (Bar::new(0, globals), Together::default());
    let (bar, together) = (&bar, &together);
    let (source, target) = (&source, &target);
    let (mut copied, mut bytes, mut same, mut gone) = (0, 0, 0, Vec::new());
    let mut links = Links::below(target);
    let done = steps
        .take_while(|_| future::ready(!together.has_stopped()))
        .map(|step| async move {
            let step = step?;
            if let Some(Step::Copy { name, .. }) = &step
                && !arguments.dry_run
            {
                let (from, to) = (format!("{source}{name}"), format!("{target}{name}"));
                let copied = together.copy(storage, (&from, &to), PutOptions::default(), bar);
                return Ok(copied.await?.map(|_| step));
            }
            Ok::<_, anyhow::Error>(Some(step))
        })
        .buffered(arguments.jobs.max(1))
        .boxed();
    let each = |step: Option<Step>| -> Result<()> {
        let (shown, json) = match step {
            None => {
                same += 1;
                return Ok(());
            }
            Some(Step::Copy { name, size }) => {
                (copied, bytes) = (copied + 1, bytes + size);
                let (from, to) = (format!("{source}{name}"), format!("{target}{name}"));
                (format!("copy {from} -> {to}"), json!({ "copy": from, "to": to, "bytes": size }))
            }
            Some(Step::Remove(name)) if arguments.delete => {
                let url = format!("{target}{name}");
                links.refuse(&url)?;
                gone.push(url.clone());
                (format!("remove {url}"), json!({ "remove": url }))
            }
            Some(Step::Remove(_)) => return Ok(()),
        };
        match arguments.dry_run {
            true if globals.json => writeln!(io::stdout(), "{json}")?,
            true => writeln!(io::stdout(), "{shown}")?,
            false if globals.verbosity.verbose => bar.say(&shown),
            false => {}
        }
        Ok(())
    };
    together.all(done, interrupted()?, each).await?;
    if arguments.dry_run {
        return Ok(());
    }
    // Not before all copies are there.
    for urls in gone.chunks(REMOVED_TOGETHER) {
        storage.delete_many(urls).await?;
    }
    finish((copied, bytes), same, gone.len() as u64, globals)
}

fn finish((copied, bytes): (u64, u64), same: u64, removed: u64, globals: &Globals) -> Result<()> {
    if globals.json {
        let json = serde_json::json!({
            "copied": copied, "bytes": bytes, "same": same, "removed": removed,
        });
        writeln!(io::stdout(), "{json}")?;
    } else if !globals.verbosity.quiet {
        let (objects, bytes) = (count(copied, "object"), units::size(bytes));
        say(format_args!("copied {objects}, {bytes}; {same} were the same; removed {removed}"));
    }
    Ok(())
}

/// Refuses a source that has nothing: a slip in its name would look like success.
async fn has_some(storage: &Storage, (source, target): (&str, &str), delete: bool) -> Result<()> {
    if storage.list(source)?.try_next().await?.is_some() {
        return Ok(());
    }
    let location = source.trim_end_matches('/');
    if !is_root(source) && storage.head(location).await.is_ok() {
        return Err(usage(format!(
            "{location} is an object, and sync takes what lies below a place; copy it: samara \
             storage cp {location} {target}"
        )));
    }
    if delete {
        return Err(usage(format!(
            "{source} has no object, so that --delete would remove all that {target} has; is it \
             the right source? To remove them: samara storage rm --recursive {target}"
        )));
    }
    match is_root(source) {
        // A bucket that is there may be empty.
        true => Ok(()),
        false => {
            Err(Error::NotFound { location: location.to_owned(), sought: "objects below it" }
                .into())
        }
    }
}

/// The URL of a place that objects lie below.
fn directory(storage: &Storage, place: &str) -> Result<String> {
    Ok(format!("{}/", storage.url(place)?.trim_end_matches('/')))
}

/// What makes the target like the source, name by name: both are listed in the same order, so
/// neither is held in memory. `None` is a name that is the same.
fn steps(
    source: (Listing, &str),
    target: (Listing, &str),
) -> impl Stream<Item = Result<Option<Step>, Error>> + Send {
    let lengths = (source.1.len(), target.1.len());
    let state = (source.0, target.0);
    stream::try_unfold(state, move |(mut source, mut target)| async move {
        let ordering = {
            let (left, right) = (peek(&mut source).await?, peek(&mut target).await?);
            match (left, right) {
                (None, None) => return Ok(None),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(left), Some(right)) => left.url[lengths.0..].cmp(&right.url[lengths.1..]),
            }
        };
        let left = match ordering {
            Ordering::Greater => None,
            _ => source.try_next().await?,
        };
        let right = match ordering {
            Ordering::Less => None,
            _ => target.try_next().await?,
        };
        let step = match (left, right) {
            (Some(left), right) if right.as_ref().is_none_or(|right| differs(&left, right)) => {
                let name = left.url[lengths.0..].to_owned();
                Some(Step::Copy { name, size: left.metadata.size })
            }
            (None, Some(right)) => Some(Step::Remove(right.url[lengths.1..].to_owned())),
            _ => None,
        };
        Ok(Some((step, (source, target))))
    })
}

/// The next of a listing, which is left there; an error is taken.
async fn peek(listing: &mut Listing) -> Result<Option<Found>, Error> {
    let is_error = matches!(Pin::new(&mut *listing).peek().await, Some(Err(_)));
    if is_error {
        return listing.try_next().await;
    }
    Ok(Pin::new(listing).peek().await.and_then(|found| found.as_ref().ok()).cloned())
}

/// Whether an object is not what its copy was made of, as far as that can be told without reading.
fn differs(source: &Found, target: &Found) -> bool {
    let (source, target) = (&source.metadata, &target.metadata);
    source.size != target.size
        || match (source.modified_ms, target.modified_ms) {
            // In whole seconds, which is all that most stores keep.
            (Some(source), Some(target)) => source / 1_000 > target / 1_000,
            // A store without times: by its contents' names, where both have the same kind.
            _ => source.etag != target.etag,
        }
}

#[cfg(test)]
mod tests {
    use samara::storage::Metadata;

    use super::*;

    fn listing(found: &[(&str, u64, u64)]) -> Listing {
        let found: Vec<_> = found
            .iter()
            .map(|(url, size, modified)| {
                let metadata = Metadata {
                    size: *size,
                    etag: String::new(),
                    modified_ms: Some(*modified * 1_000),
                };
                Ok(Found { url: (*url).to_owned(), metadata })
            })
            .collect();
        stream::iter(found).boxed().peekable()
    }

    #[test]
    fn what_is_missing_larger_or_newer_is_copied() {
        let source =
            listing(&[("a/1", 1, 5), ("a/2", 2, 5), ("a/3", 3, 9), ("a/5", 5, 5), ("a/6", 6, 5)]);
        let target = listing(&[
            ("mem://b/0", 9, 9),
            ("mem://b/2", 2, 5),
            ("mem://b/3", 3, 5),
            ("mem://b/4", 4, 5),
            ("mem://b/5", 4, 9),
        ]);
        let steps = steps((source, "a/"), (target, "mem://b/"));
        let steps: Vec<_> = samara::block_on(steps.try_collect()).unwrap();
        let copy = |name: &str, size| Some(Step::Copy { name: name.to_owned(), size });
        let remove = |name: &str| Some(Step::Remove(name.to_owned()));
        let expected = [
            remove("0"),
            copy("1", 1),
            None,
            copy("3", 3),
            remove("4"),
            copy("5", 5),
            copy("6", 6),
        ];
        assert_eq!(steps, expected);
    }
}
