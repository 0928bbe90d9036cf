//! Components that should not be run, or not even be compiled.

use std::time::{Duration, Instant};

use samara_evil::made;

use super::host::{Host, assembled, evil};

pub(super) fn cut_short(host: &Host) {
    let small = assembled(&samara_evil::component("spins_in_list"));
    for (whole, places) in [(evil(), 40), (&small, 500)] {
        for cut in made::cut_short::cuts(whole, places) {
            // What ends between two sections may be whole, but for names at its end.
            match host.prepare(cut) {
                Ok(_) => assert_eq!(whole[cut.len()], 0, "a custom section at {}", cut.len()),
                Err(_) => assert!(!host.refusal(cut).is_empty()),
            }
        }
    }
}

pub(super) fn bit_flipped(host: &Host) {
    let (mut refused, mut ran) = (0, 0);
    for name in ["paints_tables", "grows_tables", "returns_bad_text"] {
        let whole = assembled(&samara_evil::component(name));
        let copies = [1, 3].map(|bits| made::bit_flipped::copies(&whole, 300, bits));
        for copy in copies.into_iter().flatten() {
            match host.prepare(&copy) {
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.kind, samara_core::ErrorKind::Component, "{error}");
                }
                Ok(_) => {
                    ran += 1;
                    let mut batch = host.batch_of(&copy.into());
                    batch.limits.time = Duration::from_millis(200);
                    let _whatever_it_came_to = host.run(batch);
                }
            }
        }
    }
    assert!(refused > 100 && ran > 100, "{refused} were refused, {ran} ran");
    for copy in made::bit_flipped::copies(evil(), 20, 1000) {
        let _why = host.refusal(&copy);
    }
}

pub(super) fn thousand_imports(host: &Host) {
    let error = host.refusal(&assembled(&made::thousand_imports::importing(900)));
    assert!(error.contains("part"), "{error}");
    let error = host.refusal(&assembled(&made::thousand_imports::importing(5000)));
    assert!(error.contains("too large"), "{error}");
    let error = host.refusal(&assembled(&made::thousand_imports::importing_functions(10_000)));
    assert!(error.contains("wasi:random/random"), "{error}");
}

pub(super) fn ten_thousand_functions(host: &Host) {
    let started = Instant::now();
    for text in
        [made::ten_thousand_functions::chained(10_000), made::ten_thousand_functions::long(20_000)]
    {
        let ended = host.run(host.batch_of(&assembled(&text)));
        assert!(ended.report.outcome.is_success(), "{ended:?}");
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(60), "{took:?}");
}

pub(super) fn oversized_exports(host: &Host) {
    let error = host.refusal(&assembled(&made::oversized_exports::exporting(200, 50_000)));
    assert!(error.contains("another world"), "{error}");
    let error = host.refusal(&assembled(&made::oversized_exports::importing(90_000)));
    assert!(error.contains("it imports"), "{error}");
}

pub(super) fn deep_types(host: &Host) {
    for text in [made::deep_types::nested_lists(10_000), made::deep_types::doubled_tuples(40)] {
        let error = host.refusal(&assembled(&text));
        assert!(error.contains("too deep") || error.contains("too large"), "{error}");
    }
}

pub(super) fn nested_components(host: &Host) {
    let started = Instant::now();
    for levels in [17, 40, 90] {
        let error = host.refusal(&assembled(&made::nested_components::doubled(levels)));
        assert!(error.contains("written out"), "{levels}: {error}");
    }
    let error = host.refusal(&assembled(&made::nested_components::handed_down(40)));
    assert!(error.contains("does not hold itself"), "{error}");
    let took = started.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
    // A few levels are nothing unusual.
    let error = host.refusal(&assembled(&made::nested_components::doubled(3)));
    assert!(error.contains("exports nothing"), "{error}");
}
