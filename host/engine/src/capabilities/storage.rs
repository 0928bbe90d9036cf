//! `samara:function/storage`: objects by URL, within the task's grants.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use samara_core::Access;
use samara_store::{
    Attributes as Said, GetOptions, ListOptions, Location, Metadata as Stored, Operation,
    PutMode as Mode, PutOptions, StoreExt, is_trial,
};
use wasmtime::component::Resource;

use crate::bindings::samara::function::storage::{
    Attributes, Entry, Host, HostWriter, Metadata, Page, PutMode,
};
use crate::bindings::samara::function::types::Error;
use crate::budget::Held;
use crate::failure::store_error;
use crate::state::State;

/// Entries of one listing page: about 100 KB for the guest.
const PAGE_ENTRIES_MAX: u32 = 1000;

/// What a writer holds at most: four parts of 8 MiB that are on their way, and one that is gathered.
const WRITER_BYTES_MAX: u64 = 40 << 20;

/// Bytes of what a guest says about an object, which travel in headers: what S3 takes.
const ATTRIBUTES_BYTES_MAX: usize = 2 << 10;

/// What storage calls leave behind for the task's outcome.
#[derive(Debug, Default)]
pub(crate) struct Granted {
    /// The last failure of a store that was no answer to the guest's question.
    pub(crate) failure: Option<samara_core::Error>,
    /// Bytes that the guest read.
    pub(crate) read: u64,
    /// Bytes that it wrote.
    pub(crate) written: u64,
}

/// An object that a guest is writing in pieces.
pub struct Writer {
    url: String,
    inner: Option<Box<dyn samara_store::Writer>>,
    /// What it holds of the object until it is stored.
    held: Held,
}

type Answer<T> = wasmtime::Result<Result<T, Error>>;

// === impl Writer ===

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("url", &self.url).finish_non_exhaustive()
    }
}

// === impl State ===

impl State {
    /// Opens `url` if the grants allow it.
    fn open_granted(&self, url: &str, access: Access) -> Result<Location, Error> {
        if let Some(private) = self.job.private() {
            return Ok(private.join(&private_key(url)?));
        }
        // Checked before anything is opened: a guest can name any number of stores.
        let canonical = self.job.locator().canonical(url).map_err(|error| guest_error(&error))?;
        if !self.job.grants().allow(&canonical, access) {
            let verb = if access == Access::Read { "read" } else { "write" };
            return Err(Error::NotGranted(format!("no grant of this job lets it {verb} {url}")));
        }
        self.job.locator().open(&canonical).map_err(|error| guest_error(&error))
    }

    /// Counts bytes from or to a store.
    fn count(&mut self, bytes: u64) -> wasmtime::Result<()> {
        self.budget.bytes(bytes).map_err(wasmtime::Error::new)
    }

    /// Runs one store call within the task's patience.
    fn call<T>(&mut self, future: impl Future<Output = samara_store::Result<T>>) -> Answer<T> {
        self.budget.operation().map_err(wasmtime::Error::new)?;
        match self.patience.wait(future) {
            Ok(Ok(value)) => Ok(Ok(value)),
            Ok(Err(error)) => {
                let answer = guest_error(&error);
                if matches!(answer, Error::Unavailable(_)) {
                    self.storage.failure = Some(store_error(&error));
                }
                Ok(Err(answer))
            }
            Err(stop) => Err(wasmtime::Error::new(stop)),
        }
    }

    fn refuse_large(&self, url: &str, size: u64) -> Result<(), Error> {
        let limit = self.limits.host_call_bytes;
        match size <= limit {
            true => Ok(()),
            false => Err(Error::LimitExceeded(format!(
                "{url}: {size} bytes are more than one call passes ({limit}); read in pieces"
            ))),
        }
    }

    fn write(&mut self, url: &str, bytes: Vec<u8>, options: PutOptions) -> Answer<Metadata> {
        let location = match self.open_granted(url, Access::ReadWrite) {
            Ok(location) => location,
            Err(error) => return Ok(Err(error)),
        };
        let size = bytes.len() as u64;
        self.count(size)?;
        let put = location.store.put(&location.key, Bytes::from(bytes), options);
        let answer = self.call(put)?.map(Metadata::from);
        self.storage.written += if answer.is_ok() { size } else { 0 };
        Ok(answer)
    }

    fn open_writer(&mut self, url: String, options: PutOptions) -> Answer<Resource<Writer>> {
        let location = match self.open_granted(&url, Access::ReadWrite) {
            Ok(location) => location,
            Err(error) => return Ok(Err(error)),
        };
        let opened = open_surely(&location, options);
        let inner = match self.call(opened)? {
            Ok(inner) => inner,
            Err(error) => return Ok(Err(error)),
        };
        let held = self.budget.hold();
        Ok(Ok(self.table.push(Writer { url, inner: Some(inner), held })?))
    }

    fn read_range(
        &mut self,
        location: &Location,
        range: Range<u64>,
        if_match: Option<&str>,
    ) -> Answer<Vec<u8>> {
        let answer = self.call(location.store.read_range(&location.key, range, if_match))?;
        let size = answer.as_ref().map_or(0, |bytes| bytes.len() as u64);
        self.storage.read += size;
        self.count(size)?;
        Ok(answer.map(Vec::from))
    }
}

/// Unwraps the inner result of a store call, or answers the guest with its error.
macro_rules! answered {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return Ok(Err(error)),
        }
    };
}

impl Host for State {
    fn get(&mut self, url: String) -> Answer<Vec<u8>> {
        self.calls += 1;
        let location = answered!(self.open_granted(&url, Access::Read));
        let metadata = answered!(self.call(location.store.head(&location.key))?);
        answered!(self.refuse_large(&url, metadata.size));
        let etag = Some(metadata.etag.as_str());
        self.read_range(&location, 0..metadata.size, etag)
    }

    fn get_range(
        &mut self,
        url: String,
        offset: u64,
        length: u64,
        if_match: Option<String>,
    ) -> Answer<Vec<u8>> {
        self.calls += 1;
        let location = answered!(self.open_granted(&url, Access::Read));
        answered!(self.refuse_large(&url, length));
        let range = offset..offset.saturating_add(length);
        self.read_range(&location, range, if_match.as_deref())
    }

    fn put(&mut self, url: String, bytes: Vec<u8>) -> Answer<Metadata> {
        self.calls += 1;
        self.write(&url, bytes, PutOptions::default())
    }

    fn put_if_absent(&mut self, url: String, bytes: Vec<u8>) -> Answer<Metadata> {
        self.calls += 1;
        self.write(&url, bytes, PutOptions::if_absent())
    }

    fn put_with(
        &mut self,
        url: String,
        bytes: Vec<u8>,
        mode: PutMode,
        attributes: Attributes,
    ) -> Answer<Metadata> {
        self.calls += 1;
        let options = answered!(put_options(&url, mode, attributes));
        self.write(&url, bytes, options)
    }

    fn delete(&mut self, url: String) -> Answer<()> {
        self.calls += 1;
        let location = answered!(self.open_granted(&url, Access::ReadWrite));
        self.call(location.store.delete(&location.key))
    }

    fn head(&mut self, url: String) -> Answer<Metadata> {
        self.calls += 1;
        let location = answered!(self.open_granted(&url, Access::Read));
        Ok(self.call(location.store.head(&location.key))?.map(Metadata::from))
    }

    fn get_attributes(&mut self, url: String) -> Answer<Attributes> {
        self.calls += 1;
        let location = answered!(self.open_granted(&url, Access::Read));
        Ok(self.call(location.store.attributes(&location.key))?.map(Attributes::from))
    }

    fn list_objects(&mut self, prefix: String, after: Option<String>, limit: u32) -> Answer<Page> {
        self.calls += 1;
        let location = answered!(self.open_granted(&prefix, Access::Read));
        let limit = if limit == 0 { PAGE_ENTRIES_MAX } else { limit.min(PAGE_ENTRIES_MAX) };
        let options = ListOptions { after, limit: Some(limit as usize), ..ListOptions::default() };
        let page = answered!(self.call(location.store.list(&location.key, options))?);
        let private = self.job.private().map(|private| private.join("").key.len());
        let shown = page.entries.into_iter().filter(|e| !is_trial(&location.key, &e.key));
        let entries = shown.map(|entry| Entry {
            url: match private {
                Some(below) => private_url(entry.key.get(below..).unwrap_or_default()),
                None => Location { store: Arc::clone(&location.store), key: entry.key }.url(),
            },
            metadata: entry.metadata.into(),
        });
        Ok(Ok(Page { entries: entries.collect(), next: page.next }))
    }

    fn copy(&mut self, source: String, target: String) -> Answer<Metadata> {
        self.calls += 1;
        let from = answered!(self.open_granted(&source, Access::Read));
        let to = answered!(self.open_granted(&target, Access::ReadWrite));
        if Arc::ptr_eq(&from.store, &to.store) {
            let copy = from.store.copy(&from.key, &to.key, PutOptions::default());
            return Ok(self.call(copy)?.map(Metadata::from));
        }
        let copied = answered!(self.call(copy_between(&from, &to))?);
        self.count(copied.size)?;
        Ok(Ok(copied.into()))
    }
}

impl HostWriter for State {
    fn open(&mut self, url: String, if_absent: bool) -> Answer<Resource<Writer>> {
        self.calls += 1;
        let mode = if if_absent { Mode::IfAbsent } else { Mode::Overwrite };
        self.open_writer(url, PutOptions { mode, ..PutOptions::default() })
    }

    fn open_with(
        &mut self,
        url: String,
        mode: PutMode,
        attributes: Attributes,
    ) -> Answer<Resource<Writer>> {
        self.calls += 1;
        let options = answered!(put_options(&url, mode, attributes));
        self.open_writer(url, options)
    }

    fn write(&mut self, writer: Resource<Writer>, bytes: Vec<u8>) -> Answer<()> {
        self.calls += 1;
        let entry = self.table.get_mut(&writer)?;
        let Some(mut inner) = entry.inner.take() else { return Ok(Err(closed(&entry.url))) };
        let size = bytes.len() as u64;
        let most = entry.held.bytes().saturating_add(size).min(WRITER_BYTES_MAX);
        entry.held.set(most).map_err(wasmtime::Error::new)?;
        self.count(size)?;
        // A writer whose write failed stays closed: what it holds is no whole object.
        answered!(self.call(inner.write(Bytes::from(bytes)))?);
        self.storage.written += size;
        self.table.get_mut(&writer)?.inner = Some(inner);
        Ok(Ok(()))
    }

    fn finish(&mut self, writer: Resource<Writer>) -> Answer<Metadata> {
        self.calls += 1;
        let entry = self.table.get_mut(&writer)?;
        let Some(inner) = entry.inner.take() else { return Ok(Err(closed(&entry.url))) };
        let finished = self.call(inner.finish())?.map(Metadata::from);
        self.table.get_mut(&writer)?.held.set(0).map_err(wasmtime::Error::new)?;
        Ok(finished)
    }

    fn drop(&mut self, writer: Resource<Writer>) -> wasmtime::Result<()> {
        // Dropping may remove what was staged, on the runtime's threads.
        let _entered = self.patience.io().enter();
        self.table.delete(writer)?;
        Ok(())
    }
}

/// The key of a URL's object in a private storage: its three parts as segments. The authority, which
/// may be empty, gets a `-`, because a segment may not.
fn private_key(url: &str) -> Result<String, Error> {
    let parts = url.split_once("://").filter(|(scheme, _)| !scheme.contains('/'));
    let Some((scheme, rest)) = parts else {
        return Err(Error::Invalid(format!("{url} is not a URL")));
    };
    let (authority, key) = rest.split_once('/').unwrap_or((rest, ""));
    Ok(format!("{scheme}/{authority}-/{key}"))
}

/// The URL of such a key.
fn private_url(key: &str) -> String {
    let mut parts = key.splitn(3, '/');
    let mut part = || parts.next().unwrap_or_default();
    let (scheme, authority, key) = (part(), part(), part());
    format!("{scheme}://{}/{key}", authority.strip_suffix('-').unwrap_or(authority))
}

fn closed(url: &str) -> Error {
    Error::Invalid(format!("{url}: the writer was finished, or failed before"))
}

/// What a guest says of a write, where it can be said.
fn put_options(url: &str, mode: PutMode, attributes: Attributes) -> Result<PutOptions, Error> {
    let invalid = |why: &str| Error::Invalid(format!("{url}: {why}"));
    let mode = match mode {
        PutMode::Overwrite => Mode::Overwrite,
        PutMode::IfAbsent => Mode::IfAbsent,
        PutMode::IfMatch(etag) => Mode::IfMatch(etag),
    };
    let Attributes { content_type, user } = attributes;
    let is_value = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let is_letter = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(is_letter);
    let said = content_type.iter().chain(user.iter().flat_map(|(name, value)| [name, value]));
    if said.map(String::len).sum::<usize>() > ATTRIBUTES_BYTES_MAX {
        return Err(invalid("more than 2 KiB of attributes"));
    }
    if !content_type.iter().chain(user.iter().map(|(_, value)| value)).all(|it| is_value(it)) {
        return Err(invalid("values of attributes are of printable ASCII"));
    }
    if !user.iter().all(|(name, _)| is_name(name)) {
        return Err(invalid("names of attributes are of lower-case letters, digits and `-`"));
    }
    if user.iter().any(|(name, _)| name.starts_with(RESERVED)) {
        return Err(invalid("names of attributes that begin with `samara-` are reserved"));
    }
    let attributes = Said { content_type, user: user.into_iter().collect() };
    Ok(PutOptions { mode, attributes })
}

/// Opens a writer, unless its condition is kept by short objects alone: a guest that learns of it in
/// the middle cannot take back what it wrote.
async fn open_surely(
    location: &Location,
    options: PutOptions,
) -> samara_store::Result<Box<dyn samara_store::Writer>> {
    let is_new = options.mode == Mode::IfAbsent;
    let writer = location.store.writer(&location.key, options).await?;
    if is_new && !location.store.conditions().await?.if_absent_in_parts {
        let url = format!("{}{}", location.store, location.key);
        return Err(samara_store::Error::unsupported(url, Operation::Write, IN_ONE_PIECE));
    }
    Ok(writer)
}

const IN_ONE_PIECE: &str = "it keeps put-if-absent only for objects that are written in one piece; \
                            put it whole, or write without the condition";

/// What the names of attributes begin with that are ours.
const RESERVED: &str = "samara-";

/// Copies between two stores, piece by piece.
async fn copy_between(from: &Location, to: &Location) -> samara_store::Result<Stored> {
    let mut body = from.store.get(&from.key, GetOptions::default()).await?.body;
    let mut writer = to.store.writer(&to.key, PutOptions::default()).await?;
    while let Some(bytes) = futures::StreamExt::next(&mut body).await {
        writer.write(bytes?).await?;
    }
    writer.finish().await
}

impl From<Said> for Attributes {
    fn from(said: Said) -> Self {
        Self { content_type: said.content_type, user: said.user.into_iter().collect() }
    }
}

impl From<Stored> for Metadata {
    fn from(metadata: Stored) -> Self {
        Self { size: metadata.size, etag: metadata.etag, modified_ms: metadata.modified_ms }
    }
}

fn guest_error(error: &samara_store::Error) -> Error {
    use samara_store::Error as Store;
    let text = error.in_full();
    match error {
        Store::NotFound { .. } => Error::NotFound(text),
        Store::AlreadyExists { .. } => Error::AlreadyExists(text),
        Store::Precondition { .. } => Error::PreconditionFailed(text),
        Store::PermissionDenied { .. } => Error::PermissionDenied(text),
        Store::InvalidKey { .. }
        | Store::InvalidUrl { .. }
        | Store::UnknownScheme { .. }
        | Store::Settings { .. }
        | Store::Unsupported { .. } => Error::Invalid(text),
        _ => Error::Unavailable(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_never_does_is_the_callers_to_change() {
        let lacking = samara_store::Error::unsupported(
            "webdav://h/a",
            samara_store::Operation::Put,
            "it has none",
        );
        assert!(matches!(guest_error(&lacking), Error::Invalid(_)));
        assert_eq!(store_error(&lacking).kind, samara_core::ErrorKind::Invalid);
    }

    #[test]
    fn what_cannot_be_said_of_an_object_is_refused() {
        let said = |content_type: &str, user: &[(&str, &str)]| {
            let user = user.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
            let content_type = Some(content_type.to_owned());
            let said = Attributes { content_type, user: user.collect() };
            match put_options("mem://a/b", PutMode::IfMatch("7".to_owned()), said) {
                Ok(options) => {
                    assert_eq!(options.mode, Mode::IfMatch("7".to_owned()));
                    Ok(options.attributes.user.len())
                }
                Err(Error::Invalid(why)) => Err(why),
                Err(other) => panic!("{other:?}"),
            }
        };
        assert_eq!(said("text/csv", &[("a-1", "x ~"), ("b", "")]), Ok(2));
        let long = "x".repeat(ATTRIBUTES_BYTES_MAX);
        for (refused, why) in [
            (said("a\r\nb", &[]), "printable"),
            (said("", &[("a", "ü")]), "printable"),
            (said("", &[("", "x")]), "names"),
            (said("", &[("A", "x")]), "names"),
            (said("", &[("a:b", "x")]), "names"),
            (said("", &[("samara-put", "x")]), "reserved"),
            (said("a", &[("", &long)]), "2 KiB"),
        ] {
            assert!(
                refused.as_ref().is_err_and(|said| said.contains(why)),
                "{refused:?}, not {why}"
            );
        }
    }

    #[test]
    fn every_url_has_a_private_key() {
        for url in ["mem:///a", "s3://b-/x/y", "file:///data/", "gs://b/", "a://-/-"] {
            let key = private_key(url).unwrap();
            assert!(!key.split('/').rev().skip(1).any(str::is_empty), "{key}");
            assert_eq!(private_url(&key), url);
        }
        assert!(private_key("/a/path").is_err() && private_key("a/b://c").is_err());
    }
}
