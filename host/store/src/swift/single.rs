//! An object of unknown length as one request whose body is streamed: where there are no segments.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Client;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};

use super::{SwiftStore, headers_of, written};
use crate::digest::{Sum, Summing};
use crate::http::{self, Streamed};
use crate::{Error, Metadata, Operation, PutOptions, Request, Result, Store};

/// Bytes that are sent in one go.
pub(super) const PIECE_BYTES: usize = 8 << 20;

/// The slowest that bytes may go up, in bytes per second.
pub(super) const UPLOAD_MIN: u64 = 64 << 10;

/// An object on its way up.
pub(super) struct Stream {
    store: SwiftStore,
    key: String,
    options: PutOptions,
    size: u64,
    sum: Summing,
    /// Of a body that breaks off Swift drops what it has.
    stream: Option<Streamed>,
}

// === impl Stream ===

impl Stream {
    pub(super) fn new(store: &SwiftStore, key: &str, options: &PutOptions) -> Self {
        let (store, key, options) = (store.clone(), key.to_owned(), options.clone());
        Self { store, key, options, size: 0, sum: Summing::md5(), stream: None }
    }

    pub(super) async fn send(&mut self, pieces: Vec<Bytes>) -> Result<()> {
        let mut bytes = 0;
        for piece in &pieces {
            self.sum.add(piece);
            bytes += piece.len();
        }
        self.size += bytes as u64;
        self.begin().await?;
        let stream = self.begun()?;
        let send = async {
            for piece in pieces {
                if !stream.send(piece).await {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        let is_sent = self.once(bytes, send).await?;
        self.check(is_sent).await
    }

    /// Begins the request, where that is not done yet.
    async fn begin(&mut self) -> Result<()> {
        if self.stream.is_some() {
            return Ok(());
        }
        // A stream cannot begin anew with another token: one that has run out is seen here.
        let location = self.store.url(&self.key);
        let none = (HeaderMap::new(), Bytes::new());
        let ask = || async {
            let asked = self.store.ask(Method::HEAD, "", &none.0, &none.1).await?;
            match asked.status() {
                StatusCode::NOT_FOUND => Err(super::no_container(&location)),
                _ => http::check(&location, asked).await.map(drop),
            }
        };
        self.store.0.patience.request(self.asked(&location, 0), ask).await?;
        self.stream = Some(self.open()?);
        Ok(())
    }

    fn begun(&self) -> Result<&Streamed> {
        let nothing = || Error::generic(self.store.url(&self.key), "nothing was begun");
        self.stream.as_ref().ok_or_else(nothing)
    }

    /// The error of a request that has ended before its body.
    async fn check(&mut self, is_sent: bool) -> Result<()> {
        let Some(stream) = self.stream.take_if(|_| !is_sent) else { return Ok(()) };
        self.answer(stream).await?;
        let early = "the answer came before all was sent";
        Err(Error::unavailable(self.store.url(&self.key), early))
    }

    /// The answer to a request, whose last bytes may still be on their way.
    async fn answer(&self, stream: Streamed) -> Result<Metadata> {
        let location = self.store.url(&self.key);
        let answer = async {
            let response = stream.answer(&location).await?;
            written(&location, response, self.size, &self.options.mode).await
        };
        self.once(PIECE_BYTES, answer).await
    }

    /// Does a part of the one request, which is not made again, as long as so many bytes may take.
    async fn once<T>(
        &self,
        bytes: usize,
        part: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let location = self.store.url(&self.key);
        self.store.0.patience.once(self.asked(&location, bytes), part).await
    }

    fn asked<'a>(&self, location: &'a str, bytes: usize) -> Request<'a> {
        let sent = Duration::from_secs(bytes as u64 / UPLOAD_MIN);
        let time = self.store.0.patience.policy().answer + sent;
        Request { operation: Operation::Write, location, time }
    }

    fn open(&self) -> Result<Streamed> {
        let location = self.store.url(&self.key);
        let headers = headers_of(&location, &self.options)?;
        let (store, key) = (self.store.clone(), self.key.clone());
        Ok(Streamed::begin(|body| async move {
            let path = store.path(&key);
            let put = |client: &Client, storage: &str| {
                client.put(format!("{storage}/{path}")).headers(headers).body(body)
            };
            store.0.account.ask_once(&location, put).await
        }))
    }

    /// Ends the request, of which the last bytes were sent.
    pub(super) async fn end(&mut self) -> Result<Metadata> {
        let stream = self.begun()?;
        let is_sent = self.once(PIECE_BYTES, async { Ok(stream.end().await) }).await?;
        self.check(is_sent).await?;
        let location = self.store.url(&self.key);
        let nothing = || Error::generic(&location, "nothing was sent");
        let stream = self.stream.take().ok_or_else(nothing)?;
        let metadata = self.answer(stream).await?;
        self.received(&metadata.etag).await?;
        if !metadata.etag.is_empty() {
            return Ok(metadata);
        }
        let head = || self.store.head(&self.key);
        self.store.0.patience.request(self.asked(&location, 0), head).await
    }

    /// Holds the checksum of what Swift says that it has received against that of what was sent,
    /// which was not known when the request began. An object of other bytes does not stay.
    async fn received(&mut self, etag: &str) -> Result<()> {
        let Some(said) = Sum::md5_of_hex(etag) else { return Ok(()) };
        let sent = std::mem::replace(&mut self.sum, Summing::md5()).sum();
        let Err(error) = said.check(&sent, &self.store.url(&self.key)) else { return Ok(()) };
        // Another writer may have been there since.
        match self.store.head(&self.key).await {
            Ok(there) if there.etag == etag => {
                if let Err(error) = self.store.delete(&self.key).await {
                    tracing::warn!(%error, "an object of other bytes was left");
                }
            }
            _ => {}
        }
        Err(error)
    }

    pub(super) async fn break_off(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.break_off().await;
        }
    }
}
