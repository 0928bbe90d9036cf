//! An object of unknown length that goes up in one stream of bounded memory: under another name
//! beside its own, which it gets when it is whole.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use opendal_core::Buffer;
use opendal_core::raw::{OpRename, oio};

use super::upload::UPLOAD_MIN;
use super::{DalStore, error, read, write};
use crate::{Error, Guard, Metadata, Operation, PutOptions, Request, Result, Store, Writer};

/// Up to so many bytes an object goes up in one request, which is made again where it fails. A
/// stream cannot be.
pub(super) const WHOLE_BYTES_MAX: usize = 8 << 20;

/// Bytes that are gathered once a stream is open.
const PIECE_BYTES: usize = 1 << 20;

/// What is kept back until the end, so that the end may decide when the file is written last.
const LAST_BYTES: usize = 1;

/// Requests whose bodies are streamed, which OpenDAL does not make.
#[cfg(feature = "webdav")]
pub(crate) trait Puts: Send + Sync {
    /// Begins to write an object. Its directory is there.
    fn begin(&self, location: &str, key: &str) -> crate::http::Streamed;
}

/// An object on its way up.
pub(super) struct Staged {
    store: DalStore,
    key: String,
    /// Its URL.
    location: String,
    options: PutOptions,
    gathered: BytesMut,
    size: u64,
    /// Since there is more than one request takes.
    stage: Option<Stage>,
    failed: bool,
}

/// What an object is until it is whole.
struct Stage {
    key: String,
    stream: Stream,
}

/// How bytes get there.
enum Stream {
    /// Not yet, or not any more.
    None,
    /// By OpenDAL.
    Dal(oio::Writer),
    /// By a request of our own.
    #[cfg(feature = "webdav")]
    Put(crate::http::Streamed),
}

// === impl Staged ===

impl Staged {
    pub(super) fn new(store: DalStore, key: &str, options: PutOptions) -> Self {
        Self {
            location: store.url(key),
            store,
            key: key.to_owned(),
            options,
            gathered: BytesMut::new(),
            size: 0,
            stage: None,
            failed: false,
        }
    }

    async fn append(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(PIECE_BYTES) {
            self.size += piece.len() as u64;
            self.gathered.extend_from_slice(piece);
            let most = if self.stage.is_some() { PIECE_BYTES } else { WHOLE_BYTES_MAX };
            if self.gathered.len() > most {
                let ready = self.gathered.len() - LAST_BYTES;
                let ready = self.gathered.split_to(ready).freeze();
                self.send(ready).await?;
            }
        }
        Ok(())
    }

    /// Sends bytes, once: what has come of them is not known where that fails.
    async fn send(&mut self, bytes: Bytes) -> Result<()> {
        let (patience, location) = (&self.store.0.patience, self.location.as_str());
        let asked = asked(&self.store, location, bytes.len());
        match &mut self.stage {
            Some(stage) => {
                let send = stage.stream.send(&self.store, (&self.key, location), bytes);
                patience.once(asked, send).await
            }
            None => {
                let key = write::stage(&self.key);
                // From here on there may be something to remove.
                let stage = self.stage.insert(Stage { key, stream: Stream::None });
                let object = (self.key.as_str(), location);
                // The first bytes may come again: they are written from the beginning.
                let begin = || Stream::begin(&self.store, &stage.key, object, bytes.clone());
                stage.stream = patience.request(asked, begin).await?;
                Ok(())
            }
        }
    }

    async fn end(&mut self) -> Result<Metadata> {
        let rest = self.gathered.split().freeze();
        if self.stage.is_none() {
            let guarded =
                Guard::new(Arc::new(self.store.clone()), Arc::clone(&self.store.0.patience));
            return guarded.put(&self.key, rest, self.options.clone()).await;
        }
        if self.store.plan().identity.is_by_time() {
            self.become_another().await?;
        }
        self.send(rest).await?;
        self.complete().await?;
        self.rename().await?;
        self.stage = None;
        Ok(self.ask(|| read::head(&self.store, &self.key)).await?.0)
    }

    /// Waits where the object would be taken for the version that it replaces.
    async fn become_another(&self) -> Result<()> {
        match self.ask(|| read::head(&self.store, &self.key)).await {
            Ok((before, _)) if before.size == self.size => {
                // What is written after this has another time.
                tokio::time::sleep(write::RESOLUTION).await;
                Ok(())
            }
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Ends the stream, and sees that all of it has come.
    async fn complete(&mut self) -> Result<()> {
        let location = self.location.as_str();
        let Some(stage) = &mut self.stage else { return Ok(()) };
        let stream = std::mem::replace(&mut stage.stream, Stream::None);
        let asked = asked(&self.store, location, 0);
        self.store.0.patience.once(asked, stream.end(&self.store, (&self.key, location))).await?;
        let stage = stage.key.clone();
        let there = self.ask(|| read::head(&self.store, &stage)).await?.0.size;
        if there == self.size {
            return Ok(());
        }
        let text = format!("{there} bytes of {} have come to the server", self.size);
        Err(Error::unavailable(&self.location, text))
    }

    async fn rename(&self) -> Result<()> {
        let (store, key) = (&self.store, self.key.as_str());
        let Some(stage) = &self.stage else { return Ok(()) };
        let is_again = AtomicBool::new(false);
        let rename = || async {
            let is_again = is_again.swap(true, Ordering::Relaxed);
            let rename = OpRename::new();
            let rename = store.service().rename_dyn(store.context(), &stage.key, key, rename);
            match store.ask(key, rename).await.map(drop) {
                // Unless the one before was done, and its answer lost.
                Err(Error::NotFound { .. }) if is_again => {
                    match read::head(store, key).await?.0.size == self.size {
                        true => Ok(()),
                        false => Err(Error::another_version(&self.location)),
                    }
                }
                renamed => renamed,
            }
        };
        let renamed = self.ask(rename).await;
        store.0.listers.forget();
        renamed
    }

    /// Asks something that may be asked again.
    async fn ask<T: Send, F: Future<Output = Result<T>> + Send>(
        &self,
        request: impl FnMut() -> F + Send,
    ) -> Result<T> {
        let asked = asked(&self.store, &self.location, 0);
        self.store.0.patience.request(asked, request).await
    }

    fn fails(&self) -> Result<()> {
        let before = || Error::generic(&self.location, "the upload failed before");
        if self.failed { Err(before()) } else { Ok(()) }
    }
}

/// A request that sends so many bytes.
fn asked<'a>(store: &DalStore, location: &'a str, bytes: usize) -> Request<'a> {
    let time = store.0.patience.policy().answer + Duration::from_secs(bytes as u64 / UPLOAD_MIN);
    Request { operation: Operation::Write, location, time }
}

// === impl Stream ===

impl Stream {
    /// Opens a stream to `stage`, and sends the first bytes. Errors are about the object.
    async fn begin(
        store: &DalStore,
        stage: &str,
        object: (&str, &str),
        bytes: Bytes,
    ) -> Result<Self> {
        let mut stream = Self::open(store, stage, object).await?;
        stream.send(store, object, bytes).await?;
        Ok(stream)
    }

    async fn open(store: &DalStore, stage: &str, (key, location): (&str, &str)) -> Result<Self> {
        #[cfg(feature = "webdav")]
        if let Some(puts) = &store.0.puts {
            make_directory(store, key).await?;
            return Ok(Self::Put(puts.begin(location, stage)));
        }
        let operation = write::operation(store, key, &PutOptions::default())?;
        let opened = store.service().write_dyn(store.context(), stage, operation);
        let failed = |error| error::of(location, &error, Default::default());
        Ok(Self::Dal(opened.map_err(failed)?))
    }

    async fn send(
        &mut self,
        store: &DalStore,
        (key, location): (&str, &str),
        bytes: Bytes,
    ) -> Result<()> {
        match self {
            Self::None => Err(Error::generic(location, "the stream has ended")),
            Self::Dal(writer) => store.ask(key, writer.write_dyn(Buffer::from(bytes))).await,
            #[cfg(feature = "webdav")]
            Self::Put(put) => match put.send(bytes).await {
                true => Ok(()),
                false => Err(std::mem::replace(self, Self::None).ended(location).await),
            },
        }
    }

    async fn end(self, store: &DalStore, (key, location): (&str, &str)) -> Result<()> {
        match self {
            Self::None => Err(Error::generic(location, "the stream has ended")),
            Self::Dal(mut writer) => store.ask(key, writer.close_dyn()).await.map(drop),
            #[cfg(feature = "webdav")]
            Self::Put(put) => match put.end().await {
                true => crate::http::check(location, put.answer(location).await?).await.map(drop),
                false => Err(Self::Put(put).ended(location).await),
            },
        }
    }

    /// Why a request has ended before its body.
    #[cfg(feature = "webdav")]
    async fn ended(self, location: &str) -> Error {
        let Self::Put(put) = self else { return Error::generic(location, "the stream has ended") };
        let answer = match put.answer(location).await {
            Ok(response) => crate::http::check(location, response).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(_) => Error::unavailable(location, "the answer came before all was sent"),
            Err(error) => error,
        }
    }

    /// Ends without having sent all.
    async fn break_off(self, store: &DalStore, key: &str) {
        match self {
            Self::None => {}
            // What it has not sent yet does not matter; the file is closed with it.
            Self::Dal(mut writer) => drop(store.ask(key, writer.close_dyn()).await),
            #[cfg(feature = "webdav")]
            Self::Put(put) => put.break_off().await,
        }
    }
}

/// The directory of a key, where servers do not make it by themselves.
#[cfg(feature = "webdav")]
async fn make_directory(store: &DalStore, key: &str) -> Result<()> {
    let parent = write::parent(key);
    if parent.is_empty() {
        return Ok(());
    }
    for _ in 0..write::SAME_DIRECTORY_MAX {
        match create_directory(store, parent).await {
            Err(Error::PermissionDenied { .. }) => {}
            made => return made,
        }
    }
    create_directory(store, parent).await
}

#[cfg(feature = "webdav")]
async fn create_directory(store: &DalStore, parent: &str) -> Result<()> {
    let make = opendal_core::raw::OpCreateDir::new();
    let make = store.service().create_dir_dyn(store.context(), parent, make);
    store.ask(parent, make).await.map(drop)
}

// === impl Stage ===

impl Stage {
    /// Removes what was sent, and waits until it is gone.
    async fn discard(self, store: &DalStore, location: &str) -> Result<()> {
        let asked = Request { operation: Operation::Delete, ..asked(store, location, 0) };
        let broken_off = async {
            self.stream.break_off(store, &self.key).await;
            Ok(())
        };
        // Also where the server does not answer any more it is asked to remove it.
        drop(store.0.patience.once(asked, broken_off).await);
        let keys = std::slice::from_ref(&self.key);
        let removed = store.0.patience.request(asked, || write::remove(store, keys)).await;
        store.0.listers.forget();
        match removed {
            Err(Error::NotFound { .. }) => Ok(()),
            removed => removed,
        }
    }
}

#[async_trait]
impl Writer for Staged {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.fails()?;
        // Also where the future is dropped half way.
        self.failed = true;
        self.append(&bytes).await?;
        self.failed = false;
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<Metadata> {
        self.fails()?;
        self.end().await
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        match self.stage.take() {
            Some(stage) => stage.discard(&self.store, &self.location).await,
            None => Ok(()),
        }
    }
}

/// What was sent is removed.
impl Drop for Staged {
    fn drop(&mut self) {
        let Some(stage) = self.stage.take() else { return };
        let (store, location) = (self.store.clone(), std::mem::take(&mut self.location));
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            tracing::warn!(url = location, "an object was left half way up");
            return;
        };
        runtime.spawn(async move {
            if let Err(error) = stage.discard(&store, &location).await {
                tracing::warn!(%error, "an object was left half way up");
            }
        });
    }
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { location, size, failed, .. } = self;
        f.debug_struct("Staged")
            .field("url", location)
            .field("size", size)
            .field("failed", failed)
            .finish_non_exhaustive()
    }
}
