//! `http://host/path` and `https://host/path`: public data, to read.
//!
//! - What stands after the host is sent as it is, with `?` and all that follows: signed URLs work.
//!   Only what a request line cannot have is percent-encoded, and `#`, which is part of the name
//!   here. A path that clients of HTTP change on their way, as `%2e%2e`, is refused.
//! - The etag is the server's; where it says none, size and `Last-Modified`, whose resolution is
//!   a second; without that the size alone, which misses changes that keep it.
//! - Servers that know no ranges send the whole object, of which the rest is dropped. Where one
//!   says no length, the object is read into memory to count it, up to [`COUNTED_BYTES_MAX`].
//! - Up to 10 redirects are followed, but none from the public network into a private one, nor to
//!   where clouds answer with a machine's credentials (`redirect.rs`).
//! - There are no listings and no writes: each object is named by its URL.
//!
//! The client for other stores that speak HTTP is made here too (`client.rs`).

mod answer;
mod client;
mod read;
mod redirect;
pub mod resolver;
#[cfg(any(feature = "swift", feature = "webdav"))]
mod stream;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::Url;

#[cfg(feature = "signed")]
pub(crate) use self::answer::said;
#[cfg(any(feature = "az", feature = "gs", feature = "swift", feature = "webdav"))]
pub(crate) use self::answer::{check, unanswered};
#[cfg(any(feature = "opendal", feature = "swift"))]
#[cfg(any(feature = "opendal", feature = "swift"))]
pub(crate) use self::client::client;
#[cfg(feature = "redis")]
pub(crate) use self::client::encrypted;
#[cfg(feature = "swift")]
pub(crate) use self::read::{asked, body_of, days, described, range_header};
use self::redirect::Clients;
#[cfg(any(feature = "swift", feature = "webdav"))]
pub(crate) use self::stream::Streamed;
use crate::error::redact;
use crate::{
    Attributes, Conditions, Directory, Error, GetOptions, ListOptions, Metadata, Object, Opening,
    Operation, Page, PutOptions, Result, Row, Store, Verb, Writer, key,
};

/// The row of `http:`.
pub(crate) const HTTP: Row = Row {
    scheme: "http",
    open,
    settings: &[],
    remote: true,
    program: None,
    doc: "public data, to read: http://host/path",
};

/// The row of `https:`.
pub(crate) const HTTPS: Row =
    Row { scheme: "https", doc: "public data, to read: https://host/path", ..HTTP };

/// Bytes of an object whose server does not say its length. It is held in memory.
const COUNTED_BYTES_MAX: usize = 64 << 20;

const NO_WRITES: &str =
    "HTTP is for reading; write to another store, such as file:, s3:, gs: or az:";
const NO_LISTS: &str = "HTTP has no listings; name each object by its URL";

/// One host.
struct HttpStore {
    /// With its final `/`.
    root: String,
    clients: Clients,
}

fn open(opening: &Opening<'_>) -> Result<Arc<dyn Store>, String> {
    let root = format!("{}://{}/", opening.scheme, opening.authority);
    if opening.authority.is_empty() {
        return Err("the host is missing: `https://host/path`".to_owned());
    }
    Url::parse(&root).map_err(|error| format!("it names no host: {error}"))?;
    Ok(Arc::new(HttpStore { root, clients: Clients::new()? }))
}

// === impl HttpStore ===

impl HttpStore {
    /// Where an object is, for errors: signatures in its name are left out.
    fn shown(&self, key: &str) -> String {
        redact(&format!("{self}{key}"))
    }

    fn url(&self, key: &str) -> Result<Url> {
        let path = key.split_once('?').map_or(key, |(path, _)| path);
        if key::check(self, path).is_err() {
            key::check(self, key)?;
            return key::invalid(self, key, "its path is no name: it is empty, or a part of it is");
        }
        let encoded = encoded(key);
        match Url::parse(&format!("{}{encoded}", self.root)) {
            Ok(url) if url.as_str().ends_with(&format!("/{encoded}")) => Ok(url),
            _ => key::invalid(self, key, "clients of HTTP change this path on its way"),
        }
    }

    fn no<T>(&self, key: &str, operation: Operation, reason: &'static str) -> Result<T> {
        Err(Error::unsupported(self.shown(key), operation, reason))
    }
}

/// What a request line cannot have is encoded, and `#`.
fn encoded(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | b'#' | b'\'' => {
                text.push_str(&format!("%{byte:02X}"));
            }
            0x21..=0x7e => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

impl fmt::Display for HttpStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.root)
    }
}

impl fmt::Debug for HttpStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpStore").field("root", &redact(&self.root)).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for HttpStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<Object> {
        read::get(self, key, options).await
    }

    async fn head(&self, key: &str) -> Result<Metadata> {
        Ok(read::head(self, key).await?.0)
    }

    async fn attributes(&self, key: &str) -> Result<Attributes> {
        let content_type = read::head(self, key).await?.1;
        Ok(Attributes { content_type, ..Attributes::default() })
    }

    async fn put(&self, key: &str, _: Bytes, _: PutOptions) -> Result<Metadata> {
        self.url(key)?;
        self.no(key, Operation::Put, NO_WRITES)
    }

    async fn writer(&self, key: &str, _: PutOptions) -> Result<Box<dyn Writer>> {
        self.url(key)?;
        self.no(key, Operation::Write, NO_WRITES)
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.url(key)?;
        self.no(key, Operation::Delete, NO_WRITES)
    }

    async fn list(&self, prefix: &str, _: ListOptions) -> Result<Page> {
        self.no(prefix, Operation::List, NO_LISTS)
    }

    async fn list_directory(&self, prefix: &str, _: ListOptions) -> Result<Directory> {
        self.no(prefix, Operation::List, NO_LISTS)
    }

    async fn copy(&self, _: &str, to: &str, _: PutOptions) -> Result<Metadata> {
        self.url(to)?;
        self.no(to, Operation::Copy, NO_WRITES)
    }

    async fn presign(&self, key: &str, verb: Verb, _: Duration) -> Result<String> {
        match verb {
            Verb::Get => Ok(self.url(key)?.into()),
            _ => self.no(key, Operation::Presign, NO_WRITES),
        }
    }

    async fn conditions(&self) -> Result<Conditions> {
        Ok(Conditions::new(false, false))
    }
}
