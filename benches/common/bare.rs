//! The least that a program does to read from a store: requests by hyper, without credentials,
//! retries, checks or names for errors.

use std::ops::Range;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http::Request;
use http::header::RANGE;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// A client. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Bare(Client<HttpConnector, Empty<Bytes>>);

// === impl Bare ===

impl Default for Bare {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }
}

impl Bare {
    /// Reads a range of what a URL names, and forgets it.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn pass(&self, url: String, range: Range<u64>) -> Result<u64> {
        let mut body = self.ask(url, &range).await?;
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len) as u64;
        }
        Ok(length)
    }

    /// Reads a range into one piece of memory.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn read(&self, url: String, range: Range<u64>) -> Result<Bytes> {
        Ok(self.ask(url, &range).await?.collect().await?.to_bytes())
    }

    async fn ask(&self, url: String, range: &Range<u64>) -> Result<hyper::body::Incoming> {
        let range = format!("bytes={}-{}", range.start, range.end - 1);
        let request = Request::get(url).header(RANGE, range).body(Empty::new())?;
        let response = self.0.request(request).await?;
        ensure!(response.status() == 206, "{}", response.status());
        Ok(response.into_body())
    }
}
