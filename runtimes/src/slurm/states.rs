//! What Slurm says of its jobs.

use std::collections::BTreeMap;

use samara_core::{Error, ErrorKind};

/// An array's id and an index of it.
pub(super) type Name = (u64, u32);

/// What `squeue` is asked for: array, index and state.
pub(super) const QUEUE: [&str; 6] =
    ["--me", "--noheader", "--array", "--states=all", "--format=%F|%K|%T", "--sort=i"];

/// What is known of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Slurm has others before it.
    Pending,
    /// It is at work, or about to be, or about to have ended.
    Active,
    /// It ended, and so far all is well.
    Completed,
    /// It ended in another way.
    Failed,
}

/// How an index ended, as `scontrol show job` tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct End {
    pub(super) state: String,
    pub(super) reason: String,
    /// What it ended with, and the signal that ended it.
    pub(super) code: (u32, u32),
}

/// What `squeue` lists; lines of jobs that are no arrays are none.
pub(super) fn queue(said: &str) -> BTreeMap<Name, State> {
    said.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<(Name, State)> {
    let mut parts = line.trim().split('|');
    let name = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some((name, State::of(parts.next()?)))
}

/// The ends that `scontrol --oneliner show job ARRAY` tells of, by their indexes.
pub(super) fn ends(said: &str) -> BTreeMap<u32, End> {
    let end = |line: &str| {
        let field = |name: &str| {
            let words = line.split_whitespace();
            words.into_iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let (code, signal) = field("ExitCode")?.split_once(':')?;
        let own = |name| field(name).unwrap_or_default().to_owned();
        let code = (code.parse().ok()?, signal.parse().ok()?);
        let end = End { state: own("JobState"), reason: own("Reason"), code };
        Some((field("ArrayTaskId")?.parse().ok()?, end))
    };
    said.lines().filter_map(end).collect()
}

// === impl State ===

impl State {
    /// By its name in the manual of `squeue`. One that is not known is no end.
    fn of(said: &str) -> Self {
        match said {
            "PENDING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED" | "RESV_DEL_HOLD" => {
                Self::Pending
            }
            "COMPLETED" => Self::Completed,
            "BOOT_FAIL" | "CANCELLED" | "DEADLINE" | "FAILED" | "NODE_FAIL" | "OUT_OF_MEMORY"
            | "PREEMPTED" | "REVOKED" | "SPECIAL_EXIT" | "TIMEOUT" => Self::Failed,
            _ => Self::Active,
        }
    }
}

// === impl End ===

impl End {
    /// Why an index has no answer. What another attempt would come to again is not retried.
    pub(super) fn error(&self, (array, index): Name, log: Option<&str>) -> Error {
        let (kind, why) = self.meaning();
        let log = match log {
            Some(log) => format!("its log is {log}/samara-{array}_{index}.log"),
            None => "`?log=DIR` keeps the logs of hosts".to_owned(),
        };
        let Self { state, reason, code: (code, signal) } = self;
        let text = format!(
            "index {index} of Slurm's job {array} {why} ({state}, {reason}, exit code \
             {code}:{signal}); {log}"
        );
        Error::new(kind, text)
    }

    fn meaning(&self) -> (ErrorKind, &'static str) {
        match (self.state.as_str(), self.code.0) {
            ("TIMEOUT" | "DEADLINE", _) => {
                (ErrorKind::Lost, "hit its time limit; `?time=MINUTES` asks for more")
            }
            ("OUT_OF_MEMORY", _) => {
                (ErrorKind::Lost, "took more memory than it has; `?memory=SIZE` asks for more")
            }
            ("PREEMPTED", _) => (ErrorKind::Lost, "was preempted"),
            ("CANCELLED", _) => (ErrorKind::Lost, "was cancelled from elsewhere"),
            ("NODE_FAIL" | "BOOT_FAIL", _) => (ErrorKind::Lost, "lost its node"),
            ("FAILED", 70) => (ErrorKind::Invalid, "was on a node that can run no guests"),
            ("FAILED", 75) => (ErrorKind::Lost, "could not read from the job's store, or write"),
            ("FAILED", 77) => (
                ErrorKind::Denied,
                "refused what it was to do: the ticket, an object that it does not allow, or a \
                 manifest that was changed",
            ),
            ("FAILED", 78) => (ErrorKind::Invalid, "refused its settings"),
            ("FAILED", 126 | 127) => (
                ErrorKind::Invalid,
                "found no host to start; `?host=PATH` says where `samara-host` is on the nodes",
            ),
            ("COMPLETED", _) => (ErrorKind::Lost, "ended without an answer"),
            _ => (ErrorKind::Lost, "failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_read_as_squeue_writes_it() {
        let said =
            "5|0|PENDING\n5|1|RUNNING\n 5|2|COMPLETED\n5|3|TIMEOUT\n6|N/A|RUNNING\n5|4|NEW\n";
        let states = queue(said);
        let wanted =
            [State::Pending, State::Active, State::Completed, State::Failed, State::Active];
        let wanted = wanted.into_iter().zip(0..).map(|(state, index)| ((5, index), state));
        assert!(states.into_iter().eq(wanted));
    }

    #[test]
    fn ends_are_read_as_scontrol_writes_them() {
        let said = "JobId=7 ArrayJobId=5 ArrayTaskId=2 JobName=samara UserId=root(0) \
                    JobState=FAILED Reason=NonZeroExitCode Dependency=(null) ExitCode=127:0 X=1\n\
                    JobId=5 ArrayJobId=5 ArrayTaskId=3-9 JobState=PENDING ExitCode=0:0\n";
        let ends = ends(said);
        assert_eq!(ends.len(), 1);
        let error = ends[&2].error((5, 2), None);
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.message.contains("?host=PATH") && error.message.contains("127:0"), "{error}");
    }

    #[test]
    fn only_what_would_come_to_the_same_again_is_not_retried() {
        let of = |state: &str, code| {
            let end = End { state: state.to_owned(), reason: "None".to_owned(), code: (code, 0) };
            end.error((1, 2), Some("/logs")).kind
        };
        for (state, code, kind) in [
            ("FAILED", 77, ErrorKind::Denied),
            ("FAILED", 78, ErrorKind::Invalid),
            ("FAILED", 75, ErrorKind::Lost),
            ("FAILED", 1, ErrorKind::Lost),
            ("TIMEOUT", 0, ErrorKind::Lost),
            ("PREEMPTED", 0, ErrorKind::Lost),
            ("COMPLETED", 0, ErrorKind::Lost),
        ] {
            assert_eq!(of(state, code), kind, "{state} {code}");
        }
    }
}
