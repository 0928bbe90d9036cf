//! A crate's tests inside the sandbox: `cargo test --target wasm32-wasip2`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use samara_core::Limits;

use crate::common;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The functions that `samara new` makes, with their tests.
const TEMPLATE: &str = include_str!("../../../../host/cli/src/templates/word-count/lib.rs");

/// Further tests: of what the sandbox has and has not, and some that fail.
const TESTS: &str = include_str!("runner/inside.rs");

/// Builds the tests of a crate made of the template and of ours, as cargo does; returns the program.
fn tests() -> &'static Path {
    static TESTS_WASM: OnceLock<PathBuf> = OnceLock::new();
    TESTS_WASM.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        std::fs::create_dir(dir.path().join("src")).unwrap();
        let guest = format!("{ROOT}/guest-sdk");
        write(
            "Cargo.toml",
            &format!(
                "[package]\nname = \"in-the-sandbox\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
                 [lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n\
                 [dependencies]\nsamara-guest = {{ path = {guest:?} }}\n\
                 serde = {{ version = \"1\", features = [\"derive\"] }}\n[workspace]\n"
            ),
        );
        write("src/lib.rs", &format!("{TEMPLATE}\n#[cfg(test)]\nmod inside;\n"));
        write("src/inside.rs", TESTS);
        std::fs::copy(format!("{ROOT}/Cargo.lock"), dir.path().join("Cargo.lock")).unwrap();
        std::fs::copy(
            format!("{ROOT}/rust-toolchain.toml"),
            dir.path().join("rust-toolchain.toml"),
        )
        .unwrap();
        // Gets the target where it is missing.
        let _programs = crate::common::programs();
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("in-the-sandbox");
        let built = Command::new(env!("CARGO"))
            .args(["test", "--offline", "--lib", "--no-run", "--message-format=json"])
            .args(["--target", "wasm32-wasip2"])
            .env("CARGO_TARGET_DIR", target)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTFLAGS")
            .current_dir(dir.path())
            .output()
            .unwrap();
        let out = String::from_utf8(built.stdout).unwrap();
        assert!(built.status.success(), "{out}{}", String::from_utf8_lossy(&built.stderr));
        let begin = "\"executable\":\"";
        let (_, rest) = out.rsplit_once(begin).expect("cargo names the program");
        PathBuf::from(rest.split('"').next().unwrap())
    })
}

/// Runs the tests; returns the exit code and what was said.
fn run(arguments: &[&str]) -> (i32, String) {
    let mut options = samara_runner::Options::default();
    options.cache_dir = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"));
    options.cache_key_file = Some(common::key_file());
    let mut limits = Limits::default();
    (limits.time, limits.memory_bytes) = (Duration::from_secs(2), 64 << 20);
    options.limits = limits;
    let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
    let mut out = Vec::new();
    let code = samara_runner::run(tests(), &arguments, &options, &mut out).unwrap();
    (code, String::from_utf8(out).unwrap())
}

#[test]
fn the_templates_tests_pass_in_the_sandbox() {
    let (code, said) = run(&["tests::"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("test tests::counts_add_up ... ok"), "{said}");
    assert!(said.contains("test result: ok. 2 passed; 0 failed; 0 ignored"), "{said}");
}

#[test]
fn the_sandbox_has_what_its_documentation_says() {
    let (code, said) = run(&["sandbox::"]);
    assert_eq!(code, 0, "{said}");
    for test in [
        "arguments_and_environment",
        "files",
        "directories",
        "sockets",
        "processes_and_threads",
        "clocks_and_random_numbers",
        "standard_input",
    ] {
        assert!(said.contains(&format!("test inside::sandbox::{test} ... ok")), "{test}: {said}");
    }
}

#[test]
fn functions_that_use_the_host_are_tested_as_natively() {
    let (code, said) = run(&["host::"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("test result: ok. 6 passed"), "{said}");
}

#[test]
fn a_failing_test_fails_with_its_message_and_harms_no_other() {
    let (code, said) = run(&["failing::", "host::the_log"]);
    assert_eq!(code, 101, "{said}");
    assert!(said.contains("test inside::host::the_log_is_seen ... ok"), "{said}");
    assert!(said.contains("test inside::failing::a_panic ... FAILED"), "{said}");
    assert!(said.contains("said before") && said.contains("one is not two"), "{said}");
    assert!(said.contains("warn: logged before"), "{said}");
    assert!(said.contains("panicked at src/inside.rs:"), "{said}");
    assert!(said.contains("out of time: the task ran longer than its limit of 2s"), "{said}");
    assert!(said.contains("out of memory") || said.contains("memory allocation"), "{said}");
    assert!(said.contains("test inside::failing::ignored_unless_asked_for ... ignored"), "{said}");
    assert!(said.contains("test result: FAILED. 1 passed; 3 failed; 1 ignored"), "{said}");
}

#[test]
fn tests_are_selected_as_cargo_does() {
    let (code, said) = run(&["--ignored", "failing::"]);
    assert_eq!(code, 101, "{said}");
    assert!(said.contains("running 1 test\n"), "{said}");
    let (code, said) = run(&["tests::counts_add_up", "--exact"]);
    assert!(code == 0 && said.contains("1 passed"), "{said}");
    let (code, said) = run(&["tests::", "--skip", "add_up"]);
    assert!(code == 0 && said.contains("1 passed"), "{said}");
    let (code, said) = run(&["no such test"]);
    assert!(code == 0 && said.contains("running 0 tests"), "{said}");
}

#[test]
fn what_cannot_be_run_is_refused_by_name() {
    let run = |bytes: &[u8]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let options = samara_runner::Options::default();
        let refused = samara_runner::run(file.path(), &[], &options, &mut Vec::new());
        refused.unwrap_err().to_string()
    };
    assert!(run(b"#!/bin/sh").contains("it is not WebAssembly"));
    let refused = run(crate::common::programs());
    assert!(refused.contains("does not export wasi:cli/run"), "{refused}");
    let missing = samara_runner::run(
        Path::new("/no/such/file.wasm"),
        &[],
        &samara_runner::Options::default(),
        &mut Vec::new(),
    );
    assert!(missing.unwrap_err().to_string().contains("/no/such/file.wasm"));
}
