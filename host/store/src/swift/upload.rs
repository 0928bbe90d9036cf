//! An object of unknown length: one request whose body is streamed.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method};

use super::{SwiftStore, headers_of, written};
use crate::digest::{Sum, Summing};
use crate::http::{self, Streamed};
use crate::{Error, Guard, Metadata, Operation, PutOptions, Request, Result, Store, Writer};

/// Up to so many bytes an object is one piece, which is tried again where a stream cannot be.
const PIECE_BYTES: usize = 8 << 20;

/// The slowest that bytes may go up, in bytes per second.
const UPLOAD_MIN: u64 = 64 << 10;

/// An object on its way up.
pub(super) struct Upload {
    store: SwiftStore,
    key: String,
    options: PutOptions,
    gathered: VecDeque<Bytes>,
    gathered_bytes: usize,
    size: u64,
    sum: Summing,
    /// Since the first whole piece. Of a body that breaks off Swift drops what it has.
    stream: Option<Streamed>,
    failed: bool,
}

// === impl Upload ===

impl Upload {
    pub(super) fn new(store: SwiftStore, key: &str, options: PutOptions) -> Self {
        let key = key.to_owned();
        let gathered = VecDeque::new();
        Self {
            store,
            key,
            options,
            gathered,
            gathered_bytes: 0,
            size: 0,
            sum: Summing::md5(),
            stream: None,
            failed: false,
        }
    }

    async fn append(&mut self, bytes: Bytes) -> Result<()> {
        self.size += bytes.len() as u64;
        self.sum.add(&bytes);
        self.gathered_bytes += bytes.len();
        self.gathered.push_back(bytes);
        if self.gathered_bytes >= PIECE_BYTES { self.send_gathered().await } else { Ok(()) }
    }

    async fn send_gathered(&mut self) -> Result<()> {
        let bytes = std::mem::take(&mut self.gathered_bytes);
        let pieces = std::mem::take(&mut self.gathered);
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
            http::check(&location, asked).await.map(drop)
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

    async fn end(&mut self) -> Result<Metadata> {
        if self.stream.is_none() {
            let mut whole = BytesMut::with_capacity(self.gathered_bytes);
            self.gathered.drain(..).for_each(|piece| whole.extend_from_slice(&piece));
            let guarded =
                Guard::new(Arc::new(self.store.clone()), Arc::clone(&self.store.0.patience));
            return guarded.put(&self.key, whole.freeze(), self.options.clone()).await;
        }
        self.send_gathered().await?;
        self.begin().await?;
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
}

#[async_trait]
impl Writer for Upload {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if self.failed {
            return Err(Error::generic(self.store.url(&self.key), "the upload failed before"));
        }
        // Also where the future is dropped half way.
        self.failed = true;
        self.append(bytes).await?;
        self.failed = false;
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<Metadata> {
        if self.failed {
            return Err(Error::generic(self.store.url(&self.key), "the upload failed before"));
        }
        self.end().await
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        if let Some(stream) = self.stream.take() {
            stream.break_off().await;
        }
        Ok(())
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, failed, .. } = self;
        f.debug_struct("Upload")
            .field("url", &self.store.url(&self.key))
            .field("size", size)
            .field("failed", failed)
            .finish_non_exhaustive()
    }
}
