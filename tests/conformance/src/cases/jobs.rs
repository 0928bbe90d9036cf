//! Jobs and their futures.

use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use samara::{Cause, Retries, TaskError};
use samara_programs::{ends, sandbox, task, values};

use super::{table, wait};
use crate::Context;

table! {
    jobs:
    futures_are_awaited_singly,
    futures_in_order_and_joined,
    results_stream_as_they_complete needs Slots(3),
    several_jobs_run_at_once_and_executors_live_side_by_side,
    cancelling_stops_running_guests,
    cancelling_wakes_a_sleeping_guest_and_one_that_asks,
    dropping_a_job_cancels_it,
    dropping_a_call_cancels_it,
    calls_run_side_by_side_and_end_in_time needs Slots(2),
    an_executor_may_be_dropped_inside_an_async_runtime,
    an_executor_may_be_dropped_inside_block_on,
    a_task_knows_which_it_is,
    a_summary_counts_tasks_and_bytes,
    tiny_tasks_are_many,
    jobs_of_one_executor_are_collected_in_any_order,
    one_slot_runs_every_task,
    waiting_twice_is_waiting_once,
    a_summary_tells_successes_from_failures,
    a_call_that_ends_soon_and_well_leaves_no_record,
}

fn is_cancelled(error: &TaskError) -> bool {
    matches!(&error.cause, Cause::Platform(e) if e.kind == samara_core::ErrorKind::Cancelled)
}

fn futures_are_awaited_singly(context: &Context) {
    let job =
        wait(context.executor().map(context.programs(), values::add, [(1, 1), (2, 2), (3, 3)]))
            .unwrap();
    let (last, first) = (job.task(2), job.task(0));
    assert_eq!(wait(last).unwrap(), 6);
    assert_eq!(wait(first).unwrap(), 2);
    let again = wait(job.task(0)).unwrap_err().to_string();
    assert!(again.contains("handed out once"), "{again}");
}

fn futures_in_order_and_joined(context: &Context) {
    let job =
        wait(context.executor().map(context.programs(), values::add, (0..300).map(|n| (n, 1))))
            .unwrap();
    let values = wait(futures::future::join_all(job.into_futures()));
    let values: Vec<u64> = values.into_iter().map(Result::unwrap).collect();
    assert_eq!(values, (1..301).collect::<Vec<u64>>());
}

fn results_stream_as_they_complete(context: &Context) {
    // Seconds apart: on a busy machine they do not start together.
    let delays = [8_000, 5, 3_000];
    let executor = context.builder().slots(3).build().unwrap();
    let job = wait(executor.map(context.programs(), sandbox::sleeps, delays)).unwrap();
    let order: Vec<usize> = wait(job.as_completed().map(|(index, _)| index).collect());
    assert_eq!(order, [1, 2, 0]);
}

fn several_jobs_run_at_once_and_executors_live_side_by_side(context: &Context) {
    let other = context.builder().slots(1).build().unwrap();
    let first =
        wait(context.executor().map(context.programs(), values::add, (0..50).map(|n| (n, 0))))
            .unwrap();
    let second = wait(other.map(context.programs(), values::add, (0..50).map(|n| (n, 1)))).unwrap();
    assert_ne!(first.id(), second.id());
    assert_eq!(wait(second.values()).unwrap().iter().sum::<u64>(), 1275);
    assert_eq!(wait(first.values()).unwrap().iter().sum::<u64>(), 1225);
}

fn cancelling_stops_running_guests(context: &Context) {
    let executor = context.builder().slots(2).build().unwrap();
    for round in 0..2 {
        let busy = wait(executor.map(context.programs(), ends::loops, [(); 10])).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        let started = Instant::now();
        busy.cancel();
        let results = wait(busy.results());
        assert!(results.iter().all(|result| is_cancelled(result.as_ref().unwrap_err())));
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        // The slots are free again.
        assert_eq!(
            wait(executor.call(context.programs(), values::add, (round, 1))).unwrap(),
            round + 1
        );
    }
}

fn cancelling_wakes_a_sleeping_guest_and_one_that_asks(context: &Context) {
    let executor = context.builder().slots(2).build().unwrap();
    let sleeping =
        wait(executor.map(context.programs(), sandbox::sleeps, [60_000, 60_000])).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    sleeping.cancel();
    assert!(wait(sleeping.results()).iter().all(Result::is_err));
    let asking =
        wait(executor.map(context.programs(), task::waits_for_cancellation, [()])).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    asking.cancel();
    assert_eq!(wait(asking.results()).len(), 1);
}

fn dropping_a_job_cancels_it(context: &Context) {
    let executor = context.builder().slots(1).build().unwrap();
    drop(wait(executor.map(context.programs(), ends::loops, [(); 3])).unwrap());
    assert_eq!(wait(executor.call(context.programs(), values::add, (1, 2))).unwrap(), 3);
}

fn dropping_a_call_cancels_it(context: &Context) {
    let executor = context.builder().slots(1).build().unwrap();
    let mut call = executor.call(context.programs(), ends::loops, ());
    assert!((&mut call).now_or_never().is_none());
    std::thread::sleep(Duration::from_millis(30));
    drop(call);
    assert_eq!(wait(executor.call(context.programs(), values::add, (1, 2))).unwrap(), 3);
}

fn calls_run_side_by_side_and_end_in_time(context: &Context) {
    let executor = context.builder().slots(2).build().unwrap();
    let call = |a| executor.call(context.programs(), values::add, (a, 1));
    let sums = wait(futures::future::join_all((0..50).map(call)));
    let sums: Vec<u64> = sums.into_iter().map(Result::unwrap).collect();
    assert!(sums.into_iter().eq(1..=50));
    let endless = executor.call(context.programs(), ends::loops, ());
    let endless = endless.job_time(Duration::from_millis(100));
    let (endless, sum) = wait(async { futures::join!(endless, call(1)) });
    assert_eq!(sum.unwrap(), 2);
    let error = endless.unwrap_err().to_string();
    assert!(error.contains("the job's time of 100ms was over"), "{error}");
    let retries = Retries::default().user_errors(true).backoff(Duration::from_millis(5));
    let again = executor.call(context.programs(), ends::fails_before_attempt, 2_u32);
    assert_eq!(wait(again.retries(retries)).unwrap(), 2);
}

fn an_executor_may_be_dropped_inside_an_async_runtime(context: &Context) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let sum = runtime.block_on(async {
        let executor = context.builder().build().unwrap();
        executor.call(context.programs(), values::add, (20, 22)).await.unwrap()
    });
    assert_eq!(sum, 42);
}

fn an_executor_may_be_dropped_inside_block_on(context: &Context) {
    let sum = wait(async {
        let executor = context.builder().build().unwrap();
        executor.call(context.programs(), values::add, (20, 22)).await.unwrap()
    });
    assert_eq!(sum, 42);
}

fn a_task_knows_which_it_is(context: &Context) {
    let job = wait(context.executor().map(context.programs(), task::identity, [(); 3])).unwrap();
    let id = job.id().to_string();
    let identities = wait(job.values()).unwrap();
    assert_eq!(identities, [(id.clone(), 0, 0), (id.clone(), 1, 0), (id, 2, 0)]);
}

fn a_summary_counts_tasks_and_bytes(context: &Context) {
    context.put("lines", "x\n".repeat(1000));
    let objects = samara::Objects::at(context.url("lines")).chunk_bytes(500);
    let job = wait(context.executor().map(
        context.programs(),
        samara_programs::input::count_lines,
        objects,
    ));
    let job = job.unwrap();
    wait(job.wait());
    let summary = job.summary();
    assert_eq!((summary.tasks, summary.succeeded, summary.failed), (4, 4, 0));
    assert_eq!(summary.bytes_read, 2000);
    assert!(summary.memory_peak > 0 && summary.elapsed > Duration::ZERO);
}

fn tiny_tasks_are_many(context: &Context) {
    let inputs = (0..20_000_u64).map(|n| (n, n));
    let job = wait(context.executor().map(context.programs(), values::add, inputs)).unwrap();
    let sum: u64 = wait(job.values()).unwrap().iter().sum();
    assert_eq!(sum, 19_999 * 20_000);
}

fn jobs_of_one_executor_are_collected_in_any_order(context: &Context) {
    let map = |add: u64| {
        let inputs = (0..4).map(move |n| (n, add));
        wait(context.executor().map(context.programs(), values::add, inputs)).unwrap()
    };
    let (first, second, third) = (map(0), map(10), map(20));
    assert_eq!(wait(second.values()).unwrap(), [10, 11, 12, 13]);
    assert_eq!(wait(first.values()).unwrap(), [0, 1, 2, 3]);
    let after = map(30);
    assert_eq!(wait(after.values()).unwrap(), [30, 31, 32, 33]);
    assert_eq!(wait(third.values()).unwrap(), [20, 21, 22, 23]);
}

fn one_slot_runs_every_task(context: &Context) {
    let executor = context.builder().slots(1).build().unwrap();
    let inputs = [2, 4, 6, 8].map(|n| (n, 7));
    let sums = wait(executor.map(context.programs(), values::add, inputs)).unwrap();
    assert_eq!(wait(sums.values()).unwrap(), [9, 11, 13, 15]);
}

fn waiting_twice_is_waiting_once(context: &Context) {
    let inputs = (0..10).map(|n| (n, 1));
    let job = wait(context.executor().map(context.programs(), values::add, inputs)).unwrap();
    wait(job.wait());
    wait(job.wait());
    assert_eq!(wait(job.values()).unwrap(), (1..11).collect::<Vec<u64>>());
}

fn a_summary_tells_successes_from_failures(context: &Context) {
    let job = wait(context.executor().map(context.programs(), ends::fails_if_odd, 0..7_u64));
    let job = job.unwrap();
    wait(job.wait());
    let summary = job.summary();
    assert_eq!((summary.tasks, summary.succeeded, summary.failed), (7, 4, 3));
    let results = wait(job.results());
    let failed: Vec<usize> = (0..7).filter(|index| results[*index].is_err()).collect();
    assert_eq!(failed, [1, 3, 5]);
}

fn a_call_that_ends_soon_and_well_leaves_no_record(context: &Context) {
    // One that takes a second leaves one, as any may on a busy machine: then another, elsewhere.
    let soon = (0..20).find_map(|n| {
        let store = context.url(&format!("calls/{n}"));
        let executor = context.builder().store(store).build().unwrap();
        let started = Instant::now();
        assert_eq!(wait(executor.call(context.programs(), values::add, (1, 2))).unwrap(), 3);
        let is_soon = started.elapsed() < Duration::from_millis(800);
        (is_soon && wait(executor.job_ids()).unwrap().is_empty()).then_some(executor)
    });
    let executor = soon.expect("each left a record, or took long");
    let programs = context.programs();
    let failed = wait(executor.call(programs, ends::fails, ())).unwrap_err();
    assert_eq!(failed.code(), "user-error");
    let slept = wait(executor.call(programs, sandbox::sleeps, 3_000)).unwrap();
    assert!(slept >= 3_000);
    // The record is written behind the call's back.
    let started = Instant::now();
    let ended = || -> Vec<u64> {
        let jobs = wait(executor.jobs(10)).unwrap();
        jobs.iter().filter(|job| job.summary.is_some()).map(|job| job.failed).collect()
    };
    while ended().len() < 2 && started.elapsed() < Duration::from_mins(1) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(ended(), [0, 1]);
}
