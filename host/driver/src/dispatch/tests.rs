//! The dispatcher against a runtime that fails as told.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use samara_core::{
    Arguments, Capacity, ComponentId, Exceeded, Grants, JobId, Limits, Observer, SystemClock,
    UserError, UserErrorKind,
};

use super::*;
use crate::Summary;

/// Memory of the place: more than a task has that asks for none in particular.
const PLACE_BYTES: u64 = 8 << 30;

/// What the runtime does with a task's next attempt.
#[derive(Debug, Clone)]
enum Act {
    Succeed,
    Fail,
    OutOfMemory,
    PlatformFails(ErrorKind),
    /// The whole batch's answer is lost.
    LoseBatch,
    /// The batch is answered without this task.
    Omit,
    /// The batch is answered twice for this task.
    Repeat,
    /// The task is said to have shared an instance, and its output is not there.
    Garble,
    /// The task runs until it is cancelled.
    Hang,
    /// The worker never answers.
    Vanish,
}

/// Acts as told, task by task and attempt by attempt; then succeeds.
#[derive(Debug)]
struct Script {
    acts: Mutex<BTreeMap<u64, VecDeque<Act>>>,
    ran: Mutex<Vec<Ran>>,
}

/// An attempt that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ran {
    task: u64,
    attempt: u32,
    memory: u64,
    /// Tasks of its batch.
    together: usize,
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("script:")
    }
}

#[async_trait]
impl Runtime for Script {
    fn capacity(&self) -> Capacity {
        Capacity::new(2, 8).with_task_memory_max(Some(PLACE_BYTES))
    }

    fn reach(&self) -> samara_core::Reach {
        samara_core::Reach::Process
    }

    async fn invoke(
        &self,
        batch: Arc<Batch>,
        cancel: Cancel,
        observer: Arc<dyn Observer>,
    ) -> Result<(), Error> {
        observer.started();
        for task in &batch.tasks {
            let memory = batch.limits.memory_bytes;
            let (attempt, together) = (task.attempt, batch.tasks.len());
            self.ran.lock().unwrap().push(Ran { task: task.index, attempt, memory, together });
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
                Act::OutOfMemory => Outcome::LimitExceeded(Exceeded::Memory { limit: memory }),
                Act::PlatformFails(kind) => Outcome::Platform(Error::new(kind, "told so")),
                Act::LoseBatch => return Err(Error::new(ErrorKind::Lost, "the answer is lost")),
                Act::Omit => continue,
                Act::Garble => {
                    let (indices, ends) = (vec![task.index], vec![9]);
                    let shared = samara_core::Shared { indices, ends, ..Default::default() };
                    observer.ended(Reports::Shared(Box::new(shared)));
                    continue;
                }
                Act::Hang => {
                    while !cancel.is_cancelled() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    Outcome::Platform(Error::new(ErrorKind::Cancelled, "the task was cancelled"))
                }
                Act::Vanish => pending().await,
            };
            let (index, attempt) = (task.index, task.attempt);
            let (log, log_dropped, stats) = (Vec::new(), 0, Stats::default());
            let report = Report { index, attempt, outcome, log, log_dropped, stats };
            if matches!(act, Some(Act::Repeat)) {
                observer.ended(Reports::Each(vec![report.clone()]));
            }
            observer.ended(Reports::Each(vec![report]));
        }
        Ok(())
    }
}

struct Came {
    results: Vec<TaskResult>,
    attempts: Vec<Ran>,
    summary: Summary,
}

/// Runs `count` tasks, some of them as told.
fn run(count: usize, acts: &[(u64, &[Act])]) -> Came {
    run_with(count, acts, Policy::default(), |_| {})
}

/// The same under a policy, with a hand on the dispatcher before it starts.
fn run_with(
    count: usize,
    acts: &[(u64, &[Act])],
    policy: Policy,
    change: impl FnOnce(&mut Dispatch),
) -> Came {
    let acts = acts.iter().map(|(task, acts)| (*task, acts.iter().cloned().collect()));
    let script = Arc::new(Script { acts: Mutex::new(acts.collect()), ran: Mutex::default() });
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let ledger = Arc::new(Ledger::new(Some(count)));
    let numbers = Arc::new(Numbers::new(Arc::clone(&clock)));
    let mut dispatch = Dispatch {
        runtime: Arc::clone(&script) as _,
        template: Batch {
            job: JobId::new(0, 0),
            component: ComponentId::of(b""),
            function: "f".to_owned(),
            store: String::new(),
            limits: Limits::default(),
            grants: Grants::default(),
            task_count: count as u64,
            reuse: false,
            depth: 0,
            payer: Default::default(),
            tasks: Vec::new(),
        },
        policy,
        ledger: Arc::clone(&ledger),
        cancel: Cancel::default(),
        wake: Arc::default(),
        numbers: Arc::clone(&numbers),
        clock,
        progress: Progress::default(),
        log: None,
        finished: watch::channel(false).0,
    };
    change(&mut dispatch);
    let task = |index| Task { index, attempt: 0, arguments: Arguments::default(), partition: None };
    let tasks = (0..count as u64).map(task).collect();
    let feed = Feed::Ready(Fed { tasks, refused: Vec::new() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(dispatch.run(feed));
    assert!(ledger.is_complete(), "every task has a result");
    let summary = numbers.summary(&ledger);
    let results = (0..count).map(|index| ledger.take(index).unwrap()).collect();
    let attempts = script.ran.lock().unwrap().clone();
    Came { results, attempts, summary }
}

/// Retries without waits.
fn quick() -> Retries {
    Retries::default().backoff(Duration::ZERO)
}

/// Cancels a job a moment after so many of its tasks have ended.
fn cancel_after(dispatch: &mut Dispatch, tasks: usize) {
    let (cancel, wake) = (dispatch.cancel.clone(), Arc::clone(&dispatch.wake));
    let (told, ends) = std::sync::mpsc::channel();
    dispatch.policy.on_end = Some(Arc::new(move |_: &TaskEnd<'_>| {
        let _enough_have = told.send(());
    }));
    std::thread::spawn(move || {
        assert_eq!(ends.iter().take(tasks).count(), tasks);
        std::thread::sleep(Duration::from_millis(100));
        cancel.cancel();
        wake.notify_one();
    });
}

fn with_retries(retries: Retries) -> Policy {
    Policy { retries, ..Policy::default() }
}

fn value(result: &TaskResult) -> &[u8] {
    match result {
        Ok(Output::Inline(bytes)) => bytes,
        other => panic!("{other:?}"),
    }
}

fn kind(result: &TaskResult) -> ErrorKind {
    match &result.as_ref().unwrap_err().cause {
        Cause::Platform(error) => error.kind,
        other => panic!("{other:?}"),
    }
}

fn attempts_of(came: &Came, task: u64) -> usize {
    came.attempts.iter().filter(|ran| ran.task == task).count()
}

#[test]
fn the_last_attempts_of_a_task_take_no_other_with_them() {
    const LOSE: &[Act] = &[const { Act::LoseBatch }; 9];
    // Those before them show that tasks are tiny, and may share batches.
    let acts: Vec<(u64, &[Act])> = (50..400).map(|task| (task, LOSE)).collect();
    let came = run_with(400, &acts, with_retries(quick().budget(10.0)), |_| {});
    for (index, result) in came.results.iter().enumerate() {
        let attempts = result.as_ref().err().map(|error| error.attempts);
        assert_eq!(attempts, (index >= 50).then_some(Retries::default().attempts), "{index}");
    }
    let (early, late): (Vec<Ran>, Vec<Ran>) =
        came.attempts.iter().partition(|ran| ran.attempt + 2 < Retries::default().attempts);
    assert!(early.iter().any(|ran| ran.together > 1), "{early:?}");
    assert!(!late.is_empty() && late.iter().all(|ran| ran.together == 1), "{late:?}");
}

#[test]
fn a_task_has_no_more_memory_than_its_place() {
    let wants = |bytes: u64| {
        let came = run_with(1, &[], Policy::default(), |dispatch| {
            dispatch.template.limits.memory_bytes = bytes;
        });
        came.attempts[0].memory
    };
    assert_eq!((wants(7), wants(2 * PLACE_BYTES)), (7, PLACE_BYTES));
}

#[test]
fn less_memory_of_a_place_is_not_what_a_task_asks_for_next() {
    const LOSE: &[Act] = &[Act::LoseBatch];
    // Those before them show that tasks are tiny, and may share batches.
    let acts: Vec<(u64, &[Act])> = (50..400).map(|task| (task, LOSE)).collect();
    let came = run_with(400, &acts, with_retries(quick().budget(10.0)), |dispatch| {
        dispatch.template.limits.memory_bytes = 2 * PLACE_BYTES;
    });
    assert!(came.results.iter().all(Result::is_ok));
    assert!(came.attempts.iter().all(|ran| ran.memory == PLACE_BYTES));
    // One that asks for memory of its own goes alone.
    let again: Vec<&Ran> = came.attempts.iter().filter(|ran| ran.attempt == 1).collect();
    assert!(again.iter().any(|ran| ran.together > 1), "{again:?}");
}

#[test]
fn platform_failures_are_tried_again_until_they_pass() {
    let acts: &[Act] = &[Act::PlatformFails(ErrorKind::Lost), Act::PlatformFails(ErrorKind::Store)];
    let came = run(20, &[(7, acts)]);
    assert!(came.results.iter().all(Result::is_ok));
    assert_eq!(value(&came.results[7]), b"7");
    assert_eq!(attempts_of(&came, 7), 3);
    assert_eq!((came.summary.retries, came.summary.succeeded), (2, 20));
}

#[test]
fn what_a_worker_gives_back_uses_up_no_attempt() {
    const BACK: Act = Act::PlatformFails(ErrorKind::HandedBack);
    let came = run(3, &[(1, &[BACK; 6]), (2, &[BACK; 99])]);
    assert_eq!(value(&came.results[1]), b"1");
    assert!(came.attempts.iter().filter(|ran| ran.task == 1).all(|ran| ran.attempt == 0));
    // One that always comes back is out of order.
    let error = came.results[2].as_ref().unwrap_err();
    assert_eq!(error.attempts, Retries::default().attempts);
    assert_eq!(attempts_of(&came, 2), 16 + Retries::default().attempts as usize);
}

#[test]
fn what_others_of_a_tenant_have_is_waited_for_and_uses_up_no_attempt() {
    const TAKEN: Act = Act::PlatformFails(ErrorKind::Throttled);
    let acts: [(u64, &[Act]); 2] = [(1, &[TAKEN; 16]), (2, &[TAKEN; 99])];
    let came = run_with(3, &acts, with_retries(quick()), |_| {});
    assert_eq!(value(&came.results[1]), b"1");
    assert!(came.attempts.iter().filter(|ran| ran.task == 1).all(|ran| ran.attempt == 0));
    assert_eq!(came.results[2].as_ref().unwrap_err().attempts, Retries::default().attempts);
}

#[test]
fn a_platform_failure_that_stays_is_the_tasks_error() {
    let came = run(3, &[(1, &[const { Act::PlatformFails(ErrorKind::Lost) }; 9])]);
    let error = came.results[1].as_ref().unwrap_err();
    let attempts = Retries::default().attempts;
    assert_eq!(error.attempts, attempts);
    assert_eq!(attempts_of(&came, 1), attempts as usize);
    assert!(came.results[0].is_ok() && came.results[2].is_ok());
}

#[test]
fn failures_that_cannot_pass_are_not_tried_again() {
    let came = run(2, &[(0, &[Act::PlatformFails(ErrorKind::NotFound)]), (1, &[Act::Fail])]);
    assert!(came.results.iter().all(Result::is_err));
    assert_eq!((attempts_of(&came, 0), attempts_of(&came, 1)), (1, 1));
}

#[test]
fn a_lost_answer_loses_no_task() {
    let came = run(50, &[(3, &[Act::LoseBatch]), (30, &[Act::LoseBatch, Act::LoseBatch])]);
    assert!(came.results.iter().all(Result::is_ok));
    assert!(came.summary.retries >= 3);
}

#[test]
fn a_task_that_an_answer_leaves_out_is_tried_again() {
    let came = run(10, &[(4, &[Act::Omit])]);
    assert!(came.results.iter().all(Result::is_ok));
    assert_eq!(attempts_of(&came, 4), 2);
}

#[test]
fn a_task_whose_output_is_not_in_its_answer_is_tried_again() {
    let came = run(10, &[(4, &[Act::Garble])]);
    assert_eq!(value(&came.results[4]), b"4");
    assert_eq!(attempts_of(&came, 4), 2);
}

#[test]
fn a_task_that_is_answered_twice_counts_once() {
    let came = run(10, &[(4, &[Act::Repeat])]);
    assert_eq!(came.summary.succeeded, 10);
    assert_eq!(attempts_of(&came, 4), 1);
}

#[test]
fn a_users_error_is_tried_again_when_asked() {
    let acts: &[(u64, &[Act])] = &[(0, &[Act::Fail, Act::Fail]), (1, &[const { Act::Fail }; 9])];
    let retries = quick().user_errors(true).attempts(3);
    let came = run_with(3, acts, with_retries(retries), |_| {});
    assert_eq!(value(&came.results[0]), b"0");
    assert_eq!(came.results[1].as_ref().unwrap_err().attempts, 3);
    assert_eq!((attempts_of(&came, 1), came.summary.retries), (3, 4));
}

#[test]
fn memory_doubles_after_a_task_ran_out_of_it() {
    let retries = quick().memory_max(4 << 30);
    let acts: &[(u64, &[Act])] = &[(2, &[Act::OutOfMemory]), (3, &[const { Act::OutOfMemory }; 9])];
    let came = run_with(5, acts, with_retries(retries), |dispatch| {
        dispatch.template.limits.memory_bytes = 1 << 30;
    });
    assert!(came.results[2].is_ok());
    let memories = |task| -> Vec<u64> {
        let of = came.attempts.iter().filter(|ran| ran.task == task);
        of.map(|ran| ran.memory >> 30).collect()
    };
    assert_eq!((memories(2), memories(3), memories(4)), (vec![1, 2], vec![1, 2, 4], vec![1]));
    let cause = &came.results[3].as_ref().unwrap_err().cause;
    assert_eq!(*cause, Cause::LimitExceeded(Exceeded::Memory { limit: 4 << 30 }));
}

#[test]
fn a_budget_ends_the_retries_of_a_broken_place() {
    const LOSE: Act = Act::PlatformFails(ErrorKind::Lost);
    let lost: &[Act] = &[LOSE; 9];
    let acts: Vec<(u64, &[Act])> = (0..100).map(|task| (task, lost)).collect();
    let came = run_with(100, &acts, with_retries(quick().budget(0.2)), |_| {});
    assert!(came.results.iter().all(Result::is_err));
    assert_eq!((came.summary.retries, came.summary.failed), (30, 100));
}

#[test]
fn the_first_failure_stops_a_job_that_says_so() {
    let policy = Policy { on_failure: OnFailure::Stop, ..Policy::default() };
    let came = run_with(500, &[(0, &[Act::Fail])], policy, |_| {});
    assert!(matches!(came.results[0].as_ref().unwrap_err().cause, Cause::Failed(_)));
    let cancelled = came.results[1..].iter().filter(|result| result.is_err());
    assert!(cancelled.clone().count() > 400, "most were not done");
    assert!(cancelled.clone().all(|result| kind(result) == ErrorKind::Cancelled));
    assert_eq!((came.summary.failed, came.summary.cancelled), (1, cancelled.count() as u64));
    let text = came.results[499].as_ref().unwrap_err().to_string();
    assert!(text.contains("stops at the first failure"), "{text}");
}

#[test]
fn failures_are_tolerated_up_to_a_part() {
    let fail: &[Act] = &[Act::Fail];
    let policy = Policy { on_failure: OnFailure::Tolerate(0.1), ..Policy::default() };
    let few: Vec<(u64, &[Act])> = (0..10).map(|task| (task, fail)).collect();
    let came = run_with(100, &few, policy.clone(), |_| {});
    assert_eq!((came.summary.failed, came.summary.succeeded), (10, 90));
    let many: Vec<(u64, &[Act])> = (0..11).map(|task| (task, fail)).collect();
    let came = run_with(100, &many, policy, |_| {});
    let Summary { succeeded, failed, cancelled, .. } = came.summary;
    assert_eq!((failed, succeeded + failed + cancelled), (11, 100), "the rest was cancelled");
}

#[test]
fn a_jobs_time_ends_what_runs_and_what_never_started() {
    let hang: &[Act] = &[Act::Hang];
    let acts: Vec<(u64, &[Act])> = (0..50).map(|task| (task, hang)).collect();
    let policy = Policy { time: Some(Duration::from_millis(50)), ..Policy::default() };
    let came = run_with(50, &acts, policy, |_| {});
    assert!(came.results.iter().all(|result| kind(result) == ErrorKind::TimedOut));
    assert!(came.attempts.len() < 50, "some never started");
    let text = came.results[49].as_ref().unwrap_err().to_string();
    assert!(text.contains("the job's time of 50ms was over"), "{text}");
}

#[test]
fn a_straggler_gets_a_backup_and_the_first_value_counts() {
    let backups = Some(Backups::default().time_min(Duration::from_millis(200)));
    let policy = Policy { backups, ..Policy::default() };
    let came = run_with(20, &[(19, &[Act::Hang])], policy, |_| {});
    assert!(came.results.iter().all(Result::is_ok));
    assert_eq!((came.summary.backups, came.summary.retries), (1, 0));
    assert_eq!((attempts_of(&came, 19), came.summary.succeeded), (2, 20));
    let attempt = came.attempts.iter().rfind(|ran| ran.task == 19).unwrap().attempt;
    assert_eq!(attempt, 1);
}

#[test]
fn a_job_without_backups_waits_for_its_straggler() {
    let policy =
        Policy { backups: None, time: Some(Duration::from_millis(200)), ..Policy::default() };
    let came = run_with(20, &[(19, &[Act::Hang])], policy, |_| {});
    assert_eq!((came.summary.backups, attempts_of(&came, 19)), (0, 1));
    assert_eq!(kind(&came.results[19]), ErrorKind::TimedOut);
}

#[test]
fn a_worker_that_vanished_is_not_waited_for_when_a_job_is_cancelled() {
    let came = run_with(4, &[(3, &[Act::Vanish])], Policy::default(), |it| cancel_after(it, 3));
    assert_eq!(kind(&came.results[3]), ErrorKind::Cancelled);
    assert!(came.results[..3].iter().all(Result::is_ok));
}

#[test]
fn callbacks_are_told_of_each_task_once() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut policy = with_retries(quick());
    let teller = Arc::clone(&told);
    policy.on_end = Some(Arc::new(move |end: &TaskEnd<'_>| {
        teller.lock().unwrap().push((end.index, end.error.is_some()));
    }));
    let acts: &[(u64, &[Act])] = &[(1, &[Act::Fail]), (2, &[Act::Repeat]), (3, &[Act::LoseBatch])];
    run_with(5, acts, policy, |_| {});
    let mut told = told.lock().unwrap().clone();
    told.sort_unstable();
    assert_eq!(told, [(0, false), (1, true), (2, false), (3, false), (4, false)]);
}

#[test]
fn times_beyond_every_clock_are_no_end() {
    let retries = quick().backoff(Duration::MAX).backoff_max(Duration::MAX).jitter(0.0);
    let policy = Policy { time: Some(Duration::MAX), ..with_retries(retries) };
    let lost: &[Act] = &[Act::PlatformFails(ErrorKind::Lost)];
    let came = run_with(3, &[(1, lost)], policy.clone(), |it| cancel_after(it, 2));
    assert!(came.results[0].is_ok() && came.results[2].is_ok());
    assert_eq!(kind(&came.results[1]), ErrorKind::Cancelled, "it waited for its turn");
    assert_eq!((attempts_of(&came, 1), came.summary.retries), (1, 1));
    let came = run_with(3, &[], policy, |_| {});
    assert!(came.results.iter().all(Result::is_ok));
}

#[test]
fn a_callback_that_panics_ends_its_job() {
    let policy =
        Policy { on_end: Some(Arc::new(|end| assert_ne!(end.index, 7))), ..Policy::default() };
    let came = run_with(20, &[], policy, |_| {});
    let lost = came.results.iter().filter(|result| result.is_err());
    assert!(lost.clone().count() > 0 && lost.clone().all(|r| kind(r) == ErrorKind::Internal));
    let text = lost.clone().next_back().unwrap().as_ref().unwrap_err().to_string();
    assert!(text.contains("callback"), "{text}");
}
