//! Guests that answer what they should not: too much, nonsense, or what lies somewhere else.

use samara_core::{Exceeded, Level, Outcome, UserErrorKind};

use super::host::{Host, assembled, limits};
use crate::common::arguments;

pub(super) fn returns_hugely(host: &Host) {
    let limit = limits().output_bytes;
    for bytes in [2 << 20, 3 << 20, 12 << 20_u64] {
        let ended = host.one("returns_much", arguments((bytes,)));
        let outcome = &ended.report.outcome;
        let exceeded = matches!(
            outcome,
            Outcome::LimitExceeded(Exceeded::Output { limit: it, .. }) if *it == limit
        );
        assert!(exceeded, "{outcome:?}");
    }
}

pub(super) fn returns_endless_list(host: &Host) {
    let _why = host.text("returns_endless_list").trapped();
}

pub(super) fn returns_beyond_memory(host: &Host) {
    let _why = host.text("returns_beyond_memory").trapped();
}

pub(super) fn returns_bad_case(host: &Host) {
    let _why = host.text("returns_bad_case").trapped();
}

pub(super) fn returns_bad_text(host: &Host) {
    let _why = host.text("returns_bad_text").trapped();
}

pub(super) fn returns_one_text_often(host: &Host) {
    let ended = host.text("returns_one_text_often");
    let limit = limits().output_bytes;
    ended.exceeded(Exceeded::Output { limit, size: None });
}

pub(super) fn reallocates_out_of_bounds(host: &Host) {
    let _why = host.text("reallocates_out_of_bounds").trapped();
}

pub(super) fn fails_hugely(host: &Host) {
    for (bytes, causes) in [(3 << 20, 0), (1000, 2000), (2, 4000_u64)] {
        let ended = host.one("fails_at_length", arguments((bytes, causes)));
        let Outcome::Failed(error) = &ended.report.outcome else { panic!("{ended:?}") };
        assert_eq!(error.kind, UserErrorKind::Returned);
        assert!(error.message.starts_with('é'), "the beginning is kept");
    }
}

pub(super) fn logs_hugely(host: &Host) {
    let line = host.one("logs_one_line", arguments((3_000_000_u64,)));
    assert_eq!((line.report.log.len(), line.report.log_dropped), (0, 1));
    let beyond = host.one("logs_one_line", arguments((20_000_000_u64,)));
    beyond.exceeded(Exceeded::HostCall { limit: limits().host_call_bytes });
    let often = host.one("logs_nothing_often", arguments((300_000_u64,)));
    let kept = often.report.log.len() as u64;
    assert!(kept < 3000, "an empty line costs something too: {kept}");
    assert_eq!(kept + often.report.log_dropped, 300_000);
    let printed = host.one("prints_without_lines", arguments((10_000_u64,)));
    assert!(printed.report.outcome.is_success() && printed.report.log_dropped == 2, "{printed:?}");
    assert!(printed.report.log.iter().all(|line| line.level == Level::Warn));
}

/// A list that is refused is refused whenever it is asked for, and nothing else is.
#[track_caller]
fn lists_nothing(host: &Host, name: &str) {
    let batch = host.batch_of(&assembled(&samara_evil::component(name)));
    for _ in 0..2 {
        let error = host.worker.handler.functions(batch.component, &batch.store).unwrap_err();
        assert_eq!(error.kind, samara_core::ErrorKind::Component, "{error}");
        assert!(error.message.len() < 4096, "{} bytes", error.message.len());
    }
    assert!(host.run(batch).report.outcome.is_success());
}

pub(super) fn forges_functions(host: &Host) {
    lists_nothing(host, "forges_functions");
}

pub(super) fn boasts_of_functions(host: &Host) {
    lists_nothing(host, "boasts_of_functions");
}

pub(super) fn forges_kinds(host: &Host) {
    lists_nothing(host, "forges_kinds");
}
