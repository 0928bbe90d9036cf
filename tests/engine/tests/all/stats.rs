//! What a report says of a task's use.

use std::time::{Duration, SystemTime};

use samara_core::{Access, Batch, Grant, Grants, Outcome, Output};
use samara_guest::Bytes;

use crate::common::{Worker, arguments};

fn since_the_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

#[test]
fn a_report_says_when_it_ran_and_what_it_used() {
    let worker = Worker::new();
    let before = since_the_epoch();
    let report = worker.one("adds_one", arguments((1,)));
    let stats = report.stats;
    assert!(stats.started >= before && stats.started <= since_the_epoch());
    assert!(stats.wall > Duration::ZERO && stats.cpu > Duration::ZERO);
    assert!(stats.cpu <= stats.wall + Duration::from_millis(1), "{stats:?}");
    assert_eq!((stats.output_bytes, stats.host_calls, stats.fuel), (1, 0, None));
    assert_eq!((stats.fetch, stats.store), (Duration::ZERO, Duration::ZERO));
}

#[test]
fn bytes_and_calls_are_counted() {
    let worker = Worker::new();
    let grant = Grant { prefix: worker.store.clone(), access: Access::ReadWrite };
    let call = |function: &str, arguments| {
        let batch = worker.batch(function, vec![arguments]);
        let batch = Batch { grants: Grants::of(vec![grant.clone()]), ..batch };
        let report = worker.each(batch).remove(0);
        assert!(report.outcome.is_success(), "{:?}", report.outcome);
        report.stats
    };
    let url = format!("{}/a", worker.store);
    let bytes = Bytes::from(vec![7_u8; 1000]);
    let put = call("put_object", arguments((&url, &bytes)));
    assert_eq!((put.storage_written, put.storage_read, put.host_calls), (1000, 0, 1));
    let range = call("get_object_range", arguments((&url, 10, 20)));
    assert_eq!((range.storage_written, range.storage_read, range.host_calls), (0, 20, 1));
    let pieces = call("write_pieces", arguments((&url, &bytes, 5, true)));
    assert_eq!(pieces.storage_written, 5000);
    let task = call("reports_progress", arguments((9,)));
    assert_eq!((task.progress, task.host_calls), ((9, 9), 10));
}

#[test]
fn a_stored_output_took_time_to_store() {
    let worker = Worker::new();
    let report = worker.one("returns_bytes", arguments((1_usize << 20,)));
    assert!(matches!(report.outcome, Outcome::Success(Output::Stored { .. })));
    assert!(report.stats.store > Duration::ZERO);
    assert_eq!(report.stats.output_bytes, (1 << 20) + 5);
}

#[test]
fn instructions_are_counted_where_asked_for() {
    let worker = Worker::with(|config| config.fuel = true);
    let fuel = |n: u64| worker.one("adds_one", arguments((n,))).stats.fuel.unwrap();
    let one = fuel(1);
    assert!(one > 100, "{one}");
    assert_eq!(fuel(2), one, "the same work is the same count");
    let large = worker.one("returns_bytes", arguments((100_000_usize,))).stats.fuel.unwrap();
    assert!(large > one);
}
