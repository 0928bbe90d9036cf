//! A store around a store: patience for one that is far away, and names for the errors of any.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;

use super::retry::{Patience, Request, random};
use super::{TICKET, body, copying};
use crate::error::shown;
use crate::key;
use crate::{
    Attributes, Checksum, Conditions, Directory, Error, GetOptions, ListOptions, Metadata, Object,
    Operation, Page, PutMode, PutOptions, Result, Store, Sums, Unfinished, Verb, Wanted, Writer,
};

/// Does what a store does, with patience.
///
/// - What may pass is tried again, by a [`Policy`](crate::Policy).
/// - A conditional write whose answer was lost is not mistaken for somebody else's.
/// - A body that stalls or breaks off goes on where it ended, in the same version of the object.
/// - All tasks of the process together send fewer requests to a store that asks for fewer.
/// - Errors say what was asked.
#[derive(Clone)]
pub struct Guard {
    store: Arc<dyn Store>,
    /// None for a store in this process or on this machine, where waiting helps nothing.
    patience: Option<Arc<Patience>>,
}

/// Names the errors of a writer.
#[derive(Debug)]
struct GuardedWriter(Box<dyn Writer>);

/// The slowest that a body may go up, in bytes per second, beside the time for an answer.
pub(crate) const UPLOAD_MIN: u64 = 64 << 10;

/// How much longer than others a request may take that moves data within the store, before the size
/// of what it moves counts.
const COPY_TIMES: u32 = 10;

/// Keys that are removed within the time for an answer, and again where that fails: what S3 takes
/// in one request.
const DELETES_MAX: usize = 1_000;

// === impl Guard ===

impl Guard {
    /// Patience with a store far away.
    pub fn new(store: Arc<dyn Store>, patience: Arc<Patience>) -> Self {
        Self { store, patience: Some(patience) }
    }

    /// Names for the errors of a store that is here.
    pub(crate) fn local(store: Arc<dyn Store>) -> Self {
        Self { store, patience: None }
    }

    /// The patience, where there is need of some.
    pub fn patience(&self) -> Option<&Arc<Patience>> {
        self.patience.as_ref()
    }

    /// Where an object is, for errors.
    fn location(&self, key: &str) -> String {
        shown(format!("{}{key}", self.store))
    }

    /// Makes a request whose answer is short.
    async fn ask<T: Send, F: Future<Output = Result<T>> + Send>(
        &self,
        (operation, key): (Operation, &str),
        mut attempt_at: impl FnMut() -> F + Send,
    ) -> Result<T> {
        let Some(patience) = &self.patience else {
            return attempt_at().await.map_err(|error| error.during(operation));
        };
        let time = patience.policy.answer;
        let location = self.location(key);
        patience.request(Request { operation, location: &location, time }, attempt_at).await
    }

    /// Copies an object, and waits as long as that comes on.
    async fn watched<T, C, S>(
        &self,
        to: &str,
        mut copy: impl FnMut() -> C + Send,
        size: impl Fn() -> S + Send + Sync,
    ) -> Result<T>
    where
        T: Send,
        C: Future<Output = Result<T>> + Send,
        S: Future<Output = Result<u64>> + Send,
    {
        let Some(patience) = &self.patience else {
            return copy().await.map_err(|error| error.during(Operation::Copy));
        };
        let (location, still) = (self.location(to), patience.policy.answer * COPY_TIMES);
        let watched = || copying::watched(&location, still, copy(), size());
        // However long it takes: it is seen to come on.
        let time = Duration::MAX;
        let asked = Request { operation: Operation::Copy, location: &location, time };
        patience.request(asked, watched).await
    }

    /// Writes on a condition. Where the answer to one attempt was lost, the next finds what that
    /// one wrote, which has our ticket. Its bytes say nothing: another may have written the same.
    async fn put_once(
        &self,
        patience: &Patience,
        key: &str,
        (body, mut options): (Bytes, PutOptions),
    ) -> Result<Metadata> {
        let ticket = format!("{:016x}{:016x}", random(), random());
        options.attributes.user.insert(TICKET.to_owned(), ticket.clone());
        let location = self.location(key);
        let asked =
            Request { operation: Operation::Put, location: &location, time: time(patience, &body) };
        let lost = AtomicBool::new(false);
        let put = || async {
            let put = self.store.put(key, body.clone(), options.clone());
            match Lost(&lost).watch(put).await {
                // What the condition was about is not what it was: it is not asked for again here.
                Err(error @ Error::Checksum { .. }) => Ok(Err(error.during(Operation::Put))),
                ended => ended.map(Ok),
            }
        };
        match patience.request(asked, put).await.flatten() {
            Err(error @ (Error::AlreadyExists { .. } | Error::Precondition { .. }))
                if lost.load(Ordering::Relaxed) && self.store.keeps_attributes() =>
            {
                self.ours(key, &ticket).await?.ok_or(error)
            }
            ended => ended,
        }
    }

    /// The object, if it is what we wrote.
    async fn ours(&self, key: &str, ticket: &str) -> Result<Option<Metadata>> {
        let attributes = self.ask((Operation::Head, key), || self.store.attributes(key)).await;
        let is_ours = match attributes {
            Ok(attributes) => attributes.user.get(TICKET).is_some_and(|found| found == ticket),
            Err(Error::NotFound { .. }) => false,
            Err(error) => return Err(error),
        };
        match is_ours {
            true => self.head(key).await.map(Some),
            false => Ok(None),
        }
    }
}

/// Notes whether an attempt may have been done although its answer was lost. A future that is
/// dropped while it waits, because its time is up, may have.
struct Lost<'a>(&'a AtomicBool);

impl Lost<'_> {
    async fn watch<T>(&self, attempt: impl Future<Output = Result<T>>) -> Result<T> {
        let before = self.0.swap(true, Ordering::Relaxed);
        let ended = attempt.await;
        let lost = matches!(ended, Err(Error::Unavailable { .. } | Error::Generic { .. }));
        self.0.store(before || lost, Ordering::Relaxed);
        ended
    }
}

/// How long it may take to send these bytes.
fn time(patience: &Patience, body: &Bytes) -> Duration {
    patience.policy.answer + Duration::from_secs(body.len() as u64 / UPLOAD_MIN)
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&self.store).finish()
    }
}

#[async_trait]
impl Store for Guard {
    async fn get(&self, key: &str, options: GetOptions) -> Result<Object> {
        let get = || self.store.get(key, options.clone());
        let mut object = self.ask((Operation::Get, key), get).await?;
        if let Some(attributes) = &mut object.attributes {
            attributes.user.remove(TICKET);
        }
        let location = self.location(key);
        object.body = match &self.patience {
            None => object.body.map(|part| part.map_err(|e| e.during(Operation::Get))).boxed(),
            Some(patience) => {
                let (store, patience) = (Arc::clone(&self.store), Arc::clone(patience));
                let source = body::Source { store, patience, key: key.to_owned(), location };
                body::resumed(source, &object.metadata.etag, object.range.clone(), object.body)
            }
        };
        Ok(object)
    }

    async fn head(&self, key: &str) -> Result<Metadata> {
        self.ask((Operation::Head, key), || self.store.head(key)).await
    }

    async fn attributes(&self, key: &str) -> Result<Attributes> {
        let ask = || self.store.attributes(key);
        let mut attributes = self.ask((Operation::Head, key), ask).await?;
        attributes.user.remove(TICKET);
        Ok(attributes)
    }

    fn keeps_attributes(&self) -> bool {
        self.store.keeps_attributes()
    }

    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<Metadata> {
        match &self.patience {
            Some(patience) if options.mode != PutMode::Overwrite => {
                self.put_once(patience, key, (body, options)).await
            }
            Some(patience) => {
                let location = self.location(key);
                let time = time(patience, &body);
                let asked = Request { operation: Operation::Put, location: &location, time };
                let put = || self.store.put(key, body.clone(), options.clone());
                patience.request(asked, put).await
            }
            None => {
                let put = self.store.put(key, body, options);
                put.await.map_err(|error| error.during(Operation::Put))
            }
        }
    }

    async fn writer(&self, key: &str, options: PutOptions) -> Result<Box<dyn Writer>> {
        let writer = || self.store.writer(key, options.clone());
        let writer = self.ask((Operation::Write, key), writer).await?;
        Ok(Box::new(GuardedWriter(writer)))
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.ask((Operation::Delete, key), || self.store.delete(key)).await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<()> {
        for keys in keys.chunks(DELETES_MAX) {
            self.ask((Operation::Delete, ""), || self.store.delete_many(keys)).await?;
        }
        Ok(())
    }

    async fn list(&self, prefix: &str, mut options: ListOptions) -> Result<Page> {
        loop {
            let list = || self.store.list(prefix, options.clone());
            let mut page = self.ask((Operation::List, prefix), list).await?;
            key::named(self, &mut page.entries, |entry| &entry.key);
            if !page.entries.is_empty() || page.next.is_none() {
                return Ok(page);
            }
            options.after = page.next;
        }
    }

    async fn list_directory(&self, prefix: &str, options: ListOptions) -> Result<Directory> {
        let list = || self.store.list_directory(prefix, options.clone());
        let mut page = self.ask((Operation::List, prefix), list).await?;
        key::named(self, &mut page.entries, |entry| &entry.key);
        key::named(self, &mut page.directories, |name| name.strip_suffix('/').unwrap_or(name));
        Ok(page)
    }

    async fn list_foreign(&self, prefix: &str, options: ListOptions) -> Result<Page> {
        let list = || self.store.list_foreign(prefix, options.clone());
        self.ask((Operation::List, prefix), list).await
    }

    async fn delete_foreign(&self, names: &[String]) -> Result<()> {
        for names in names.chunks(DELETES_MAX) {
            self.ask((Operation::Delete, ""), || self.store.delete_foreign(names)).await?;
        }
        Ok(())
    }

    async fn copy(&self, from: &str, to: &str, options: PutOptions) -> Result<Metadata> {
        let copy = || self.store.copy(from, to, options.clone());
        self.watched(to, copy, || async { Ok(self.head(from).await?.size) }).await
    }

    fn copies_from(&self, other: &dyn Store) -> bool {
        self.store.copies_from(other)
    }

    async fn copy_from(
        &self,
        other: &dyn Store,
        from: &str,
        to: &str,
        options: PutOptions,
    ) -> Result<Option<Metadata>> {
        // Else nothing is asked of the service, which has no turn and does not count.
        if !self.copies_from(other) {
            return Ok(None);
        }
        let copy = || self.store.copy_from(other, from, to, options.clone());
        self.watched(to, copy, || async { Ok(other.head(from).await?.size) }).await
    }

    fn has_checksums(&self) -> bool {
        self.store.has_checksums()
    }

    async fn checksum(&self, key: &str, version: &Metadata) -> Result<Option<Checksum>> {
        if !self.has_checksums() {
            return Ok(None);
        }
        self.ask((Operation::Head, key), || self.store.checksum(key, version)).await
    }

    fn as_any(&self) -> Option<&dyn Any> {
        self.store.as_any()
    }

    async fn presign(&self, key: &str, verb: Verb, expires: Duration) -> Result<String> {
        self.ask((Operation::Presign, key), || self.store.presign(key, verb, expires)).await
    }

    async fn create(&self) -> Result<()> {
        self.ask((Operation::CreateBucket, ""), || self.store.create()).await
    }

    async fn remove(&self) -> Result<()> {
        self.ask((Operation::RemoveBucket, ""), || self.store.remove()).await
    }

    async fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>> {
        self.ask((Operation::List, prefix), || self.store.unfinished(prefix)).await
    }

    async fn discard(&self, unfinished: &Unfinished) -> Result<()> {
        let discard = || self.store.discard(unfinished);
        self.ask((Operation::Delete, &unfinished.key), discard).await
    }

    async fn conditions(&self) -> Result<Conditions> {
        self.ask((Operation::Put, ""), || self.store.conditions()).await
    }
}

#[async_trait]
impl Writer for GuardedWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.0.write(bytes).await.map_err(|error| error.during(Operation::Write))
    }

    fn wanted(&self) -> Option<Wanted> {
        self.0.wanted()
    }

    async fn write_summed(&mut self, bytes: Bytes, sums: Sums) -> Result<()> {
        let written = self.0.write_summed(bytes, sums).await;
        written.map_err(|error| error.during(Operation::Write))
    }

    async fn finish(self: Box<Self>) -> Result<Metadata> {
        self.0.finish().await.map_err(|error| error.during(Operation::Write))
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.0.abort().await.map_err(|error| error.during(Operation::Write))
    }
}

#[cfg(test)]
mod tests;
