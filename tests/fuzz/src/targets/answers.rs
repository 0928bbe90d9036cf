//! What a driver makes of a host's answers: a job whose tasks are run by nobody, and reported as the
//! input says.
//!
//! An input is a body of frames, as hosts send them. Whatever it says, the job ends: each task has one
//! result, and its numbers can be shown.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use samara::{Component, Encoded, Executor, Plan, Retries, block_on};
use samara_core::wire::{Frame, Frames};
use samara_core::{
    Batch, Cancel, Capacity, Error, Observer, Outcome, Output, Reach, Report, Reports, Runtime,
    Stats,
};

use super::{components, samples};
use crate::Target;
use crate::engine::Seen;

/// See the module.
pub const TARGET: Target = Target {
    name: "answers",
    seeds,
    words: &["Ended", "Each", "Shared", "Inline", "Stored", "Platform", "wall", "started", "ends"],
    bytes_max: 8 << 10,
    time_max: Duration::from_secs(10),
    start: || {
        let driver = Driver::new();
        Box::new(move |input| driver.check(input))
    },
};

/// Tasks of the job.
const TASKS: u64 = 3;

/// Tells of tasks what it was given to tell.
#[derive(Debug, Default)]
struct Says(Mutex<Vec<u8>>);

struct Driver {
    executor: Executor,
    component: Component,
    says: Arc<Says>,
}

fn seeds() -> Vec<Vec<u8>> {
    let body = |frames: &[Frame]| {
        let mut body = Vec::new();
        frames.iter().for_each(|frame| frame.write(&mut body).expect("it is short"));
        body
    };
    let value = |index, wall| Report {
        index,
        attempt: 0,
        outcome: Outcome::Success(Output::Inline(Bytes::from_static(&[7]))),
        log: Vec::new(),
        log_dropped: 0,
        stats: Stats { started: wall, wall, cpu: wall, ..Stats::default() },
    };
    let second = Duration::from_secs(1);
    let all = Frame::Ended(Reports::Each((0..TASKS).map(|index| value(index, second)).collect()));
    let long =
        (0..TASKS).map(|index| Frame::Ended(Reports::Each(vec![value(index, Duration::MAX)])));
    let mut seeds: Vec<Vec<u8>> =
        samples::frames().iter().map(|frame| body(std::slice::from_ref(frame))).collect();
    seeds.extend([body(&[Frame::Started, all, Frame::Done]), body(&long.collect::<Vec<_>>())]);
    seeds.push(body(&samples::frames()));
    seeds
}

// === impl Driver ===

impl Driver {
    fn new() -> Self {
        let says = Arc::new(Says::default());
        let executor = Executor::builder()
            .runtime_of(Arc::clone(&says) as Arc<dyn Runtime>)
            .retries(Retries::none())
            .backups(None)
            .progress(false)
            .build()
            .expect("an executor");
        Self { executor, component: Component::from_bytes(components::answering(7)), says }
    }

    fn check(&self, input: &[u8]) -> Seen {
        *self.says.0.lock().unwrap_or_else(PoisonError::into_inner) = input.to_vec();
        let inputs = (0..TASKS).map(|_| Bytes::from_static(&[0x80]));
        let job = block_on(async {
            self.executor.map_untyped(&self.component, "f", Plan::values(inputs)).await
        });
        let job = job.expect("the component is sound");
        block_on(job.wait());
        let (summary, stats) = (job.summary(), job.stats());
        assert!(summary.succeeded + summary.failed <= TASKS, "{summary:?}");
        let _shown = (stats.to_csv(), format!("{summary:?}"));
        let results: Vec<Result<Encoded, _>> = block_on(job.results());
        assert_eq!(results.len(), usize::try_from(TASKS).expect("few"), "each task has one result");
        let kind = |result: &Result<Encoded, samara::TaskError>| match result {
            Ok(value) => value.0.len().min(9).to_string(),
            Err(error) => error.code().to_owned(),
        };
        Seen::of(results.iter().map(kind).collect::<Vec<String>>())
    }
}

// === impl Says ===

impl fmt::Display for Says {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fuzz:")
    }
}

#[async_trait]
impl Runtime for Says {
    fn capacity(&self) -> Capacity {
        Capacity::new(1, 1000)
    }

    fn reach(&self) -> Reach {
        Reach::Process
    }

    async fn invoke(
        &self,
        _: Arc<Batch>,
        _: Cancel,
        observer: Arc<dyn Observer>,
    ) -> Result<(), Error> {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut frames = Frames::default();
        frames.push(&body);
        loop {
            match frames.next_frame()? {
                Some(Frame::Started) => observer.started(),
                Some(Frame::Ended(reports)) => observer.ended(reports),
                Some(Frame::Failed(error)) => return Err(error),
                Some(Frame::Done) | None => return Ok(()),
                Some(_) => {}
            }
        }
    }
}
