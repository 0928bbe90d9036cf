//! Object storage behind one trait, named by URL.
//!
//! A [`Store`] holds objects under keys. [`Locator::open`] turns a URL or path into a
//! [`Location`], a store and a key, by the one table [`STORES`]; [`Locator::discover`] turns a
//! URL, directory or pattern into the objects that it stands for. No other crate names a store.
//!
//! ```
//! use samara_store::{Locator, PutOptions, Store, StoreExt};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let locator = Locator::new("/home/me");
//! let location = locator.open("mem://example/notes/first.txt")?;
//! location.store.put(&location.key, "hello".into(), PutOptions::if_absent()).await?;
//!
//! assert_eq!(location.store.read_range(&location.key, 1..4, None).await?, "ell");
//! let found = locator.discover("mem://example/notes/*.txt").await?;
//! assert_eq!(found[0].url, location.url());
//! assert_eq!(found[0].metadata.size, 5);
//! # Ok::<(), samara_store::Error>(())
//! # }).unwrap();
//! ```
//!
//! # URLs
//!
//! `scheme://authority/key`. They are taken literally: no percent-decoding, no query, no
//! fragment, so that every key has one URL and `open(location.url())` gives the same object back,
//! whatever characters its name has. `file:` has no authority: `file:///abs/path`, for which
//! `file:/abs/path` is accepted too. What has no scheme is a path of this machine; relative ones
//! start at the locator's working directory.
//!
//! # Why not a file system interface
//!
//! Objects are whole: they appear under their name complete or not at all, and are replaced, not
//! edited. This is what all clouds offer, and what makes it safe to run a task twice. There is no
//! rename, no append, no directory to create and no lock.
//!
//! # A store of one's own
//!
//! Implement [`Store`], add a folder and a row to [`STORES`], and let the tests run each of
//! `conformance::CASES` (feature `conformance`).

mod adapters;
#[cfg(feature = "az")]
mod az;
#[cfg(test)]
#[cfg(any(feature = "s3", feature = "swift"))]
mod canned;
#[cfg_attr(not(feature = "full"), allow(dead_code, reason = "not all stores say one"))]
mod checksum;
mod conditional;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
#[cfg(feature = "opendal")]
#[cfg_attr(not(feature = "full"), allow(dead_code, reason = "no service needs all of it"))]
mod dal;
mod depot;
#[cfg(feature = "digests")]
#[cfg_attr(not(feature = "full"), allow(dead_code, reason = "no service needs all of it"))]
mod digest;
mod directory;
mod discover;
mod error;
mod ext;
mod file;
#[cfg(any(feature = "opendal", feature = "s3", feature = "swift"))]
#[cfg_attr(not(feature = "full"), allow(dead_code, reason = "no store needs all of it"))]
mod gathered;
#[cfg(feature = "gs")]
mod gs;
#[cfg(feature = "hdfs")]
mod hdfs;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "ipfs")]
mod ipfs;
mod key;
mod location;
mod mem;
mod needs;
mod options;
#[cfg(feature = "oss")]
mod oss;
mod pattern;
#[cfg(any(feature = "opendal", feature = "s3", feature = "swift"))]
mod probe;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "sftp")]
mod sftp;
mod store;
mod sums;
#[cfg(feature = "swift")]
mod swift;
pub mod transfer;
#[cfg(feature = "webdav")]
mod webdav;
#[cfg(any(feature = "http", feature = "s3"))]
mod window;

use std::sync::Arc;

pub use crate::adapters::{Counts, Guard, Patience, Policy, Request};
pub use crate::checksum::{Checksum, Crc};
pub use crate::discover::{DISCOVERED_MAX, Discovered, is_trial};
pub use crate::error::{Error, Operation, Result, Source};
pub use crate::ext::StoreExt;
pub use crate::file::FileStore;
#[cfg(feature = "http")]
pub use crate::http::resolver;
pub use crate::location::{Location, Locator};
pub use crate::mem::MemStore;
pub use crate::needs::Needs;
pub use crate::options::{Options, Setting, Settings};
pub use crate::pattern::Pattern;
pub use crate::store::{
    Attributes, Conditions, Directory, Entry, GetOptions, ListOptions, Metadata, Object, Page,
    PutMode, PutOptions, Store, Unfinished, Verb, Writer,
};
pub use crate::sums::{Sums, Tally, Wanted};

/// One kind of store.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What its URLs begin with, in lower case and without the colon.
    pub scheme: &'static str,
    /// Opens the store of an authority. Called once per authority and [`Locator`], reaches out to
    /// nothing; the error is the reason alone.
    pub open: fn(&Opening<'_>) -> std::result::Result<Arc<dyn Store>, String>,
    /// What can be set.
    pub settings: &'static [Setting],
    /// Whether it is behind a network, so that requests fail which would succeed a moment later.
    pub remote: bool,
    /// The program that it starts, where it is reached by one.
    pub program: Option<&'static str>,
    /// One line for users.
    pub doc: &'static str,
}

/// What a store is opened with.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// What its URL begins with, without the colon.
    pub scheme: &'static str,
    /// What stands between `scheme://` and the next `/`.
    pub authority: &'a str,
    /// What was set.
    pub options: &'a Options,
    /// The patience of its requests: for those that it makes by itself, beside those that it is
    /// asked for.
    pub patience: &'a Arc<Patience>,
}

/// Schemes that a build may lack, and the features that bring them.
pub(crate) const FEATURES: &[(&[&str], &str)] = &[
    (&["az"], "az"),
    (&["gs"], "gs"),
    (&["hdfs"], "hdfs"),
    (&["http", "https"], "http"),
    (&["ipfs"], "ipfs"),
    (&["oss"], "oss"),
    (&["redis", "rediss"], "redis"),
    (&["s3"], "s3"),
    (&["sftp"], "sftp"),
    (&["swift"], "swift"),
    (&["webdav"], "webdav"),
];

/// Every store of this build.
pub const STORES: &[Row] = &[
    Row {
        scheme: "file",
        open: file::open,
        settings: &[],
        remote: false,
        program: None,
        doc: "files of this machine: file:///absolute/path",
    },
    Row {
        scheme: "mem",
        open: mem::open,
        settings: &[conditional::SETTING],
        remote: false,
        program: None,
        doc: "memory of this process: mem://name/key",
    },
    #[cfg(feature = "s3")]
    s3::ROW,
    #[cfg(feature = "gs")]
    gs::ROW,
    #[cfg(feature = "az")]
    az::ROW,
    #[cfg(feature = "swift")]
    swift::ROW,
    #[cfg(feature = "redis")]
    redis::ROW,
    #[cfg(feature = "webdav")]
    webdav::ROW,
    #[cfg(feature = "sftp")]
    sftp::ROW,
    #[cfg(feature = "oss")]
    oss::ROW,
    #[cfg(feature = "hdfs")]
    hdfs::ROW,
    #[cfg(feature = "ipfs")]
    ipfs::ROW,
    #[cfg(feature = "http")]
    http::HTTP,
    #[cfg(feature = "http")]
    http::HTTPS,
];
