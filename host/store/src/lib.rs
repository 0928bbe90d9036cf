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

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod discover;
mod error;
mod ext;
mod file;
mod key;
mod location;
mod mem;
mod pattern;
mod store;

use std::sync::Arc;

pub use crate::discover::{DISCOVERED_MAX, Discovered};
pub use crate::error::{Error, Result, Source};
pub use crate::ext::StoreExt;
pub use crate::file::FileStore;
pub use crate::location::{Location, Locator};
pub use crate::mem::MemStore;
pub use crate::store::{
    Entry, GetOptions, ListOptions, Metadata, Object, Page, PutMode, PutOptions, Store, Writer,
};

/// One kind of store.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What its URLs begin with, in lower case and without the colon.
    pub scheme: &'static str,
    /// Opens the store of an authority, which is what stands between `scheme://` and the next `/`.
    /// Called once per authority and [`Locator`]; the error is the reason alone.
    pub open: fn(authority: &str) -> std::result::Result<Arc<dyn Store>, &'static str>,
    /// One line for users.
    pub doc: &'static str,
}

/// Every store of this build.
pub const STORES: &[Row] = &[
    Row { scheme: "file", open: file::open, doc: "files of this machine: file:///absolute/path" },
    Row { scheme: "mem", open: mem::open, doc: "memory of this process: mem://name/key" },
];
