//! The host as a component sees it: imports of the world, and the export that answers its calls.

#[allow(unsafe_code, reason = "generated from the WIT package")]
mod bindings {
    wit_bindgen::generate!({
        path: "../wit/samara-function",
        world: "function",
    });

    export!(Component with_types_in self);

    use super::Component;
}

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::PanicHookInfo;
use std::sync::Once;

use bindings::exports::samara::function::functions;
use bindings::samara::function::{jobs, partition, storage, task, types};

use crate::call::{self, Failure};
use crate::partition::Description;
use crate::storage::{Attributes, Entry, Error, Metadata, Page, PutMode, PutOptions};
use crate::task::{Identity, Level};

/// What a test sets and sees. In a component that a host calls there is none.
pub(crate) struct World {
    identity: Option<Identity>,
    pub(crate) log: Vec<(Level, String)>,
    pub(crate) progress: Option<(u64, u64)>,
    pub(crate) cancelled: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { identity: None, log: Vec::new(), progress: None, cancelled: false }
    }

    pub(crate) fn set_task(&mut self, identity: Identity) {
        self.identity = Some(identity);
    }
}

/// Looks at the test's world, or changes it.
pub(crate) fn with<T>(look: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(|world| look(world.get_or_insert_with(World::new)))
}

/// Whether this is a program of tests: no host has called a function.
fn is_test() -> bool {
    !CALLED.get()
}

/// What the component exports.
struct Component;

thread_local! {
    /// Whether a host has called a function of this instance.
    static CALLED: Cell<bool> = const { Cell::new(false) };

    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };

    /// The number of the task of a batch that is being called; the host knows the first alone.
    static INDEX: Cell<Option<u64>> = const { Cell::new(None) };

    /// The objects that this instance has begun; a test may play several attempts.
    static CLAIMED: RefCell<BTreeSet<(u32, String)>> = const { RefCell::new(BTreeSet::new()) };
}

impl functions::Guest for Component {
    fn list_functions() -> Vec<functions::Function> {
        call::listed().into_iter().map(functions::Function::from).collect()
    }

    fn call(name: String, arguments: Vec<u8>) -> Result<Vec<u8>, functions::Failure> {
        begin();
        call::call(&name, &arguments).map_err(functions::Failure::from)
    }

    fn call_batch(
        name: String,
        indices: Vec<u64>,
        arguments: Vec<u8>,
        ends: Vec<u32>,
    ) -> Result<functions::Batch, functions::Failure> {
        begin();
        let begin = |index| INDEX.set(Some(index));
        let batch = call::call_batch(&name, &indices, &arguments, &ends, begin);
        INDEX.set(None);
        let call::Batch { outputs, ends, failures } = batch?;
        let failures = failures.into_iter().map(|(at, failure)| (at, failure.into())).collect();
        Ok(functions::Batch { outputs, ends, failures })
    }
}

/// What comes before an instance's first call.
fn begin() {
    CALLED.set(true);
    static HOOK: Once = Once::new();
    HOOK.call_once(|| std::panic::set_hook(Box::new(report_panic)));
}

/// Tells the host why the instance is about to abort.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("a value that is not a string");
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    task::panicked(message, &location);
}

// === The partition ===

pub(crate) fn describe() -> Description {
    let it = partition::describe();
    Description {
        object: it.object,
        offset: it.offset,
        length: it.length,
        index: it.index,
        count: it.count,
        object_size: it.object_size,
    }
}

pub(crate) fn read(max: u32) -> Result<Vec<u8>, Error> {
    Ok(partition::read(max)?)
}

// === Storage ===

pub(crate) fn get(url: &str) -> Result<Vec<u8>, Error> {
    Ok(storage::get(url)?)
}

pub(crate) fn get_range(
    url: &str,
    offset: u64,
    length: u64,
    if_match: Option<&str>,
) -> Result<Vec<u8>, Error> {
    Ok(storage::get_range(url, offset, length, if_match)?)
}

pub(crate) fn put(url: &str, bytes: &[u8]) -> Result<Metadata, Error> {
    Ok(storage::put(url, bytes)?.into())
}

pub(crate) fn put_if_absent(url: &str, bytes: &[u8]) -> Result<Metadata, Error> {
    Ok(storage::put_if_absent(url, bytes)?.into())
}

pub(crate) fn put_with(url: &str, bytes: &[u8], options: &PutOptions) -> Result<Metadata, Error> {
    let attributes = (&options.attributes).into();
    Ok(storage::put_with(url, bytes, &mode_of(options), &attributes)?.into())
}

pub(crate) fn attributes(url: &str) -> Result<Attributes, Error> {
    Ok(storage::get_attributes(url)?.into())
}

fn mode_of(options: &PutOptions) -> storage::PutMode {
    match &options.mode {
        PutMode::Overwrite => storage::PutMode::Overwrite,
        PutMode::IfAbsent => storage::PutMode::IfAbsent,
        PutMode::IfMatch(etag) => storage::PutMode::IfMatch(etag.clone()),
    }
}

pub(crate) fn delete(url: &str) -> Result<(), Error> {
    Ok(storage::delete(url)?)
}

pub(crate) fn head(url: &str) -> Result<Metadata, Error> {
    Ok(storage::head(url)?.into())
}

pub(crate) fn list(prefix: &str, after: Option<&str>, limit: u32) -> Result<Page, Error> {
    Ok(storage::list_objects(prefix, after, limit)?.into())
}

pub(crate) fn copy(source: &str, target: &str) -> Result<Metadata, Error> {
    Ok(storage::copy(source, target)?.into())
}

/// An object that is written in pieces.
pub(crate) struct Writer(storage::Writer);

impl Writer {
    pub(crate) fn open(url: &str, if_absent: bool) -> Result<Self, Error> {
        Ok(Self(storage::Writer::open(url, if_absent)?))
    }

    pub(crate) fn open_with(url: &str, options: &PutOptions) -> Result<Self, Error> {
        let attributes = (&options.attributes).into();
        Ok(Self(storage::Writer::open_with(url, &mode_of(options), &attributes)?))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.0.write(bytes)?)
    }

    pub(crate) fn finish(self) -> Result<Metadata, Error> {
        Ok(self.0.finish()?.into())
    }
}

// === The task ===

pub(crate) fn current() -> Identity {
    if is_test()
        && let Some(identity) = with(|world| world.identity.clone())
    {
        return identity;
    }
    let it = task::current();
    Identity { job: it.job, index: INDEX.get().unwrap_or(it.index), attempt: it.attempt }
}

pub(crate) fn scratch() -> String {
    task::scratch()
}

pub(crate) fn kept() -> String {
    task::kept()
}

/// Whether this attempt makes an object of that name for the first time.
pub(crate) fn claim(url: &str) -> bool {
    let attempt = if is_test() { current().attempt } else { 0 };
    CLAIMED.with_borrow_mut(|claimed| claimed.insert((attempt, url.to_owned())))
}

pub(crate) fn log(level: Level, message: &str) {
    if is_test() {
        with(|world| world.log.push((level, message.to_owned())));
    }
    let level = match level {
        Level::Error => task::Level::Error,
        Level::Warn => task::Level::Warn,
        Level::Info => task::Level::Info,
        Level::Debug => task::Level::Debug,
        Level::Trace => task::Level::Trace,
    };
    task::log(level, message);
}

pub(crate) fn progress(done: u64, total: u64) {
    if is_test() {
        with(|world| world.progress = Some((done, total)));
    }
    task::progress(done, total);
}

pub(crate) fn is_cancelled() -> bool {
    (is_test() && with(|world| world.cancelled)) || task::is_cancelled()
}

// === Jobs ===

/// A job that this task started.
pub(crate) struct Job(jobs::Job);

impl Job {
    pub(crate) fn start(function: &str, arguments: Vec<Vec<u8>>) -> Result<Self, Error> {
        Ok(Self(jobs::start(function, &arguments)?))
    }

    pub(crate) fn id(&self) -> String {
        self.0.id()
    }

    pub(crate) fn next(&mut self) -> Option<(u64, Result<Vec<u8>, String>)> {
        self.0.next()
    }

    pub(crate) fn cancel(&mut self) {
        self.0.cancel();
    }
}

// === Between the contract's types and ours ===

impl From<&call::Entry> for functions::Function {
    fn from(entry: &call::Entry) -> Self {
        Self {
            name: entry.name.to_owned(),
            doc: entry.doc.to_owned(),
            kind: match entry.kind {
                samara_wit::Kind::Reduce => functions::Kind::Reduce,
                _ => functions::Kind::Map,
            },
            signature: entry.signature.to_owned(),
            arity: entry.arity,
            takes_partition: entry.takes_partition,
            pure: entry.pure,
        }
    }
}

impl From<Failure> for functions::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NoSuchFunction(text) => Self::NoSuchFunction(text),
            Failure::BadArguments(text) => Self::BadArguments(text),
            Failure::BadOutput(text) => Self::BadOutput(text),
            Failure::Failed(chain) => Self::Failed(chain),
        }
    }
}

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        match error {
            types::Error::NotFound(text) => Self::NotFound(text),
            types::Error::AlreadyExists(text) => Self::AlreadyExists(text),
            types::Error::PreconditionFailed(text) => Self::PreconditionFailed(text),
            types::Error::NotGranted(text) => Self::NotGranted(text),
            types::Error::PermissionDenied(text) => Self::PermissionDenied(text),
            types::Error::Invalid(text) => Self::Invalid(text),
            types::Error::LimitExceeded(text) => Self::LimitExceeded(text),
            types::Error::Cancelled => Self::Cancelled,
            types::Error::Unavailable(text) => Self::Unavailable(text),
        }
    }
}

impl From<storage::Metadata> for Metadata {
    fn from(it: storage::Metadata) -> Self {
        Self { size: it.size, etag: it.etag, modified_ms: it.modified_ms }
    }
}

impl From<&Attributes> for storage::Attributes {
    fn from(said: &Attributes) -> Self {
        let user = said.user.iter().map(|(name, value)| (name.clone(), value.clone()));
        Self { content_type: said.content_type.clone(), user: user.collect() }
    }
}

impl From<storage::Attributes> for Attributes {
    fn from(it: storage::Attributes) -> Self {
        Self { content_type: it.content_type, user: it.user.into_iter().collect() }
    }
}

impl From<storage::Page> for Page {
    fn from(page: storage::Page) -> Self {
        let entries = page.entries.into_iter();
        Self {
            entries: entries
                .map(|it| Entry { url: it.url, metadata: it.metadata.into() })
                .collect(),
            next: page.next,
        }
    }
}
