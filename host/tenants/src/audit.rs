//! The audit log: JSON, one line for each job that comes, each refusal, and each time that none of a
//! job's batches is left.
//!
//! A line is handed to the operating system whole, with one write to a file that is only appended
//! to. So several hosts may share a file, and a host that crashes leaves whole lines. It is not
//! waited for until the disk has them: lines of the last seconds before the whole machine fails may
//! be gone. Where the disk is full, a line may be cut; then it stays in a line of its own, and the
//! host says so in its own log and goes on.
//!
//! Strangers cannot fill the disk: of the refusals of one tenant, and of all strangers together, no
//! more than [`REFUSALS_MAX`] are written each second, and then how many were left out.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use samara_core::{Batch, Clock, ComponentId, JobId, Tally, without_passwords};
use serde::Serialize;

use crate::file::AuditPlace;

/// Lines about refusals in one second, of one tenant or of all strangers: enough to see what goes on.
const REFUSALS_MAX: u64 = 20;

/// Characters of a text that comes from outside, at most.
const TEXT_CHARS_MAX: usize = 300;

/// Writes the audit log.
pub(crate) struct Audit {
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
}

struct Inner {
    to: To,
    /// By tenant; strangers have no name. Tenants are known ones, so they are not many.
    refusals: BTreeMap<String, Rate>,
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

/// Refusals in one second.
#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    second: u64,
    written: u64,
    left_out: u64,
}

/// One line. What is not known is left out.
#[derive(Debug, Default, Serialize)]
struct Line {
    time: String,
    event: &'static str,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    sums: Option<Sums>,
}

/// What a job came to.
#[derive(Debug, Serialize)]
struct Sums {
    succeeded: u64,
    failed: u64,
    lost: u64,
    cpu_ms: u64,
    bytes: u64,
}

/// Who is written about.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Who<'a> {
    /// The tenant; none for strangers.
    pub(crate) tenant: Option<&'a str>,
    /// The ticket's name.
    pub(crate) ticket: Option<&'a str>,
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
        Ok(Self { clock, inner: Mutex::new(Inner { to, refusals: BTreeMap::new() }) })
    }

    /// A job's first batch was let in.
    pub(crate) fn job(&self, who: Who<'_>, batch: &Batch) {
        self.write(&self.about(who, "job").of(&Of::batch(batch)));
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
        self.write(&Line { sums: Some(sums), ..self.about(who, "ended").of(of) });
    }

    /// Somebody was refused, with a batch or before there was one.
    pub(crate) fn refused(&self, who: Who<'_>, batch: Option<&Batch>, reason: &str) {
        let second = self.clock.monotonic().as_secs();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = inner.refusals.entry(who.tenant.unwrap_or_default().to_owned()).or_default();
        let left_out = rate.turn(second);
        let is_written = rate.written < REFUSALS_MAX;
        match is_written {
            true => rate.written += 1,
            false => rate.left_out += 1,
        }
        if left_out > 0 {
            inner.to.write(&self.left_out(who.tenant, left_out));
        }
        if is_written {
            let mut line = self.about(who, "refused");
            line.reason = Some(cut(&without_passwords(reason)));
            inner.to.write(&match batch {
                Some(batch) => line.of(&Of::batch(batch)),
                None => line,
            });
        }
    }

    fn left_out(&self, tenant: Option<&str>, left_out: u64) -> Line {
        let who = Who { tenant, ticket: None };
        Line { left_out: Some(left_out), ..self.about(who, "left-out") }
    }

    fn about(&self, who: Who<'_>, event: &'static str) -> Line {
        /// 9999-12-31T23:59:59Z, the last that can be written.
        const LAST: Duration = Duration::from_secs(253_402_300_799);
        let time = std::time::UNIX_EPOCH + self.clock.unix().min(LAST);
        Line {
            time: humantime::format_rfc3339_millis(time).to_string(),
            event,
            tenant: who.tenant.map(str::to_owned),
            ticket: who.ticket.map(cut),
            ..Line::default()
        }
    }

    fn write(&self, line: &Line) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).to.write(line);
    }
}

/// Says what was left out last.
impl Drop for Audit {
    fn drop(&mut self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for (tenant, rate) in std::mem::take(&mut inner.refusals) {
            if rate.left_out > 0 {
                let tenant = (!tenant.is_empty()).then_some(tenant.as_str());
                inner.to.write(&self.left_out(tenant, rate.left_out));
            }
        }
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").finish_non_exhaustive()
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

// === impl Rate ===

impl Rate {
    /// Begins a new second, where there is one; gives what was left out in the old one.
    fn turn(&mut self, second: u64) -> u64 {
        if self.second == second {
            return 0;
        }
        std::mem::replace(self, Self { second, ..Self::default() }).left_out
    }
}

// === impl Line ===

impl Line {
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
mod tests {
    use samara_core::Usage;
    use serde_json::Value;

    use super::*;
    use crate::testing::{HandClock, batch};

    struct Log {
        directory: tempfile::TempDir,
        clock: Arc<HandClock>,
    }

    impl Log {
        fn new() -> Self {
            Self { directory: tempfile::tempdir().unwrap(), clock: Arc::default() }
        }

        fn open(&self) -> Audit {
            let place = AuditPlace::Path(self.directory.path().join("audit"));
            Audit::open(&place, Arc::clone(&self.clock) as Arc<dyn Clock>).unwrap()
        }

        fn text(&self) -> String {
            std::fs::read_to_string(self.directory.path().join("audit")).unwrap()
        }

        fn lines(&self) -> Vec<Value> {
            self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    }

    const ACME: Who<'_> = Who { tenant: Some("acme"), ticket: Some("ticket-1") };

    #[test]
    fn lines_say_what_is_known() {
        let log = Log::new();
        let audit = log.open();
        audit.job(ACME, &batch(1));
        let usage = Usage { cpu: Duration::from_micros(1_500), bytes: 7 };
        let tally = Tally { succeeded: 1, failed: 2, lost: 3, usage };
        audit.ended(ACME, &Of::batch(&batch(1)), &tally);
        audit.refused(Who::default(), None, "no ticket");
        let component = batch(1).component;
        let expected = [
            format!(
                r#"{{"time":"2027-01-15T08:00:00.000Z","event":"job","tenant":"acme","ticket":"ticket-1","job":"00000000010000000000000000","component":"{component}","function":"count"}}"#
            ),
            format!(
                r#"{{"time":"2027-01-15T08:00:00.000Z","event":"ended","tenant":"acme","ticket":"ticket-1","job":"00000000010000000000000000","component":"{component}","function":"count","succeeded":1,"failed":2,"lost":3,"cpu_ms":1,"bytes":7}}"#
            ),
            r#"{"time":"2027-01-15T08:00:00.000Z","event":"refused","reason":"no ticket"}"#
                .to_owned(),
        ];
        assert_eq!(log.text().lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn texts_of_others_stay_in_their_line_and_are_cut() {
        let log = Log::new();
        let mut batch = batch(1);
        batch.function = "f\"\n{\"event\":\"job\"}\u{1b}[31m".to_owned() + &"x".repeat(100_000);
        log.open().refused(ACME, Some(&batch), "to write s3://name:password@bucket/x");
        let lines = log.lines();
        assert_eq!(lines.len(), 1);
        assert!(log.text().len() < 1_000 && !log.text().contains(['\u{1b}', '\t']));
        assert_eq!(lines[0]["reason"], "to write s3://***@bucket/x");
    }

    #[test]
    fn refusals_are_written_at_a_bounded_rate_and_what_is_left_out_is_counted() {
        let log = Log::new();
        let audit = log.open();
        for _ in 0..1_000 {
            audit.refused(Who::default(), None, "no ticket");
        }
        audit.refused(ACME, None, "not drowned by strangers");
        assert_eq!(log.lines().len() as u64, REFUSALS_MAX + 1);
        log.clock.advance(Duration::from_secs(1));
        audit.refused(Who::default(), None, "no ticket");
        let lines = log.lines();
        let [.., left_out, refused] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((&left_out["event"], &left_out["left_out"]), (&"left-out".into(), &980.into()));
        assert_eq!(refused["event"], "refused");
        for _ in 0..REFUSALS_MAX {
            audit.refused(Who::default(), None, "no ticket");
        }
        drop(audit);
        assert_eq!(log.lines().last().unwrap()["left_out"], 1, "said at the end too");
    }

    #[test]
    fn all_lines_are_there_and_whole_under_load() {
        let log = Log::new();
        // Two hosts that share a file, with threads each.
        let audits = [log.open(), log.open()];
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let audit = &audits[thread % 2];
                scope.spawn(move || {
                    for n in 0..500 {
                        audit.job(ACME, &batch(thread as u64 * 1_000 + n));
                    }
                });
            }
        });
        let mut jobs: Vec<String> =
            log.lines().iter().map(|line| line["job"].to_string()).collect();
        jobs.sort_unstable();
        jobs.dedup();
        assert_eq!(jobs.len(), 4_000);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_holds_nothing_up() {
        let place = AuditPlace::Path("/dev/full".into());
        let audit = Audit::open(&place, Arc::new(HandClock::default())).unwrap();
        audit.job(ACME, &batch(1));
        audit.refused(ACME, None, "no ticket");
    }

    #[test]
    fn what_a_crash_cut_stays_in_a_line_of_its_own() {
        let log = Log::new();
        std::fs::write(log.directory.path().join("audit"), "{\"time\":\"20").unwrap();
        log.open().job(ACME, &batch(1));
        log.open().job(ACME, &batch(2));
        let text = log.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1..].iter().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    }
}
