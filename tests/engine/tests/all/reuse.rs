//! Tasks that share an instance.

use std::time::Duration;

use samara_core::{
    Batch, Exceeded, Outcome, Output, Partition, Records, Reports, UserErrorKind, layout,
};

use crate::common::{Worker, apart, arguments, shared_values, value_of};

fn reusing(worker: &Worker, function: &str, inputs: impl IntoIterator<Item = u64>) -> Batch {
    let inputs = inputs.into_iter().map(|n| arguments((n,))).collect();
    Batch { reuse: true, ..worker.batch(function, inputs) }
}

#[test]
fn tasks_of_a_batch_share_an_instance_where_the_job_allows_it() {
    let worker = Worker::new();
    let mut batch = reusing(&worker, "number_and_calls_before", 0..100);
    batch.tasks.iter_mut().for_each(|task| task.index += 1000);
    let (shared, each) = apart(worker.run(batch));
    assert_eq!((shared.len(), each.len()), (1, 0));
    let expected: Vec<(u64, (u64, u64))> = (0..100).map(|n| (1000 + n, (1000 + n, n))).collect();
    assert_eq!(shared_values::<(u64, u64)>(&shared[0]), expected);
    assert_eq!(shared[0].stats.output_bytes, shared[0].outputs.len() as u64);
    assert!(shared[0].stats.wall > Duration::ZERO && shared[0].stats.memory_peak > 0);
}

#[test]
fn without_leave_each_task_has_an_instance() {
    let worker = Worker::new();
    let batch = Batch { reuse: false, ..reusing(&worker, "number_and_calls_before", [0, 0, 0]) };
    let values: Vec<(u64, u64)> = worker.each(batch).iter().map(value_of).collect();
    assert_eq!(values, [(0, 0), (1, 0), (2, 0)]);
}

#[test]
fn a_returned_error_of_one_leaves_the_others_shared() {
    let worker = Worker::new();
    let (shared, each) = apart(worker.run(reusing(&worker, "does_as_told", [1, 13, 2, 13])));
    assert_eq!(shared_values::<(u64, u64)>(&shared[0]), [(0, (1, 0)), (2, (2, 1))]);
    assert_eq!(each.iter().map(|report| report.index).collect::<Vec<_>>(), [1, 3]);
    for report in each {
        let Outcome::Failed(error) = report.outcome else { panic!("{report:?}") };
        assert_eq!(error.to_string(), "told to fail");
    }
    let mut batch = reusing(&worker, "does_as_told", [1, 2]);
    batch.tasks[1].arguments = arguments(("two",));
    let (shared, each) = apart(worker.run(batch));
    assert_eq!(shared[0].indices, [0]);
    let Outcome::Failed(error) = &each[0].outcome else { panic!("{each:?}") };
    assert_eq!(error.kind, UserErrorKind::BadArguments);
}

#[test]
fn one_bad_input_harms_no_other() {
    let worker = Worker::new();
    let (shared, each) = apart(worker.run(reusing(&worker, "does_as_told", [1, 14, 3])));
    assert!(shared.is_empty(), "what shared an instance with a panic counts for nothing");
    assert_eq!(value_of::<(u64, u64)>(&each[0]), (1, 0), "alone in a fresh instance");
    assert_eq!(value_of::<(u64, u64)>(&each[2]), (3, 0));
    let Outcome::Trapped(trap) = &each[1].outcome else { panic!("{each:?}") };
    assert_eq!(trap.message, "told to panic");

    let mut batch = reusing(&worker, "does_as_told", [1, 15, 3]);
    batch.limits.time = Duration::from_secs(1);
    let (shared, each) = apart(worker.run(batch));
    assert!(shared.is_empty());
    let time = Outcome::LimitExceeded(Exceeded::Time { limit: Duration::from_secs(1) });
    assert_eq!(each[1].outcome, time);
    assert_eq!((value_of(&each[0]), value_of(&each[2])), ((1_u64, 0_u64), (3_u64, 0_u64)));
}

#[test]
fn large_outputs_of_a_shared_instance_are_stored() {
    let worker = Worker::new();
    let batch = reusing(&worker, "returns_bytes", [3, 300 << 10, 5]);
    let job = batch.job;
    let (shared, each) = apart(worker.run(batch));
    assert_eq!((&shared[0].indices[..], shared[0].outputs.len()), (&[0, 2][..], 4 + 6));
    let Outcome::Success(Output::Stored { size, content: None }) = each[0].outcome else {
        panic!("{each:?}")
    };
    let stored = worker.read(&layout::output(&job, 1)).unwrap();
    assert_eq!((each[0].index, stored.len() as u64), (1, size));
    assert!(size > 300 << 10 && each[0].stats.output_bytes == size);
    assert_eq!(shared[0].log.len(), 3, "the log of all is together");

    let mut batch = reusing(&worker, "returns_bytes", [3, 2000, 5]);
    batch.limits.output_bytes = 1000;
    batch.limits.host_call_bytes = 1 << 20;
    let (shared, each) = apart(worker.run(batch));
    assert_eq!(shared[0].indices, [0, 2]);
    let exceeded = Exceeded::Output { limit: 1000, size: Some(2003) };
    assert_eq!(each[0].outcome, Outcome::LimitExceeded(exceeded));
}

#[test]
fn tasks_that_cannot_share_run_alone() {
    let worker = Worker::new();
    let mut batch = reusing(&worker, "number_and_calls_before", [0; 5]);
    batch.tasks[2].attempt = 1;
    worker.put("in", "text");
    let url = format!("{}/in", worker.store);
    let (object_size, etag) = (4, "none".to_owned());
    let partition =
        Partition { object: url, offset: 0, length: 4, object_size, etag, records: Records::Lines };
    batch.tasks[3].partition = Some(Box::new(partition));
    let kinds: Vec<(bool, Vec<u64>)> = worker
        .run(batch)
        .into_iter()
        .map(|reports| match reports {
            Reports::Shared(shared) => (true, shared.indices),
            Reports::Each(each) => (false, each.iter().map(|report| report.index).collect()),
        })
        .collect();
    let expected = [(true, vec![0, 1]), (false, vec![2]), (false, vec![3]), (false, vec![4])];
    assert_eq!(kinds, expected);
}

#[test]
fn an_unknown_function_fails_each_task() {
    let worker = Worker::new();
    for report in worker.each(reusing(&worker, "no_such_function", [1, 2, 3])) {
        let Outcome::Failed(error) = report.outcome else { panic!("{report:?}") };
        assert_eq!(error.kind, UserErrorKind::NoSuchFunction);
    }
}

#[test]
fn a_cancelled_batch_is_not_run_again() {
    use samara_core::{Cancel, ErrorKind, TaskHandler};
    let worker = Worker::new();
    let cancel = Cancel::default();
    let batch = std::sync::Arc::new(reusing(&worker, "does_as_told", [15, 15, 15]));
    let mut ended = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            cancel.cancel();
        });
        let waits = std::sync::Arc::new(()) as _;
        worker.handler.run(&batch, &cancel, &waits, &mut |reports| ended.push(reports));
    });
    let (shared, each) = apart(ended);
    assert!(shared.is_empty() && each.len() == 3);
    for report in each {
        let Outcome::Platform(error) = report.outcome else { panic!("{report:?}") };
        assert_eq!(error.kind, ErrorKind::Cancelled);
    }
}

#[test]
fn a_slow_task_holds_the_results_of_others_for_a_second_at_most() {
    use samara_core::{Cancel, TaskHandler};
    let worker = Worker::new();
    let cancel = Cancel::default();
    let batch = std::sync::Arc::new(reusing(&worker, "does_as_told", [1, 2, 15]));
    let (started, mut first, mut seen) = (std::time::Instant::now(), None, Vec::new());
    let waits = std::sync::Arc::new(()) as _;
    worker.handler.run(&batch, &cancel, &waits, &mut |reports| {
        first.get_or_insert_with(|| started.elapsed());
        let Reports::Each(reports) = reports else { panic!("{reports:?}") };
        seen.extend(reports.iter().map(|report| report.index));
        if seen.len() == 2 {
            cancel.cancel();
        }
    });
    assert_eq!(seen, [0, 1, 2]);
    let first = first.unwrap();
    assert!(first >= Duration::from_secs(1) && first < Duration::from_secs(60), "{first:?}");
}
