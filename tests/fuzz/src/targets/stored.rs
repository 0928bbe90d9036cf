//! What drivers read of jobs in stores: manifests, event logs, ends, results. One of a job's objects
//! is the input, the others are sound.
//!
//! The first byte of an input says which.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use samara::{Encoded, Executor, JobRef, LogOptions, Storage, block_on};
use samara_core::{ComponentId, Error, ErrorKind, JobId, Limits, Output, layout};
use samara_wit::value::encode;
use serde::Serialize;
use serde_json::json;

use super::samples;
use crate::Target;
use crate::engine::Seen;

/// See the module.
pub const TARGET: Target = Target {
    name: "stored",
    seeds,
    words: &[
        "\"event\":\"attempt\"",
        "\"event\":\"log\"",
        "\"event\":\"end\"",
        "\"tasks\":",
        "\"parts\":",
        "null",
        "1e308",
        "18446744073709551615",
        "4294967295",
        "\n",
        "Value",
        "Failed",
        "Inline",
        "Stored",
        "Platform",
    ],
    bytes_max: 4 << 10,
    time_max: Duration::from_secs(10),
    start: || {
        let place = Place::new();
        Box::new(move |input| place.check(input))
    },
};

/// The executor's store; all of it is one job's.
const STORE: &str = "mem://fuzz-stored/jobs-of-one";

/// How long results are waited for: where there are to be more than there are, for ever.
const WAIT: Duration = Duration::from_millis(20);

/// Objects of a job, by the byte that an input begins with.
const KINDS: u8 = 5;

/// A driver that looks at a job of another one's.
struct Place {
    executor: Executor,
    io: tokio::runtime::Runtime,
    storage: Storage,
    job: JobId,
    names: [String; KINDS as usize],
    whole: [Vec<u8>; KINDS as usize],
}

/// As drivers write what a task came to.
#[derive(Serialize)]
enum Recorded {
    Value(Output),
    Failed(Failure),
}

#[derive(Serialize)]
struct Failure {
    attempts: u32,
    partition: Option<samara_core::Partition>,
    cause: Cause,
    log: Vec<samara_core::LogLine>,
}

#[derive(Serialize)]
enum Cause {
    Platform(Error),
}

fn manifest() -> Vec<u8> {
    let batch = samples::batch();
    let manifest = json!({
        "job": samples::job(),
        "component": ComponentId::of(b"component"),
        "function": "count",
        "tasks": 3,
        "runtime": "local:",
        "limits": Limits::default(),
        "grants": batch.grants,
        "submitted_unix_ms": 1_800_000_000_000_u64,
    });
    manifest.to_string().into_bytes()
}

fn events() -> Vec<u8> {
    let attempt = json!({
        "event": "attempt", "task": 0, "tasks": 1, "attempt": 0, "outcome": "success",
        "submitted": 1.0, "started": 1.1, "fetched": 1.2, "computed": 1.3, "stored": 1.4,
        "collected": 1.5, "wall": 0.2, "cpu": 0.1, "memory_peak": 65536, "bytes_in": 10,
        "bytes_out": 3, "host_calls": 2, "fuel": null,
    });
    let log = json!({
        "event": "log", "task": 1, "attempt": 0, "level": "info", "message": "a line",
    });
    let ends = [
        json!({ "event": "end", "task": 0, "error": null }),
        json!({
            "event": "end", "task": 1, "error": "it failed",
        }),
    ];
    format!("{attempt}\n{log}\n{}\n{}\n", ends[0], ends[1]).into_bytes()
}

fn end() -> Vec<u8> {
    let end = json!({
        "parts": 1,
        "summary": {
            "tasks": 3, "succeeded": 2, "failed": 1, "retries": 0, "backups": 0, "bytes_read": 1,
            "output_bytes": 2, "task_time": 0.5, "cpu_time": 0.25, "memory_peak": 3, "elapsed": 1.5,
        },
        "stopped": null,
    });
    end.to_string().into_bytes()
}

fn results() -> Vec<u8> {
    let inline = Output::Inline(Bytes::from_static(&[0x18, 0x2a]));
    let cause = Cause::Platform(Error::new(ErrorKind::Lost, "gone"));
    let failure = Failure { attempts: 2, partition: None, cause, log: Vec::new() };
    let results = [
        (0_u64, Recorded::Value(inline)),
        (1, Recorded::Failed(failure)),
        (2, Recorded::Value(Output::Stored { size: 2, content: None })),
    ];
    encode(&results).expect("it can be encoded")
}

fn whole() -> [Vec<u8>; KINDS as usize] {
    [manifest(), events(), end(), results(), vec![0x18, 0x2a]]
}

fn seeds() -> Vec<Vec<u8>> {
    let whole = whole();
    (0..KINDS).zip(&whole).map(|(kind, bytes)| [&[kind], &**bytes].concat()).collect()
}

// === impl Place ===

impl Place {
    fn new() -> Self {
        let job = samples::job();
        let executor = Executor::builder().store(STORE).slots(1).progress(false).build();
        let executor = executor.expect("an executor");
        let storage = executor.storage();
        let names = [
            layout::manifest(&job),
            layout::event_part(&job, 0),
            layout::end(&job),
            layout::result_part(&job, 0),
            layout::output(&job, 2),
        ];
        let io =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a thread");
        let place = Self { executor, io, storage, job, names, whole: whole() };
        place.reset();
        // Else nothing but errors would be tried.
        let status = block_on(place.executor.job_status(job)).expect("sound objects");
        assert_eq!((status.function.as_str(), status.succeeded), ("count", 2));
        // On a machine that has much else to do the first look may be late.
        let mut looks = (0..500).map(|_| place.results());
        let results = looks.find(|results| results.as_ref().err().is_none_or(|why| why != "late"));
        assert_eq!((results, place.lines()), (Some(Ok((2, 1))), Ok(1)));
        place
    }

    fn reset(&self) {
        for at in 0..usize::from(KINDS) {
            self.put(at, &self.whole[at]);
        }
    }

    fn put(&self, at: usize, bytes: &[u8]) {
        let url = format!("{STORE}/{}", self.names[at]);
        block_on(self.storage.put(&url, Bytes::copy_from_slice(bytes))).expect("it is put");
    }

    fn check(&self, input: &[u8]) -> Seen {
        let Some((kind, bytes)) = input.split_first() else { return Seen::of(()) };
        let kind = kind % KINDS;
        self.put(kind.into(), bytes);
        let mut seen = Seen::of(kind);
        let status = block_on(self.executor.job_status(self.job));
        seen = match &status {
            Ok(status) => seen.and((status.state.name(), status.tasks.map(|n| n.min(9)))),
            Err(error) => seen.and(format!("{:?}", Seen::text(&error.to_string()))),
        };
        // Of what is left of it, all that can be had is looked at.
        let listed = block_on(self.executor.jobs(2)).map(|jobs| jobs.len());
        seen = seen.and(listed.unwrap_or(9));
        seen = seen.and(self.lines().map_err(|text| text.len().min(80)));
        let stats = block_on(self.executor.job_stats(self.job));
        seen = seen.and(stats.map(|stats| stats.to_csv().len().min(500)).is_ok());
        if kind != 1 {
            seen = seen.and(self.results().map_err(|text| text.len().min(80)));
        }
        self.put(kind.into(), &self.whole[usize::from(kind)]);
        seen
    }

    fn lines(&self) -> Result<usize, String> {
        let lines = block_on(self.executor.job_log(self.job, LogOptions::default()));
        let lines = lines.map_err(|error| error.to_string())?;
        let lines: Vec<_> =
            block_on(lines.try_collect()).map_err(|error: samara::Error| error.to_string())?;
        Ok(lines.len())
    }

    /// Values and errors that another process's job came to, as far as they are there in time.
    fn results(&self) -> Result<(usize, usize), String> {
        let reference = JobRef { id: self.job, store: self.executor.store() };
        let ended = async {
            let job = self.executor.collect::<Encoded>(&reference).await;
            let ended = job.map_err(|error| error.to_string())?.as_completed().take(64);
            Ok(ended.map(|(_, result)| result.is_ok()).collect::<Vec<bool>>().await)
        };
        let ended = self.io.block_on(async { tokio::time::timeout(WAIT, ended).await });
        let ended = ended.unwrap_or_else(|_| Err("late".to_owned()))?;
        let succeeded = ended.iter().filter(|is_ok| **is_ok).count();
        Ok((succeeded, ended.len() - succeeded))
    }
}
