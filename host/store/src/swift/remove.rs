//! Removing: objects with their segments, and many by one request where the server has such.

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use super::{Asked, SwiftStore};
use crate::key::encoded;
use crate::{Error, Result, http};

/// Requests on their way at once.
const AT_ONCE: usize = 8;

/// What Swift says where an object was replaced, after we had looked, by one without segments.
const NO_LIST: &str = "Not an SLO manifest";

impl SwiftStore {
    /// Removes an object, and its segments where it has some.
    pub(super) async fn remove_object(&self, key: &str) -> Result<()> {
        match self.is_large(key).await? {
            true => self.remove_large(key).await,
            false => self.remove_plain(&self.url(key), &self.path(key)).await,
        }
    }

    /// Removes objects: those without segments together.
    pub(super) async fn remove_objects(&self, keys: &[String]) -> Result<()> {
        let location = self.to_string();
        if keys.len() < 2 || self.info(&location).await?.removals.is_none() {
            let removals = stream::iter(keys.to_vec());
            let removals = removals.map(|key| async move { self.remove_object(&key).await });
            return removals.buffer_unordered(AT_ONCE).try_collect().await;
        }
        let mut plain = keys.to_vec();
        if self.has_segments(&location).await? {
            let looks = stream::iter(keys.to_vec());
            let looks = looks.map(|key| async move { Ok((self.is_large(&key).await?, key)) });
            let looked: Vec<(bool, String)> = looks.buffered(AT_ONCE).try_collect().await?;
            let (large, others): (Vec<_>, Vec<_>) = looked.into_iter().partition(|(is, _)| *is);
            for (_, key) in large {
                self.remove_large(&key).await?;
            }
            plain = others.into_iter().map(|(_, key)| key).collect();
        }
        let paths = plain.iter().map(|key| format!("/{}/{key}", self.0.name));
        self.remove_paths(&location, &paths.collect::<Vec<_>>()).await
    }

    /// Removes what lies at `/container/name`, in as few requests as the server can.
    pub(super) async fn remove_paths(&self, location: &str, paths: &[String]) -> Result<()> {
        if paths.is_empty() {
            return Ok(());
        }
        let Some(most) = self.info(location).await?.removals else {
            let removals = stream::iter(paths.to_vec());
            let removals = removals.map(|path| async move {
                self.remove_plain(location, &encoded(path.trim_start_matches('/'))).await
            });
            return removals.buffer_unordered(AT_ONCE).try_collect().await;
        };
        for paths in paths.chunks(most) {
            let lines: Vec<String> = paths.iter().map(|path| encoded(path)).collect();
            let headers = HeaderMap::from_iter([
                (CONTENT_TYPE, HeaderValue::from_static("text/plain")),
                (ACCEPT, HeaderValue::from_static("application/json")),
            ]);
            let body = lines.join("\n").into();
            let (method, query) = (Method::POST, "bulk-delete");
            let asked = Asked { method, path: "", query, headers, body };
            let response = self.request(location, &asked).await?;
            self.outcome(location, response).await?;
        }
        Ok(())
    }

    async fn is_large(&self, key: &str) -> Result<bool> {
        if !self.has_segments(&self.url(key)).await? {
            return Ok(false);
        }
        match self.headed(key).await {
            Ok(found) => Ok(found.is_large),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn remove_plain(&self, location: &str, path: &str) -> Result<()> {
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        let asked = Asked { method: Method::DELETE, path, query: "", headers, body };
        let response = self.request(location, &asked).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(()),
            _ => http::check(location, response).await.map(drop),
        }
    }

    /// Swift removes the segments, and then their list.
    async fn remove_large(&self, key: &str) -> Result<()> {
        let (location, path) = (self.url(key), self.path(key));
        let headers =
            HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        let (method, query) = (Method::DELETE, "multipart-manifest=delete");
        let asked = Asked { method, path: &path, query, headers, body: Bytes::new() };
        let response = self.request(&location, &asked).await?;
        self.outcome(&location, response).await
    }

    /// What became of several removals: the answer's status is 200 whatever it was.
    async fn outcome(&self, location: &str, response: Response) -> Result<()> {
        let response = http::check(location, response).await?;
        let bytes = response.bytes().await.map_err(|error| http::unanswered(location, error))?;
        // Blanks come while it is at work, and nothing else where it breaks off.
        let said: Value =
            serde_json::from_slice(&bytes).map_err(|error| Error::unavailable(location, error))?;
        for failed in said["Errors"].as_array().into_iter().flatten() {
            let (path, why) = (failed[0].as_str(), failed[1].as_str());
            let at = path.and_then(|path| self.url_of(path)).unwrap_or_else(|| location.to_owned());
            removed(&at, why.unwrap_or_default())?;
        }
        let status = said["Response Status"].as_str().unwrap_or_default();
        if status.starts_with('2') {
            return Ok(());
        }
        let body = said["Response Body"].as_str().unwrap_or_default();
        removed(location, format!("{status} {body}").trim())
    }

    /// The URL of what Swift calls `/container/name`, percent-encoded, where it is ours.
    fn url_of(&self, path: &str) -> Option<String> {
        let path = decoded(path)?;
        let key = path.strip_prefix('/')?.strip_prefix(&self.0.name)?.strip_prefix('/')?;
        Some(self.url(key))
    }
}

/// What a status of one removal among several is: `404 Not Found`.
fn removed(location: &str, why: &str) -> Result<()> {
    let (location, operation) = (location.to_owned(), None);
    let source = format!("it was not removed: {why}").into();
    let status = why.split(' ').next().and_then(|status| status.parse::<u16>().ok());
    Err(match status {
        Some(404) => return Ok(()),
        Some(401 | 403) => Error::PermissionDenied { location, operation, source },
        Some(429 | 503) => Error::Throttled { location, operation, wait: None, source },
        Some(408 | 409 | 500 | 502 | 504) => Error::Unavailable { location, operation, source },
        _ if why.contains(NO_LIST) => Error::Unavailable { location, operation, source },
        _ => Error::Generic { location, operation, source },
    })
}

/// Without percent-encoding.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_among_many_is_told_by_its_status() {
        let class = |why: &str| match removed("swift://c/k", why) {
            Ok(()) => ("removed".to_owned(), false),
            Err(error) => {
                assert!(error.in_full().contains(why), "{error:?}");
                (format!("{error:?}").split(' ').next().unwrap().to_owned(), error.retry())
            }
        };
        for (why, name, retry) in [
            ("404 Not Found", "removed", false),
            ("403 Forbidden", "PermissionDenied", false),
            ("503 Service Unavailable", "Throttled", true),
            ("500 Internal Error", "Unavailable", true),
            (NO_LIST, "Unavailable", true),
            ("412 Precondition Failed", "Generic", false),
            ("", "Generic", false),
        ] {
            assert_eq!(class(why), (name.to_owned(), retry), "{why}");
        }
    }

    #[test]
    fn names_are_decoded_once() {
        assert_eq!(decoded("/c/a%20b%252F/%C3%BC").as_deref(), Some("/c/a b%2F/ü"));
        assert_eq!((decoded("%2"), decoded("%+1"), decoded("%ff")), (None, None, None));
    }
}
