//! `samara storage`: objects of any store, by URL or path.

mod access;
mod bar;
mod copy;
mod filter;
mod list;
mod plan;
mod remove;
mod said;
mod sync;
mod together;

use std::process::ExitCode;

use anyhow::Result;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt, future};
use samara::Storage;
use samara::storage::{Error, Found};

use crate::globals::Globals;
use crate::report::usage;

/// Objects that are worked on at the same moment unless it is said: enough to hide a store's
/// latency, and far below what any of them throttles.
const REQUESTS: usize = 8;

/// Objects that are removed by one request, where the store has such a one.
const REMOVED_TOGETHER: usize = 1_000;

/// What was looked for below a name.
const NO_OBJECT: &str = "an object, or objects below it";

/// What was looked for by a pattern.
const NO_MATCH: &str = "an object of that name, or objects that match it as a pattern";

/// Lists, reads, writes, copies and removes objects of any store.
///
/// Places are URLs (`s3://bucket/key`, `file:///path`) or paths. A place may be a pattern where that
/// is said: `*` and `?` stand for parts of a name, `**` for any number of directories. Objects
/// appear whole or not at all.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Ls(list::LsArguments),
    Stat(list::StatArguments),
    Get(copy::GetArguments),
    Put(copy::PutArguments),
    Cp(copy::CpArguments),
    Mv(copy::MvArguments),
    Sync(sync::Arguments),
    Rm(remove::Arguments),
    Presign(access::PresignArguments),
    Mb(access::MbArguments),
    Rb(access::RbArguments),
}

/// What a place turned out to be.
#[derive(Debug)]
enum Place {
    /// An object of exactly this name.
    Object(Found),
    /// A pattern, which perhaps objects match.
    Pattern(String),
    /// Neither: perhaps objects lie below it. The URL ends with `/`.
    Directory(String),
}

pub(crate) fn run(arguments: &Arguments, globals: &Globals) -> Result<ExitCode> {
    let storage = Storage::from_settings(&globals.reader().read()?)?;
    samara::block_on(async {
        match &arguments.verb {
            Verb::Ls(arguments) => list::ls(&storage, arguments, globals).await,
            Verb::Stat(arguments) => list::stat(&storage, arguments, globals).await,
            Verb::Get(arguments) => copy::get(&storage, arguments, globals).await,
            Verb::Put(arguments) => copy::put(&storage, arguments, globals).await,
            Verb::Cp(arguments) => copy::cp(&storage, arguments, globals).await,
            Verb::Mv(arguments) => copy::mv(&storage, arguments, globals).await,
            Verb::Sync(arguments) => sync::sync(&storage, arguments, globals).await,
            Verb::Presign(arguments) => access::presign(&storage, arguments, globals).await,
            Verb::Mb(arguments) => access::mb(&storage, arguments, globals).await,
            Verb::Rb(arguments) => access::rb(&storage, arguments, globals).await,
            Verb::Rm(arguments) => remove::rm(&storage, arguments, globals).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

// === impl Place ===

impl Place {
    /// Looks at a place: the object of exactly this name comes first, also before a pattern.
    async fn of(storage: &Storage, place: &str) -> Result<Self> {
        let url = storage.url(place)?;
        let is_pattern = is_pattern(&url);
        if !url.ends_with('/') {
            match storage.head(place).await {
                Ok(metadata) => return Ok(Self::Object(Found { url, metadata })),
                Err(Error::NotFound { .. }) => {}
                Err(Error::InvalidKey { .. }) if is_pattern => {}
                Err(error) => return Err(error.into()),
            }
        }
        match is_pattern {
            true => Ok(Self::Pattern(url)),
            false if url.ends_with('/') => Ok(Self::Directory(url)),
            false => Ok(Self::Directory(format!("{url}/"))),
        }
    }
}

/// A listing that has something; else it is said that what was sought is not there.
async fn some(
    mut listing: BoxStream<'static, Result<Found, Error>>,
    url: &str,
    sought: &'static str,
) -> Result<BoxStream<'static, Result<Found, Error>>> {
    let Some(first) = listing.try_next().await? else {
        let location = url.trim_end_matches('/').to_owned();
        return Err(Error::NotFound { location, sought }.into());
    };
    Ok(stream::once(future::ready(Ok(first))).chain(listing).boxed())
}

/// Refuses targets where nothing would stay: the memory of this process ends with the command, and what
/// was moved there would be gone; and what is read by HTTP is not written.
fn stays(target: &str) -> Result<()> {
    if target.starts_with("mem:") {
        return Err(usage(format!(
            "{target} is the memory of this process, which ends with the command: nothing would be \
             left of what it writes there"
        )));
    }
    if target.starts_with("http:") || target.starts_with("https:") {
        // The URL may be signed, and is not repeated.
        return Err(usage(
            "`http:` and `https:` are for reading, and the target is there; give one in a store \
             that takes writes: a path, or a URL of file:, s3:, gs:, az:, sftp: or webdav:",
        ));
    }
    Ok(())
}

/// The part of a URL that a pattern may be in: schemes and authorities are literal.
fn is_pattern(url: &str) -> bool {
    let key = url.split_once("://").map_or(url, |(_, rest)| rest);
    let key = key.split_once('/').map_or("", |(_, key)| key);
    key.contains(['*', '?', '[', '{'])
}

/// Whether a directory is a whole store.
fn is_root(directory: &str) -> bool {
    let rest = directory.split_once("://").map_or(directory, |(_, rest)| rest);
    rest.split_once('/').is_none_or(|(_, key)| key.is_empty())
}

/// A number of things.
fn count(number: u64, thing: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_in_keys_alone() {
        assert!(is_pattern("file:///a/*.txt"));
        assert!(is_pattern("mem://x/{a,b}"));
        assert!(!is_pattern("mem://x?y/a"));
        assert!(!is_pattern("file:///a/b"));
    }

    #[test]
    fn roots_are_whole_stores() {
        assert!(is_root("file:///"));
        assert!(is_root("mem://x/"));
        assert!(!is_root("mem://x/a/"));
    }
}
