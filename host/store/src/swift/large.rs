//! Objects that are lists of segments: what they consist of, and what becomes of their segments.

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use super::segments::Segments;
use super::{Asked, SwiftStore, no_container, text};

use crate::adapters::{comes_on, now};
use crate::key::encoded;
use crate::{Error, Metadata, Operation, PutMode, PutOptions, Request, Result, http};

/// What says of an answer that it is about a list of segments.
pub(super) const LARGE: HeaderName = HeaderName::from_static("x-static-large-object");

/// Seconds for which nobody is asked again whether there is a container of segments where there was
/// none: another process may make it.
const NONE_SECONDS: u64 = 60;

/// Bytes of a list. Swift takes 8 MiB.
const LIST_BYTES_MAX: usize = 64 << 20;

/// Lists in lists in lists: as deep as Swift reads them.
const DEPTH_MAX: usize = 10;

/// Segments whose removal is one request's, or a few.
const REMOVED_AT_ONCE: usize = 1_000;

/// A segment of an object.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    /// `/container/name`.
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) etag: String,
}

/// What an object consists of.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) leaves: Vec<Leaf>,
    /// Lists in its list: `/container/name`.
    lists: Vec<String>,
    /// Whether it has parts of segments, or bytes of its own: other programs' do.
    is_odd: bool,
}

// === impl Listed ===

impl Listed {
    /// Lists before what is in them: who comes later still finds the way.
    fn names(self) -> Vec<String> {
        self.leaves.into_iter().map(|leaf| leaf.path).chain(self.lists).collect()
    }
}

// === impl SwiftStore ===

impl SwiftStore {
    /// Whether there may be objects in segments: those of ours need a container beside this one.
    pub(super) async fn has_segments(&self, location: &str) -> Result<bool> {
        let mut known = self.0.has_segments.lock().await;
        if let Some((at, has)) = *known
            && (has || now().duration_since(at).as_secs() < NONE_SECONDS)
        {
            return Ok(has);
        }
        let response = self.about_segments(location, Method::HEAD, HeaderMap::new()).await?;
        let has = match response.status() {
            StatusCode::NOT_FOUND => false,
            // Who may not see it may still use it.
            StatusCode::FORBIDDEN => true,
            _ => http::check(location, response).await.map(|_| true)?,
        };
        *known = Some((now(), has));
        Ok(has)
    }

    /// What was found of their container may not be so any more.
    pub(super) async fn unknown_segments(&self) {
        *self.0.has_segments.lock().await = None;
    }

    /// Makes the container of segments, of the same policy as this one.
    pub(super) async fn make_segments(&self, location: &str) -> Result<()> {
        if self.has_segments(location).await? {
            return Ok(());
        }
        let none = (HeaderMap::new(), Bytes::new());
        let ours = self.ask(Method::HEAD, "", &none.0, &none.1).await?;
        if ours.status() == StatusCode::NOT_FOUND {
            return Err(no_container(location));
        }
        let ours = http::check(location, ours).await?;
        let policy = HeaderName::from_static("x-storage-policy");
        let value = ours.headers().get(&policy).cloned();
        let headers = HeaderMap::from_iter(value.map(|value| (policy, value)));
        let made = self.about_segments(location, Method::PUT, headers).await?;
        http::check(location, made).await?;
        *self.0.has_segments.lock().await = Some((now(), true));
        Ok(())
    }

    /// Removes the container of segments where it is empty and nobody has said that it is to be.
    pub(super) async fn remove_segments(&self, location: &str) -> Result<()> {
        self.unknown_segments().await;
        if !self.0.owns_segments {
            return Ok(());
        }
        let removed = self.about_segments(location, Method::DELETE, HeaderMap::new()).await?;
        match removed.status() {
            StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::FORBIDDEN => Ok(()),
            _ => http::check(location, removed).await.map(drop),
        }
    }

    async fn about_segments(
        &self,
        location: &str,
        method: Method,
        headers: HeaderMap,
    ) -> Result<Response> {
        let path = encoded(&self.0.segments);
        let asked = Asked { method, path: &path, query: "", headers, body: Bytes::new() };
        self.request(location, &asked).await
    }

    /// The segments of what is about to be replaced, where it has some: `/container/name`. Where
    /// another writer comes in between, that one's may be left.
    pub(super) async fn old(&self, key: &str, mode: &PutMode) -> Result<Vec<String>> {
        if *mode == PutMode::IfAbsent || !self.has_segments(&self.url(key)).await? {
            return Ok(Vec::new());
        }
        match self.headed(key).await {
            Ok(found) if found.is_large => Ok(self.listed(key).await?.names()),
            Ok(_) | Err(Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Removes the segments of what was replaced. The object is written whatever comes of it.
    pub(super) async fn forget(&self, location: &str, old: Vec<String>) {
        if let Err(error) = self.remove_patiently(location, &old).await {
            tracing::warn!(%error, "segments of what was replaced were left behind");
        }
    }

    /// Removes segments: `/container/name`.
    pub(super) async fn remove_patiently(&self, location: &str, paths: &[String]) -> Result<()> {
        let time = self.0.patience.policy().answer;
        for paths in paths.chunks(REMOVED_AT_ONCE) {
            let asked = Request { operation: Operation::Delete, location, time };
            self.0.patience.request(asked, || self.remove_paths(location, paths)).await?;
        }
        Ok(())
    }

    /// What an object consists of; nothing where it is no list of segments (any more).
    async fn listed(&self, key: &str) -> Result<Listed> {
        let mut listed = Listed::default();
        let path = format!("/{}/{key}", self.0.name);
        self.read_list(&self.url(key), path, 0, &mut listed).await?;
        Ok(listed)
    }

    fn read_list<'a>(
        &'a self,
        location: &'a str,
        path: String,
        depth: usize,
        listed: &'a mut Listed,
    ) -> BoxFuture<'a, Result<()>> {
        async move {
            for entry in self.entries(location, &path).await? {
                let (Some(name), Some(bytes), Some(etag)) =
                    (entry["name"].as_str(), entry["bytes"].as_u64(), entry["hash"].as_str())
                else {
                    listed.is_odd = true;
                    continue;
                };
                let name = name.to_owned();
                listed.is_odd |= entry.get("range").is_some_and(|range| !range.is_null());
                if entry["sub_slo"] != true {
                    let etag = etag.trim_matches('"').to_owned();
                    listed.leaves.push(Leaf { path: name, bytes, etag });
                    continue;
                }
                if depth < DEPTH_MAX {
                    self.read_list(location, name.clone(), depth + 1, listed).await?;
                }
                listed.lists.push(name);
            }
            Ok(())
        }
        .boxed()
    }

    async fn entries(&self, location: &str, path: &str) -> Result<Vec<Value>> {
        let path = encoded(path.trim_start_matches('/'));
        let asked = Asked {
            method: Method::GET,
            path: &path,
            query: "multipart-manifest=get",
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        let response = self.request(location, &asked).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        let mut response = http::check(location, response).await?;
        if text(response.headers(), &LARGE).is_none() {
            return Ok(Vec::new());
        }
        let mut bytes = BytesMut::new();
        while let Some(part) =
            response.chunk().await.map_err(|error| http::unanswered(location, error))?
        {
            if bytes.len() + part.len() > LIST_BYTES_MAX {
                return Err(Error::generic(location, "its list of segments is too long"));
            }
            bytes.extend_from_slice(&part);
        }
        serde_json::from_slice(&bytes).map_err(|error| Error::unavailable(location, error))
    }

    /// Has the store copy an object segment by segment, as one of segments of its own: who removes
    /// either does not harm the other. None where it has what cannot be copied so.
    pub(super) async fn copy_large(
        &self,
        (from, source): (&str, &Metadata),
        to: &str,
        options: &PutOptions,
    ) -> Result<Option<Metadata>> {
        let location = self.url(to);
        let listed = self.listed(from).await?;
        let size: u64 = listed.leaves.iter().map(|leaf| leaf.bytes).sum();
        if listed.is_odd || self.info(&location).await?.segments.is_none() {
            return Ok(None);
        }
        if size != source.size {
            return Err(Error::another_version(self.url(from)));
        }
        let old = self.old(to, &options.mode).await?;
        let mut segments = Segments::begin(self, to, options).await?;
        let copied = async {
            for leaf in listed.leaves {
                segments.copy(leaf).await?;
                comes_on();
            }
            segments.end(size).await
        };
        match copied.await {
            Ok(metadata) => {
                self.forget(&location, old).await;
                Ok(Some(metadata))
            }
            Err(error) => {
                if let Err(left) = segments.abort().await {
                    tracing::warn!(error = %left, "segments were left behind");
                }
                Err(error)
            }
        }
    }
}
