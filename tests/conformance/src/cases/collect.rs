//! Waiting, numbers, and results that somebody else collects.

use std::time::{Duration, Instant};

use samara::{AttemptStats, Ended, JobRef, JobStats, Objects, TaskRef, Until};
use samara_programs::{ends, input, sandbox, values};

use super::{collected, table, wait};
use crate::Context;

table! {
    collect:
    a_wait_ends_where_it_was_asked_to needs Slots(2),
    a_wait_ends_when_its_time_is_over,
    numbers_have_a_row_for_each_attempt,
    numbers_count_the_bytes_of_partitions,
    numbers_are_written_as_csv_and_json,
    a_job_is_collected_by_its_reference,
    one_task_is_collected_by_its_reference,
    a_job_that_still_runs_is_collected,
    a_reference_to_another_store_or_to_nothing_is_refused,
    nothing_is_a_value_wherever_it_is_collected,
}

fn a_wait_ends_where_it_was_asked_to(context: &Context) {
    let executor = context.builder().slots(2).build().unwrap();
    let job = wait(executor.map(context.programs(), sandbox::sleeps, [60_000, 1])).unwrap();
    let now = wait(job.wait_until(Until::Now, None));
    assert!(now.reached && now.done <= 1 && now.tasks == 2, "{now:?}");
    for until in [Until::Any, Until::Fraction(0.5)] {
        let waited = wait(job.wait_until(until, None));
        assert_eq!((waited.done, waited.failed, waited.tasks), (1, 0, 2), "{until:?}");
        assert!(waited.reached, "{until:?}");
        let waited = wait(job.wait_until(until, Some(Duration::from_secs(60))));
        assert!(waited.reached, "{until:?}");
    }
    job.cancel();
    let all = wait(job.wait_until(Until::All, None));
    assert_eq!((all.done, all.failed, all.reached), (2, 1, true));
    assert!(wait(job.wait_until(Until::Fraction(1.0), None)).reached);
    let results = wait(job.results());
    assert!(results[0].is_err() && results[1].is_ok(), "waiting took nothing");
}

fn a_wait_ends_when_its_time_is_over(context: &Context) {
    let job = wait(context.executor().map(context.programs(), sandbox::sleeps, [60_000])).unwrap();
    let started = Instant::now();
    for until in [Until::Any, Until::All, Until::Fraction(0.1)] {
        let waited = wait(job.wait_until(until, Some(Duration::from_millis(30))));
        assert_eq!((waited.done, waited.tasks, waited.reached), (0, 1, false), "{until:?}");
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(90) && took < Duration::from_secs(20), "{took:?}");
    job.cancel();
}

fn in_order(row: &AttemptStats) {
    let worker = [row.started, row.fetched, row.computed, row.stored];
    assert!(worker.is_sorted(), "{row:?}");
    assert!(row.submitted <= row.collected && row.submitted > Duration::ZERO, "{row:?}");
    assert!(row.wall > Duration::ZERO && row.memory_peak > 0, "{row:?}");
}

fn numbers_have_a_row_for_each_attempt(context: &Context) {
    let map = context.executor().map(context.programs(), ends::fails_before_attempt, [0, 2, 1_u32]);
    let retries = samara::Retries::default().user_errors(true).backoff(Duration::from_millis(1));
    let job = wait(map.retries(retries)).unwrap();
    wait(job.wait());
    let stats = job.stats();
    assert_eq!((stats.job, stats.function.as_str()), (job.id(), "fails_before_attempt"));
    assert_eq!((stats.summary.tasks, stats.summary.retries), (3, 3));
    stats.attempts.iter().for_each(in_order);
    let mut rows: Vec<_> =
        stats.attempts.iter().map(|row| (row.task, row.attempt, row.outcome, row.tasks)).collect();
    rows.sort_unstable_by_key(|row| (row.0, row.1));
    let (failed, success) = (Ended::Failed, Ended::Success);
    let wanted = [
        (0, 0, success, 1),
        (1, 0, failed, 1),
        (1, 1, failed, 1),
        (1, 2, success, 1),
        (2, 0, failed, 1),
        (2, 1, success, 1),
    ];
    assert_eq!(rows, wanted);
}

fn numbers_count_the_bytes_of_partitions(context: &Context) {
    context.put("lines", "0123456\n".repeat(1000));
    let objects = Objects::at(context.url("lines")).chunk_bytes(2000);
    let job = wait(context.executor().map(context.programs(), input::count_lines, objects));
    let job = job.unwrap();
    wait(job.wait());
    let stats = job.stats();
    let mut bytes: Vec<_> = stats.attempts.iter().map(|row| (row.task, row.bytes_in)).collect();
    bytes.sort_unstable();
    assert_eq!(bytes, [(0, 2000), (1, 2000), (2, 2000), (3, 2000)]);
    assert_eq!(stats.summary.bytes_read, 8000);
    for row in &stats.attempts {
        in_order(row);
        assert!(row.bytes_out > 0 && row.host_calls > 0, "{row:?}");
    }
    let large = wait(context.executor().map(context.programs(), ends::output_of, [300 << 10]));
    let large = large.unwrap();
    wait(large.wait());
    assert!(large.stats().attempts[0].bytes_out >= 300 << 10);
}

fn numbers_are_written_as_csv_and_json(context: &Context) {
    let map = context.executor().map(context.programs(), ends::fails_if_odd, [2, 3_u64]);
    let job = wait(map).unwrap();
    wait(job.wait());
    let stats = job.stats();
    let csv = stats.to_csv();
    let mut lines = csv.lines();
    assert_eq!(lines.next().unwrap().split(',').collect::<Vec<_>>(), JobStats::COLUMNS);
    let mut rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    rows.sort_unstable();
    assert!(rows.iter().all(|row| row.len() == JobStats::COLUMNS.len()), "{csv}");
    assert_eq!(rows[0][..4], ["0", "1", "0", "success"]);
    assert_eq!(rows[1][..4], ["1", "1", "0", "failed"]);
    let json: serde_json::Value = serde_json::from_str(&stats.to_json()).unwrap();
    assert_eq!(json["job"], job.id().to_string());
    assert_eq!(json["attempts"].as_array().unwrap().len(), 2);
}

/// What another process would read.
fn sent<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

fn a_job_is_collected_by_its_reference(context: &Context) {
    let inputs = (0..2_000_u64).map(|n| (n, 1));
    let job = wait(context.executor().map(context.programs(), values::add, inputs)).unwrap();
    let reference = sent(&job.reference().unwrap());
    wait(job.wait());
    let own = wait(job.values()).unwrap();
    for _ in 0..2 {
        // Another executor of the same store; results are not used up.
        let other = context.builder().slots(1).build().unwrap();
        let job = wait(other.collect::<u64>(&reference));
        assert_eq!(collected(job), own);
    }
    let job = wait(context.executor().map(context.programs(), ends::fails_if_odd, 0..6_u64));
    let job = job.unwrap();
    let reference: JobRef = sent(&job.reference().unwrap());
    wait(job.wait());
    let other = context.builder().build().unwrap();
    let collected = wait(wait(other.collect::<u64>(&reference)).unwrap().results());
    for (n, result) in collected.into_iter().enumerate() {
        match (n % 2, result) {
            (0, result) => assert_eq!(result.unwrap(), n as u64),
            (_, result) => {
                let error = result.unwrap_err();
                assert_eq!((error.index, error.code()), (n as u64, "user-error"));
                assert!(error.to_string().contains(&format!("{n} is odd")), "{error}");
            }
        }
    }
}

fn one_task_is_collected_by_its_reference(context: &Context) {
    // One that rides in the log, and one that lies in the store.
    let sizes = [100, 300 << 10];
    let job = wait(context.executor().map(context.programs(), ends::output_of, sizes)).unwrap();
    let references: Vec<TaskRef> =
        (0..2).map(|index| sent(&job.task(index).reference().unwrap())).collect();
    wait(job.wait());
    drop(job);
    let other = context.builder().build().unwrap();
    for (reference, size) in references.iter().zip(sizes) {
        let task = wait(other.collect_task::<samara_guest::Bytes>(reference)).unwrap();
        assert_eq!(wait(task).unwrap().len(), size);
    }
    let beyond = TaskRef { index: 2, ..references[0].clone() };
    let error = wait(wait(other.collect_task::<u64>(&beyond)).unwrap()).unwrap_err();
    assert!(error.to_string().contains("the job has 2 tasks"), "{error}");
}

fn a_job_that_still_runs_is_collected(context: &Context) {
    let executor = context.builder().slots(1).build().unwrap();
    let job = wait(executor.map(context.programs(), sandbox::sleeps, [1, 5_000, 1])).unwrap();
    let reference = sent(&job.reference().unwrap());
    let other = context.builder().build().unwrap();
    let following = wait(other.collect::<u64>(&reference)).unwrap();
    assert!(!wait(following.wait_until(Until::All, Some(Duration::from_millis(10)))).reached);
    // Nobody but the follower waits for it.
    job.detach();
    let values = wait(following.values()).unwrap();
    assert_eq!(values.len(), 3);
    assert!(values[1] >= 5_000, "{values:?}");
}

fn a_reference_to_another_store_or_to_nothing_is_refused(context: &Context) {
    let job = wait(context.executor().map(context.programs(), values::answer, [()])).unwrap();
    let reference = job.reference().unwrap();
    assert_eq!(reference.store, context.executor().store());
    assert_eq!(reference.to_string(), format!("{} in {}", job.id(), reference.store));
    let elsewhere = context.builder().store(context.url("elsewhere")).build().unwrap();
    let error = wait(elsewhere.collect::<u64>(&reference)).unwrap_err();
    assert_eq!(error.code(), "invalid");
    assert!(error.to_string().contains(&elsewhere.store()), "{error}");
    let lost = JobRef { store: elsewhere.store(), ..reference };
    let error = wait(elsewhere.collect::<u64>(&lost)).unwrap_err();
    assert_eq!(error.code(), "store", "{error}");
    assert!(error.to_string().contains(&lost.id.to_string()), "{error}");
    wait(job.wait());
}

fn nothing_is_a_value_wherever_it_is_collected(context: &Context) {
    let some = [Some(1), None, Some(3), None];
    let job = wait(context.executor().map(context.programs(), values::echo_option, some)).unwrap();
    let reference = job.reference().unwrap();
    let mut by_end: Vec<(usize, Option<u64>)> =
        wait(futures::StreamExt::collect::<Vec<_>>(job.as_completed()))
            .into_iter()
            .map(|(index, result)| (index, result.unwrap()))
            .collect();
    by_end.sort_unstable();
    assert!(by_end.into_iter().eq(some.into_iter().enumerate()));
    let again = wait(context.executor().collect::<Option<u64>>(&reference));
    assert_eq!(collected(again), some);
    let units = wait(context.executor().map(context.programs(), values::echo_unit, [(); 3]));
    let units = units.unwrap();
    let reference = units.reference().unwrap();
    assert_eq!(wait(units.results()).into_iter().filter(Result::is_ok).count(), 3);
    assert_eq!(collected(wait(context.executor().collect::<()>(&reference))).len(), 3);
}
