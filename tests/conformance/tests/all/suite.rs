//! The suite itself: no case is forgotten, none takes the others down, and nothing is left.

use std::fs;
use std::path::Path;

use samara::Executor;
use samara_conformance::{Settings, Suite, Verdict, cases};

use crate::common::{builder, programs, wait};

/// The names of the functions that a text of `src/cases/` has for cases.
fn written(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| {
        line.strip_prefix("fn ")?.strip_suffix("(context: &Context) {").map(str::to_owned)
    });
    names.collect()
}

/// The modules of cases: their names and texts.
fn rooms() -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cases");
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let room = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (room, fs::read_to_string(path).unwrap())
    };
    fs::read_dir(dir).unwrap().map(read).filter(|(room, _)| room != "mod").collect()
}

#[test]
fn every_case_is_in_its_table() {
    let mut sources: Vec<String> = Vec::new();
    for (room, text) in rooms() {
        let tests = text.lines().filter(|line| line.trim() == "#[test]").count();
        assert_eq!(tests, 0, "{room}: a #[test] among the cases never runs; make it a case");
        sources.extend(written(&text).into_iter().map(|name| format!("{room}::{name}")));
    }
    let mut table: Vec<String> = cases().iter().map(ToString::to_string).collect();
    sources.sort_unstable();
    table.sort_unstable();
    assert_eq!(sources, table);
    assert!(table.len() > 60, "{} cases", table.len());
    // The scan itself finds what it should.
    assert_eq!(written("fn a(context: &Context) {\nfn b(context: &Context, n: u64) {\n"), ["a"]);
}

/// Adds what the files of a directory say, if there is one.
fn add_sources(dir: &Path, text: &mut String) {
    for path in fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => add_sources(&path, text),
            false => text.push_str(&fs::read_to_string(path).unwrap()),
        }
    }
}

#[test]
fn every_guest_under_test_has_a_test() {
    // Whichever crate of tests it is in.
    let mut text: String = rooms().into_iter().map(|(_, text)| text).collect();
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).unwrap() {
        add_sources(&entry.unwrap().path().join("tests"), &mut text);
    }
    let functions = wait(Executor::new().unwrap().functions(programs())).unwrap();
    assert!(functions.len() > 80);
    for function in functions {
        assert!(text.contains(&function.name), "`{}` has no test", function.name);
    }
}

#[test]
fn a_suite_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("of-somebody-else"), "x").unwrap();
    let suite = Suite::open(settings(dir.path().to_str().unwrap())).unwrap();
    let wanted = ["large_objects_are_written", "a_summary_counts", "a_large_output"];
    let chosen: Vec<_> =
        cases().into_iter().filter(|case| case.is_meant(&wanted.map(str::to_owned))).collect();
    assert_eq!(chosen.len(), wanted.len());
    for case in chosen {
        assert_eq!(suite.run(&case).verdict, Verdict::Passed, "{case}");
    }
    suite.clean().unwrap();
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["of-somebody-else"]);
}

#[test]
fn a_store_that_cannot_be_written_stops_the_suite_before_any_case() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let below = format!("{}/store", file.path().display());
    let error = Suite::open(settings(&below)).unwrap_err().to_string();
    assert!(error.contains(&below[1..]), "{error}");
}

#[test]
fn a_runtime_that_is_unknown_stops_the_suite_before_any_case() {
    let mut settings = settings("mem://suite/");
    settings.builder = builder().runtime("lambada:");
    let error = Suite::open(settings).unwrap_err().to_string();
    assert!(error.contains("lambada:"), "{error}");
}

#[test]
fn a_case_that_does_not_end_in_time_has_failed() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path().to_str().unwrap());
    settings.time_max = std::time::Duration::from_millis(1);
    let suite = Suite::open(settings).unwrap();
    let case = find("ends::the_engine_survives_hundreds_of_ends");
    match suite.run(&case).verdict {
        Verdict::Failed(said) => assert!(said.contains("did not end within 1ms"), "{said}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_case_that_fails_says_why_and_where_and_the_next_one_runs() {
    // A memory too small for a guest: no case that calls one can pass.
    let mut limits = samara::Limits::default();
    limits.memory_bytes = 64 << 10;
    let mut small = settings("mem://suite/");
    small.builder = builder().limits(limits);
    let suite = Suite::open(small).unwrap();
    for _ in 0..2 {
        match suite.run(&find("values::eight_arguments_arrive_in_order")).verdict {
            Verdict::Failed(said) => {
                assert!(said.contains("values.rs:"), "{said}");
                assert!(said.contains("LimitExceeded(Memory"), "{said}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        suite.run(&find("values::no_inputs_are_an_empty_result")).verdict,
        Verdict::Passed,
        "it calls none"
    );
}

#[test]
fn a_case_without_what_it_needs_is_skipped_with_the_reason() {
    let mut one = settings("mem://suite/");
    one.builder = builder().runtime("local:1");
    let suite = Suite::open(one).unwrap();
    match suite.run(&find("jobs::results_stream_as_they_complete")).verdict {
        Verdict::Skipped(why) => assert_eq!(why, "it needs 3 slots, and local:1 has 1"),
        other => panic!("{other:?}"),
    }
}

fn settings(store: &str) -> Settings {
    Settings::new(programs().clone(), builder(), store)
}

fn find(name: &str) -> samara_conformance::Case {
    cases().into_iter().find(|case| case.to_string() == name).unwrap()
}
