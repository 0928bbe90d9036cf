//! What a job does about failures, stragglers and lost time.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use samara::{Backups, Cause, Ended, Exceeded, Job, OnFailure, Retries, TaskError, Until};
use samara_programs::{ends, reduce, reuse, sandbox};

use super::{collected, results, table, wait};
use crate::Context;

table! {
    policy:
    users_errors_are_tried_again_where_asked,
    traps_and_times_are_tried_again_where_asked,
    memory_is_doubled_up_to_its_maximum,
    time_is_limited_for_each_task,
    the_jobs_time_ends_tasks_that_never_started,
    times_without_end_are_no_end,
    the_first_failure_stops_the_rest_where_asked,
    a_part_of_failures_is_tolerated,
    a_reduce_leaves_tolerated_failures_out,
    a_straggler_gets_a_second_attempt needs Slots(2),
    tasks_behind_a_straggler_do_not_wait_for_it needs Slots(2),
    a_straggler_gets_none_unless_asked needs Slots(2),
    a_callback_is_told_of_each_tasks_end,
    policies_without_sense_are_refused_before_anything_runs,
}

/// Retries without a wait.
fn at_once(attempts: u32) -> Retries {
    Retries::default().attempts(attempts).backoff(Duration::from_millis(1))
}

fn codes<T>(results: &[Result<T, TaskError>]) -> Vec<&'static str> {
    results.iter().map(|result| result.as_ref().map_or_else(TaskError::code, |_| "")).collect()
}

fn ended<T: samara::Value>(job: &Job<T>) -> Vec<(u64, u32, Ended)> {
    wait(job.wait());
    let attempts = job.stats().attempts;
    let mut rows: Vec<_> =
        attempts.iter().map(|row| (row.task, row.attempt, row.outcome)).collect();
    rows.sort_unstable_by_key(|(task, attempt, _)| (*task, *attempt));
    rows
}

fn users_errors_are_tried_again_where_asked(context: &Context) {
    let map = context.executor().map(context.programs(), ends::fails_before_attempt, 0..4_u32);
    let job = wait(map.retries(at_once(3).user_errors(true))).unwrap();
    wait(job.wait());
    let summary = job.summary();
    assert_eq!((summary.succeeded, summary.failed, summary.retries), (3, 1, 5));
    let mut results = wait(job.results());
    let error = results.pop().unwrap().unwrap_err();
    assert_eq!((error.index, error.attempts, error.code()), (3, 3, "user-error"));
    let values: Vec<u32> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(values, [0, 1, 2], "the attempt that counted");
    let once = context.executor().map(context.programs(), ends::fails_before_attempt, [0, 1]);
    let job = wait(once.retries(at_once(3))).unwrap();
    assert_eq!(ended(&job), [(0, 0, Ended::Success), (1, 0, Ended::Failed)]);
}

fn traps_and_times_are_tried_again_where_asked(context: &Context) {
    let map = context.executor().map(context.programs(), ends::panics_if_odd, [2, 3]);
    let job = wait(map.retries(at_once(2).traps(true))).unwrap();
    let trapped = |attempt| (1, attempt, Ended::Trapped);
    assert_eq!(ended(&job), [(0, 0, Ended::Success), trapped(0), trapped(1)]);
    let map = context.executor().map(context.programs(), ends::sleeps_at_first, [60_000]);
    let map = map.time(Duration::from_secs(2)).retries(at_once(2).time_limits(true));
    assert_eq!(collected(wait(map)), [1]);
}

fn memory_is_doubled_up_to_its_maximum(context: &Context) {
    let sizes = [10 << 20, 100 << 20, 300 << 20];
    let map = context.executor().map(context.programs(), ends::allocates, sizes);
    let map = map.memory(64 << 20).retries(at_once(4).memory_max(256 << 20));
    let job = wait(map).unwrap();
    let exceeded = Ended::LimitExceeded;
    let wanted = [
        (0, 0, Ended::Success),
        (1, 0, exceeded),
        (1, 1, Ended::Success),
        (2, 0, exceeded),
        (2, 1, exceeded),
        (2, 2, exceeded),
    ];
    assert_eq!(ended(&job), wanted);
    let results = wait(job.results());
    assert_eq!(results[1].as_ref().unwrap(), &sizes[1]);
    let error = results[2].as_ref().unwrap_err();
    let limit = Exceeded::Memory { limit: 256 << 20 };
    assert_eq!((&error.cause, error.attempts), (&Cause::LimitExceeded(limit), 3));
}

fn time_is_limited_for_each_task(context: &Context) {
    let limit = Duration::from_secs(1);
    let map = context.executor().map(context.programs(), sandbox::sleeps, [1, 60_000, 1]);
    let results = results(wait(map.time(limit)));
    assert_eq!(codes(&results), ["", "out-of-time", ""]);
    let error = results[1].as_ref().unwrap_err();
    assert_eq!(error.cause, Cause::LimitExceeded(Exceeded::Time { limit }));
}

fn the_jobs_time_ends_tasks_that_never_started(context: &Context) {
    let executor = context.builder().slots(1).build().unwrap();
    let started = Instant::now();
    let map = executor.map(context.programs(), sandbox::sleeps, [1, 60_000, 60_000, 60_000]);
    let results = results(wait(map.job_time(Duration::from_secs(4))));
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert_eq!(codes(&results), ["", "timed-out", "timed-out", "timed-out"]);
    let text = results[3].as_ref().unwrap_err().to_string();
    assert!(text.contains("the job's time of 4s was over"), "{text}");
    // The slot is free again.
    assert!(wait(executor.call(context.programs(), sandbox::sleeps, 1)).is_ok());
}

fn times_without_end_are_no_end(context: &Context) {
    let forever = Duration::MAX;
    let map = context.executor().map(context.programs(), ends::fails_before_attempt, [0, 1]);
    let retries = Retries::default().user_errors(true).backoff(forever).backoff_max(forever);
    let map = map.retries(retries.jitter(0.0)).time(forever).job_time(forever);
    let job = wait(map).unwrap();
    assert!(wait(job.wait_until(Until::Any, Some(forever))).reached);
    // The other waits for an attempt that is never due.
    let waited = wait(job.wait_until(Until::All, Some(Duration::from_millis(200))));
    assert_eq!((waited.done, waited.reached), (1, false));
    job.cancel();
    assert!(wait(job.wait_until(Until::All, Some(forever))).reached);
    assert_eq!(codes(&results(Ok(job))), ["", "cancelled"]);
}

fn the_first_failure_stops_the_rest_where_asked(context: &Context) {
    let executor = context.builder().slots(1).build().unwrap();
    // 13 fails, 15 never ends.
    let map = executor.map(context.programs(), reuse::does_as_told, [1, 13, 15, 15, 15]);
    let results = results(wait(map.on_failure(OnFailure::Stop)));
    assert_eq!(codes(&results)[1..], ["user-error", "cancelled", "cancelled", "cancelled"]);
    // Where there are several slots, the first may still be on its way.
    assert!(["", "cancelled"].contains(&codes(&results)[0]), "{results:?}");
    let text = results[4].as_ref().unwrap_err().to_string();
    assert!(text.contains("stops at the first failure"), "{text}");
}

fn a_part_of_failures_is_tolerated(context: &Context) {
    let executor = context.builder().slots(1).build().unwrap();
    let map = |inputs: [u64; 10]| {
        let map = executor.map(context.programs(), reuse::does_as_told, inputs);
        results(wait(map.on_failure(OnFailure::Tolerate(0.1))))
    };
    let one = map([1, 13, 1, 1, 1, 1, 1, 1, 1, 1]);
    assert_eq!(codes(&one).iter().filter(|code| code.is_empty()).count(), 9);
    // Two are too many; the third would never end. The others may be done before, where there are
    // several slots: nobody promises their order.
    let two = map([13, 13, 15, 1, 1, 1, 1, 1, 1, 1]);
    assert_eq!(codes(&two)[..3], ["user-error", "user-error", "cancelled"]);
    assert!(codes(&two)[3..].iter().all(|code| ["", "cancelled"].contains(code)), "{two:?}");
    let text = two[2].as_ref().unwrap_err().to_string();
    assert!(text.contains("2 of 10 tasks failed, more than 10 % tolerated"), "{text}");
}

fn a_reduce_leaves_tolerated_failures_out(context: &Context) {
    let sum = |part: f64| {
        let (executor, programs) = (context.executor(), context.programs());
        let job = executor.map_reduce(programs, ends::fails_if_odd, 0..100_u64, reduce::sum);
        wait(wait(job.on_failure(OnFailure::Tolerate(part))).unwrap().value())
    };
    assert_eq!(sum(0.5).unwrap(), Some((0..100).filter(|n| n % 2 == 0).sum()));
    for _ in 0..5 {
        let error = sum(0.2).unwrap_err();
        assert!(error.to_string().contains("more than 20 % tolerated"), "{error}");
    }
    let (executor, programs) = (context.executor(), context.programs());
    let all = executor.map_reduce(programs, ends::fails_if_odd, [1, 3, 5_u64], reduce::sum);
    let all = wait(all.on_failure(OnFailure::Tolerate(1.0))).unwrap();
    assert_eq!(wait(all.value()).unwrap(), None, "nothing is left");
}

fn a_straggler_gets_a_second_attempt(context: &Context) {
    let executor = context.builder().slots(2).build().unwrap();
    let started = Instant::now();
    let delays = std::iter::once(120_000).chain([1; 11]);
    let map = executor.map(context.programs(), ends::sleeps_at_first, delays);
    let backups = Backups::default().time_min(Duration::from_millis(100));
    let job = wait(map.backups(Some(backups))).unwrap();
    wait(job.wait());
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    let summary = job.summary();
    assert_eq!((summary.succeeded, summary.failed, summary.retries), (12, 0, 0));
    assert!(summary.backups >= 1, "{summary:?}");
    assert_eq!(wait(job.values()).unwrap()[0], 1, "the second attempt counts");
    // The first attempt was stopped: both slots are free.
    let both = executor.map(context.programs(), sandbox::sleeps, [1, 1]);
    assert_eq!(collected(wait(both)).len(), 2);
}

fn tasks_behind_a_straggler_do_not_wait_for_it(context: &Context) {
    let executor = context.builder().slots(2).build().unwrap();
    let started = Instant::now();
    // Tiny tasks share batches, so that some come behind the slow one in its own.
    let delays = (0..4_000).map(|n| if n == 2_000 { 120_000 } else { 0 });
    let map = executor.map(context.programs(), ends::sleeps_at_first, delays);
    let backups = Backups::default().time_min(Duration::from_millis(100));
    let job = wait(map.backups(Some(backups))).unwrap();
    let waited = wait(job.wait_until(samara::Until::All, Some(Duration::from_secs(60))));
    assert!(waited.reached, "{waited:?} after {:?}", started.elapsed());
    let late = wait(job.values()).unwrap().into_iter().filter(|attempt| *attempt > 0).count();
    assert!(late >= 1, "none was the value of a second attempt");
}

fn a_straggler_gets_none_unless_asked(context: &Context) {
    let executor = context.builder().slots(2).build().unwrap();
    let delays = std::iter::once(1_500).chain([1; 11]);
    let map = executor.map(context.programs(), ends::sleeps_at_first, delays);
    let job = wait(map.backups(None)).unwrap();
    wait(job.wait());
    assert_eq!(job.summary().backups, 0);
    assert_eq!(wait(job.values()).unwrap(), [0; 12]);
}

fn a_callback_is_told_of_each_tasks_end(context: &Context) {
    let ends = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&ends);
    let map = context.executor().map(context.programs(), ends::fails_if_odd, 0..50_u64);
    let map = map.on_task_end(move |end| {
        kept.lock().unwrap().push((end.job, end.index, end.error.map(TaskError::code)));
    });
    let job = wait(map).unwrap();
    wait(job.wait());
    let mut ends = std::mem::take(&mut *ends.lock().unwrap());
    ends.sort_unstable_by_key(|(_, index, _)| *index);
    let code = |index| (index % 2 == 1).then_some("user-error");
    assert!(ends.into_iter().eq((0..50).map(|index| (job.id(), index, code(index)))));
    // One task's own callback, whether or not anybody waits.
    let (sender, receiver) = std::sync::mpsc::channel();
    let failed = sender.clone();
    job.task(4).on_end(move |result| drop(sender.send(result)));
    job.task(5).on_end(move |result| drop(failed.send(result)));
    let told = || receiver.recv_timeout(Duration::from_secs(60)).unwrap();
    let told = [told(), told()];
    assert!(told.iter().any(|result| matches!(result, Ok(4))), "{told:?}");
    assert!(told.iter().any(|r| r.as_ref().is_err_and(|error| error.index == 5)), "{told:?}");
}

fn policies_without_sense_are_refused_before_anything_runs(context: &Context) {
    let map = || context.executor().map(context.programs(), sandbox::sleeps, [60_000]);
    let refused = [
        (wait(map().retries(Retries::default().attempts(0))), "attempts"),
        (wait(map().backups(Some(Backups::default().slower(0.1)))), "slower"),
        (wait(map().on_failure(OnFailure::Tolerate(2.0))), "tolerate"),
        (wait(map().job_time(Duration::ZERO)), "job-time"),
    ];
    for (job, wanted) in refused {
        let error = job.unwrap_err();
        assert_eq!(error.code(), "invalid");
        assert!(error.to_string().contains(wanted), "{wanted}: {error}");
    }
}
