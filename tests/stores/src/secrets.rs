//! Listens to all that is logged while the tests run, by us and by the libraries beneath, and keeps
//! what has a credential in it.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError, RwLock};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::Server;

/// What must not be seen.
static SECRETS: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// What was seen.
static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What is kept of one log line that has a credential.
const SHOWN: usize = 300;

/// Everything that is logged, but for single steps.
struct Listener;

/// A line in the making.
struct Line(String);

/// Listens from now on, and sees that it hears.
///
/// # Panics
///
/// Where somebody else listens in this program.
pub fn listen() {
    // Nobody else listens in this program.
    drop(tracing::subscriber::set_global_default(Listener));
    let canary = "a-canary-that-is-no-secret";
    SECRETS.write().unwrap_or_else(PoisonError::into_inner).push(canary.to_owned());
    tracing::debug!(of = canary, "heard");
    log::set_logger(&Listener).expect("nobody else listens");
    log::set_max_level(log::LevelFilter::Debug);
    log::debug!("heard {canary}");
    assert_eq!(seen().len(), 2, "nothing is heard");
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// The server's credentials are not to be logged.
pub fn guard(server: &Server) {
    let is_secret = |name: &str| ["SECRET", "PASSWORD", "TOKEN"].iter().any(|it| name.contains(it));
    let said = server.said.iter().filter(|(name, _)| is_secret(name) || *name == "KEY");
    said.for_each(|(_, value)| keep(value));
}

/// A credential of a test is not to be logged.
///
/// # Panics
///
/// Where it cannot be handed on to who reads what all tests say.
#[allow(clippy::disallowed_methods, reason = "the edge of a test program")]
pub fn keep(secret: &str) {
    let mut secrets = SECRETS.write().unwrap_or_else(PoisonError::into_inner);
    secrets.push(secret.to_owned());
    if let Some(path) = std::env::var_os("SAMARA_TEST_SECRETS") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let line = format!("{secret}\n");
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("its file can be written");
    }
}

/// How many there are.
pub fn kept() -> usize {
    SECRETS.read().unwrap_or_else(PoisonError::into_inner).len()
}

/// The log lines that had a credential in them.
pub fn seen() -> Vec<String> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Says what was seen, as a test of its own, and whether that was nothing.
///
/// # Errors
///
/// Where nothing can be said.
pub fn verdict(out: &mut impl Write) -> io::Result<bool> {
    let seen = seen();
    for line in &seen {
        writeln!(out, "a credential was logged: {line}")?;
    }
    let is_clean = seen.is_empty();
    let (verdict, passed, failed) = if is_clean { ("ok", 1, 0) } else { ("FAILED", 0, 1) };
    writeln!(
        out,
        "\nno credential was logged\ntest result: {verdict}. {passed} passed; {failed} failed"
    )?;
    Ok(is_clean)
}

/// Looks at a line that somebody else has logged, as a process that was started.
pub fn look(target: &str, line: &str) {
    let secrets = SECRETS.read().unwrap_or_else(PoisonError::into_inner);
    if secrets.iter().any(|secret| line.contains(secret.as_str())) {
        let line: String = line.chars().take(SHOWN).collect();
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(format!("{target}: {line}"));
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut line = Line(String::new());
        attributes.record(&mut line);
        look(attributes.metadata().target(), &line.0);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        look(event.metadata().target(), &line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Libraries that know no `tracing`: in a user's program somebody may listen to them too.
impl log::Log for Listener {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        look(record.target(), &record.args().to_string());
    }

    fn flush(&self) {}
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _written = write!(self.0, "{}={value:?} ", field.name());
    }
}
