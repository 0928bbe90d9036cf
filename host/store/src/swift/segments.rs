//! An object in segments: they go up side by side, into a container of their own, and a list of
//! them is put under the object's name in the end. Swift calls that a static large object.
//!
//! A list has a thousand segments, or as many as the server says. What is larger is a list of lists.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::header::{ETAG, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use samara_core::{Clock, SystemClock};
use serde_json::json;
use tokio::task::JoinSet;

use super::large::Leaf;
use super::single::UPLOAD_MIN;
use super::{Asked, SwiftStore, headers_of, written};
use crate::adapters::{TICKET, random};
use crate::digest::Sum;
use crate::key::encoded;
use crate::{Error, Metadata, Operation, PutMode, PutOptions, Request, Result};

/// Segments on their way at once. With the one that is gathered this bounds what an upload holds.
const AT_ONCE: usize = 4;

/// Bytes of an object's key that stand in the names of its segments, which have to fit too.
const NAMED_MAX: usize = 900;

/// So much longer than others a list may take for each of its segments, which Swift looks at.
const LOOKED_AT: Duration = Duration::from_millis(100);

/// An object on its way up.
pub(super) struct Segments {
    target: Arc<Target>,
    count: usize,
    lists: usize,
    under_way: JoinSet<Result<(usize, Leaf)>>,
    done: BTreeMap<usize, Leaf>,
    /// Whether what was sent is of no object, and is to be removed.
    is_open: bool,
}

struct Target {
    store: SwiftStore,
    key: String,
    options: PutOptions,
    /// What the names of its segments begin with.
    prefix: String,
    ticket: String,
}

/// What the answer to a list came to.
enum Ended {
    Written(Metadata),
    /// There is no object of these segments.
    Not(Error),
    /// Nobody knows; there may be one, or will be.
    Unknown(Error),
}

// === impl Segments ===

impl Segments {
    pub(super) async fn begin(store: &SwiftStore, key: &str, options: &PutOptions) -> Result<Self> {
        let ticket = format!("{:016x}{:016x}", random(), random());
        let time = SystemClock::new().unix();
        let bytes = store.0.segment_bytes.unwrap_or_default();
        let end = (0..=key.len().min(NAMED_MAX)).rev().find(|end| key.is_char_boundary(*end));
        let named = &key[..end.unwrap_or_default()];
        // As other programs name theirs.
        let (seconds, micros) = (time.as_secs(), time.subsec_micros());
        let prefix = format!("{named}/slo/{seconds}.{micros:06}-{:016x}/{bytes}", random());
        let mut options = options.clone();
        options.attributes.user.insert(TICKET.to_owned(), ticket.clone());
        let (store, key) = (store.clone(), key.to_owned());
        let target = Target { store, key, options, prefix, ticket };
        let url = target.url();
        target.ask(0, || target.store.make_segments(&url).boxed()).await?;
        Ok(Self {
            target: Arc::new(target),
            count: 0,
            lists: 0,
            under_way: JoinSet::new(),
            done: BTreeMap::new(),
            is_open: true,
        })
    }

    /// Sends the next segment as soon as there is room for it.
    pub(super) async fn send(&mut self, bytes: Bytes) -> Result<()> {
        let (target, number) = self.next().await?;
        self.under_way.spawn(async move {
            let length = bytes.len();
            let put = || target.put(number, bytes.clone()).boxed();
            Ok((number, target.ask(length, put).await?))
        });
        Ok(())
    }

    /// Has the store copy the next segment from another object's.
    pub(super) async fn copy(&mut self, from: Leaf) -> Result<()> {
        let (target, number) = self.next().await?;
        self.under_way.spawn(async move {
            let length = usize::try_from(from.bytes).unwrap_or(usize::MAX);
            Ok((number, target.ask(length, || target.copy(number, &from).boxed()).await?))
        });
        Ok(())
    }

    async fn next(&mut self) -> Result<(Arc<Target>, usize)> {
        while self.under_way.len() >= AT_ONCE {
            self.arrived().await?;
        }
        self.count += 1;
        Ok((Arc::clone(&self.target), self.count))
    }

    /// Waits for one segment.
    async fn arrived(&mut self) -> Result<()> {
        let Some(joined) = self.under_way.join_next().await else { return Ok(()) };
        let (number, segment) = match joined {
            Ok(segment) => segment?,
            Err(error) => return Err(Error::unavailable(self.target.url(), error)),
        };
        self.done.insert(number, segment);
        Ok(())
    }

    /// Makes the object of what was sent.
    pub(super) async fn end(&mut self, size: u64) -> Result<Metadata> {
        while !self.under_way.is_empty() {
            self.arrived().await?;
        }
        let location = self.target.url();
        let info = self.target.ask(0, || self.target.store.info(&location).boxed()).await?;
        let most = info.segments.unwrap_or(usize::MAX);
        let mut all: Vec<Leaf> = std::mem::take(&mut self.done).into_values().collect();
        while all.len() > most {
            let mut lists = Vec::new();
            for segments in all.chunks(most) {
                self.lists += 1;
                let name = self.target.list_name(self.lists);
                lists.push(self.target.list(name, segments).await?);
            }
            all = lists;
        }
        match self.target.complete(&all, size).await {
            Ended::Written(metadata) => {
                self.is_open = false;
                Ok(metadata)
            }
            Ended::Not(error) => Err(error),
            Ended::Unknown(error) => {
                self.is_open = false;
                let prefix = &self.target.prefix;
                tracing::warn!(
                    url = location,
                    prefix,
                    "it is not known whether an object is of \
                    these segments, which are left"
                );
                Err(error)
            }
        }
    }

    /// Removes what was sent, where it is of no object.
    pub(super) async fn abort(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.is_open) {
            return Ok(());
        }
        self.under_way.shutdown().await;
        let names = self.target.names(self.count, self.lists);
        self.target.store.remove_patiently(&self.target.url(), &names).await
    }
}

/// What was sent takes room until it is removed.
impl Drop for Segments {
    fn drop(&mut self) {
        if !self.is_open || self.count == 0 {
            return;
        }
        let (target, mut under_way) =
            (Arc::clone(&self.target), std::mem::take(&mut self.under_way));
        let names = target.names(self.count, self.lists);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            tracing::warn!(url = target.url(), "segments were left behind");
            return;
        };
        runtime.spawn(async move {
            under_way.shutdown().await;
            if let Err(error) = target.store.remove_patiently(&target.url(), &names).await {
                tracing::warn!(%error, "segments were left behind");
            }
        });
    }
}

// === impl Target ===

impl Target {
    fn url(&self) -> String {
        self.store.url(&self.key)
    }

    fn name(&self, number: usize) -> String {
        format!("/{}/{}/{number:08}", self.store.0.segments, self.prefix)
    }

    fn list_name(&self, number: usize) -> String {
        format!("/{}/{}/list-{number:08}", self.store.0.segments, self.prefix)
    }

    /// All that may have been written beside the object.
    fn names(&self, count: usize, lists: usize) -> Vec<String> {
        let lists = (1..=lists).map(|number| self.list_name(number));
        lists.chain((1..=count).map(|number| self.name(number))).collect()
    }

    /// Makes a request with patience: what goes up in segments has no guard around it.
    async fn ask<'a, T: Send>(
        &'a self,
        bytes: usize,
        attempt_at: impl FnMut() -> BoxFuture<'a, Result<T>> + Send,
    ) -> Result<T> {
        let sent = Duration::from_secs(bytes as u64 / UPLOAD_MIN);
        self.ask_for(sent, attempt_at).await
    }

    /// Makes a request that may take so much longer than others.
    async fn ask_for<'a, T: Send>(
        &'a self,
        longer: Duration,
        attempt_at: impl FnMut() -> BoxFuture<'a, Result<T>> + Send,
    ) -> Result<T> {
        let patience = &self.store.0.patience;
        let (location, time) = (self.url(), patience.policy().answer + longer);
        let asked = Request { operation: Operation::Write, location: &location, time };
        patience.request(asked, attempt_at).await
    }

    async fn put(&self, number: usize, bytes: Bytes) -> Result<Leaf> {
        let sum = Sum::md5_of([bytes.clone()]).hex();
        // Swift refuses what it receives otherwise.
        let headers = HeaderMap::from_iter([(ETAG, header(&self.url(), &sum)?)]);
        let (path, length) = (self.name(number), bytes.len() as u64);
        let metadata = self.segment(&path, headers, bytes).await?;
        let etag = if metadata.etag.is_empty() { sum } else { metadata.etag };
        Ok(Leaf { path, bytes: length, etag })
    }

    async fn copy(&self, number: usize, from: &Leaf) -> Result<Leaf> {
        let location = self.url();
        let source = header(&location, &encoded(&from.path))?;
        let headers = HeaderMap::from_iter([(HeaderName::from_static("x-copy-from"), source)]);
        let path = self.name(number);
        let metadata = self.segment(&path, headers, Bytes::new()).await?;
        if metadata.etag != from.etag {
            return Err(Error::another_version(location));
        }
        Ok(Leaf { path, bytes: from.bytes, etag: metadata.etag })
    }

    async fn segment(&self, path: &str, headers: HeaderMap, body: Bytes) -> Result<Metadata> {
        let (location, size) = (self.url(), body.len() as u64);
        let is_copied = headers.contains_key("x-copy-from");
        let path = encoded(path.trim_start_matches('/'));
        let asked = Asked { method: Method::PUT, path: &path, query: "", headers, body };
        let response = self.store.request(&location, &asked).await?;
        if response.status() != StatusCode::NOT_FOUND {
            return written(&location, response, size, &PutMode::Overwrite).await;
        }
        if is_copied {
            return Err(Error::another_version(location));
        }
        // Somebody has removed their container, as it was empty; or we may not see it.
        self.store.unknown_segments().await;
        self.store.make_segments(&location).await?;
        Err(Error::unavailable(location, "the container of its segments is not there"))
    }

    /// A list that is a segment itself.
    async fn list(&self, path: String, segments: &[Leaf]) -> Result<Leaf> {
        let location = self.url();
        let bytes = segments.iter().map(|segment| segment.bytes).sum();
        let put = || {
            async {
                let plain = HeaderMap::new();
                let response = self.put_list(&path, plain, segments).await?;
                written(&location, response, bytes, &PutMode::Overwrite).await
            }
            .boxed()
        };
        let metadata = self.ask_for(longer(segments), put).await?;
        let etag = match metadata.etag.is_empty() {
            true => etag_of(segments),
            false => metadata.etag,
        };
        Ok(Leaf { path, bytes, etag })
    }

    /// Makes the object.
    async fn complete(&self, segments: &[Leaf], size: u64) -> Ended {
        let location = self.url();
        let path = format!("/{}/{}", self.store.0.name, self.key);
        // Whether an attempt may have been done although its answer was lost.
        let lost = AtomicBool::new(false);
        let put = || {
            async {
                let before = lost.swap(true, Ordering::Relaxed);
                let ended = async {
                    let headers = headers_of(&location, &self.options)?;
                    let response = self.put_list(&path, headers, segments).await?;
                    written(&location, response, size, &self.options.mode).await
                }
                .await;
                let is_known = match &ended {
                    Ok(_) | Err(Error::Checksum { .. }) => true,
                    Err(error) => !error.retry(),
                };
                lost.store(before || !is_known, Ordering::Relaxed);
                ended
            }
            .boxed()
        };
        let error = match self.ask_for(longer(segments), put).await {
            Ok(metadata) if !metadata.etag.is_empty() => return Ended::Written(metadata),
            Ok(_) => return self.described().await,
            Err(error) => error,
        };
        if !lost.load(Ordering::Relaxed) {
            return Ended::Not(error);
        }
        match self.ask(0, || self.store.headed(&self.key).boxed()).await {
            Ok(found) if found.attributes.user.get(TICKET) == Some(&self.ticket) => {
                Ended::Written(found.metadata)
            }
            // It was refused because of another object, which came first.
            Ok(_) if matches!(error, Error::AlreadyExists { .. }) => Ended::Not(error),
            _ => Ended::Unknown(error),
        }
    }

    /// What was written, where the answer did not say it.
    async fn described(&self) -> Ended {
        match self.ask(0, || self.store.headed(&self.key).boxed()).await {
            Ok(found) => Ended::Written(found.metadata),
            Err(error) => Ended::Unknown(error),
        }
    }

    async fn put_list(
        &self,
        path: &str,
        mut headers: HeaderMap,
        segments: &[Leaf],
    ) -> Result<Response> {
        let location = self.url();
        headers.insert(ETAG, header(&location, &etag_of(segments))?);
        let list: Vec<_> = segments
            .iter()
            .map(|it| json!({ "path": it.path, "etag": it.etag, "size_bytes": it.bytes }))
            .collect();
        let body = serde_json::to_vec(&list).map_err(|error| Error::generic(&location, error))?;
        let path = encoded(path.trim_start_matches('/'));
        let (method, body) = (Method::PUT, body.into());
        let query = "multipart-manifest=put";
        self.store.request(&location, &Asked { method, path: &path, query, headers, body }).await
    }
}

/// The etag of a list: the MD5 of those of its segments.
fn etag_of(segments: &[Leaf]) -> String {
    let etags = segments.iter().map(|segment| Bytes::from(segment.etag.clone()));
    Sum::md5_of(etags).hex()
}

fn longer(segments: &[Leaf]) -> Duration {
    LOOKED_AT * u32::try_from(segments.len()).unwrap_or(u32::MAX)
}

fn header(location: &str, text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|error| Error::generic(location, error))
}
