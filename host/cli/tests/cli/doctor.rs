//! The doctor, on this machine and on ones that lack something.

use expect_test::expect;

use crate::{Ended, Place};

/// The lines of a report by the name of the check, without what depends on the machine.
fn line<'a>(report: &'a str, name: &str) -> &'a str {
    let of = |line: &&str| line.split_whitespace().nth(1) == Some(name);
    report.lines().find(of).unwrap_or_else(|| panic!("no {name} in {report}"))
}

/// The test object's name, without what makes it new each time.
fn without_numbers(report: &str) -> String {
    let mut parts = report.split("samara-doctor-");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text += "samara-doctor-[N]";
        text += part.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    text
}

#[test]
fn a_sound_machine_is_found_sound() {
    let place = Place::new();
    let report = place.samara(&["doctor", "--store", "kept"]).ok();
    for name in ["settings", "toolchain", "engine", "cache", "runtime", "store"] {
        assert!(line(&report, name).starts_with("ok "), "{report}");
    }
    assert!(line(&report, "store").contains("of 8 writers one wins"), "{report}");
    let left: Vec<_> = std::fs::read_dir(place.path("kept")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    let json = place.samara(&["doctor", "--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["status"], "ok", "{json}");
    assert_eq!(json["checks"].as_array().map(Vec::len), Some(6), "{json}");
}

#[test]
fn what_fails_is_named_with_what_to_do_next() {
    let place = Place::new();
    place.file("file", "not a directory");
    let mut command = place.command(&["doctor", "--store", "file/store", "--runtime", "local:1"]);
    command.env("SAMARA_CACHE_DIR", "file/cache").env("SAMARA_SERVICE_HOST", "10.0.0.1");
    command.env("RUSTC", "no-such-rustc");
    let ended: Ended = command.output().unwrap().into();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    expect![[r#"
        warn  settings   no file; profile: none; variables that are no settings: SAMARA_SERVICE_HOST
                        next: nothing, if other programs set them; `samara config show` lists the settings
        warn  toolchain  could not run `no-such-rustc` in .: No such file or directory (os error 2); is it installed and on PATH?
                        next: install Rust from https://rustup.rs to build components; built ones run as is
        ok    engine     runs components, with instances from a pool
        warn  cache      [DIR]/file/cache cannot be used: Not a directory (os error 20)
                        next: choose a directory that only you may write: setting `cache-dir`
        ok    runtime    local:1 ran a task in [TIME]
        FAIL  store      file://[DIR]/file/store: an object could not be written: file://[DIR]/file/store/samara-doctor-[N]: invalid name: a part of its path is a file
                        next: see that it exists and that you may read, write, list and delete there
    "#]]
    .assert_eq(&without_numbers(&place.steady(&ended.stdout)));
}

#[test]
fn wrong_settings_are_reported_and_the_rest_is_looked_at() {
    let place = Place::new();
    place.file("samara.toml", "stroe = 'x'\n");
    let ended = place.samara(&["doctor"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(line(&ended.stdout, "engine").starts_with("ok "), "{ended:?}");
    let settings = ended.stdout.split("ok ").next().unwrap();
    expect![[r#"
        FAIL  settings   a setting is wrong:
                          [DIR]/samara.toml:1:1: stroe: nothing is called so; did you mean `store`?
                        next: correct them; the runtime and the store are looked at then
    "#]]
    .assert_eq(&place.steady(settings));
}
