//! `samara storage get`, `put`, `cp` and `mv`: objects between stores, files and pipes.

use std::io::{self, Read, Write as _};

use anyhow::{Context, Result};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt, future};
use samara::Storage;
use samara::storage::{Error, Metadata, PutMode, PutOptions, Writer};

use super::bar::Bar;
use super::filter::Filters;
use super::plan::{Copy, Plan, Wish, plan};
use super::said::Said;
use super::together::{Together, ahead};
use super::{REQUESTS, count, stays};
use crate::globals::Globals;
use crate::interrupt::interrupted;
use crate::report::{say, usage};

/// The name that stands for standard input or output.
const PIPE: &str = "-";

/// Bytes that are read from a pipe at a time. The system hands over at most 64 KiB or so at once,
/// but stores like larger pieces.
const PIECE_BYTES: usize = 1 << 20;

/// Names of objects that an error says.
const NAMED_MAX: usize = 10;

/// Gets objects: to files of the same names here, to others, or to standard output.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(super) struct GetArguments {
    /// URL, path or pattern; what lies below it with --recursive.
    source: String,

    /// A file, or a directory where it ends with `/` or is one; `-` is standard output.
    #[arg(default_value = "./")]
    target: String,

    #[command(flatten)]
    how: How,
}

/// Puts a file, or standard input, into a store.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(super) struct PutArguments {
    /// A file; a pattern, or a directory with --recursive; `-` is standard input.
    source: String,

    /// URL or path; the files keep their names below it where it ends with `/`.
    target: String,

    #[command(flatten)]
    how: How,
}

/// Copies objects within a store or between two, without holding them in memory.
///
/// With several sources, or a target that ends with `/` or has objects below it, copies keep their
/// names below the target: for a pattern from its first part with a wildcard on, for --recursive
/// all that stands after the source.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(super) struct CpArguments {
    /// URLs, paths or patterns; `-` alone is standard input.
    #[arg(required = true)]
    sources: Vec<String>,

    /// URL or path; `-` is standard output.
    target: String,

    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
struct How {
    /// Copies all objects below the source.
    #[arg(short, long)]
    recursive: bool,

    /// Fails where an object exists under the target's name, and leaves it as it is.
    #[arg(long)]
    if_absent: bool,

    /// Passes over what exists under the target's name already.
    #[arg(long, conflicts_with = "if_absent")]
    no_clobber: bool,

    #[command(flatten)]
    filters: Filters,

    #[command(flatten)]
    said: Said,

    /// Prints what would be done, and does nothing.
    #[arg(long)]
    dry_run: bool,

    /// Objects that are copied at the same moment.
    #[arg(short, long, value_name = "N", default_value_t = REQUESTS)]
    jobs: usize,
}

/// Moves objects: copies each as `cp` does, and removes it once its copy is there.
///
/// Stores have no such operation: what is interrupted may leave objects in both places, and none
/// in neither. An object that is replaced while it is copied is kept.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(super) struct MvArguments {
    /// URLs, paths or patterns.
    #[arg(required = true)]
    sources: Vec<String>,

    /// URL or path.
    target: String,

    #[command(flatten)]
    how: How,
}

/// What is done with each object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Copy,
    Move,
}

/// What one object came to.
#[derive(Debug)]
enum Done {
    Made(Metadata),
    /// Something was under its target's name already.
    Passed,
    /// It was copied, but is another version by now, which stays.
    Kept,
}

/// What all came to.
#[derive(Debug, Default)]
struct Sum {
    made: u64,
    bytes: u64,
    passed: u64,
    kept: u64,
    /// Some of those.
    kept_urls: Vec<String>,
}

// === impl How ===

impl How {
    /// Refuses what is not for pipes.
    fn piped(&self) -> Result<()> {
        match self.dry_run || self.no_clobber || !self.filters.is_empty() {
            true => Err(usage(
                "`-` goes without --dry-run, --no-clobber, --exclude and --include; to fail where \
                 an object exists: --if-absent",
            )),
            false => Ok(()),
        }
    }

    fn mode(&self) -> PutMode {
        if self.if_absent { PutMode::IfAbsent } else { PutMode::Overwrite }
    }

    /// How a copy of one URL at another is written.
    fn options(&self, from: &str, to: &str) -> PutOptions {
        PutOptions { mode: self.mode(), attributes: self.said.about(from, to) }
    }
}

// === impl Verb ===

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Move => "move",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Copy => "copied",
            Self::Move => "moved",
        }
    }
}

pub(super) async fn get(
    storage: &Storage,
    arguments: &GetArguments,
    globals: &Globals,
) -> Result<()> {
    let sources = std::slice::from_ref(&arguments.source);
    copy(storage, (sources, &arguments.target), &arguments.how, globals).await
}

pub(super) async fn put(
    storage: &Storage,
    arguments: &PutArguments,
    globals: &Globals,
) -> Result<()> {
    let sources = std::slice::from_ref(&arguments.source);
    copy(storage, (sources, &arguments.target), &arguments.how, globals).await
}

pub(super) async fn cp(
    storage: &Storage,
    arguments: &CpArguments,
    globals: &Globals,
) -> Result<()> {
    copy(storage, (&arguments.sources, &arguments.target), &arguments.how, globals).await
}

pub(super) async fn mv(
    storage: &Storage,
    arguments: &MvArguments,
    globals: &Globals,
) -> Result<()> {
    let (sources, target) = (&arguments.sources, &arguments.target);
    if target == PIPE || sources.iter().any(|source| source == PIPE) {
        return Err(usage("a pipe is not moved; `-` is for get, put and cp"));
    }
    all(storage, (sources, target), (Verb::Move, &arguments.how), globals).await
}

async fn copy(
    storage: &Storage,
    (sources, target): (&[String], &str),
    how: &How,
    globals: &Globals,
) -> Result<()> {
    match (sources, target) {
        ([one], PIPE) if one == PIPE => {
            return Err(usage("from standard input to standard output there is nothing to do"));
        }
        ([one], target) if one == PIPE => {
            how.piped()?;
            return read_pipe(storage, target, how, globals).await;
        }
        ([source], PIPE) => {
            how.piped()?;
            return write_pipe(storage, source).await;
        }
        (sources, target) if target == PIPE || sources.iter().any(|s| s == PIPE) => {
            return Err(usage("`-` goes with one source and one target"));
        }
        _ => {}
    }
    all(storage, (sources, target), (Verb::Copy, how), globals).await
}

async fn all(
    storage: &Storage,
    (sources, target): (&[String], &str),
    (verb, how): (Verb, &How),
    globals: &Globals,
) -> Result<()> {
    let wish = Wish { sources, target, recursive: how.recursive, filters: &how.filters };
    let plan = plan(storage, wish).await?;
    if how.dry_run {
        return show(storage, plan, (verb, how), globals).await;
    }
    let sum = make(storage, plan, (verb, how), globals).await?;
    finish(verb, &sum, how.no_clobber, globals)?;
    if sum.kept > 0 {
        let mut urls = sum.kept_urls.join(", ");
        if sum.kept > sum.kept_urls.len() as u64 {
            urls += " and others";
        }
        let kept = count(sum.kept, "object");
        anyhow::bail!(
            "{kept} replaced while being moved, and kept where they were; what was copied may be \
             the version before: {urls}"
        );
    }
    Ok(())
}

/// All that a plan has.
fn copies(plan: Plan) -> BoxStream<'static, Result<Copy, Error>> {
    stream::iter(plan.first).map(Ok).chain(plan.rest).boxed()
}

/// Makes copies, some at a time, and each goes on as it can: none waits for one before it.
async fn make(
    storage: &Storage,
    plan: Plan,
    (verb, how): (Verb, &How),
    globals: &Globals,
) -> Result<Sum> {
    let (bar, together) = (&Bar::new(0, globals), &Together::default());
    let copies = copies(plan).inspect_ok(|copy| bar.expect(copy.size));
    let mut sum = Sum::default();
    let each = |(copy, done): (Copy, Done)| {
        let said = match done {
            Done::Made(metadata) => {
                (sum.made, sum.bytes) = (sum.made + 1, sum.bytes + metadata.size);
                ""
            }
            Done::Passed => {
                sum.passed += 1;
                " is there already"
            }
            Done::Kept => {
                sum.kept += 1;
                if sum.kept_urls.len() < NAMED_MAX {
                    sum.kept_urls.push(copy.from.clone());
                }
                ", but the first is another version by now, and stays"
            }
        };
        if globals.verbosity.verbose {
            bar.say(&format!("{} -> {}{said}", copy.from, copy.to));
        }
        Ok(())
    };
    let signal = interrupted()?;
    let copied = ahead(copies, async |copies| {
        let copies = copies.take_while(|_| future::ready(!together.has_stopped()));
        let done = copies.map(|copy| async move {
            let copy = copy?;
            let done = one(storage, (together, bar), (verb, how), &copy).await?;
            Ok(done.map(|done| (copy, done)))
        });
        let done = done.buffer_unordered(how.jobs.max(1)).boxed();
        together.all(done, signal, each).await
    });
    copied.await?;
    Ok(sum)
}

/// Copies or moves an object. None where it was given up because of others.
async fn one(
    storage: &Storage,
    (together, bar): (&Together, &Bar),
    (verb, how): (Verb, &How),
    copy: &Copy,
) -> Result<Option<Done>> {
    let names = (copy.from.as_str(), copy.to.as_str());
    let options = how.options(&copy.from, &copy.to);
    let made = match how.no_clobber {
        true => together.copy_if_new(storage, names, options, bar).await?,
        false => together.copy(storage, names, options, bar).await?.map(Some),
    };
    let metadata = match made {
        None => return Ok(None),
        Some(None) => return Ok(Some(Done::Passed)),
        Some(Some(metadata)) => metadata,
    };
    if verb == Verb::Move {
        match storage.delete_if_match(&copy.from, &copy.etag).await {
            Ok(()) => {}
            Err(Error::Precondition { .. }) => return Ok(Some(Done::Kept)),
            Err(error) => {
                let Copy { from, to, .. } = copy;
                let what = format!("{to} is there, but {from} was not removed");
                return Err(error).context(what);
            }
        }
    }
    Ok(Some(Done::Made(metadata)))
}

/// Prints what would be done, in the order of the listing.
async fn show(
    storage: &Storage,
    plan: Plan,
    (verb, how): (Verb, &How),
    globals: &Globals,
) -> Result<()> {
    let looked = copies(plan).map(|copy| async move {
        let copy = copy?;
        let is_there = how.no_clobber
            && match storage.head(&copy.to).await {
                Ok(_) => true,
                Err(Error::NotFound { .. }) => false,
                Err(error) => return Err(error),
            };
        Ok((copy, is_there))
    });
    let mut looked = looked.buffered(how.jobs.max(1)).boxed();
    while let Some((Copy { from, to, size, .. }, is_there)) = looked.try_next().await? {
        let verb = verb.name();
        match globals.json {
            _ if is_there => {}
            true => {
                let json = serde_json::json!({ verb: from, "to": to, "bytes": size });
                writeln!(io::stdout(), "{json}")?;
            }
            false => writeln!(io::stdout(), "{verb} {from} -> {to}")?,
        }
    }
    Ok(())
}

fn finish(verb: Verb, sum: &Sum, no_clobber: bool, globals: &Globals) -> Result<()> {
    let done = verb.done();
    if globals.json {
        let mut json = serde_json::json!({ done: sum.made, "bytes": sum.bytes });
        if no_clobber {
            json["there"] = sum.passed.into();
        }
        writeln!(io::stdout(), "{json}")?;
    } else if !globals.verbosity.quiet {
        let (made, bytes) = (count(sum.made, "object"), crate::units::size(sum.bytes));
        let there = match no_clobber {
            true => format!("; {} there already", sum.passed),
            false => String::new(),
        };
        say(format_args!("{done} {made}, {bytes}{there}"));
    }
    Ok(())
}

async fn read_pipe(storage: &Storage, target: &str, how: &How, globals: &Globals) -> Result<()> {
    if target.ends_with('/') {
        return Err(usage(format!("{target}: standard input has no name; give the object's own")));
    }
    let url = storage.url(target)?;
    stays(&url)?;
    let mut writer = storage.writer_with(target, how.options(PIPE, &url)).await?;
    if let Err(error) = pour(&mut io::stdin(), &mut writer).await {
        // What was sent is removed before the command ends.
        if let Err(left) = writer.abort().await {
            say(format_args!("{left}"));
        }
        return Err(error);
    }
    let Metadata { size, .. } = writer.finish().await?;
    finish(Verb::Copy, &Sum { made: 1, bytes: size, ..Sum::default() }, false, globals)
}

async fn pour(input: &mut (impl Read + Send), writer: &mut Writer) -> Result<()> {
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read = (&mut *input).take(PIECE_BYTES as u64).read_to_end(&mut piece);
        match read.context("cannot read standard input")? {
            0 => return Ok(()),
            _ => writer.write(piece.into()).await?,
        }
    }
}

async fn write_pipe(storage: &Storage, source: &str) -> Result<()> {
    let mut out = io::stdout();
    let mut reader = storage.reader(source).await?;
    while let Some(piece) = reader.next().await? {
        out.write_all(&piece)?;
    }
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        how: How,
    }

    /// What is written to an object after it was listed is not removed with what was copied.
    #[test]
    fn what_is_replaced_while_it_is_moved_is_kept() {
        let (storage, dir) = (Storage::new().unwrap(), tempfile::tempdir().unwrap());
        let how = Line::parse_from(["x"]).how;
        let (together, bar) = (Together::default(), Bar::hidden());
        let to = dir.path().join("to").to_str().unwrap().to_owned();
        let from = "mem://replaced while moved/a".to_owned();
        let moved = |copy| {
            let verb = (Verb::Move, &how);
            samara::block_on(one(&storage, (&together, &bar), verb, &copy)).unwrap().unwrap()
        };
        let put = |text: &'static str| samara::block_on(storage.put(&from, text)).unwrap();
        let copy = |etag: String| Copy { from: from.clone(), to: to.clone(), size: 3, etag };
        let listed = put("one").etag;
        let newer = put("two").etag;
        assert!(matches!(moved(copy(listed)), Done::Kept));
        assert_eq!(samara::block_on(storage.get(&from)).unwrap(), "two");
        assert!(matches!(moved(copy(newer)), Done::Made(_)));
        assert!(samara::block_on(storage.head(&from)).is_err());
    }

    #[test]
    fn what_exists_is_passed_over_and_also_where_it_appears_meanwhile() {
        let storage = Storage::new().unwrap();
        let how = Line::parse_from(["x", "--no-clobber"]).how;
        let (together, bar) = (Together::default(), Bar::hidden());
        samara::block_on(async {
            storage.put("mem://passed over/a", "new").await.unwrap();
            let copy = Copy {
                from: "mem://passed over/a".to_owned(),
                to: "mem://passed over/b".to_owned(),
                size: 3,
                etag: String::new(),
            };
            let verb = (Verb::Copy, &how);
            let made = one(&storage, (&together, &bar), verb, &copy).await.unwrap();
            assert!(matches!(made, Some(Done::Made(_))), "{made:?}");
            storage.put(&copy.to, "old").await.unwrap();
            let passed = one(&storage, (&together, &bar), verb, &copy).await.unwrap();
            assert!(matches!(passed, Some(Done::Passed)), "{passed:?}");
            assert_eq!(storage.get(&copy.to).await.unwrap(), "old");
            assert!(!together.has_stopped(), "it is no failure");
        });
    }
}
