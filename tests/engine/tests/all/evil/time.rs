//! Guests that never end: they are ended at their deadline, wherever they are.

use std::time::Duration;

use samara_core::{ErrorKind, Exceeded, Outcome, Reports};

use super::host::{Host, SLACK, assembled, limits};
use crate::common::{apart, arguments, shared_values};

const SHORT: Duration = Duration::from_millis(300);

pub(super) fn spins(host: &Host) {
    host.within("spins_for_ever", arguments(()), |it| it.time = SHORT).out_of_time(SHORT);
    let ended = host.within("spins_for_ever", arguments(()), |it| it.cpu = SHORT);
    ended.exceeded(Exceeded::Cpu { limit: SHORT });
}

pub(super) fn ignores_cancellation(host: &Host) {
    host.within("never_minds", arguments(()), |it| it.time = SHORT).out_of_time(SHORT);
    for (function, wanted) in
        [("never_minds", true), ("spins_for_ever", true), ("sleeps_long", true)]
    {
        let (report, after) = host.cancelled(host.batch(function, arguments(())));
        let Outcome::Platform(error) = &report.outcome else { panic!("{report:?}") };
        assert_eq!(error.kind == ErrorKind::Cancelled, wanted, "{error}");
        assert!(after < SLACK, "{function} went on for {after:?}");
    }
}

pub(super) fn sleeps_for_ever(host: &Host) {
    for function in ["sleeps_long", "sleeps_often"] {
        host.within(function, arguments(()), |it| it.time = SHORT).out_of_time(SHORT);
    }
}

pub(super) fn fills_memory(host: &Host) {
    // A single instruction is not interrupted: it ends first.
    let ended = host.text_within("fills_memory", |it| {
        (it.time, it.memory_bytes) = (SHORT, 128 << 20);
    });
    ended.out_of_time(SHORT);
}

pub(super) fn spins_in_start(host: &Host) {
    host.text_within("spins_in_start", |it| it.time = SHORT).out_of_time(SHORT);
}

pub(super) fn spins_in_realloc(host: &Host) {
    host.text_within("spins_in_realloc", |it| it.time = SHORT).out_of_time(SHORT);
}

pub(super) fn spins_in_post_return(host: &Host) {
    host.text_within("spins_in_post_return", |it| it.time = SHORT).out_of_time(SHORT);
}

pub(super) fn spins_in_list(host: &Host) {
    let mut short = limits();
    short.time = SHORT;
    for name in ["spins_in_list", "spins_in_start", "spins_in_post_return"] {
        let bytes = assembled(&samara_evil::component(name));
        let prepared = host.prepare(&bytes).unwrap();
        let started = std::time::Instant::now();
        let ended = host.engine().list(&prepared, short).unwrap_err();
        let took = started.elapsed();
        assert_eq!(ended, Outcome::LimitExceeded(Exceeded::Time { limit: SHORT }), "{name}");
        assert!(took >= SHORT && took < SHORT + SLACK, "{took:?}");
    }
}

pub(super) fn spins_in_batch(host: &Host) {
    let mut batch = host.batch_of(&assembled(&samara_evil::component("spins_in_batch")));
    batch.reuse = true;
    batch.tasks =
        (0..3).map(|index| samara_core::Task { index, ..batch.tasks[0].clone() }).collect();
    let (reports, took) = host.all(batch);
    let (shared, each) = apart(reports);
    assert!(shared.is_empty() && took < Duration::from_secs(1) + 2 * SLACK, "{took:?}");
    let values: Vec<u64> = each.iter().map(crate::common::value_of).collect();
    assert_eq!(values, [7, 7, 7], "alone, each has its result");
}

pub(super) fn lies_about_batches(host: &Host) {
    for name in ["lies_about_batches", "answers_no_batch"] {
        let mut batch = host.batch_of(&assembled(&samara_evil::component(name)));
        batch.reuse = true;
        batch.tasks =
            (0..3).map(|index| samara_core::Task { index, ..batch.tasks[0].clone() }).collect();
        let (reports, _) = host.all(batch);
        assert!(reports.iter().all(|it| matches!(it, Reports::Each(_))), "{name}: {reports:?}");
        let (shared, each) = apart(reports);
        assert_eq!((shared.iter().map(shared_values::<u64>).count(), each.len()), (0, 3));
        for report in each {
            assert!(report.outcome.is_success(), "{report:?}");
        }
    }
}

pub(super) use lies_about_batches as answers_no_batch;
