//! What those targets share whose batches come, and whose answers go, by way of a store: a host with
//! three doors, a store that writes down what it is asked, and a ticket that nobody is to see.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use samara_core::wire::{Frame, Frames, encode_batch};
use samara_core::{Arguments, Caller, ComponentId, Depot, Error, ErrorKind, Gate, Grants, Retry};
use samara_runtimes::host::{Host, Service, Variables};
use samara_runtimes::push::REQUEST_BYTES_MAX;
use samara_store::Locator;
use samara_tenants::{Canonical, Tenants};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use super::samples;
use super::tickets::{ACME, Stopped, claims, public_pem, sign, write};
use crate::engine::Seen;
use crate::sevens::Sevens;

/// What the tenant was granted: a name without a `/` at its end, as operators write them too.
pub(super) const OWN: &str = "mem://own/data";

/// What it was not.
pub(super) const OTHERS: &str = "mem://own/database";

/// The object with a batch in it, below either.
pub(super) const BATCH: &str = "/batch";

/// What comes before the batch in that object.
const BEFORE: &[u8] = b"{{{{{{{{";

/// A place for an answer that is not wanted any more, below either.
pub(super) const CANCELLED: &str = "/gone/";

/// What stands in inputs for what is long: a good ticket, a good batch as base64, and its hash.
const STANDS_FOR: [&str; 3] = ["TICKET", "BATCH", "HASH"];

const FILE: &str = r#"
audience = "https://fuzz.test"
audit = "/dev/null"
[tenants.acme]
keys = ["acme.pem"]
objects = [{ url = "mem://own/data", access = "read-write" }]
"#;

/// Whom a host lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// Nobody: whoever comes is refused before anything is touched.
    Shut,
    /// Tenants with good tickets, to what they were granted.
    Tenants,
    /// Everybody, to everything.
    Open,
}

/// What a store was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) url: String,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Get(Option<Range<u64>>),
    /// What was to be written, and whether it was.
    Put(Bytes, bool),
    /// What no host does for a call.
    Other,
}

/// What a call says, as it is read beside the host: nothing where that says nothing of the kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) to: Option<String>,
    pub(super) url: Option<String>,
    pub(super) hash: Option<String>,
}

/// A place where hosts are tried. There is no network in it.
pub(super) struct Mail {
    ledger: Arc<Ledger>,
    services: [(Door, Arc<Service>); 3],
    io: tokio::runtime::Runtime,
    stop: watch::Sender<bool>,
    /// What stands for what, in the order of [`STANDS_FOR`].
    long: [String; 3],
    bytes: Bytes,
    _directory: TempDir,
}

/// A store in memory that writes down what it is asked. What lies elsewhere is not touched.
#[derive(Debug, Default)]
struct Ledger {
    locator: Locator,
    objects: Mutex<BTreeMap<String, Bytes>>,
    asked: Mutex<Vec<Asked>>,
}

/// Lets nobody in.
#[derive(Debug)]
struct Shut;

impl Gate for Shut {
    fn identify(&self, _: &'static str, _: Option<&str>) -> Result<Arc<dyn Caller>, Error> {
        Err(Error::new(ErrorKind::Denied, "nobody comes in here"))
    }
}

// === impl Door ===

impl Door {
    pub(super) const ALL: [Self; 3] = [Self::Shut, Self::Tenants, Self::Open];
}

// === impl Named ===

impl Named {
    /// What a call says.
    pub(super) fn of(call: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let stored = &field(call, "batch", 0)["stored"];
        Self {
            to: text(field(call, "to", 1)),
            url: text(field(stored, "url", 0)),
            hash: text(field(stored, "hash", 2)),
        }
    }

    /// Whether the tenant may use all that it names.
    pub(super) fn is_own(&self) -> bool {
        self.to.iter().chain(&self.url).all(|url| is_own(url))
    }
}

/// A field of what is read as a struct: by its name, or in a list by its place.
pub(super) fn field<'a>(value: &'a Value, name: &str, at: usize) -> &'a Value {
    match value {
        Value::Array(_) => &value[at],
        _ => &value[name],
    }
}

/// Whether a URL is the tenant's, in whatever spelling.
fn is_own(url: &str) -> bool {
    let Ok(url) = Locator::default().canonical(url) else { return false };
    let below = url.strip_prefix(OWN).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    below && !url.split('/').any(|part| part == "..")
}

// === impl Mail ===

impl Mail {
    /// With hosts that batches reach by the way of this name.
    pub(super) fn new(way: &'static str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        write(directory.path(), "acme.pem", &public_pem(ACME));
        write(directory.path(), "tenants.toml", FILE);
        let locator = Locator::default();
        let canonical: Canonical =
            Arc::new(move |url| locator.canonical(url).map_err(|error| error.to_string()));
        let path = directory.path().join("tenants.toml");
        let tenants = Tenants::open(&path, canonical, Arc::new(Stopped)).expect("a sound file");
        let service = |door, gate| (door, Service::by_way(way, Arc::new(Sevens), "0.1.0", gate));
        let services = [
            service(Door::Shut, Some(Arc::new(Shut) as Arc<dyn Gate>)),
            service(Door::Tenants, Some(Arc::new(tenants))),
            service(Door::Open, None),
        ];
        let bytes = batch();
        let ticket = sign(&json!({ "alg": "EdDSA" }), &claims("acme"), ACME);
        let long = [ticket, STANDARD.encode(&bytes), ComponentId::of(&bytes).to_string()];
        let io = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let (io, stop) = (io.expect("a thread"), watch::channel(false).0);
        Self { ledger: Arc::default(), services, io, stop, long, bytes, _directory: directory }
    }

    /// A good ticket.
    pub(super) fn ticket(&self) -> &str {
        &self.long[0]
    }

    /// What a host with this door is served with.
    pub(super) fn host(&self, door: Door, variables: Variables) -> Host {
        let (_, service) = self.services.iter().find(|(of, _)| *of == door).expect("each is there");
        Host {
            service: Arc::clone(service),
            variables,
            listen: None,
            tokens: Vec::new(),
            tls: None,
            grace: Duration::ZERO,
            stop: self.stop.subscribe(),
            clock: Arc::new(Stopped),
            depot: Arc::clone(&self.ledger) as Arc<dyn Depot>,
            listening: Box::new(|_| {}),
        }
    }

    /// An input with what its words stand for.
    pub(super) fn expand(&self, input: &[u8]) -> Vec<u8> {
        let words = STANDS_FOR.iter().zip(&self.long);
        words.fold(input.to_vec(), |bytes, (word, long)| replaced(&bytes, word, long))
    }

    /// Has a host do something, over a store as it always is, with these objects beside. What it came
    /// to, and what the store was asked.
    pub(super) fn run<T>(
        &self,
        beside: &[(&str, &Bytes)],
        does: impl Future<Output = T>,
    ) -> (T, Vec<Asked>) {
        let mut objects: BTreeMap<String, Bytes> = BTreeMap::new();
        let object = [BEFORE, &self.bytes, b"}"].concat();
        for place in [OWN, OTHERS] {
            objects.insert(format!("{place}{BATCH}"), object.clone().into());
            objects.insert(format!("{place}{CANCELLED}cancel"), Bytes::new());
        }
        let beside = beside.iter().map(|(url, bytes)| ((*url).to_owned(), Bytes::clone(bytes)));
        objects.extend(beside);
        // Where something broke, what was under way then is not the next input's.
        self.io.block_on(self.settle());
        *self.ledger.objects() = objects;
        self.ledger.asked().clear();
        let came = self.io.block_on(does);
        for (door, service) in &self.services {
            assert_eq!(service.in_flight(), 0, "a batch has not ended: {door:?}");
        }
        (came, std::mem::take(&mut *self.ledger.asked()))
    }

    /// Lets batches end that nobody waits for.
    async fn settle(&self) {
        let is_busy = || self.services.iter().any(|(_, service)| service.in_flight() > 0);
        for _ in 0..100 {
            if !is_busy() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Where a good batch lies in its object.
    pub(super) fn range(&self) -> Range<u64> {
        let from = BEFORE.len() as u64;
        from..from + self.bytes.len() as u64
    }

    /// Checks what holds of each door, whatever came: a host that lets nobody in asks nothing of a
    /// store, and one that knows tenants nothing that is not granted.
    pub(super) fn check_door(&self, door: Door, asked: &[Asked]) {
        match door {
            Door::Shut => assert!(asked.is_empty(), "a store is asked for nobody: {asked:?}"),
            Door::Tenants => {
                let foreign = asked.iter().find(|asked| !is_own(&asked.url));
                assert!(foreign.is_none(), "it is not the tenant's: {foreign:?}");
            }
            Door::Open => {}
        }
    }

    /// Whether there is a good ticket in it.
    pub(super) fn has_ticket(&self, bytes: &[u8]) -> bool {
        let ticket = self.ticket().as_bytes();
        bytes.windows(ticket.len()).any(|window| window == ticket)
    }

    /// Checks that nobody sees the ticket: neither who reads what a host says, nor who reads answers.
    /// What a stranger writes beside the place of a ticket is no secret.
    pub(super) fn check_unseen(&self, input: &[u8], said: &[u8], asked: &[Asked]) {
        let has = |bytes: &[u8]| self.has_ticket(bytes);
        let mut beside = serde_json::from_slice::<Value>(input).unwrap_or_default();
        if let Value::Object(fields) = &mut beside {
            fields.remove("ticket");
        }
        if has(beside.to_string().as_bytes()) {
            return;
        }
        assert!(!has(said), "it shows the ticket: {}", String::from_utf8_lossy(said));
        for asked in asked {
            let written = match &asked.what {
                What::Put(bytes, _) => has(bytes),
                _ => false,
            };
            assert!(!written && !has(asked.url.as_bytes()), "the ticket is stored: {asked:?}");
        }
    }
}

/// Checks that a store was asked for nothing but what calls name, or what lies `beside`; and that
/// answers have an end. What they came to, by the places of calls: an answer that the store did not
/// take counts as well.
pub(super) fn check_asked(
    asked: &[Asked],
    calls: &[Named],
    beside: Option<&str>,
) -> BTreeMap<String, Vec<Seen>> {
    let mut answers: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    let places = || calls.iter().filter_map(|call| call.to.as_deref());
    for Asked { url, what } in asked {
        match what {
            What::Get(Some(range)) => {
                let length = range.end.saturating_sub(range.start);
                assert!(length <= REQUEST_BYTES_MAX, "{length} bytes are read of {url}");
                let is_named = calls.iter().any(|call| call.url.as_ref() == Some(url));
                assert!(is_named || beside == Some(url), "it reads {url}: {calls:?}");
            }
            What::Get(None) => {
                let place = url.strip_suffix("cancel");
                let is_place = place.is_some_and(|place| places().any(|to| to == place));
                assert!(is_place, "it looks at {url}: {calls:?}");
            }
            What::Put(bytes, _) => {
                let place = place_of(url).unwrap_or_else(|| panic!("it writes {url}"));
                assert!(places().any(|to| to == place), "it writes {url}: {calls:?}");
                answers.entry(place.to_owned()).or_default().push(ended(bytes));
            }
            What::Other => panic!("it lists, or removes, {url}"),
        }
    }
    answers
}

/// The place of an answer that an object is a part of; none where it is no name of such a part.
fn place_of(url: &str) -> Option<&str> {
    let (rest, number) = url.rsplit_once('/')?;
    let (place, run) = rest.rsplit_once('/')?;
    let is_run = !run.is_empty() && run.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_number = number.len() == 6 && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_run && is_number).then(|| &url[..=place.len()])
}

/// Whether a place's answer was cancelled before it began, in the store as it always is.
pub(super) fn is_cancelled(to: &str) -> bool {
    let canonical = Locator::default().canonical(to);
    canonical.is_ok_and(|to| [OWN, OTHERS].iter().any(|place| to == format!("{place}{CANCELLED}")))
}

/// How frames end, which they do.
pub(super) fn ended(bytes: &[u8]) -> Seen {
    let mut frames = Frames::default();
    frames.push(bytes);
    let mut reports = 0;
    let seen = loop {
        match frames.next_frame() {
            Ok(Some(Frame::Done)) => break Seen::of(reports.min(2)),
            Ok(Some(Frame::Failed(error))) => {
                let is_panic = error.message.contains("panicked");
                assert!(!is_panic, "{error}");
                break kind(&error.message);
            }
            Ok(Some(Frame::Ended(_))) => reports += 1,
            Ok(Some(_)) => {}
            Ok(None) => panic!("an answer has no end: {bytes:?}"),
            Err(error) => panic!("an answer is damaged: {error}: {bytes:?}"),
        }
    };
    assert!(!frames.is_within(), "there is more behind an answer's end: {bytes:?}");
    seen
}

/// Which error it is, whatever it names: of a text that names URLs there are as many as of those.
pub(super) fn kind(text: &str) -> Seen {
    let is_plain = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b':');
    Seen::text(&text.split(' ').filter(is_plain).collect::<String>())
}

/// A batch that the tenant may send.
fn batch() -> Bytes {
    let mut batch = samples::batch();
    batch.store = format!("{OWN}/jobs");
    batch.grants = Grants::default();
    for task in &mut batch.tasks {
        task.partition = None;
        task.arguments = Arguments::default();
    }
    encode_batch(&batch).expect("it can be encoded")
}

fn replaced(bytes: &[u8], word: &str, by: &str) -> Vec<u8> {
    let (mut rest, mut all) = (bytes, Vec::with_capacity(bytes.len()));
    while let Some((first, others)) = rest.split_first() {
        match rest.strip_prefix(word.as_bytes()) {
            Some(behind) => {
                all.extend_from_slice(by.as_bytes());
                rest = behind;
            }
            None => {
                all.push(*first);
                rest = others;
            }
        }
    }
    all
}

// === impl Ledger ===

impl Ledger {
    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, url: &str, what: What) {
        self.asked().push(Asked { url: url.to_owned(), what });
    }

    /// The name under which an object is known.
    fn name(&self, url: &str) -> Result<String, Error> {
        let failed = |text: String| Error::new(ErrorKind::Store, text).with_retry(Retry::Never);
        let name = self.locator.canonical(url).map_err(|error| failed(error.to_string()))?;
        match name.starts_with("mem://") {
            true => Ok(name),
            // Some are away for now, others for good.
            false if name.starts_with("s3://") => {
                Err(failed(format!("{name} is away")).with_retry(Retry::Later))
            }
            false => Err(failed(format!("{name} is not there"))),
        }
    }
}

#[async_trait]
impl Depot for Ledger {
    async fn get(&self, url: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, Error> {
        self.note(url, What::Get(range.clone()));
        let found = self.objects().get(&self.name(url)?).cloned();
        Ok(found.map(|bytes| match range {
            // As stores do: what is there of it.
            Some(range) => {
                let within = |at| usize::try_from(at).map_or(bytes.len(), |at| at.min(bytes.len()));
                let start = within(range.start);
                bytes.slice(start..within(range.end).max(start))
            }
            None => bytes,
        }))
    }

    async fn put(&self, url: &str, bytes: Bytes) -> Result<(), Error> {
        let name = self.name(url);
        self.note(url, What::Put(bytes.clone(), name.is_ok()));
        self.objects().insert(name?, bytes);
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.note(prefix, What::Other);
        Ok(Vec::new())
    }

    async fn remove(&self, urls: &[String]) -> Result<(), Error> {
        self.note(&urls.concat(), What::Other);
        Ok(())
    }
}
