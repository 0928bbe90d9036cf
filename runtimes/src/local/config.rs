//! What `local:` is made with.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use samara_core::{Clock, Error, ErrorKind, TaskHandler};

use crate::Context;

/// Stack of a slot's thread: the guest's own (1 MiB), the host calls below it, and room.
pub(super) const STACK_BYTES: usize = 4 << 20;

/// Tasks in a batch: some milliseconds of those that share an instance.
pub(crate) const BATCH_TASKS_MAX: usize = 16 << 10;

/// How long a report waits for others to go with it: a message wakes the driver's thread, which
/// costs about as much as a tiny task.
pub(super) const REPORTS_WAIT: Duration = Duration::from_millis(2);

/// How long a report waits at most, where the thread that has it is in a long task.
pub(super) const REPORTS_LATE: Duration = Duration::from_millis(20);

/// Slots at most: far above any machine's cores, far below its threads.
pub const SLOTS_MAX: usize = 1024;

/// Processes at most: far above any machine's cores.
#[cfg(feature = "http")]
const PROCESSES_MAX: usize = 256;

/// What `local:SLOTS?processes=N` says.
#[cfg(feature = "http")]
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ProcessesConfig {
    pub(super) processes: usize,
    /// Of all processes together.
    pub(super) slots: Option<usize>,
}

pub(super) struct Config {
    pub(super) slots: usize,
    pub(super) handler: Arc<dyn TaskHandler>,
    pub(super) clock: Arc<dyn Clock>,
}

// === impl Config ===

impl Config {
    /// Reads `local:` or `local:SLOTS`. The URL wins over the context; the default is one slot per
    /// core.
    pub(super) fn parse(url: &str, context: &Context) -> Result<Self, Error> {
        let invalid = |text: String| Error::new(ErrorKind::Invalid, text);
        let slots = match url.split_once(':').map_or("", |(_, rest)| rest) {
            "" => context.slots.unwrap_or_else(cores),
            digits => digits.parse().map_err(|_| {
                invalid(format!("`{url}`: `{digits}` is no number of slots (local:SLOTS)"))
            })?,
        };
        if !(1..=SLOTS_MAX).contains(&slots) {
            return Err(invalid(format!("`{url}`: slots must lie between 1 and {SLOTS_MAX}")));
        }
        let handler = context.handler.clone().ok_or_else(|| {
            invalid(format!(
                "`{url}` runs tasks in this process, which was built without an engine; \
                 enable the driver's feature `local`"
            ))
        })?;
        Ok(Self { slots, handler, clock: Arc::clone(&context.clock) })
    }
}

// === impl ProcessesConfig ===

#[cfg(feature = "http")]
impl ProcessesConfig {
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let invalid = |text: String| Error::new(ErrorKind::Invalid, format!("`{url}`: {text}"));
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let slots = match place.split_once(':').map_or("", |(_, rest)| rest) {
            "" => None,
            digits => {
                let slots = digits.parse().ok().filter(|slots| (1..=SLOTS_MAX).contains(slots));
                let wanted = || invalid(format!("slots must lie between 1 and {SLOTS_MAX}"));
                Some(slots.ok_or_else(wanted)?)
            }
        };
        let processes = query.strip_prefix("processes=").and_then(|digits| digits.parse().ok());
        let processes = processes.filter(|processes| (1..=PROCESSES_MAX).contains(processes));
        let wanted = || {
            let text = "after the `?` there may be processes=N, from 1 to";
            invalid(format!("{text} {PROCESSES_MAX}"))
        };
        Ok(Self { processes: processes.ok_or_else(wanted)?, slots })
    }
}

pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get().min(SLOTS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_urls_are_refused_by_name() {
        for (url, wanted) in [
            ("local:x", "no number of slots"),
            ("local:0", "between 1 and"),
            ("local:99999", "between 1 and"),
            ("local:", "without an engine"),
        ] {
            let error = Config::parse(url, &Context::default()).err().expect(url);
            assert!(error.message.contains(wanted) && error.message.contains(url), "{error}");
        }
    }
    #[cfg(feature = "http")]
    #[test]
    fn processes_are_read_or_refused_by_name() {
        let config = ProcessesConfig::parse("local:8?processes=2").unwrap();
        assert_eq!((config.processes, config.slots), (2, Some(8)));
        assert_eq!(ProcessesConfig::parse("local:?processes=3").unwrap().slots, None);
        for url in ["local:?processes=0", "local:?x=1", "local:?processes=", "local:x?processes=1"]
        {
            let error = ProcessesConfig::parse(url).unwrap_err();
            assert!(error.message.contains(url), "{error}");
        }
    }
}
