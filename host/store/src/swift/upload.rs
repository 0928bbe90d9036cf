//! An object of unknown length: one request where it is small, else segments, or one stream where
//! there are none.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::SwiftStore;
use super::segments::Segments;
use super::single::{PIECE_BYTES, Stream};
use crate::gathered::Gathered;
use crate::{Error, Guard, Metadata, Operation, PutOptions, Request, Result, Store, Writer};

/// An object on its way up.
pub(super) struct Upload {
    store: SwiftStore,
    key: String,
    options: PutOptions,
    gathered: Gathered,
    size: u64,
    way: Way,
    failed: bool,
}

/// How it goes up.
enum Way {
    /// It may be small enough for one request.
    Open,
    Segments(Box<Segments>),
    Stream(Box<Stream>),
}

// === impl Upload ===

impl Upload {
    pub(super) fn new(store: SwiftStore, key: &str, options: PutOptions) -> Self {
        Self {
            store,
            key: key.to_owned(),
            options,
            gathered: Gathered::default(),
            size: 0,
            way: Way::Open,
            failed: false,
        }
    }

    async fn append(&mut self, bytes: Bytes) -> Result<()> {
        self.size += bytes.len() as u64;
        self.gathered.push(bytes);
        let limit = self.store.0.segment_bytes.unwrap_or(PIECE_BYTES);
        if self.gathered.bytes() <= limit {
            return Ok(());
        }
        if matches!(self.way, Way::Open) {
            self.way = self.decided().await?;
        }
        match &mut self.way {
            Way::Open => Ok(()),
            Way::Segments(_) => {
                while self.gathered.bytes() > limit {
                    self.send(limit).await?;
                }
                Ok(())
            }
            Way::Stream(stream) => stream.send(self.gathered.take_pieces(usize::MAX)).await,
        }
    }

    async fn decided(&self) -> Result<Way> {
        let location = self.store.url(&self.key);
        let is_in_segments = self.store.0.segment_bytes.is_some() && {
            let time = self.store.0.patience.policy().answer;
            let asked = Request { operation: Operation::Write, location: &location, time };
            let info = self.store.0.patience.request(asked, || self.store.info(&location)).await?;
            info.segments.is_some()
        };
        Ok(match is_in_segments {
            true => {
                let begun = Segments::begin(&self.store, &self.key, &self.options).await?;
                Way::Segments(Box::new(begun))
            }
            false => Way::Stream(Box::new(Stream::new(&self.store, &self.key, &self.options))),
        })
    }

    /// Sends the next segment.
    async fn send(&mut self, length: usize) -> Result<()> {
        let bytes = self.gathered.take(length);
        match &mut self.way {
            Way::Segments(segments) => segments.send(bytes).await,
            _ => Ok(()),
        }
    }

    async fn end(&mut self) -> Result<Metadata> {
        if matches!(self.way, Way::Open) {
            let whole = self.gathered.take(self.gathered.bytes());
            let patience = Arc::clone(&self.store.0.patience);
            let guarded = Guard::new(Arc::new(self.store.clone()), patience);
            return guarded.put(&self.key, whole, self.options.clone()).await;
        }
        if self.gathered.bytes() > 0 && matches!(self.way, Way::Segments(_)) {
            self.send(self.gathered.bytes()).await?;
        }
        let location = self.store.url(&self.key);
        let time = self.store.0.patience.policy().answer;
        let asked = Request { operation: Operation::Write, location: &location, time };
        let old = || self.store.old(&self.key, &self.options.mode);
        let old = self.store.0.patience.request(asked, old).await?;
        let metadata = match &mut self.way {
            Way::Segments(segments) => segments.end(self.size).await?,
            Way::Stream(stream) => {
                if self.gathered.bytes() > 0 {
                    stream.send(self.gathered.take_pieces(usize::MAX)).await?;
                }
                stream.end().await?
            }
            Way::Open => return Err(Error::generic(location, "nothing was begun")),
        };
        self.store.forget(&location, old).await;
        Ok(metadata)
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
        match self.end().await {
            Ok(metadata) => Ok(metadata),
            // The process may end after this, and what was sent must not stay.
            Err(error) => {
                if let Err(left) = self.abort().await {
                    tracing::warn!(error = %left, "segments were left behind");
                }
                Err(error)
            }
        }
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        match &mut self.way {
            Way::Open => Ok(()),
            Way::Segments(segments) => segments.abort().await,
            Way::Stream(stream) => {
                stream.break_off().await;
                Ok(())
            }
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
