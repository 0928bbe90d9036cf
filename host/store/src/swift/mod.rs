//! `swift://container/key`: OpenStack Swift, by its own protocol.
//!
//! Tokens come from `auth_url`, by version 1 of the protocol (TempAuth, and what else speaks it) or
//! by Keystone's version 3 (`login.rs`), and again before they end or when one has run out; or
//! `endpoint` and `token` say them.
//!
//! - An object is one request up to 5 GiB, the most that Swift takes in one. One of unknown length
//!   and more than a segment (8 MiB) goes up in segments, to a container beside this one
//!   (`<container>_segments`), as other programs do it; an upload that is given up removes them.
//!   Where the server has no such objects it is one stream, up to 5 GiB, which is not tried again.
//! - Segments go with their object, where it is removed or replaced. To know whether there are some
//!   costs a request more for each, where there is a container of segments. Two that replace an
//!   object with segments at the same moment may leave some.
//! - Put-if-absent is Swift's, which is tried out: it sees an object that was there before, and may
//!   let several writers win that come at once. There is no put-if-match.
//! - Presigned URLs are signed with the key that an account has for them (`signed.rs`).

mod account;
mod info;
mod large;
mod list;
mod login;
mod remove;
mod segments;
mod signed;
mod single;
#[cfg(test)]
mod tests;
mod upload;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, RANGE,
};
use reqwest::{Client, Method, Response, StatusCode};
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;

use self::account::Account;
use self::info::Info;
use self::upload::Upload;
use crate::digest::{self, Sum};
use crate::key::encoded;
use crate::{
    Attributes, Conditions, Directory, Error, GetOptions, Guard, ListOptions, Metadata, Object,
    Opening, Operation, Options, Page, Patience, PutMode, PutOptions, Result, Row, Setting, Store,
    Verb, Writer, http, key,
    probe::{self, Probe},
    transfer,
};

/// The row of `swift:`.
pub(crate) const ROW: Row = Row {
    scheme: "swift",
    open,
    settings: SETTINGS,
    remote: true,
    program: None,
    doc: "OpenStack Swift: swift://container/key",
};

const SEGMENT_SIZE: Setting = Setting {
    name: "segment_size",
    variable: None,
    secret: false,
    doc: "bytes of a segment of what is larger, or with MiB or GiB: 1 MiB to 1 GiB, `8MiB` without; \
          `0` for one stream",
};
const SEGMENTS: Setting = Setting {
    name: "segments_container",
    variable: None,
    secret: false,
    doc: "where segments go, if not to the container whose name ends with `_segments`",
};

const OWN: &[Setting] = &[SEGMENT_SIZE, SEGMENTS, signed::KEY, probe::SETTING];
const ALL: usize = account::SETTINGS.len() + login::SETTINGS.len() + OWN.len();

/// All settings.
const SETTINGS: &[Setting] = &all();

const fn all() -> [Setting; ALL] {
    let mut all = [SEGMENTS; ALL];
    let parts = [login::SETTINGS, account::SETTINGS, OWN];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let mut within = 0;
        while within < parts[part].len() {
            all[at] = parts[part][within];
            (at, within) = (at + 1, within + 1);
        }
        part += 1;
    }
    all
}

/// Bytes of a segment. Several are held in memory at once.
const SEGMENT_BYTES: usize = 8 << 20;

/// Swift slows those down who read many segments that are smaller.
const SEGMENT_BYTES_MIN: usize = 1 << 20;

/// Held five times in memory.
const SEGMENT_BYTES_MAX: usize = 1 << 30;

/// What an error says where the container is not there.
const CONTAINER: &str = "its container; `samara storage mb` makes one";

/// What stands before the names of attributes.
const META: &str = "x-object-meta-";

/// Bytes of a key.
const KEY_BYTES_MAX: usize = 1024;

/// What Swift says that it keeps.
const SAYS: Conditions = Conditions::new(true, false);

/// One container. Clones share it.
#[derive(Clone)]
struct SwiftStore(Arc<Container>);

struct Container {
    name: String,
    account: Account,
    patience: Arc<Patience>,
    kept: OnceCell<Conditions>,
    info: OnceCell<Info>,
    /// None where there are to be no segments.
    segment_bytes: Option<usize>,
    /// The container of segments, and whether it has its name of this one.
    segments: String,
    owns_segments: bool,
    /// Whether it is there, and when that was found.
    has_segments: Mutex<Option<(Instant, bool)>>,
    temp_url_key: Option<String>,
}

/// A request about the account, a container or an object.
struct Asked<'a> {
    method: Method,
    /// Encoded, and empty for the account.
    path: &'a str,
    query: &'a str,
    headers: HeaderMap,
    body: Bytes,
}

/// What is known of an object.
struct Headed {
    metadata: Metadata,
    attributes: Attributes,
    /// Whether it is a list of segments.
    is_large: bool,
}

fn open(opening: &Opening<'_>) -> Result<Arc<dyn Store>, String> {
    let name = opening.authority;
    if name.is_empty() {
        return Err("the name of the container is missing: `swift://container/key`".to_owned());
    }
    let said = opening.options.get(probe::SETTING.name);
    probe::check(said)?;
    let kept = probe::said(said)
        .map_or_else(OnceCell::new, |said| OnceCell::from(Conditions { if_match: false, ..said }));
    let segments = opening.options.value(&SEGMENTS).map(str::to_owned);
    if segments.as_deref() == Some(name) {
        return Err("`segments_container` is this one; its listings would show segments".to_owned());
    }
    Ok(Arc::new(SwiftStore(Arc::new(Container {
        name: name.to_owned(),
        account: Account::new(opening.options)?,
        patience: Arc::clone(opening.patience),
        kept,
        info: OnceCell::new(),
        segment_bytes: segment_bytes(opening.options)?,
        owns_segments: segments.is_none(),
        segments: segments.unwrap_or_else(|| format!("{name}_segments")),
        has_segments: Mutex::new(None),
        temp_url_key: opening.options.value(&signed::KEY).map(str::to_owned),
    }))))
}

fn segment_bytes(options: &Options) -> Result<Option<usize>, String> {
    let Some(said) = options.value(&SEGMENT_SIZE) else { return Ok(Some(SEGMENT_BYTES)) };
    let (number, unit) = match (said.strip_suffix("MiB"), said.strip_suffix("GiB")) {
        (Some(number), _) => (number, 1 << 20),
        (_, Some(number)) => (number, 1 << 30),
        _ => (said, 1),
    };
    let bytes = number.trim().parse().ok().and_then(|number: usize| number.checked_mul(unit));
    match bytes {
        Some(0) => Ok(None),
        Some(bytes) if (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes) => Ok(Some(bytes)),
        _ => Err(format!(
            "`segment_size` is `{said}`, and should be a number of bytes from 1 MiB to 1 GiB, such \
             as `8MiB`, or 0"
        )),
    }
}

// === impl SwiftStore ===

impl SwiftStore {
    fn url(&self, key: &str) -> String {
        format!("{self}{key}")
    }

    fn check(&self, key: &str) -> Result<()> {
        key::check(self, key)?;
        if key.len() > KEY_BYTES_MAX {
            return key::invalid(self, key, "Swift takes keys of up to 1,024 bytes");
        }
        Ok(())
    }

    /// A request about an object, or about the container where the key is empty.
    async fn ask(
        &self,
        method: Method,
        key: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Response> {
        let (path, body, headers) = (self.path(key), body.clone(), headers.clone());
        self.request(&self.url(key), &Asked { method, path: &path, query: "", headers, body }).await
    }

    async fn request(&self, location: &str, asked: &Asked<'_>) -> Result<Response> {
        let Asked { method, path, query, headers, body } = asked;
        let ask = |client: &Client, storage: &str| {
            let separator = if path.is_empty() { "" } else { "/" };
            let mark = if query.is_empty() { "" } else { "?" };
            let url = format!("{storage}{separator}{path}{mark}{query}");
            let request = client.request(method.clone(), url).headers(headers.clone());
            match *method {
                Method::PUT | Method::POST => {
                    request.header(CONTENT_LENGTH, body.len()).body(body.clone())
                }
                _ => request,
            }
        };
        self.0.account.ask(location, ask).await
    }

    fn path(&self, key: &str) -> String {
        let separator = if key.is_empty() { "" } else { "/" };
        format!("{}{separator}{}", encoded(&self.0.name), encoded(key))
    }

    async fn headed(&self, key: &str) -> Result<Headed> {
        self.check(key)?;
        let location = self.url(key);
        let none = (HeaderMap::new(), Bytes::new());
        let response = self.ask(Method::HEAD, key, &none.0, &none.1).await?;
        let response = http::check(&location, response).await?;
        let headers = response.headers();
        let user = headers.iter().filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix(META)?;
            Some((name.to_owned(), value.to_str().ok()?.to_owned()))
        });
        let said = text(headers, &CONTENT_TYPE).map(str::to_owned);
        let attributes = Attributes { content_type: said, user: user.collect() };
        let is_large = headers.contains_key(large::LARGE);
        Ok(Headed { metadata: metadata(&location, &response)?, attributes, is_large })
    }

    /// One request, whatever the size. The condition is known to be kept.
    async fn put_object(&self, key: &str, body: Bytes, options: &PutOptions) -> Result<Metadata> {
        let location = self.url(key);
        let mut headers = headers_of(&location, options)?;
        // Swift refuses what it receives otherwise.
        let sum = Sum::md5_of([body.clone()]).hex();
        headers.extend(HeaderValue::from_str(&sum).ok().map(|sum| (ETAG, sum)));
        let response = self.ask(Method::PUT, key, &headers, &body).await?;
        written(&location, response, body.len() as u64, &options.mode).await
    }

    async fn kept(&self, key: &str) -> Result<Conditions> {
        self.0.kept.get_or_try_init(|| self.find_out(key).boxed()).await.copied()
    }

    async fn find_out(&self, key: &str) -> Result<Conditions> {
        let keys = probe::keys(key);
        let put = |key: String, mode: PutMode| {
            async move {
                let options = PutOptions { mode, ..PutOptions::default() };
                match self.put_object(&key, "1".into(), &options).await {
                    Ok(metadata) => Ok(Some(metadata)),
                    Err(Error::AlreadyExists { .. } | Error::Generic { .. }) => Ok(None),
                    Err(error) => Err(error),
                }
            }
            .boxed()
        };
        let (patience, location) = (&*self.0.patience, self.url(key));
        let probe = Probe { keys: &keys, put: &put, patience, location };
        let found = probe::run(&probe, SAYS).await;
        if let Err(error) = self.delete_many(&keys).await {
            tracing::warn!(%error, "what a probe wrote was left behind");
        }
        found
    }

    async fn require(&self, key: &str, mode: &PutMode, operation: Operation) -> Result<()> {
        match mode {
            PutMode::Overwrite => Ok(()),
            _ => probe::require(self.kept(key).await?, self.url(key), mode, operation),
        }
    }
}

/// What an answer about an object says.
fn metadata(location: &str, response: &Response) -> Result<Metadata> {
    let mut metadata = http::described(location, response)?.metadata;
    // `Last-Modified` is rounded up to a second; this is when it was.
    let stamp = HeaderName::from_static("x-timestamp");
    let stamp = text(response.headers(), &stamp).and_then(|stamp| stamp.split_once('.'));
    metadata.modified_ms = stamp.and_then(|(seconds, rest)| {
        let millis = format!("{rest:0<3}").get(..3)?.parse::<u64>().ok()?;
        Some(seconds.parse::<u64>().ok()? * 1000 + millis)
    });
    Ok(metadata)
}

/// The checksum of an object that comes whole. The etag is that, but for objects in segments.
fn sum_of(response: &Response, etag: &str) -> Option<Sum> {
    const SEGMENTS: [&str; 2] = ["x-static-large-object", "x-object-manifest"];
    let is_whole = response.status() == StatusCode::OK;
    let is_plain = !SEGMENTS.iter().any(|name| response.headers().contains_key(*name));
    Sum::md5_of_hex(etag).filter(|_| is_whole && is_plain)
}

/// What the answer to a write says.
async fn written(
    location: &str,
    response: Response,
    size: u64,
    mode: &PutMode,
) -> Result<Metadata> {
    let response = match (response.status(), mode) {
        (StatusCode::PRECONDITION_FAILED, PutMode::IfAbsent) => {
            return Err(Error::AlreadyExists { location: location.to_owned() });
        }
        (StatusCode::NOT_FOUND, _) => return Err(no_container(location)),
        (StatusCode::UNPROCESSABLE_ENTITY, _) => {
            let text = "status 422: the store has received other bytes than were sent";
            return Err(Error::checksum(location, text));
        }
        _ => http::check(location, response).await?,
    };
    let etag = text(response.headers(), &ETAG).unwrap_or_default().trim_matches('"').to_owned();
    Ok(Metadata { size, etag, modified_ms: None })
}

/// What is missing where something cannot be written.
fn no_container(location: &str) -> Error {
    Error::NotFound { location: location.to_owned(), sought: CONTAINER }
}

/// What is said of an object that is written.
fn headers_of(location: &str, options: &PutOptions) -> Result<HeaderMap> {
    let invalid = || Error::generic(location, "an attribute cannot be said in a header");
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| invalid());
    let mut headers = HeaderMap::new();
    if options.mode == PutMode::IfAbsent {
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
    }
    if let Some(content_type) = &options.attributes.content_type {
        headers.insert(CONTENT_TYPE, value(content_type)?);
    }
    for (name, said) in &options.attributes.user {
        let name = HeaderName::from_bytes(format!("{META}{name}").as_bytes());
        headers.insert(name.map_err(|_| invalid())?, value(said)?);
    }
    Ok(headers)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

impl fmt::Display for SwiftStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "swift://{}/", self.0.name)
    }
}

impl fmt::Debug for SwiftStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SwiftStore").field("container", &self.0.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for SwiftStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<Object> {
        self.check(key)?;
        let location = self.url(key);
        let mut headers = HeaderMap::new();
        let range = options.range.as_ref();
        if let Some(range) = range.filter(|range| !range.is_empty())
            && let Ok(value) = HeaderValue::from_str(&http::range_header(range))
        {
            headers.insert(RANGE, value);
        }
        let mut response = None;
        if range.is_none_or(|range| !range.is_empty()) {
            let answer = self.ask(Method::GET, key, &headers, &Bytes::new()).await?;
            response = Some(answer).filter(|r| r.status() != StatusCode::RANGE_NOT_SATISFIABLE);
        }
        let Some(response) = response else {
            let metadata = self.headed(key).await?.metadata;
            if options.if_match.as_ref().is_some_and(|etag| *etag != metadata.etag) {
                return Err(Error::another_version(location));
            }
            let at = options.range_within(metadata.size).start;
            return Ok(Object::new(metadata, at..at, stream::empty().boxed()));
        };
        let response = http::check(&location, response).await?;
        let mut said = http::described(&location, &response)?;
        said.metadata = metadata(&location, &response)?;
        if said.size.is_none() {
            return Err(Error::generic(location, "the answer does not say how long it is"));
        }
        let sum = sum_of(&response, &said.metadata.etag);
        let mut body = http::body_of(location.clone(), response);
        if let Some(sum) = sum {
            body = digest::checked(location.clone(), sum, body);
        }
        http::asked(&location, said, body, &options)
    }

    async fn head(&self, key: &str) -> Result<Metadata> {
        Ok(self.headed(key).await?.metadata)
    }

    async fn attributes(&self, key: &str) -> Result<Attributes> {
        Ok(self.headed(key).await?.attributes)
    }

    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<Metadata> {
        self.check(key)?;
        self.require(key, &options.mode, Operation::Put).await?;
        let old = self.old(key, &options.mode).await?;
        let written = self.put_object(key, body, &options).await?;
        self.forget(&self.url(key), old).await;
        Ok(written)
    }

    async fn writer(&self, key: &str, options: PutOptions) -> Result<Box<dyn Writer>> {
        self.check(key)?;
        self.require(key, &options.mode, Operation::Write).await?;
        Ok(Box::new(Upload::new(self.clone(), key, options)))
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.check(key)?;
        self.remove_object(key).await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<()> {
        keys.iter().try_for_each(|key| self.check(key))?;
        self.remove_objects(keys).await
    }

    async fn list(&self, prefix: &str, options: ListOptions) -> Result<Page> {
        key::check_prefix(self, prefix)?;
        list::page(self, prefix, &options).await
    }

    async fn list_directory(&self, prefix: &str, options: ListOptions) -> Result<Directory> {
        key::check_prefix(self, prefix)?;
        list::directory(self, prefix, &options).await
    }

    async fn copy(&self, from: &str, to: &str, options: PutOptions) -> Result<Metadata> {
        self.check(from)?;
        self.check(to)?;
        self.require(to, &options.mode, Operation::Copy).await?;
        let Headed { metadata: source, attributes, is_large } = self.headed(from).await?;
        if is_large && from == to && options == PutOptions::default() {
            return Ok(source);
        }
        if is_large || options != PutOptions::default() {
            let options = match options.attributes == Attributes::default() {
                true => PutOptions { attributes, ..options },
                false => options,
            };
            if is_large && let Some(copied) = self.copy_large((from, &source), to, &options).await?
            {
                return Ok(copied);
            }
            // A body that stalls or breaks off goes on where it ended.
            let guarded = Guard::new(Arc::new(self.clone()), Arc::clone(&self.0.patience));
            let read = guarded.get(from, GetOptions::default().if_match(source.etag));
            let body = read.await?.body;
            return transfer::poured(body, self.writer(to, options).await?).await;
        }
        let location = self.url(to);
        let path = HeaderValue::from_str(&format!("/{}", self.path(from)));
        let path = path.map_err(|error| Error::generic(&location, error))?;
        let headers = HeaderMap::from_iter([(HeaderName::from_static("x-copy-from"), path)]);
        let old = self.old(to, &options.mode).await?;
        let response = self.ask(Method::PUT, to, &headers, &Bytes::new()).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Err(Error::not_found(self.url(from)));
        }
        let copied = written(&location, response, source.size, &options.mode).await?;
        self.forget(&location, old).await;
        Ok(copied)
    }

    async fn presign(&self, key: &str, verb: Verb, expires: Duration) -> Result<String> {
        self.check(key)?;
        self.signed_url(key, verb, expires).await
    }

    async fn create(&self) -> Result<()> {
        let none = (HeaderMap::new(), Bytes::new());
        let response = self.ask(Method::PUT, "", &none.0, &none.1).await?;
        http::check(&self.to_string(), response).await.map(drop)
    }

    async fn remove(&self) -> Result<()> {
        let none = (HeaderMap::new(), Bytes::new());
        let response = self.ask(Method::DELETE, "", &none.0, &none.1).await?;
        if response.status() == StatusCode::CONFLICT {
            let reason = "the container is not empty";
            return Err(Error::Precondition { location: self.to_string(), reason });
        }
        if response.status() == StatusCode::NOT_FOUND {
            return Err(no_container(&self.to_string()));
        }
        http::check(&self.to_string(), response).await?;
        self.remove_segments(&self.to_string()).await
    }

    async fn conditions(&self) -> Result<Conditions> {
        self.kept("").await
    }
}
