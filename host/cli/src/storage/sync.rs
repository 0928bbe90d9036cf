//! `samara storage sync`: makes one place like another, with as little as that takes.

use std::cmp::Ordering;
use std::io::{self, Write};
use std::pin::Pin;

use anyhow::Result;
use futures::stream::{BoxStream, Peekable};
use futures::{Stream, StreamExt, TryStreamExt, future, stream};
use samara::Storage;
use samara::storage::{Attributes, Error, Found, PutOptions};
use serde_json::json;

use super::bar::Bar;
use super::filter::Filters;
use super::remove::Links;
use super::said::guessed;
use super::together::{Together, ahead};
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

    /// Goes by sizes alone, not by times.
    #[arg(long)]
    size_only: bool,

    #[command(flatten)]
    filters: Filters,

    /// Prints what would be done, and does nothing.
    #[arg(long)]
    dry_run: bool,

    /// Objects that are copied at the same moment.
    #[arg(short, long, value_name = "N", default_value_t = REQUESTS)]
    jobs: usize,
}

/// What is held of what is to be removed, until all copies are there. Where it is more, it is listed
/// once more then.
const GONE_MAX: usize = 100_000;

/// What is to be done about one name.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Copy {
        name: String,
        size: u64,
    },
    Remove(String),
    /// Nothing: they are the same, as far as can be told.
    Same {
        /// Whether that was told by their size, for want of anything else.
        by_size: bool,
    },
}

/// How it is told whether a copy is what it was made of.
#[derive(Debug, Clone, Copy)]
struct How {
    size_only: bool,
    /// Whether equal contents have equal etags on both sides.
    etags: bool,
}

/// What all came to.
#[derive(Debug, Default)]
struct Sum {
    copied: u64,
    bytes: u64,
    same: u64,
    /// Of these, those of which nothing but the size was known.
    by_size: u64,
    removed: u64,
    /// The first of those.
    gone: Vec<String>,
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
    let places = (source.as_str(), target.as_str());
    let mut sum =
        follow(storage, listed(storage, places, arguments)?, places, (arguments, globals)).await?;
    if arguments.dry_run {
        return Ok(());
    }
    // Not before all copies are there.
    if sum.removed > sum.gone.len() as u64 {
        let steps = listed(storage, places, arguments)?;
        sum.removed = remove(storage, steps, &target).await?;
    } else {
        for urls in sum.gone.chunks(REMOVED_TOGETHER) {
            storage.delete_many(urls).await?;
        }
    }
    finish(&sum, arguments.size_only, globals)
}

/// What is to be done, as both places are listed.
fn listed(
    storage: &Storage,
    (source, target): (&str, &str),
    arguments: &Arguments,
) -> Result<BoxStream<'static, Result<Step, Error>>> {
    let wanted = |listing: BoxStream<'static, Result<Found, Error>>, place: &str| -> Listing {
        let (filters, place) = (arguments.filters.clone(), place.len());
        let wanted = move |found: &Found| future::ready(filters.take(&found.url[place..]));
        listing.try_filter(wanted).boxed().peekable()
    };
    let scheme = |url: &str| url.split_once(':').map(|(scheme, _)| scheme.to_owned());
    let how = How { size_only: arguments.size_only, etags: scheme(source) == scheme(target) };
    let from = (wanted(storage.list(source)?, source), source);
    let to = (wanted(storage.list(target)?, target), target);
    Ok(steps(from, to, how).boxed())
}

/// Removes what the target has and the source has not, as it is listed; how many that were.
async fn remove(
    storage: &Storage,
    steps: BoxStream<'static, Result<Step, Error>>,
    target: &str,
) -> Result<u64> {
    let (mut removed, mut links) = (0, Links::below(target));
    let gone = steps.try_filter_map(|step| {
        let url = match step {
            Step::Remove(name) => Some(format!("{target}{name}")),
            Step::Copy { .. } | Step::Same { .. } => None,
        };
        future::ready(Ok(url))
    });
    let mut gone = gone.chunks(REMOVED_TOGETHER).boxed();
    while let Some(urls) = gone.next().await {
        let urls: Vec<String> = urls.into_iter().collect::<Result<_, Error>>()?;
        urls.iter().try_for_each(|url| links.refuse(url))?;
        storage.delete_many(&urls).await?;
        removed += urls.len() as u64;
    }
    Ok(removed)
}

/// Takes the steps, all copies but no removals; or shows them.
async fn follow(
    storage: &Storage,
    steps: BoxStream<'static, Result<Step, Error>>,
    (source, target): (&str, &str),
    (arguments, globals): (&Arguments, &Globals),
) -> Result<Sum> {
    let (bar, together) = (&Bar::new(0, globals), &Together::default());
    let names = |name: &str| (format!("{source}{name}"), format!("{target}{name}"));
    let steps = steps.inspect_ok(|step| {
        if let Step::Copy { size, .. } = step {
            bar.expect(*size);
        }
    });
    let taken = |step: Result<Step, Error>| async move {
        let step = step?;
        if let Step::Copy { name, .. } = &step
            && !arguments.dry_run
        {
            let (from, to) = names(name);
            let content_type = guessed(&from, &to).map(str::to_owned);
            let attributes = Attributes { content_type, ..Attributes::default() };
            let options = PutOptions { attributes, ..PutOptions::default() };
            let copied = together.copy(storage, (&from, &to), options, bar).await?;
            return Ok(copied.map(|_| step));
        }
        Ok::<_, anyhow::Error>(Some(step))
    };
    let (mut sum, mut links) = (Sum::default(), Links::below(target));
    let each = |step: Step| -> Result<()> {
        let (shown, json) = match step {
            Step::Same { by_size } => {
                (sum.same, sum.by_size) = (sum.same + 1, sum.by_size + u64::from(by_size));
                return Ok(());
            }
            Step::Copy { name, size } => {
                (sum.copied, sum.bytes) = (sum.copied + 1, sum.bytes + size);
                let (from, to) = names(&name);
                (format!("copy {from} -> {to}"), json!({ "copy": from, "to": to, "bytes": size }))
            }
            Step::Remove(name) if arguments.delete => {
                let url = format!("{target}{name}");
                links.refuse(&url)?;
                sum.removed += 1;
                if sum.gone.len() < GONE_MAX {
                    sum.gone.push(url.clone());
                }
                (format!("remove {url}"), json!({ "remove": url }))
            }
            Step::Remove(_) => return Ok(()),
        };
        match arguments.dry_run {
            true if globals.json => writeln!(io::stdout(), "{json}")?,
            true => writeln!(io::stdout(), "{shown}")?,
            false if globals.verbosity.verbose => bar.say(&shown),
            false => {}
        }
        Ok(())
    };
    let signal = interrupted()?;
    let followed = ahead(steps, async |steps| {
        let steps = steps.take_while(|_| future::ready(!together.has_stopped()));
        // What is shown is in the order of the names; of copies none waits for one before it.
        let done = match arguments.dry_run {
            true => steps.map(taken).buffered(1).boxed(),
            false => steps.map(taken).buffer_unordered(arguments.jobs.max(1)).boxed(),
        };
        together.all(done, signal, each).await
    });
    followed.await?;
    Ok(sum)
}

fn finish(sum: &Sum, size_only: bool, globals: &Globals) -> Result<()> {
    let Sum { copied, bytes, same, by_size, removed, .. } = sum;
    if globals.json {
        let json = json!({
            "copied": copied, "bytes": bytes, "same": same, "removed": removed,
        });
        writeln!(io::stdout(), "{json}")?;
    } else if !globals.verbosity.quiet {
        let (objects, bytes) = (count(*copied, "object"), units::size(*bytes));
        say(format_args!("copied {objects}, {bytes}; {same} were the same; removed {removed}"));
    }
    if *by_size > 0 && !size_only && !globals.verbosity.quiet {
        say(format_args!(
            "note: {by_size} of those that were the same were told by their size alone, as one of \
             the two stores keeps no times"
        ));
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
/// neither is held in memory.
fn steps(
    source: (Listing, &str),
    target: (Listing, &str),
    how: How,
) -> impl Stream<Item = Result<Step, Error>> + Send + use<> {
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
        let copy = |found: &Found| {
            let name = found.url[lengths.0..].to_owned();
            Step::Copy { name, size: found.metadata.size }
        };
        let step = match (left, right) {
            (Some(left), Some(right)) => how.same(&left, &right).unwrap_or_else(|| copy(&left)),
            (Some(left), None) => copy(&left),
            (None, Some(right)) => Step::Remove(right.url[lengths.1..].to_owned()),
            (None, None) => return Ok(None),
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

// === impl How ===

impl How {
    /// Whether a copy is of what is there, as far as that can be told without reading.
    fn same(self, source: &Found, target: &Found) -> Option<Step> {
        let (source, target) = (&source.metadata, &target.metadata);
        let times = source.modified_ms.zip(target.modified_ms);
        let (same, by_size) = match times {
            _ if source.size != target.size => (false, false),
            _ if self.size_only => (true, true),
            // In whole seconds, which is all that most stores keep.
            Some((source, target)) => (source / 1_000 <= target / 1_000, false),
            // A store without times: by its contents' names, where both have the same kind.
            None if self.etags => (source.etag == target.etag, false),
            None => (true, true),
        };
        same.then_some(Step::Same { by_size })
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
        let how = How { size_only: false, etags: false };
        let steps = steps((source, "a/"), (target, "mem://b/"), how);
        let steps: Vec<_> = samara::block_on(steps.try_collect()).unwrap();
        let copy = |name: &str, size| Step::Copy { name: name.to_owned(), size };
        let remove = |name: &str| Step::Remove(name.to_owned());
        let expected = [
            remove("0"),
            copy("1", 1),
            Step::Same { by_size: false },
            copy("3", 3),
            remove("4"),
            copy("5", 5),
            copy("6", 6),
        ];
        assert_eq!(steps, expected);
    }

    /// Etags of two kinds of stores are never the same, and would have all copied each time.
    #[test]
    fn without_times_copies_are_told_by_what_both_stores_say() {
        let found = |size, etag: &str, modified_ms| Found {
            url: String::new(),
            metadata: Metadata { size, etag: etag.to_owned(), modified_ms },
        };
        let how = |size_only, etags| How { size_only, etags };
        let same = |by_size| Some(Step::Same { by_size });
        let (file, redis) = (found(3, "1-2-3", Some(9_000)), found(3, "5e884898", None));
        assert_eq!(how(false, false).same(&file, &redis), same(true));
        assert_eq!(how(false, false).same(&redis, &file), same(true));
        assert_eq!(how(false, false).same(&found(4, "", None), &redis), None);
        assert_eq!(how(false, true).same(&redis, &redis), same(false));
        assert_eq!(how(false, true).same(&found(3, "6b3a55e0", None), &redis), None);
        let newer = found(3, "", Some(11_000));
        assert_eq!(how(false, true).same(&newer, &file), None);
        assert_eq!(how(false, true).same(&file, &newer), same(false));
        assert_eq!(how(true, true).same(&newer, &file), same(true));
    }

    #[test]
    fn what_is_too_much_to_hold_is_removed_as_it_is_listed() {
        let storage = Storage::new().unwrap();
        samara::block_on(async {
            let target = "mem://sync removes/to/";
            for n in 0..2_500 {
                storage.put(&format!("{target}{n:04}"), "x").await.unwrap();
            }
            for n in [7, 1_000, 2_499] {
                storage.put(&format!("mem://sync removes/from/{n:04}"), "x").await.unwrap();
            }
            let list = |url: &str| storage.list(url).unwrap().boxed().peekable();
            let from = "mem://sync removes/from/";
            let how = How { size_only: true, etags: true };
            let steps = steps((list(from), from), (list(target), target), how).boxed();
            assert_eq!(remove(&storage, steps, target).await.unwrap(), 2_497);
            let left: Vec<Found> = storage.list(target).unwrap().try_collect().await.unwrap();
            let names: Vec<&str> = left.iter().map(|found| &found.url[target.len()..]).collect();
            assert_eq!(names, ["0007", "1000", "2499"]);
        });
    }
}
