//! The dispatcher against a runtime that fails as told.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use async_trait::async_trait;
use samara_core::{
    Capacity, Clock, ComponentId, Grants, JobId, Limits, Stats, SystemClock, UserError,
    UserErrorKind,
};
use samara_store::Locator;

use super::*;
use crate::Summary;
use crate::ledger::TaskResult;

/// What the runtime does with a task's next attempt.
#[derive(Debug, Clone)]
enum Act {
    Succeed,
    Fail,
    PlatformFails(ErrorKind),
    /// The whole batch's answer is lost.
    LoseBatch,
    /// The batch is answered without this task.
    Omit,
    /// The batch is answered twice for this task.
    Repeat,
}

/// Acts as told, task by task and attempt by attempt; then succeeds.
#[derive(Debug)]
struct Script {
    acts: Mutex<BTreeMap<u64, VecDeque<Act>>>,
    ran: Mutex<Vec<(u64, u32)>>,
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("script:")
    }
}

#[async_trait]
impl Runtime for Script {
    fn capacity(&self) -> Capacity {
        Capacity::new(2, 8)
    }

    async fn invoke(&self, batch: Arc<Batch>, _: Cancel) -> Result<Vec<Report>, Error> {
        let mut reports = Vec::new();
        for task in &batch.tasks {
            self.ran.lock().unwrap().push((task.index, task.attempt));
            let act = self.acts.lock().unwrap().get_mut(&task.index).and_then(VecDeque::pop_front);
            let outcome = match act.clone().unwrap_or(Act::Succeed) {
                Act::Succeed | Act::Repeat => {
                    Outcome::Success(Output::Inline(Bytes::from(task.index.to_string())))
                }
                Act::Fail => Outcome::Failed(UserError {
                    kind: UserErrorKind::Returned,
                    message: "no".to_owned(),
                    causes: Vec::new(),
                }),
                Act::PlatformFails(kind) => Outcome::Platform(Error::new(kind, "told so")),
                Act::LoseBatch => return Err(Error::new(ErrorKind::Lost, "the answer is lost")),
                Act::Omit => continue,
            };
            let report = Report {
                index: task.index,
                attempt: task.attempt,
                outcome,
                log: Vec::new(),
                log_dropped: 0,
                stats: Stats::default(),
            };
            if matches!(act, Some(Act::Repeat)) {
                reports.push(report.clone());
            }
            reports.push(report);
        }
        Ok(reports)
    }
}

struct Ran {
    results: Vec<TaskResult>,
    attempts: Vec<(u64, u32)>,
    summary: Summary,
}

/// Runs `count` tasks, some of them as told.
fn run(count: u64, acts: &[(u64, &[Act])]) -> Ran {
    let acts = acts.iter().map(|(task, acts)| (*task, acts.iter().cloned().collect()));
    let script = Arc::new(Script { acts: Mutex::new(acts.collect()), ran: Mutex::default() });
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let ledger = Arc::new(Ledger::new(usize::try_from(count).unwrap()));
    let summary = Summary { tasks: count, ..Summary::default() };
    let summary =
        Arc::new(SharedSummary { started: clock.monotonic(), clock, summary: Mutex::new(summary) });
    let dispatch = Dispatch {
        runtime: Arc::clone(&script) as _,
        store: Locator::default().open("mem://dispatch-tests").unwrap(),
        ephemeral: true,
        template: Batch {
            job: JobId::new(0, 0),
            component: ComponentId::of(b""),
            function: "f".to_owned(),
            store: String::new(),
            limits: Limits::default(),
            grants: Grants::default(),
            task_count: count,
            tasks: Vec::new(),
        },
        ledger: Arc::clone(&ledger),
        cancel: Cancel::default(),
        summary: Arc::clone(&summary),
        progress: Progress::default(),
    };
    let arguments = Bytes::new();
    let tasks = (0..count).map(|index| Task {
        index,
        attempt: 0,
        arguments: arguments.clone(),
        partition: None,
    });
    let (feed, fed) = mpsc::unbounded_channel();
    drop(feed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(dispatch.run(tasks.collect(), fed));
    assert_eq!(ledger.left(), 0, "every task has a result");
    let results = (0..ledger.len()).map(|index| ledger.take(index).unwrap()).collect();
    let attempts = script.ran.lock().unwrap().clone();
    Ran { results, attempts, summary: summary.get() }
}

fn attempts_of(ran: &Ran, task: u64) -> usize {
    ran.attempts.iter().filter(|(index, _)| *index == task).count()
}

#[test]
fn platform_failures_are_tried_again_until_they_pass() {
    let acts: &[Act] = &[Act::PlatformFails(ErrorKind::Lost), Act::PlatformFails(ErrorKind::Store)];
    let ran = run(20, &[(7, acts)]);
    assert!(ran.results.iter().all(Result::is_ok));
    assert_eq!(ran.results[7].as_ref().unwrap(), "7");
    assert_eq!(attempts_of(&ran, 7), 3);
    assert_eq!((ran.summary.retries, ran.summary.succeeded), (2, 20));
}

#[test]
fn a_platform_failure_that_stays_is_the_tasks_error() {
    let ran = run(3, &[(1, &[const { Act::PlatformFails(ErrorKind::Lost) }; 9])]);
    let error = ran.results[1].as_ref().unwrap_err();
    assert_eq!(error.attempts, ATTEMPTS_MAX);
    assert_eq!(attempts_of(&ran, 1), ATTEMPTS_MAX as usize);
    assert!(ran.results[0].is_ok() && ran.results[2].is_ok());
}

#[test]
fn failures_that_cannot_pass_are_not_tried_again() {
    let ran = run(2, &[(0, &[Act::PlatformFails(ErrorKind::NotFound)]), (1, &[Act::Fail])]);
    assert!(ran.results.iter().all(Result::is_err));
    assert_eq!((attempts_of(&ran, 0), attempts_of(&ran, 1)), (1, 1));
}

#[test]
fn a_lost_answer_loses_no_task() {
    let ran = run(50, &[(3, &[Act::LoseBatch]), (30, &[Act::LoseBatch, Act::LoseBatch])]);
    assert!(ran.results.iter().all(Result::is_ok));
    assert!(ran.summary.retries >= 3);
}

#[test]
fn a_task_that_an_answer_leaves_out_is_tried_again() {
    let ran = run(10, &[(4, &[Act::Omit])]);
    assert!(ran.results.iter().all(Result::is_ok));
    assert_eq!(attempts_of(&ran, 4), 2);
}

#[test]
fn a_task_that_is_answered_twice_counts_once() {
    let ran = run(10, &[(4, &[Act::Repeat])]);
    assert_eq!(ran.summary.succeeded, 10);
    assert_eq!(attempts_of(&ran, 4), 1);
}

#[test]
fn tiny_tasks_share_a_batch_and_long_ones_go_alone() {
    let after = |wall| {
        let mut pace = Pace::default();
        (0..100).for_each(|_| pace.observe(wall));
        pace.batch_size()
    };
    assert_eq!(Pace::default().batch_size(), 1);
    assert_eq!(after(Duration::from_micros(10)), 400);
    assert_eq!(after(Duration::from_secs(1)), 1);
    assert!(after(Duration::ZERO) > 1);
}

#[test]
fn waits_grow_and_differ() {
    for attempt in 1..4 {
        let full = BACKOFF * 2_u32.pow(attempt - 1);
        let wait = backoff(attempt);
        assert!(wait <= full && wait >= full / 2, "{attempt}: {wait:?}");
    }
}
