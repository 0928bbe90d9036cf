//! Guests that take memory: their own is limited, and so is what the host holds for them.

use samara_core::{ErrorKind, Exceeded, Outcome};

use super::host::{Ended, Host, assembled, limits};
use crate::common::{arguments, unique};
use samara_evil::Loot;

fn store(kind: &str) -> String {
    format!("mem://evil-{kind}-{}/", unique())
}

/// Runs a function that may write below a prefix.
#[track_caller]
fn writing(host: &Host, function: &str, prefix: &str, arguments: samara_core::Arguments) -> Ended {
    use samara_core::{Access, Grant};
    let mut batch = host.batch(function, arguments);
    batch.grants.objects = vec![Grant { prefix: prefix.to_owned(), access: Access::ReadWrite }];
    host.run(batch)
}

pub(super) fn allocates(host: &Host) {
    host.one("allocates_for_ever", arguments(())).out_of_memory();
}

pub(super) fn allocates_and_goes_on(host: &Host) {
    let ended = host.one("takes_what_there_is", arguments(()));
    let megabytes: u64 = ended.value();
    assert!(megabytes < limits().memory_bytes >> 20, "{megabytes}");
    assert!(ended.report.stats.memory_peak <= limits().memory_bytes);
}

pub(super) fn declares_much_memory(host: &Host) {
    host.text("declares_much_memory").out_of_memory();
}

/// It is refused with a pool, which would have it from others' share, and without.
#[track_caller]
fn refused_for(host: &Host, name: &str, pooled: &str, alone: &str) {
    let bytes = assembled(&samara_evil::component(name));
    let error = host.refusal(&bytes);
    assert!(error.contains("too large") && error.contains(pooled), "{error}");
    let without = Host::with(|config| config.pooling = false);
    let ended = without.run(without.batch_of(&bytes));
    let Outcome::Platform(error) = &ended.report.outcome else { panic!("{ended:?}") };
    assert_eq!(error.kind, ErrorKind::Component, "{error}");
    assert!(error.message.contains("too large") && error.message.contains(alone), "{error}");
    without.goes_on();
}

pub(super) fn has_many_memories(host: &Host) {
    refused_for(host, "has_many_memories", "memories", "memory");
}

pub(super) fn has_many_instances(host: &Host) {
    refused_for(host, "has_many_instances", "instances", "instance");
}

pub(super) fn has_many_tables(host: &Host) {
    refused_for(host, "has_many_tables", "tables", "table");
}

pub(super) fn declares_much_table(host: &Host) {
    let bytes = assembled(&samara_evil::component("declares_much_table"));
    let error = host.refusal(&bytes);
    assert!(error.contains("table"), "{error}");
    let without = Host::with(|config| config.pooling = false);
    without.run(without.batch_of(&bytes)).out_of_memory();
    without.goes_on();
}

pub(super) fn grows_tables(host: &Host) {
    let ended = host.text("grows_tables");
    assert!(!ended.report.outcome.is_success(), "{:?}", ended.report);
    assert!(ended.report.stats.memory_peak < 4 << 20, "{:?}", ended.report.stats);
    let without = Host::with(|config| config.pooling = false);
    let component = assembled(&samara_evil::component("grows_tables"));
    without.run(without.batch_of(&component)).out_of_memory();
}

pub(super) fn grows_memory_64(host: &Host) {
    host.text("grows_memory_64").out_of_memory();
}

pub(super) fn shares_memory(host: &Host) {
    let error = host.refusal(&assembled(&samara_evil::component("shares_memory")));
    assert!(error.contains("threads") || error.contains("shared"), "{error}");
}

pub(super) fn makes_handles(host: &Host) {
    host.text("makes_handles").trapped_with("handle");
}

pub(super) fn exhausts_pollables(host: &Host) {
    host.one("takes_pollables", arguments((1_000_000_u64,))).trapped_with("table");
    assert_eq!(host.one("takes_pollables", arguments((100_u64,))).value::<u64>(), 100);
}

pub(super) fn exhausts_writers(host: &Host) {
    let prefix = store("writers");
    let open = |count: u64| writing(host, "opens_writers", &prefix, arguments((&prefix, count)));
    open(1_000_000).trapped_with("table");
    assert_eq!(open(100).value::<Loot>(), Loot::Got("100".to_owned()));
}

pub(super) fn hoards_parts(host: &Host) {
    let prefix = store("parts");
    let limit = limits().buffer_bytes;
    for writers in [1_u64, 100] {
        let ended = writing(host, "hoards", &prefix, arguments((&prefix, writers)));
        ended.exceeded(Exceeded::Buffers { limit });
    }
}

pub(super) fn polls_a_million(host: &Host) {
    let few = host.one("polls_one_often", arguments((100_u64,)));
    assert_eq!(few.value::<u64>(), 100);
    let many = host.one("polls_one_often", arguments((1_000_000_u64,)));
    assert!(!many.report.outcome.is_success(), "{:?}", many.report);
}

pub(super) fn takes_random(host: &Host) {
    for bytes in [u64::MAX, u64::MAX - 7, 1 << 32, 3 << 20] {
        let _why = host.one("takes_randomness", arguments((bytes,))).trapped();
    }
    assert_eq!(host.one("takes_randomness", arguments((1000_u64,))).value::<u64>(), 1000);
}

pub(super) fn writes_zeroes(host: &Host) {
    for blocking in [false, true] {
        for count in [u64::MAX, u64::MAX / 2, 1 << 40, 1 << 32] {
            let _why = host.one("prints_zeroes", arguments((count, blocking))).trapped();
        }
        assert!(host.one("prints_zeroes", arguments((100_u64, blocking))).value::<bool>());
    }
}

pub(super) fn hoards_fields(host: &Host) {
    let fills = |sets: u64, headers: u64| host.one("fills_headers", arguments((sets, headers)));
    fills(100_000, 1).trapped_with("table");
    fills(1, 100_000).trapped_with("total size of fields");
    assert_eq!(fills(1000, 15).value::<u64>(), 60_000_000, "as much as there can be, and little");
}
