//! Guests that leave something where the next one might find it, and those that look.
//!
//! The pool is as small as it can be, so that whoever comes next has the same memory, tables and
//! slots.

use samara_core::{Outcome, Report};
use samara_evil::paints::PAINT;

use super::host::{Host, assembled};
use crate::common::arguments;

fn small() -> Host {
    Host::with(|config| config.instances_max = 1)
}

/// Whatever was painted is not in what another task says.
#[track_caller]
fn clean(report: &Report) {
    let texts: Vec<&str> = report.log.iter().map(|line| line.message.as_str()).collect();
    assert!(texts.is_empty(), "{texts:?}");
    assert_eq!((report.log_dropped, report.stats.progress), (0, (0, 0)));
}

pub(super) fn paints(host: &Host) {
    let ended = host.one("paints_everything", arguments((1_u64,)));
    let said: Vec<&str> = ended.report.log.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(said, [PAINT; 3], "its own log has it: a line, and what was printed without an end");
    let ended = host.one("paints_and_traps", arguments((1_u64,)));
    assert_eq!(ended.report.log.len(), 3, "{:?}", ended.report.log);
    let _why = ended.trapped();
}

pub(super) fn looks_around(_: &Host) {
    let host = small();
    for seed in 0..20_u64 {
        let painter = if seed % 2 == 0 { "paints_everything" } else { "paints_and_traps" };
        let painted = host.one(painter, arguments((seed,))).report;
        assert!(matches!(painted.outcome, Outcome::Success(_) | Outcome::Trapped(_)));
        let ended = host.one("looks_for_paint", arguments((seed,)));
        clean(&ended.report);
        let (not_zero, found): (u64, u64) = ended.value();
        assert_eq!(not_zero, 0, "fresh memory is zero");
        assert!(found < 8, "{found} words of another's memory; its own variables are a few");
        assert_eq!(host.one("looks_for_calls", arguments(())).value::<(u64, u64)>(), (1, 1));
    }
    host.goes_on();
}

pub(super) fn paints_tables(_: &Host) {
    let host = small();
    assert!(host.engine().is_pooling());
    let component = assembled(&samara_evil::component("paints_tables"));
    for _ in 0..20 {
        let ended = host.run(host.batch_of(&component));
        let found: samara_guest::Bytes = ended.value();
        assert_eq!(*found, [0, 0, 0], "tables that grew, tables that were there, memory");
    }
    host.goes_on();
}
