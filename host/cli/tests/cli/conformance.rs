//! `samara test`: the suite that the binary holds.

use std::fs;

use crate::Place;

#[test]
fn the_suite_passes_on_files_and_leaves_nothing() {
    let place = Place::new();
    fs::create_dir(place.path("store")).unwrap();
    let store = format!("file:{}", place.path("store").display());
    let ended = place.samara(&["test", "--store", &store]);
    let listed = place.samara(&["test", "--list"]).ok();
    let cases = listed.lines().count();
    assert!(cases > 70, "{cases} cases");
    for case in listed.lines() {
        assert!(ended.stdout.contains(&format!("passed  {case} (")), "{case}: {ended:?}");
    }
    // Where there are fewer than three cores, the case that needs three slots makes its own.
    let total = format!("{cases} passed, 0 failed, 0 skipped: local:");
    assert!(ended.stdout.contains(&total), "{ended:?}");
    assert_eq!(ended.code, Some(0));
    assert_eq!(fs::read_dir(place.path("store")).unwrap().count(), 0, "it cleans up");
}

#[test]
fn a_store_that_cannot_be_written_is_one_clear_error() {
    let place = Place::new();
    place.file("file", "not a directory");
    let ended = place.samara(&["test", "--store", "file/store"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{ended:?}");
    assert!(ended.stderr.contains("no case was run"), "{ended:?}");
    assert!(ended.stderr.contains("a part of its path is a file"), "{ended:?}");
}

#[test]
fn an_unknown_runtime_is_one_clear_error() {
    let ended = Place::new().samara(&["test", "--runtime", "lambada://x"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
    assert!(ended.stderr.contains("no runtime of this build is called `lambada:`"), "{ended:?}");
}

#[test]
fn cases_are_chosen_by_name_and_skipped_with_the_reason() {
    let place = Place::new();
    let chosen = ["test", "--runtime", "local:1", "results_stream", "no_inputs", "--jobs", "1"];
    let out = place.samara(&chosen).ok();
    assert!(out.contains("passed  values::no_inputs_are_an_empty_result ("), "{out}");
    assert!(out.contains("it needs 3 slots, and local:1 has 1"), "{out}");
    assert!(out.contains("1 passed, 0 failed, 1 skipped: local:1 with mem://"), "{out}");
    let listed = place.samara(&["test", "--list", "no_inputs"]).ok();
    assert_eq!(listed, "values::no_inputs_are_an_empty_result\n");
    let none = place.samara(&["test", "no_such_case"]);
    assert_eq!(none.code, Some(2));
    assert!(none.stderr.contains("`no_such_case`; `samara test --list`"), "{none:?}");
}

#[test]
fn json_has_an_object_per_case_and_one_for_all() {
    let out = Place::new().samara(&["test", "--json", "no_inputs", "none_and_unit"]).ok();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    let start = "{\"case\":\"values::n";
    assert!(lines[..2].iter().all(|line| line.starts_with(start)), "{out}");
    assert!(
        lines[2].starts_with("{\"passed\":2,\"failed\":0,\"skipped\":0,\"not_run\":0,"),
        "{out}"
    );
}

/// A process whose files may have 4 KiB cannot store a component: a store that is nearly full.
#[cfg(unix)]
#[test]
fn failed_cases_say_why_and_what_next_and_leave_nothing() {
    let place = Place::new();
    fs::create_dir(place.path("store")).unwrap();
    let samara = env!("CARGO_BIN_EXE_samara");
    let run = |options: &str| {
        let script = format!(
            "trap '' XFSZ; ulimit -f 8; exec {samara} test --store store --jobs 1 {options} \
             eight_arguments native_and_sandboxed no_inputs"
        );
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script]).current_dir(place.path(""));
        let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
        crate::Ended::from(command.env("XDG_CACHE_HOME", cache).output().unwrap())
    };
    let all = run("");
    assert_eq!(all.code, Some(1), "{all:?}");
    assert!(all.stdout.contains("failed  values::eight_arguments_arrive_in_order ("), "{all:?}");
    assert!(all.stdout.contains("too large"), "it says why: {all:?}");
    assert!(all.stdout.contains("0 passed, 3 failed, 0 skipped: "), "{all:?}");
    assert!(all.stderr.contains("run a failed case alone with `samara test "), "{all:?}");
    let first = run("--exit-first");
    assert!(first.stdout.contains("0 passed, 1 failed, 0 skipped, 2 not run: "), "{first:?}");
    assert_eq!(fs::read_dir(place.path("store")).unwrap().count(), 0, "they clean up");
}
