//! `samara storage get`, `put` and `cp`: objects between stores, files and pipes.

use std::collections::BTreeMap;
use std::io::{self, Read, Write as _};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, future, stream};
use samara::Storage;
use samara::storage::{Error, Found, Metadata, PutOptions, Writer};

use super::bar::Bar;
use super::together::Together;
use super::{Place, REMOVED_TOGETHER, REQUESTS, count, stays};
use crate::globals::Globals;
use crate::interrupt::interrupted;
use crate::report::{say, usage};

/// The name that stands for standard input or output.
const PIPE: &str = "-";

/// Bytes that are read from a pipe at a time. The system hands over at most 64 KiB or so at once,
/// but stores like larger pieces.
const PIECE_BYTES: usize = 1 << 20;

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

#[derive(Debug, Clone, Copy, clap::Args)]
struct How {
    /// Copies all objects below the source.
    #[arg(short, long)]
    recursive: bool,

    /// Fails where an object exists under the target's name, and leaves it as it is.
    #[arg(long)]
    if_absent: bool,

    /// Objects that are copied at the same moment.
    #[arg(short, long, value_name = "N", default_value_t = REQUESTS)]
    jobs: usize,
}

/// Moves objects: copies each as `cp` does, and removes it once its copy is there.
///
/// Stores have no such operation: what is interrupted may leave objects in both places, and none
/// in neither.
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

/// A copy to be made.
#[derive(Debug)]
struct Copy {
    from: String,
    to: String,
    size: u64,
}

// === impl How ===

impl How {
    fn options(self) -> PutOptions {
        if self.if_absent { PutOptions::if_absent() } else { PutOptions::default() }
    }
}

pub(super) async fn get(
    storage: &Storage,
    arguments: &GetArguments,
    globals: &Globals,
) -> Result<()> {
    let sources = std::slice::from_ref(&arguments.source);
    copy(storage, (sources, &arguments.target), arguments.how, globals).await
}

pub(super) async fn put(
    storage: &Storage,
    arguments: &PutArguments,
    globals: &Globals,
) -> Result<()> {
    let sources = std::slice::from_ref(&arguments.source);
    copy(storage, (sources, &arguments.target), arguments.how, globals).await
}

pub(super) async fn cp(
    storage: &Storage,
    arguments: &CpArguments,
    globals: &Globals,
) -> Result<()> {
    copy(storage, (&arguments.sources, &arguments.target), arguments.how, globals).await
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
    let copies = plan(storage, sources, target, arguments.how).await?;
    let (total, bytes) = make(storage, &copies, arguments.how, globals).await?;
    // All copies are there before the first object goes.
    for copies in copies.chunks(REMOVED_TOGETHER) {
        let urls: Vec<String> = copies.iter().map(|copy| copy.from.clone()).collect();
        storage
            .delete_many(&urls)
            .await
            .context("the copies are made, but not all were removed")?;
    }
    finish("moved", total, bytes, globals)
}

async fn copy(
    storage: &Storage,
    (sources, target): (&[String], &str),
    how: How,
    globals: &Globals,
) -> Result<()> {
    match (sources, target) {
        ([one], PIPE) if one == PIPE => {
            return Err(usage("from standard input to standard output there is nothing to do"));
        }
        ([one], target) if one == PIPE => return read_pipe(storage, target, how, globals).await,
        ([source], PIPE) => return write_pipe(storage, source).await,
        (sources, target) if target == PIPE || sources.iter().any(|s| s == PIPE) => {
            return Err(usage("`-` goes with one source and one target"));
        }
        _ => {}
    }
    let copies = plan(storage, sources, target, how).await?;
    let (total, bytes) = make(storage, &copies, how, globals).await?;
    finish("copied", total, bytes, globals)
}

/// Makes copies, some at a time; how many and how large they were.
async fn make(
    storage: &Storage,
    copies: &[Copy],
    how: How,
    globals: &Globals,
) -> Result<(u64, u64)> {
    let bar = &Bar::new(copies.iter().map(|copy| copy.size).sum(), globals);
    let together = &Together::default();
    let done = stream::iter(copies).take_while(|_| future::ready(!together.has_stopped()));
    let done = done.map(|copy| async move {
        let names = (copy.from.as_str(), copy.to.as_str());
        let copied = together.copy(storage, names, how.options(), bar).await?;
        Ok::<_, anyhow::Error>(copied.map(|metadata| (copy, metadata)))
    });
    let (mut total, mut bytes) = (0, 0);
    let done = done.buffered(how.jobs.max(1)).boxed();
    let each = |(copy, metadata): (&Copy, Metadata)| {
        total += 1;
        bytes += metadata.size;
        if globals.verbosity.verbose {
            bar.say(&format!("{} -> {}", copy.from, copy.to));
        }
        Ok(())
    };
    together.all(done, interrupted()?, each).await?;
    Ok((total, bytes))
}

fn finish(done: &str, total: u64, bytes: u64, globals: &Globals) -> Result<()> {
    if globals.json {
        let json = serde_json::json!({ done: total, "bytes": bytes });
        writeln!(io::stdout(), "{json}")?;
    } else if !globals.verbosity.quiet {
        let (total, bytes) = (count(total, "object"), crate::units::size(bytes));
        say(format_args!("{done} {total}, {bytes}"));
    }
    Ok(())
}

/// Everything that is to be copied, before anything is.
async fn plan(storage: &Storage, sources: &[String], target: &str, how: How) -> Result<Vec<Copy>> {
    stays(&storage.url(target)?)?;
    let mut named = Vec::new();
    let mut many = sources.len() > 1;
    for source in sources {
        match Place::of(storage, source).await? {
            Place::Object(found) => named.push((base(&found.url).to_owned(), found)),
            Place::Pattern(all) => {
                many = true;
                let literal = literal_directory(&storage.url(source)?).to_owned();
                named.extend(below(all, &literal));
            }
            Place::Directory(url) => {
                many = true;
                let all = match storage.list(&url)?.try_collect::<Vec<_>>().await? {
                    all if !all.is_empty() => all,
                    _ => {
                        let location = url.trim_end_matches('/').to_owned();
                        let sought = "an object, or objects below it";
                        return Err(Error::NotFound { location, sought }.into());
                    }
                };
                if !how.recursive {
                    return Err(usage(format!(
                        "{source}: no object is called so, but objects lie below it; to copy all \
                         of them: --recursive"
                    )));
                }
                named.extend(below(all, &url));
            }
        }
    }
    let into = many || is_directory(storage, target).await?;
    let target = storage.url(target)?;
    let target = match into {
        true => format!("{}/", target.trim_end_matches('/')),
        false => target,
    };
    let to = |name: String| if into { format!("{target}{name}") } else { target.clone() };
    let copy = |(name, found): (String, Found)| Copy {
        to: to(name),
        size: found.metadata.size,
        from: found.url,
    };
    distinct(named.into_iter().map(copy).collect())
}

/// Objects with their names after a beginning.
fn below(all: Vec<Found>, beginning: &str) -> Vec<(String, Found)> {
    let name = |url: &str| url.strip_prefix(beginning).unwrap_or(url).to_owned();
    all.into_iter().map(|found| (name(&found.url), found)).collect()
}

/// Refuses copies that would undo each other: they are made side by side, in no order.
fn distinct(copies: Vec<Copy>) -> Result<Vec<Copy>> {
    let sources: BTreeMap<&str, &str> =
        copies.iter().map(|copy| (copy.from.as_str(), copy.to.as_str())).collect();
    let mut targets: BTreeMap<&str, &str> = BTreeMap::new();
    for Copy { from, to, .. } in &copies {
        if from == to {
            return Err(usage(format!("{from} would be copied onto itself")));
        }
        if let Some(other) = targets.insert(to, from) {
            return Err(usage(format!(
                "{other} and {from} would both become {to}; copy them one by one"
            )));
        }
        if let Some(next) = sources.get(to.as_str()) {
            return Err(usage(format!(
                "{from} would become {to}, which would become {next} itself; take them one by one, \
                 or by way of a place that is not among the sources"
            )));
        }
    }
    Ok(copies)
}

/// Whether copies go below a place, rather than become it.
async fn is_directory(storage: &Storage, target: &str) -> Result<bool> {
    if target.ends_with('/') || target == "." || target == ".." || target.ends_with("/..") {
        return Ok(true);
    }
    let url = storage.url(target)?;
    // An empty directory of this machine is none to a store, but is one to a person.
    if let Some(path) = url.strip_prefix("file://") {
        return Ok(std::path::Path::new(path).is_dir());
    }
    match storage.head(target).await {
        Ok(_) => Ok(false),
        Err(Error::NotFound { .. }) => {
            Ok(storage.list(&format!("{url}/"))?.try_next().await?.is_some())
        }
        Err(error) => Err(error.into()),
    }
}

/// What stands after the last `/`.
fn base(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}

/// A pattern up to the last `/` before its first wildcard.
pub(super) fn literal_directory(url: &str) -> &str {
    let end = url.find(['*', '?', '[', '{', '\\']).unwrap_or(url.len());
    let end = url[..end].rfind('/').map_or(0, |slash| slash + 1);
    &url[..end]
}

async fn read_pipe(storage: &Storage, target: &str, how: How, globals: &Globals) -> Result<()> {
    if target.ends_with('/') {
        return Err(usage(format!("{target}: standard input has no name; give the object's own")));
    }
    stays(&storage.url(target)?)?;
    let mut writer = match how.if_absent {
        true => storage.writer_if_absent(target).await?,
        false => storage.writer(target).await?,
    };
    if let Err(error) = pour(&mut io::stdin(), &mut writer).await {
        // What was sent is removed before the command ends.
        if let Err(left) = writer.abort().await {
            say(format_args!("{left}"));
        }
        return Err(error);
    }
    let Metadata { size, .. } = writer.finish().await?;
    finish("copied", 1, size, globals)
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
    use super::*;

    #[test]
    fn names_begin_with_the_first_part_of_a_pattern() {
        assert_eq!(literal_directory("file:///a/b/*.txt"), "file:///a/b/");
        assert_eq!(literal_directory("file:///a/b?/c"), "file:///a/");
        assert_eq!(literal_directory("mem://x/*"), "mem://x/");
        assert_eq!(base("mem://x/a/b.txt"), "b.txt");
    }

    #[test]
    fn copies_that_would_undo_each_other_are_refused() {
        let copy =
            |from: &str, to: &str| Copy { from: from.to_owned(), to: to.to_owned(), size: 0 };
        let error = distinct(vec![copy("a/x", "c/x"), copy("b/x", "c/x")]).unwrap_err();
        assert!(error.to_string().contains("a/x and b/x would both become c/x"), "{error}");
        assert!(distinct(vec![copy("a", "a")]).is_err());
        let error = distinct(vec![copy("b", "c"), copy("a", "b")]).unwrap_err();
        assert!(error.to_string().contains("a would become b, which would become c"), "{error}");
        assert!(distinct(vec![copy("a", "b"), copy("b", "a")]).is_err());
        assert_eq!(distinct(vec![copy("a", "b"), copy("c", "d")]).unwrap().len(), 2);
    }
}
