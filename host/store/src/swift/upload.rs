//! An object of unknown length: one request whose body is streamed.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream;
use reqwest::header::HeaderMap;
use reqwest::{Body, Client, Method, Response};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{SwiftStore, headers_of, written};
use crate::{Error, Guard, Metadata, PutOptions, Result, Store, Writer, http};

/// Up to so many bytes an object is one piece, which is tried again where a stream cannot be.
const PIECE_BYTES: usize = 8 << 20;

/// Pieces on their way to the server.
const PIECES_AT_ONCE: usize = 4;

/// An object on its way up.
pub(super) struct Upload {
    store: SwiftStore,
    key: String,
    options: PutOptions,
    gathered: VecDeque<Bytes>,
    gathered_bytes: usize,
    size: u64,
    /// Since the first whole piece.
    stream: Option<Stream>,
    failed: bool,
}

/// A request whose body is under way. Without the end of it, which is `None`, the body breaks off
/// and Swift drops what it has.
struct Stream {
    pieces: mpsc::Sender<Option<Bytes>>,
    answer: JoinHandle<Result<Response>>,
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
            stream: None,
            failed: false,
        }
    }

    async fn append(&mut self, bytes: Bytes) -> Result<()> {
        self.size += bytes.len() as u64;
        self.gathered_bytes += bytes.len();
        self.gathered.push_back(bytes);
        if self.gathered_bytes >= PIECE_BYTES { self.send_gathered().await } else { Ok(()) }
    }

    async fn send_gathered(&mut self) -> Result<()> {
        self.gathered_bytes = 0;
        for piece in std::mem::take(&mut self.gathered) {
            self.send(Some(piece)).await?;
        }
        Ok(())
    }

    async fn send(&mut self, piece: Option<Bytes>) -> Result<()> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                // A stream cannot begin anew with another token: one that has run out is seen here.
                let none = (HeaderMap::new(), Bytes::new());
                let asked = self.store.ask(Method::HEAD, "", &none.0, &none.1).await?;
                http::check(&self.store.url(&self.key), asked).await?;
                let opened = self.open()?;
                self.stream.insert(opened)
            }
        };
        if stream.pieces.send(piece).await.is_ok() {
            return Ok(());
        }
        // The request has ended before its body: the answer says why.
        let stream = self.stream.take();
        let response = self.answer(stream).await?;
        let (location, mode) = (self.store.url(&self.key), &self.options.mode);
        written(&location, response, self.size, mode).await?;
        Err(Error::unavailable(location, "the answer came before all was sent"))
    }

    fn open(&self) -> Result<Stream> {
        let (pieces, received) = mpsc::channel(PIECES_AT_ONCE);
        let location = self.store.url(&self.key);
        let headers = headers_of(&location, &self.options)?;
        let (store, key) = (self.store.clone(), self.key.clone());
        let body = Body::wrap_stream(body_of(received));
        let answer = tokio::spawn(async move {
            let path = store.path(&key);
            let put = |client: &Client, storage: &str| {
                client.put(format!("{storage}/{path}")).headers(headers).body(body)
            };
            store.0.account.ask_once(&location, put).await
        });
        Ok(Stream { pieces, answer })
    }

    async fn answer(&self, stream: Option<Stream>) -> Result<Response> {
        let url = self.store.url(&self.key);
        let Some(stream) = stream else { return Err(Error::generic(url, "nothing was sent")) };
        match stream.answer.await {
            Ok(answer) => answer,
            Err(error) => Err(Error::unavailable(url, error)),
        }
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
        self.send(None).await?;
        let stream = self.stream.take();
        let response = self.answer(stream).await?;
        let location = self.store.url(&self.key);
        let metadata = written(&location, response, self.size, &self.options.mode).await?;
        match metadata.etag.is_empty() {
            true => self.store.head(&self.key).await,
            false => Ok(metadata),
        }
    }
}

/// The pieces as they come; an error where they end without an end.
fn body_of(
    pieces: mpsc::Receiver<Option<Bytes>>,
) -> impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        match pieces.recv().await {
            Some(Some(piece)) => Some((Ok(piece), Some(pieces))),
            Some(None) => None,
            None => Some((Err(io::Error::other("the writer was dropped")), None)),
        }
    })
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
}

/// The body breaks off here, and with it the request.
impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.answer.abort();
        }
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
