//! An object that goes up in pieces of bounded memory.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opendal_core::Buffer;
use opendal_core::raw::oio;
use tokio::sync::Mutex;

use super::{DalStore, Pieces, error, read, write};
use crate::adapters::{TICKET, random};
use crate::digest::Summing;
use crate::gathered::Gathered;
use crate::{Error, Guard, Metadata, Operation, PutOptions, Request, Result, Store, Writer};

/// Bytes of the first parts; what OpenDAL keeps on its way beside the one that is gathered is four
/// of them.
const PART_BYTES: usize = 8 << 20;

/// After so many parts they become twice as large, so that 10,000 of them hold terabytes.
const DOUBLED_EVERY: usize = 1_000;

/// The slowest that a part may go up, in bytes per second.
pub(super) const UPLOAD_MIN: u64 = 64 << 10;

/// An object on its way up.
pub(super) struct Upload {
    store: DalStore,
    key: String,
    options: PutOptions,
    /// By which the object is known that we sent, where it keeps attributes.
    ticket: String,
    gathered: Gathered,
    size: u64,
    /// Of all bytes, where the store says in the end what it has received.
    sum: Option<Summing>,
    parts: usize,
    /// Since the first whole part.
    writer: Option<Arc<Mutex<oio::Writer>>>,
    failed: bool,
}

// === impl Upload ===

impl Upload {
    pub(super) fn new(store: DalStore, key: &str, mut options: PutOptions) -> Self {
        let ticket = format!("{:016x}{:016x}", random(), random());
        if store.plan().attributes.is_some() {
            options.attributes.user.insert(TICKET.to_owned(), ticket.clone());
        }
        let sum = (store.plan().pieces == Pieces::Resumable).then(Summing::md5);
        Self {
            store,
            key: key.to_owned(),
            options,
            ticket,
            gathered: Gathered::default(),
            size: 0,
            sum,
            parts: 0,
            writer: None,
            failed: false,
        }
    }

    async fn append(&mut self, bytes: Bytes) -> Result<()> {
        // OpenDAL goes round for ever in a buffer that has an empty piece.
        if bytes.is_empty() {
            return Ok(());
        }
        self.size += bytes.len() as u64;
        if let Some(sum) = &mut self.sum {
            sum.add(&bytes);
        }
        self.gathered.push(bytes);
        #[cfg(any(feature = "hdfs", feature = "ipfs"))]
        if let Pieces::Whole(most) = self.store.plan().pieces {
            if self.gathered.bytes() > most {
                let reason = "it takes objects in one piece alone, and this one is too large to \
                              be gathered in memory; write several, or to another store";
                let url = self.store.url(&self.key);
                return Err(Error::unsupported(url, Operation::Write, reason));
            }
            return Ok(());
        }
        while self.gathered.bytes() >= PART_BYTES << (self.parts / DOUBLED_EVERY) {
            let part = self.gathered.take_pieces(PART_BYTES << (self.parts / DOUBLED_EVERY));
            self.send(Buffer::from(part)).await?;
        }
        Ok(())
    }

    /// Sends a part, with patience: what goes up in parts has no guard around it.
    async fn send(&mut self, part: Buffer) -> Result<()> {
        let writer = match &self.writer {
            Some(writer) => Arc::clone(writer),
            None => Arc::clone(self.writer.insert(self.open()?)),
        };
        self.parts += 1;
        self.ask(part.len(), &writer, |writer| writer.write_dyn(part.clone())).await
    }

    fn open(&self) -> Result<Arc<Mutex<oio::Writer>>> {
        let operation = write::operation_in_pieces(&self.store, &self.key, &self.options)?;
        let service = self.store.service();
        let opened = service.write_dyn(self.store.context(), &self.key, operation);
        let failed = |error: opendal_core::Error| {
            error::of(&self.store.url(&self.key), &error, Default::default())
        };
        Ok(Arc::new(Mutex::new(opened.map_err(failed)?)))
    }

    async fn ask<T: Send>(
        &self,
        bytes: usize,
        writer: &Mutex<oio::Writer>,
        request: impl for<'a> Fn(
            &'a mut oio::Writer,
        ) -> opendal_core::raw::BoxedFuture<'a, opendal_core::Result<T>>
        + Send
        + Sync,
    ) -> Result<T> {
        let patience = &self.store.0.patience;
        let time = patience.policy().answer + Duration::from_secs(bytes as u64 / UPLOAD_MIN);
        let location = self.store.url(&self.key);
        let asked = Request { operation: Operation::Write, location: &location, time };
        let request = &request;
        let attempt = || async move {
            let mut writer = writer.lock().await;
            self.store.ask(&self.key, request(&mut writer)).await
        };
        let ended = patience.request(asked, attempt).await;
        ended.map_err(|error| error::refused(&self.options.mode, error))
    }

    async fn end(&mut self) -> Result<Metadata> {
        let rest = Buffer::from(self.gathered.take_pieces(usize::MAX));
        let Some(writer) = self.writer.clone() else {
            // Small enough for one request.
            let patience = Arc::clone(&self.store.0.patience);
            let guarded = Guard::new(Arc::new(self.store.clone()), patience);
            return guarded.put(&self.key, rest.to_bytes(), self.options.clone()).await;
        };
        if !rest.is_empty() {
            self.send(rest).await?;
        }
        let closed = self.ask(0, &writer, |writer| writer.close_dyn()).await;
        self.store.0.listers.forget();
        let written = match closed {
            Ok(written) => written,
            // An earlier attempt may have completed it, and only its answer was lost.
            Err(error) => self.ours().await.ok_or(error)?,
        };
        self.writer = None;
        if let Some(sum) = self.sum.take() {
            write::received(&self.store, &self.key, &written, || sum.sum()).await?;
        }
        write::described(&self.store, &self.key, &written, self.size).await
    }

    /// The object, if it is the one that we sent.
    async fn ours(&self) -> Option<opendal_core::Metadata> {
        let (_, ours) = self.store.plan().attributes?;
        let (patience, location) = (&self.store.0.patience, self.store.url(&self.key));
        let time = patience.policy().answer;
        let asked = Request { operation: Operation::Head, location: &location, time };
        let said = patience.request(asked, || read::stat(&self.store, &self.key)).await.ok()?;
        let found = said
            .user_metadata()?
            .into_iter()
            .any(|(name, value)| ours(name) == TICKET && *value == *self.ticket);
        found.then_some(said)
    }

    fn fails(&self) -> Result<()> {
        let before = || Error::generic(self.store.url(&self.key), "the upload failed before");
        if self.failed { Err(before()) } else { Ok(()) }
    }
}

#[async_trait]
impl Writer for Upload {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.fails()?;
        // Also where the future is dropped half way.
        self.failed = true;
        self.append(bytes).await?;
        self.failed = false;
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<Metadata> {
        let ended = match self.fails() {
            Ok(()) => self.end().await,
            Err(error) => Err(error),
        };
        // The process may end after this, and what was sent must not stay.
        if ended.is_err()
            && let Err(left) = self.abort().await
        {
            tracing::warn!(error = %left, "an upload was left behind");
        }
        ended
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        self.ask(0, &writer, |writer| writer.abort_dyn()).await
    }
}

/// What was sent is charged for until it is removed.
impl Drop for Upload {
    fn drop(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        let (store, key) = (self.store.clone(), std::mem::take(&mut self.key));
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            tracing::warn!(url = store.url(&key), "an upload was left behind");
            return;
        };
        runtime.spawn(async move {
            let mut writer = writer.lock().await;
            if let Err(error) = store.ask(&key, writer.abort_dyn()).await {
                tracing::warn!(%error, "an upload was left behind");
            }
        });
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, parts, failed, .. } = self;
        f.debug_struct("Upload")
            .field("url", &self.store.url(&self.key))
            .field("size", size)
            .field("parts", parts)
            .field("failed", failed)
            .finish_non_exhaustive()
    }
}
