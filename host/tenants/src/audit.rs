//! The audit log: JSON, one line for each job that comes, each refusal, each batch that was turned
//! away, and each time that none of a job's batches is left.
//!
//! A line is handed to the operating system whole, with one write to a file that is only appended
//! to. So several hosts may share a file, and a host that crashes leaves whole lines. It is not
//! waited for until the disk has them: lines of the last seconds before the whole machine fails may
//! be gone. Where the disk is full, a line may be cut; then it stays in a line of its own, and the
//! host says so in its own log and goes on.
//!
//! Every refusal is counted, as is every batch that was turned away, and strangers cannot fill the
//! disk: of those that are alike within a window of time the first is written at once, and the others
//! as one line when the window is over (`windows.rs`), or when the host ends. A host that is killed
//! says nothing of the others of its last window.

mod windows;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use samara_core::{Batch, Clock, ComponentId, JobId, Tally, without_passwords};
use serde::Serialize;

use self::windows::Windows;
use crate::file::AuditPlace;
use crate::ticket::Kind;

/// The event of a refusal.
const REFUSED: &str = "refused";

/// The event of a batch that the host could not take.
const TURNED_AWAY: &str = "turned-away";

/// Characters of a text that comes from outside, at most.
const TEXT_CHARS_MAX: usize = 300;

/// How soon it is looked again whether a window is over, at the soonest: a clock may stand still.
const LOOK_MIN: Duration = Duration::from_millis(1);

/// Writes the audit log.
pub(crate) struct Audit(Arc<Shared>);

/// What threads that write share with the one that sees to it that windows end.
struct Shared {
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
    /// Told when there is a window to end, and when the log is closed.
    changed: Condvar,
}

struct Inner {
    to: To,
    windows: Windows,
    /// Whether a thread sees to it that windows end: there is none before there is a refusal.
    is_watched: bool,
    /// Whether the host is about to end: nothing is gathered any more.
    is_closed: bool,
}

/// Where lines go.
enum To {
    Stderr,
    File {
        file: File,
        /// Whether the last line has no end.
        is_cut: bool,
    },
}

/// One line. What is not known is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Line {
    /// When it is written; empty until then, so that lines can be compared.
    time: String,
    event: &'static str,
    /// By which way into the host it came.
    #[serde(skip_serializing_if = "str::is_empty")]
    way: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<String>,
    /// Why a stranger was refused, in a word of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// For how many it stands; one where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<u64>,
    /// How many more there were, of which no line says anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    sums: Option<Sums>,
}

/// What a job came to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Sums {
    succeeded: u64,
    failed: u64,
    lost: u64,
    cpu_ms: u64,
    bytes: u64,
}

/// Who is written about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who<'a> {
    /// The tenant.
    pub(crate) tenant: &'a str,
    /// The ticket's name.
    pub(crate) ticket: Option<&'a str>,
    /// By which way into the host it came.
    pub(crate) way: &'static str,
}

/// What is written about: a job, and what it runs.
#[derive(Debug, Clone)]
pub(crate) struct Of {
    job: JobId,
    component: ComponentId,
    function: String,
}

// === impl Audit ===

impl Audit {
    pub(crate) fn open(place: &AuditPlace, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let to = match place {
            AuditPlace::Stderr => To::Stderr,
            AuditPlace::Path(path) => To::open(path)?,
        };
        let inner = Inner { to, windows: Windows::default(), is_watched: false, is_closed: false };
        Ok(Self(Arc::new(Shared { clock, inner: Mutex::new(inner), changed: Condvar::new() })))
    }

    /// A job's first batch was let in.
    pub(crate) fn job(&self, who: Who<'_>, batch: &Batch) {
        self.write(Line::about(who, "job").of(&Of::batch(batch)));
    }

    /// None of a job's batches is left.
    pub(crate) fn ended(&self, who: Who<'_>, of: &Of, tally: &Tally) {
        let sums = Sums {
            succeeded: tally.succeeded,
            failed: tally.failed,
            lost: tally.lost,
            cpu_ms: u64::try_from(tally.usage.cpu.as_millis()).unwrap_or(u64::MAX),
            bytes: tally.usage.bytes,
        };
        self.write(Line { sums: Some(sums), ..Line::about(who, "ended").of(of) });
    }

    /// A tenant was refused, with a batch or before there was one.
    pub(crate) fn refused(&self, who: Who<'_>, batch: Option<&Batch>, reason: &str) {
        self.gather(Line::about(who, REFUSED).because(reason).of_some(batch));
    }

    /// A tenant's batch was not taken, for a reason that is the host's.
    pub(crate) fn turned_away(&self, who: Who<'_>, batch: Option<&Batch>, reason: &str) {
        self.gather(Line::about(who, TURNED_AWAY).because(reason).of_some(batch));
    }

    /// Somebody was refused of whom nothing is known.
    pub(crate) fn stranger(&self, way: &'static str, kind: Kind, reason: &str) {
        let line = Line { event: REFUSED, way, kind: Some(kind), ..Line::default() };
        self.gather(line.because(reason));
    }

    /// Says what has not been said yet. From now on each refusal is written by itself, so that none is
    /// lost when the process ends.
    pub(crate) fn close(&self) {
        let mut inner = self.0.lock();
        inner.is_closed = true;
        self.0.end_windows(&mut inner, None);
        self.0.changed.notify_all();
    }

    /// Writes a refusal, or counts it for the line in which those that are alike come.
    fn gather(&self, line: Line) {
        let now = self.0.clock.monotonic();
        let mut inner = self.0.lock();
        self.0.end_windows(&mut inner, Some(now));
        if inner.is_closed || inner.windows.note(now, &line) {
            self.0.write(&mut inner, line);
        }
        if !inner.is_closed {
            self.watch(&mut inner);
        }
    }

    /// Sees to it that what was gathered is written in time.
    fn watch(&self, inner: &mut Inner) {
        if inner.is_watched {
            return self.0.changed.notify_one();
        }
        let shared = Arc::clone(&self.0);
        let thread = thread::Builder::new().name("samara-audit".to_owned());
        match thread.spawn(move || shared.watch()) {
            Ok(_) => inner.is_watched = true,
            // What was gathered is written with the next refusal, or at the end.
            Err(error) => tracing::warn!("the audit log is written late: no thread: {error}"),
        }
    }

    fn write(&self, line: Line) {
        self.0.write(&mut self.0.lock(), line);
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line, with the time.
    fn write(&self, inner: &mut Inner, mut line: Line) {
        /// 9999-12-31T23:59:59Z, the last that can be written.
        const LAST: Duration = Duration::from_secs(253_402_300_799);
        let time = std::time::UNIX_EPOCH + self.clock.unix().min(LAST);
        line.time = humantime::format_rfc3339_millis(time).to_string();
        inner.to.write(&line);
    }

    /// Writes what was gathered in windows that are over; in all, where no time is given.
    fn end_windows(&self, inner: &mut Inner, now: Option<Duration>) {
        for line in inner.windows.end(now) {
            self.write(inner, line);
        }
    }

    /// Ends windows in time, until the log is closed.
    fn watch(&self) {
        let mut inner = self.lock();
        while !inner.is_closed {
            let now = self.clock.monotonic();
            self.end_windows(&mut inner, Some(now));
            inner = match inner.windows.next_end() {
                None => self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(end) => {
                    let left = end.saturating_sub(now).max(LOOK_MIN);
                    let waited = self.changed.wait_timeout(inner, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

// === impl To ===

impl To {
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        // What a machine that failed left behind, stays in a line of its own. A pipe has no end.
        let is_cut = match file.metadata()?.is_file() && file.metadata()?.len() > 0 {
            true => {
                let mut last = [0];
                file.seek(io::SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
                last != *b"\n"
            }
            false => false,
        };
        Ok(Self::File { file, is_cut })
    }

    fn write(&mut self, line: &Line) {
        let written = serde_json::to_vec(line).map_err(io::Error::from).and_then(|mut bytes| {
            bytes.push(b'\n');
            self.write_bytes(bytes)
        });
        if let Err(error) = written {
            tracing::error!("the audit log has a line less: {error}");
        }
    }

    fn write_bytes(&mut self, mut bytes: Vec<u8>) -> io::Result<()> {
        let (file, is_cut) = match self {
            Self::Stderr => return io::stderr().write_all(&bytes),
            Self::File { file, is_cut } => (file, is_cut),
        };
        if *is_cut {
            bytes.insert(0, b'\n');
        }
        let written = loop {
            match file.write(&bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => break written?,
            }
        };
        *is_cut = written < bytes.len() && (written > 0 || *is_cut);
        match written < bytes.len() {
            true => Err(io::Error::other(format!("{written} of {} bytes", bytes.len()))),
            false => Ok(()),
        }
    }
}

// === impl Line ===

impl Line {
    fn about(who: Who<'_>, event: &'static str) -> Self {
        let tenant = Some(who.tenant.to_owned());
        Self { event, way: who.way, tenant, ticket: who.ticket.map(cut), ..Self::default() }
    }

    fn because(mut self, reason: &str) -> Self {
        self.reason = Some(cut(&without_passwords(reason)));
        self
    }

    fn of_some(self, batch: Option<&Batch>) -> Self {
        match batch {
            Some(batch) => self.of(&Of::batch(batch)),
            None => self,
        }
    }

    fn of(mut self, of: &Of) -> Self {
        self.job = Some(of.job.to_string());
        self.component = Some(of.component.to_string());
        self.function = Some(of.function.clone());
        self
    }
}

// === impl Of ===

impl Of {
    pub(crate) fn batch(batch: &Batch) -> Self {
        Self { job: batch.job, component: batch.component, function: cut(&batch.function) }
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
