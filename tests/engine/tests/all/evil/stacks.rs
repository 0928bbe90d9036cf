//! Guests that recurse, panic, and trap where nobody expects it.

use super::host::{Host, assembled};
use crate::common::{arguments, unique};

pub(super) fn recurses(host: &Host) {
    let ended = host.one("goes_deep", arguments((u64::MAX,)));
    ended.trapped_with("stack overflow");
    assert!(ended.trapped().backtrace.len() <= 32);
    assert_eq!(host.one("goes_deep", arguments((100_u64,))).value::<u64>(), 100);
}

pub(super) fn overflows_stack(host: &Host) {
    host.text("overflows_stack").trapped_with("stack overflow");
}

pub(super) fn oversized_names(host: &Host) {
    let ended =
        host.run(host.batch_of(&assembled(&samara_evil::made::oversized_names::recursing(90_000))));
    ended.trapped_with("stack overflow");
    for frame in &ended.trapped().backtrace {
        assert!(frame.len() < 2000, "{} bytes", frame.len());
    }
}

pub(super) fn panics_hugely(host: &Host) {
    let ended = host.one("panics_at_length", arguments((1_000_000_u64,)));
    let trap = ended.trapped();
    assert!(trap.message.starts_with('é') && trap.message.len() <= 16 << 10);
    assert!(trap.location.as_ref().is_some_and(|it| it.contains("panics_hugely.rs")), "{trap}");
    // Two texts of a megabyte and a half pass in one call: as much as one may.
    let ended = host.one("panics_far_away", arguments((1_500_000_u64,)));
    let place = ended.trapped().location.as_deref().unwrap_or_default();
    assert!(place.starts_with('l') && place.len() < 10_000, "{} bytes", place.len());
}

pub(super) fn panics_in_panic(host: &Host) {
    let _why = host.one("panics_again", arguments(())).trapped();
}

pub(super) fn traps_in_drop(host: &Host) {
    let url = format!("mem://evil-drops-{}/a", unique());
    let ended = host.one("leaves_a_mine", arguments((url,)));
    ended.trapped_with("unreachable");
}

pub(super) fn traps_in_post_return(host: &Host) {
    host.text("traps_in_post_return").trapped_with("unreachable");
}

pub(super) fn exits(host: &Host) {
    for code in [0, 1, 77] {
        let _why = host.one("exits_with", arguments((code,))).trapped();
    }
}
