//! An object that goes up in parts of bounded memory, side by side: `CreateMultipartUpload`,
//! `UploadPart`, `CompleteMultipartUpload`.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::JoinSet;

use super::{S3Store, conditions, error, read, signing, sums, unfinished, write};
use crate::adapters::{TICKET, comes_on, random};
use crate::gathered::Gathered;
use crate::{
    Error, Guard, Metadata, Operation, PutMode, PutOptions, Request, Result, Store, Sums, Wanted,
    Writer, transfer,
};

/// Bytes of the first parts. The least that S3 takes is 5 MiB.
const PART_BYTES: usize = 8 << 20;

/// After so many parts they become twice as large, so that 10,000 of them, which is the most that
/// an object may have, hold more than the 5 TiB that it may have.
const DOUBLED_EVERY: usize = 1_000;

/// Parts on their way at once. With the one that is gathered this bounds what an upload holds:
/// 40 MiB at first.
const PARTS_AT_ONCE: usize = 4;

/// Bytes of a part that the store copies itself: 5 TiB, the most that an object may have, are half
/// as many parts as it may have.
const COPIED_BYTES: u64 = 1 << 30;

/// The slowest that a part may go up, in bytes per second.
const UPLOAD_MIN: u64 = 64 << 10;

/// An object on its way up.
pub(super) struct Upload {
    target: Arc<Target>,
    /// Since the first whole part.
    id: Option<String>,
    gathered: Gathered,
    size: u64,
    parts: i32,
    under_way: JoinSet<Result<CompletedPart>>,
    done: BTreeMap<i32, CompletedPart>,
    failed: bool,
    /// Whether parts are as long as the pieces of a copy, so that checksums of those are of use.
    takes_sums: Arc<AtomicBool>,
}

/// A part that the store copies.
struct Copied {
    id: String,
    number: i32,
    /// Bucket and key, encoded.
    from: String,
    /// Of which version of the object it is.
    etag: String,
    range: Range<u64>,
}

struct Target {
    store: S3Store,
    key: String,
    options: PutOptions,
    ticket: String,
}

// === impl Upload ===

impl Upload {
    pub(super) fn new(store: S3Store, key: &str, options: PutOptions) -> Self {
        let ticket = format!("{:016x}{:016x}", random(), random());
        let target = Target { store, key: key.to_owned(), options, ticket };
        Self {
            target: Arc::new(target),
            id: None,
            gathered: Gathered::default(),
            size: 0,
            parts: 0,
            under_way: JoinSet::new(),
            done: BTreeMap::new(),
            failed: false,
            takes_sums: Arc::new(AtomicBool::new(true)),
        }
    }

    async fn append(&mut self, bytes: Bytes, sums: Sums) -> Result<()> {
        self.size += bytes.len() as u64;
        if self.gathered.bytes() == 0 && bytes.len() == self.part_bytes() {
            return self.send(bytes, sums).await;
        }
        self.gathered.push(bytes);
        while self.gathered.bytes() >= self.part_bytes() {
            let part = self.gathered.take(self.part_bytes());
            self.send(part, Sums::default()).await?;
        }
        Ok(())
    }

    fn part_bytes(&self) -> usize {
        let doubled = usize::try_from(self.parts).unwrap_or_default() / DOUBLED_EVERY;
        PART_BYTES << doubled
    }

    /// Sends a part as soon as there is room for it. Checksums of it that are not among these are made.
    async fn send(&mut self, part: Bytes, sums: Sums) -> Result<()> {
        let id = match &self.id {
            Some(id) => id.clone(),
            None => self.id.insert(self.target.begin().await?).clone(),
        };
        while self.under_way.len() >= PARTS_AT_ONCE {
            self.arrived().await?;
        }
        self.parts += 1;
        self.takes_sums.store(self.part_bytes() == PART_BYTES, Ordering::Relaxed);
        let (target, number) = (Arc::clone(&self.target), self.parts);
        self.under_way.spawn(async move { target.part((&id, number), part, &sums).await });
        Ok(())
    }

    /// Has the store copy all parts of an object.
    async fn copy(&mut self, from: &str, source: &Metadata) -> Result<()> {
        let id = self.id.insert(self.target.begin().await?).clone();
        self.size = source.size;
        let mut start = 0;
        while start < source.size {
            while self.under_way.len() >= PARTS_AT_ONCE {
                self.arrived().await?;
            }
            let range = start..source.size.min(start + COPIED_BYTES);
            start = range.end;
            self.parts += 1;
            let part = Copied {
                id: id.clone(),
                number: self.parts,
                from: from.to_owned(),
                etag: source.etag.clone(),
                range,
            };
            let target = Arc::clone(&self.target);
            self.under_way.spawn(async move { target.copied(part).await });
        }
        Ok(())
    }

    /// Waits for one part.
    async fn arrived(&mut self) -> Result<()> {
        let Some(joined) = self.under_way.join_next().await else { return Ok(()) };
        let part = match joined {
            Ok(part) => part?,
            Err(error) => return Err(Error::unavailable(self.target.url(), error)),
        };
        comes_on();
        self.done.insert(part.part_number().unwrap_or_default(), part);
        Ok(())
    }

    async fn end(&mut self) -> Result<Metadata> {
        let rest = self.gathered.take(self.gathered.bytes());
        if self.id.is_none() {
            // Small enough for one request, which all conditions work with.
            let Target { store, key, options, .. } = &*self.target;
            let patience = Arc::clone(&store.0.patience);
            let guarded = Guard::new(Arc::new(store.clone()), patience);
            return guarded.put(key, rest, options.clone()).await;
        }
        if !rest.is_empty() {
            self.send(rest, Sums::default()).await?;
        }
        while !self.under_way.is_empty() {
            self.arrived().await?;
        }
        let parts = std::mem::take(&mut self.done).into_values().collect();
        let id = self.id.as_deref().unwrap_or_default();
        let metadata = self.target.complete(id, parts, self.size).await?;
        self.id = None;
        Ok(metadata)
    }
}

/// A part as the end says it: without its checksum, which was for its way. Amazon and Garage find no
/// part that has one where none was announced at the beginning; and where one was, older Garage says
/// that of all parts as if it were that of the object.
fn completed(number: i32, etag: Option<&str>) -> CompletedPart {
    CompletedPart::builder().part_number(number).set_e_tag(etag.map(str::to_owned)).build()
}

/// Copies an object that is larger than one request copies, of whatever bucket: `from` is bucket and
/// key, encoded. Its bytes do not leave the store.
pub(super) async fn copy(
    store: &S3Store,
    (from, source): (&str, &Metadata),
    to: &str,
    options: PutOptions,
) -> Result<Metadata> {
    let mut upload = Upload::new(store.clone(), to, options);
    let copied = upload.copy(from, source).await;
    transfer::finished(Box::new(upload), copied).await
}

#[async_trait]
impl Writer for Upload {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.write_summed(bytes, Sums::default()).await
    }

    fn wanted(&self) -> Option<Wanted> {
        let bucket = &self.target.store.0;
        Some(sums::wanted(&bucket.options, &bucket.were_signed, &self.takes_sums))
    }

    async fn write_summed(&mut self, bytes: Bytes, sums: Sums) -> Result<()> {
        if self.failed {
            return Err(Error::generic(self.target.url(), "the upload failed before"));
        }
        // Also where the future is dropped half way.
        self.failed = true;
        self.append(bytes, sums).await?;
        self.failed = false;
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<Metadata> {
        let ended = match self.failed {
            true => Err(Error::generic(self.target.url(), "the upload failed before")),
            false => self.end().await,
        };
        match ended {
            Ok(metadata) => Ok(metadata),
            // The process may end after this, and what was sent must not stay.
            Err(error) => {
                if let Err(left) = self.abort().await {
                    tracing::warn!(error = %left, "an upload was left behind");
                }
                Err(error)
            }
        }
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        let Some(id) = self.id.clone() else { return Ok(()) };
        self.under_way.shutdown().await;
        let aborted = self.target.abort(&id).await;
        self.id = None;
        aborted
    }
}

/// What was sent is charged for until it is removed.
impl Drop for Upload {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let (target, mut under_way) =
            (Arc::clone(&self.target), std::mem::take(&mut self.under_way));
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            tracing::warn!(url = target.url(), "an upload was left behind");
            return;
        };
        runtime.spawn(async move {
            under_way.shutdown().await;
            if let Err(error) = target.abort(&id).await {
                tracing::warn!(%error, "an upload was left behind");
            }
        });
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, parts, failed, .. } = self;
        f.debug_struct("Upload")
            .field("url", &self.target.url())
            .field("size", size)
            .field("parts", parts)
            .field("failed", failed)
            .finish_non_exhaustive()
    }
}

// === impl Target ===

impl Target {
    fn url(&self) -> String {
        self.store.url(&self.key)
    }

    /// Makes a request with patience: what goes up in parts has no guard around it.
    async fn ask<'a, T: Send>(
        &'a self,
        bytes: usize,
        attempt_at: impl FnMut() -> BoxFuture<'a, Result<T>> + Send,
    ) -> Result<T> {
        let patience = &self.store.0.patience;
        let time = patience.policy().answer + Duration::from_secs(bytes as u64 / UPLOAD_MIN);
        let location = self.url();
        let asked = Request { operation: Operation::Write, location: &location, time };
        patience.request(asked, attempt_at).await
    }

    async fn begin(&self) -> Result<String> {
        if self.options.mode != PutMode::Overwrite {
            conditions::require_in_parts(&self.store, &self.key).await?;
        }
        self.ask(0, || self.create().boxed()).await
    }

    async fn create(&self) -> Result<String> {
        let create = self.store.client().await?.create_multipart_upload();
        let create = create.bucket(self.store.bucket()).key(&self.key);
        let mut create = create;
        for (name, value) in &self.options.attributes.user {
            create = create.metadata(name, value);
        }
        // After those of the object that is copied, which has one of its own.
        let create = create.metadata(TICKET, &self.ticket);
        let create = create.set_content_type(self.options.attributes.content_type.clone());
        let output = create.send().await.map_err(|error| error::of(&self.url(), &error))?;
        let id = output.upload_id().map(str::to_owned);
        id.ok_or_else(|| Error::generic(self.url(), "the store gave the upload no name"))
    }

    async fn part(&self, part: (&str, i32), bytes: Bytes, sums: &Sums) -> Result<CompletedPart> {
        self.ask(bytes.len(), || self.send_part(part, bytes.clone(), sums).boxed()).await
    }

    async fn send_part(
        &self,
        (id, number): (&str, i32),
        bytes: Bytes,
        sums: &Sums,
    ) -> Result<CompletedPart> {
        let upload = self.store.client().await?.upload_part().bucket(self.store.bucket());
        let upload = upload.key(&self.key).upload_id(id).part_number(number);
        let crc32 = sums.crc32.map(|crc32| BASE64_STANDARD.encode(crc32.to_be_bytes()));
        let mut upload = upload.set_checksum_crc32(crc32).body(bytes.into()).customize();
        if let Some(hash) = sums.sha256 {
            upload = upload.interceptor(signing::Known(hash));
        }
        let output = upload.send().await.map_err(|error| error::of(&self.url(), &error))?;
        Ok(completed(number, output.e_tag()))
    }

    async fn copied(&self, part: Copied) -> Result<CompletedPart> {
        let bytes = usize::try_from(part.range.end - part.range.start).unwrap_or(usize::MAX);
        self.ask(bytes, || self.copy_part(&part).boxed()).await
    }

    async fn copy_part(&self, part: &Copied) -> Result<CompletedPart> {
        let copy = self.store.client().await?.upload_part_copy().bucket(self.store.bucket());
        let copy = copy.key(&self.key).upload_id(&part.id).part_number(part.number);
        let copy = copy.copy_source(&part.from);
        let copy = copy.copy_source_range(read::header(&part.range));
        let copy = copy.copy_source_if_match(read::quoted(&part.etag));
        let output = copy.send().await.map_err(|error| error::of(&self.url(), &error))?;
        Ok(completed(part.number, output.copy_part_result().and_then(|result| result.e_tag())))
    }

    async fn complete(&self, id: &str, parts: Vec<CompletedPart>, size: u64) -> Result<Metadata> {
        let all = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let id = id.to_owned();
        let etag = match self.ask(0, || self.join(id.clone(), all.clone()).boxed()).await {
            Ok(etag) => etag,
            // An earlier attempt may have completed it, and only its answer was lost.
            Err(error) => return self.ours().await?.ok_or(error),
        };
        match etag {
            Some(etag) => Ok(read::metadata(size, Some(&etag), None)),
            None => Ok(self.ask(0, || read::head(&self.store, &self.key).boxed()).await?.0),
        }
    }

    /// Makes one object of its parts; its etag, where the store says it.
    async fn join(&self, id: String, parts: CompletedMultipartUpload) -> Result<Option<String>> {
        let complete = self.store.client().await?.complete_multipart_upload();
        let complete = complete.bucket(self.store.bucket()).key(&self.key).upload_id(id);
        let mut complete = complete.multipart_upload(parts);
        match &self.options.mode {
            PutMode::Overwrite => {}
            PutMode::IfAbsent => complete = complete.if_none_match("*"),
            PutMode::IfMatch(etag) => {
                let etag = conditions::etag(&self.store, &self.key, etag).await?;
                complete = complete.if_match(etag);
            }
        }
        match complete.send().await {
            // Some stores answer with an empty one.
            Ok(output) => Ok(output.e_tag().filter(|etag| !etag.is_empty()).map(str::to_owned)),
            Err(error) if error::code(&error) == Some("NoSuchUpload") => {
                Err(Error::not_found(self.url()))
            }
            Err(error) => Err(write::refused(&self.store, &self.key, &self.options.mode, &error)),
        }
    }

    /// The object, if it is the one that we sent.
    async fn ours(&self) -> Result<Option<Metadata>> {
        match self.ask(0, || read::head(&self.store, &self.key).boxed()).await {
            Ok((metadata, attributes)) => {
                let is_ours = attributes.user.get(TICKET) == Some(&self.ticket);
                Ok(is_ours.then_some(metadata))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn abort(&self, id: &str) -> Result<()> {
        self.ask(0, || self.forget(id.to_owned()).boxed()).await
    }

    async fn forget(&self, id: String) -> Result<()> {
        unfinished::discard(&self.store, &self.key, &id).await
    }
}
