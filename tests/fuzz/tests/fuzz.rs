//! Each target as a test: its stored corpus, and changed copies of it for as long as
//! `SAMARA_FUZZ_SECONDS` says.

use samara_fuzz::run;
use samara_fuzz::targets::{
    TARGETS, answers, cache, components, dialects, events, files, globs, manifests, messages,
    records, stored, tickets, urls, values, wire,
};

#[test]
fn answers_of_hosts_end_every_job() {
    run(&answers::TARGET);
}

#[test]
fn cache_files_are_used_as_written_or_not_at_all() {
    run(&cache::TARGET);
}

#[test]
fn components_are_refused_or_run_within_bounds() {
    run(&components::TARGET);
}

#[test]
fn dialects_answer_every_request() {
    run(&dialects::TARGET);
}

#[test]
fn events_of_lambda_are_answered_within_their_places_or_refused() {
    run(&events::TARGET);
}

#[test]
fn files_of_people_are_read_or_refused() {
    run(&files::TARGET);
}

#[test]
fn globs_match_as_a_plain_matcher_does() {
    run(&globs::TARGET);
}

#[test]
fn manifests_are_run_once_by_their_own_workers_or_refused() {
    run(&manifests::TARGET);
}

#[test]
fn messages_of_queues_are_seen_to_or_thrown_away() {
    run(&messages::TARGET);
}

#[test]
fn records_come_once_whatever_the_cut() {
    run(&records::TARGET);
}

#[test]
fn stored_objects_of_jobs_are_read_or_refused() {
    run(&stored::TARGET);
}

#[test]
fn tickets_are_good_only_where_a_key_signed_them() {
    run(&tickets::TARGET);
}

#[test]
fn urls_stay_below_their_prefixes() {
    run(&urls::TARGET);
}

#[test]
fn values_are_read_as_they_were_written() {
    run(&values::TARGET);
}

#[test]
fn wire_frames_are_the_same_however_they_are_cut() {
    run(&wire::TARGET);
}

/// Bytes of all stored inputs together: they are in every clone.
const CORPORA_BYTES_MAX: u64 = 1 << 20;

#[test]
fn every_target_has_a_test_and_a_corpus() {
    let tests = include_str!("fuzz.rs");
    let mut bytes = 0;
    for target in TARGETS {
        let test = format!("run(&{}::TARGET);", target.name);
        assert!(tests.contains(&test), "{} has no test", target.name);
        assert!(!(target.seeds)().is_empty(), "{} begins with nothing", target.name);
        let path = format!("{}/corpus/{}", env!("CARGO_MANIFEST_DIR"), target.name);
        let stored = std::fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let sizes: Vec<u64> =
            stored.map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
        assert!(!sizes.is_empty(), "{path} has no inputs");
        bytes += sizes.iter().sum::<u64>();
    }
    assert!(bytes < CORPORA_BYTES_MAX, "the corpora have {bytes} bytes together");
}
