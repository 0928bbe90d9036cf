//! Errors: what, where, why, and what next; each with its exit code.

use expect_test::{Expect, expect};

use crate::{Place, hello, programs};

/// Runs what is to go wrong; compares the exit code and standard error with a golden.
#[track_caller]
fn check(place: &Place, arguments: &[&str], expected: &Expect) {
    let ended = place.samara(arguments);
    assert_eq!(ended.stdout, "", "nothing on standard output: {ended:?}");
    let code = ended.code.map_or_else(String::new, |code| code.to_string());
    expected.assert_eq(&format!("exit {code}\n{}", place.steady(&ended.stderr)));
}

/// The same for a run of one of many functions.
#[track_caller]
fn run(place: &Place, arguments: &[&str], expected: &Expect) {
    check(place, &[&["run", programs()], arguments].concat(), expected);
}

#[test]
fn what_is_no_component_is_refused_by_name() {
    let place = Place::new();
    place.file("empty.wasm", "").file("text.wasm", "(module)");
    place.file("core.wasm", b"\0asm\x01\0\0\0");
    let whole = std::fs::read(hello()).unwrap();
    place.file("short.wasm", &whole[..whole.len() / 2]);
    check(
        &place,
        &["run", "none.wasm", "f"],
        &expect![[r#"
        exit 3
        error: none.wasm: no such file; give a component (.wasm), or make one: `samara build DIR`
    "#]],
    );
    check(
        &place,
        &["inspect", "empty.wasm"],
        &expect![[r#"
        exit 3
        error: cannot inspect empty.wasm
          caused by: component empty.wasm: it is empty
    "#]],
    );
    check(
        &place,
        &["run", "text.wasm", "f"],
        &expect![[r#"
        exit 3
        error: component text.wasm: it is not WebAssembly
    "#]],
    );
    check(
        &place,
        &["inspect", "core.wasm"],
        &expect![[r#"
        exit 3
        error: cannot inspect core.wasm
          caused by: component core.wasm: it is a core WebAssembly module, not a component; build it for wasm32-wasip2 (`samara build` does)
    "#]],
    );
    check(
        &place,
        &["inspect", "."],
        &expect![[r#"
        exit 2
        error: . is a directory; `samara build .` builds a crate
    "#]],
    );
    let ended = place.samara(&["inspect", "short.wasm"]);
    assert_eq!(ended.code, Some(3));
    assert!(ended.stderr.contains("damaged"), "{ended:?}");
}

#[test]
fn what_is_no_crate_is_refused_by_name() {
    let place = Place::new();
    place.file("empty/x", "").file("lib/Cargo.toml", "[package]\nname = 'a'\nedition = '2024'\n");
    place.file("lib/src/lib.rs", "");
    check(
        &place,
        &["build", "none"],
        &expect![[r#"
        exit 2
        error: none: no such directory
    "#]],
    );
    check(
        &place,
        &["build", "empty"],
        &expect![[r#"
        exit 3
        error: empty is not a Rust crate: it has no Cargo.toml
    "#]],
    );
    check(
        &place,
        &["build", "lib"],
        &expect![[r#"
        exit 3
        error: crate `a` does not build a component; add to [DIR]/lib/Cargo.toml:

        [lib]
        crate-type = ["cdylib", "rlib"]

    "#]],
    );
}

#[test]
fn functions_that_are_not_there_are_refused_with_those_that_are() {
    let place = Place::new();
    check(
        &place,
        &["run", hello(), "helo"],
        &expect![[r#"
        exit 2
        error: hello.wasm has no function `helo`; it has hello, primes
    "#]],
    );
    check(
        &place,
        &["run", hello(), "primes", "--input", "1", "--reduce", "x"],
        &expect![[r#"
        exit 2
        error: hello.wasm has no function `x`; it has hello, primes
    "#]],
    );
    check(
        &place,
        &["run", hello(), "primes", "--input", "1", "--reduce", "primes"],
        &expect![[r#"
            exit 2
            error: --reduce primes: `primes` does not combine values; mark it with #[function(reduce)]
        "#]],
    );
}

#[test]
fn inputs_that_do_not_fit_are_refused_before_anything_runs() {
    let place = Place::new();
    run(
        &place,
        &["echo_string", "--input", "text"],
        &expect![[r#"
        exit 2
        error: --input 1 is not JSON: expected ident at line 1 column 2
          it is: text
          a text wants its quotes: --input '"text"'
    "#]],
    );
    run(
        &place,
        &["add", "--input", "[1,2]", "--input", "[1,2"],
        &expect![[r#"
            exit 2
            error: --input 2 is not JSON: EOF while parsing a list at line 1 column 4
              it is: [1,2
        "#]],
    );
    run(
        &place,
        &["add"],
        &expect![[r#"
        exit 2
        error: `add` takes 2 values; give them as an array: --input '[…]'
          its signature: fn(a: u64, b: u64) -> u64
    "#]],
    );
    run(
        &place,
        &["add", "--input", "[1]"],
        &expect![[r#"
        exit 2
        error: --input 1 does not fit `add`: it is an array of 1 and should be an array of 2 values
          its signature: fn(a: u64, b: u64) -> u64
    "#]],
    );
    run(
        &place,
        &["add", "--input", "7"],
        &expect![[r#"
        exit 2
        error: --input 1 does not fit `add`: it is 7 and should be an array of 2 values
          its signature: fn(a: u64, b: u64) -> u64
    "#]],
    );
}

#[test]
fn values_and_partitions_are_told_apart() {
    let place = Place::new();
    run(
        &place,
        &["answer", "--input", "7"],
        &expect![[r#"
        exit 2
        error: --input 1 does not fit `answer`: it is 7 and should be [], because it takes no values
          its signature: fn() -> u64
    "#]],
    );
    run(
        &place,
        &["collatz"],
        &expect![[r#"
        exit 2
        error: `collatz` takes a value; give it: --input JSON
          its signature: fn(n: u64) -> u64
    "#]],
    );
    run(
        &place,
        &["collatz", "--over", "x"],
        &expect![[r#"
        exit 2
        error: `collatz` takes no partition, so it cannot run --over objects
          its signature: fn(n: u64) -> u64
    "#]],
    );
    run(
        &place,
        &["count_lines"],
        &expect![[r#"
        exit 2
        error: `count_lines` takes a partition; say of what: --over URL
          its signature: fn(text: Partition) -> Result<u64>
    "#]],
    );
    run(
        &place,
        &["count_lines", "--over", "x", "--input", "1", "--input", "2"],
        &expect![[r#"
        exit 2
        error: --over takes at most one --input: what every task gets beside its partition
    "#]],
    );
    run(
        &place,
        &["find_lines", "--over", "x"],
        &expect![[r#"
        exit 2
        error: `find_lines` takes 2 values; give them as an array: --input '[…]'
          its signature: fn(needle: String, text: Partition, limit: usize) -> Result<Vec<u64>>
    "#]],
    );
}

#[test]
fn cuts_that_make_no_sense_are_refused() {
    let place = Place::new();
    run(
        &place,
        &["count_lines", "--over", "x", "--chunk", "0"],
        &expect![[r#"
        exit 2
        error: invalid value '0' for '--chunk <SIZE>': a size is at least 1 byte

        For more information, try '--help'.
    "#]],
    );
    run(
        &place,
        &["count_lines", "--over", "x", "--chunk", "8 parsecs"],
        &expect![[r#"
        exit 2
        error: invalid value '8 parsecs' for '--chunk <SIZE>': `parsecs` is no unit; write 8MiB (units: B, K, KiB, kB, M, MiB, MB, G, GiB, GB, TiB, TB)

        For more information, try '--help'.
    "#]],
    );
    run(
        &place,
        &["count_lines", "--over", "x", "--chunks", "0"],
        &expect![[r#"
        exit 2
        error: invalid value '0' for '--chunks <N>': number would be zero for non-zero type

        For more information, try '--help'.
    "#]],
    );
    run(
        &place,
        &["count_lines", "--over", "x", "--chunk", "1", "--chunks", "1"],
        &expect![[r#"
        exit 2
        error: the argument '--chunk <SIZE>' cannot be used with '--chunks <N>'

        Usage: samara run --over <URL> --chunk <SIZE> <COMPONENT> <FUNCTION>

        For more information, try '--help'.
    "#]],
    );
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let place = Place::new();
    run(
        &place,
        &["count_lines", "--over", "x", "--memory", "8GiB"],
        &expect![[r#"
            exit 2
            error: a setting is wrong:
              --memory: memory: limit memory_bytes = 8589934592 must lie between [SIZE] (one page) and 4 GiB
        "#]],
    );
    run(
        &place,
        &["count_lines", "--over", "x", "--time-limit", "30"],
        &expect![[r#"
        exit 2
        error: invalid value '30' for '--time-limit <TIME>': the unit is missing; write 30s (units: ms, s, m, h)

        For more information, try '--help'.
    "#]],
    );
    run(
        &place,
        &["count_lines", "--over", "x", "--slots", "0"],
        &expect![[r#"
        exit 2
        error: invalid value '0' for '--slots <N>': number would be zero for non-zero type

        For more information, try '--help'.
    "#]],
    );
    run(
        &place,
        &["answer", "--chunk", "1KiB"],
        &expect![[r#"
        exit 2
        error: the following required arguments were not provided:
          --over <URL>

        Usage: samara run --over <URL> --chunk <SIZE> <COMPONENT> <FUNCTION>

        For more information, try '--help'.
    "#]],
    );
}

#[test]
fn objects_and_stores_that_are_not_there_are_named() {
    let place = Place::new();
    place.file("a-file", "");
    run(
        &place,
        &["count_lines", "--over", "none.txt"],
        &expect![[r#"
        exit 3
        error: file://[DIR]/none.txt: not found (looked for an object, or objects below it)
    "#]],
    );
    run(
        &place,
        &["count_lines", "--over", "none-*.txt"],
        &expect![[r#"
        exit 3
        error: file://[DIR]/none-*.txt: not found (looked for an object of that name, or objects that match it as a pattern)
    "#]],
    );
    run(
        &place,
        &["count_lines", "--over", "nfs://bucket/key"],
        &expect![[r#"
            exit 2
            error: `nfs://bucket/key`: no store for `nfs:` in this build (known: …)
        "#]],
    );
    run(
        &place,
        &["answer", "--store", "a-file/below"],
        &expect![[r#"
            exit 3
            error: file://[DIR]/a-file/below/components/[ID]: invalid name: a part of its path is a file
        "#]],
    );
    run(
        &place,
        &["answer", "--runtime", "moon://"],
        &expect![[r#"
            exit 2
            error: a setting is wrong:
              --runtime: runtime: no runtime of this build is called `moon:`; there are: local:, http:, https:, lambda:, queue:, slurm:
        "#]],
    );
    run(
        &place,
        &["answer", "--runtime", "local:many"],
        &expect![[r#"
        exit 2
        error: `local:many`: `many` is no number of slots (local:SLOTS)
    "#]],
    );
    run(
        &place,
        &["answer", "--slots", "100000"],
        &expect![[r#"
        exit 2
        error: slots = 100000: `local:` has 1024 at most; more tasks at the same moment have hosts (http:, lambda:)
    "#]],
    );
    for url in ["local:0", "local:5000", "local:?processes=x", "http://?slots=2", "lambda://"] {
        let ended = place.samara(&["run", programs(), "answer", "--runtime", url, "--store", "s"]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.starts_with(&format!("error: `{url}`: ")), "{ended:?}");
    }
}

#[test]
fn failed_tasks_say_which_and_why() {
    let place = Place::new();
    run(
        &place,
        &["fails"],
        &expect![[r#"
        exit 1
        error: task 0 of job [JOB] (`fails`) failed: cannot count
          caused by: cannot read the number
          caused by: invalid digit found in string
        1 task in [TIME], 1 failed
    "#]],
    );
    run(
        &place,
        &["echo_string", "--input", "5"],
        &expect![[r#"
            exit 1
            error: task 0 of job [JOB] (`echo_string`) could not be called: argument 1 `value: String` of `echo_string`: unexpected type u8 at position 0: expected text (definite length) (found an integer)
              hint: `samara inspect` has the types; an integer is written 5 and a float 5.0, a text "in quotes"
            1 task in [TIME], 1 failed
        "#]],
    );
    run(
        &place,
        &["loops", "--time-limit", "50ms"],
        &expect![[r#"
            exit 1
            error: task 0 of job [JOB] (`loops`) out of time: the task ran longer than its limit of 50ms
              hint: --time-limit (the setting `time`) gives a task longer, and --chunk less to do
            1 task in [TIME], 1 failed
        "#]],
    );
    run(
        &place,
        &["allocates", "--input", "100000000", "--memory", "16MiB"],
        &expect![[r#"
            exit 1
            error: task 0 of job [JOB] (`allocates`) out of memory: the task wanted more than its limit of [SIZE]
              hint: --memory (the setting `memory`) gives a task more, and --chunk less to hold
            1 task in [TIME], 1 failed
        "#]],
    );
    run(
        &place,
        &["unencodable", "-q"],
        &expect![[r#"
            exit 1
            error: task 0 of job [JOB] (`unencodable`) gave an output that cannot be encoded: this value has no encoding
        "#]],
    );
}

#[test]
fn a_project_is_not_made_over_another() {
    let place = Place::new();
    place.file("full/x", "");
    check(
        &place,
        &["new", "full"],
        &expect![[r#"
        exit 2
        error: full exists and is not empty; choose another directory
    "#]],
    );
    check(
        &place,
        &["new", "full/x"],
        &expect![[r#"
        exit 3
        error: cannot use full/x
          caused by: Not a directory (os error 20)
    "#]],
    );
    check(
        &place,
        &["new", "1st"],
        &expect![[r#"
        exit 2
        error: `1st` cannot be a crate's name: it begins with something other than a letter (a-z); choose one: --name
    "#]],
    );
    check(
        &place,
        &["new", "ok", "--name", "match"],
        &expect![[r#"
        exit 2
        error: `match` cannot be a crate's name: Rust, cargo or Samara has it already; choose one: --name
    "#]],
    );
    check(
        &place,
        &["new", "ok", "--samara-path", "full"],
        &expect![[r#"
        exit 2
        error: --samara-path full: not a checkout of Samara; it lacks host/driver or guest-sdk
    "#]],
    );
    assert!(!place.path("ok").exists());
}
