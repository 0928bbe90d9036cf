//! Components described and run.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use expect_test::expect;
use serde_json::Value;

use crate::{Ended, Place, hello, programs};

fn run(arguments: &[&str]) -> Ended {
    Place::new().samara(&[&["run", programs()], arguments].concat())
}

fn objects(json_lines: &str) -> Vec<Value> {
    json_lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn hello_greets_and_says_where_its_code_came_from() {
    let place = Place::new();
    let cache = place.path("cache");
    let hello = |arguments: &[&str]| {
        let mut command = place.command(&[&["hello"], arguments].concat());
        let ended: Ended = command.env("XDG_CACHE_HOME", &cache).output().unwrap().into();
        place.steady(&ended.ok())
    };
    expect![[r#"
        Hello, world! A WebAssembly sandbox on this machine says so.
        1 task in [TIME] ([TIME] in a warm sandbox), component b3:[ID], compiled now
    "#]]
    .assert_eq(&hello(&[]));
    expect![[r#"
        Hello, Ada! A WebAssembly sandbox on this machine says so.
        1 task in [TIME] ([TIME] in a warm sandbox), component b3:[ID], compiled code from cache
    "#]]
    .assert_eq(&hello(&["Ada"]));
}

#[test]
fn a_component_is_described() {
    let place = Place::new();
    expect![[r#"
        component  hello.wasm
        id         b3:[ID]
        size       [SIZE] ([SIZE])
        world      samara:function@0.2.1
        functions  2

          hello(name: String) -> String  [pure]
              Greets somebody from inside a sandbox.

          primes(n: u64) -> u64  [pure]
              Numbers from 1 to `n` that are prime, by trial division: something to be busy with.
    "#]]
    .assert_eq(&place.steady(&place.samara(&["inspect", hello()]).ok()));
    let json = place.samara(&["inspect", hello(), "--json"]).ok();
    let description: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(description["world"], "samara:function@0.2.1");
    assert_eq!(description["size"], std::fs::metadata(hello()).unwrap().len());
    assert_eq!(description["functions"][0]["name"], "hello");
    assert_eq!(description["functions"][0]["arity"], 1);
    assert_eq!(description["functions"][0]["pure"], true);
}

#[test]
fn build_copies_the_component_where_it_is_told() {
    let place = Place::new();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/hello");
    let built = place.samara(&["build", source, "--out", "here.wasm"]).ok();
    assert!(built.starts_with("component  here.wasm\nid         b3:"), "{built}");
    assert_eq!(
        std::fs::read(place.path("here.wasm")).unwrap(),
        std::fs::read(hello()).unwrap(),
        "the same bytes whoever builds"
    );
    let denied = place.samara(&["build", source, "--out", "no/such/dir.wasm", "-q"]);
    assert_eq!(denied.code, Some(3));
    assert!(denied.stderr.starts_with("error: cannot write no/such/dir.wasm"), "{denied:?}");
}

#[test]
fn each_input_is_a_task_and_values_come_in_their_order() {
    let inputs = ["add", "--input", "[1,2]", "--input", "[30,4]", "--input", "[5,600]"];
    let ended = run(&inputs);
    assert_eq!(ended.stdout, "3\n34\n605\n");
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.starts_with("3 tasks in "), "{ended:?}");
    let quiet = run(&[&inputs[..], &["-q"]].concat());
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("3\n34\n605\n", ""));
}

#[test]
fn a_function_of_no_values_needs_no_input() {
    assert_eq!(run(&["answer"]).ok(), "42\n");
    assert_eq!(run(&["answer", "--input", "[]", "--input", "[]"]).ok(), "42\n42\n");
    assert_eq!(run(&["nothing"]).ok(), "null\n");
}

#[test]
fn standard_input_is_a_task_per_line() {
    let place = Place::new();
    let numbers: String = (0..1000).map(|n| format!("{n}\n")).collect();
    let doubled = place.samara_with(&numbers, &["run", programs(), "echo_numbers", "--input", "-"]);
    assert_eq!(doubled.code, Some(1), "numbers are no lists: {}", doubled.stdout);
    let sums: String = (0..1000).map(|n| format!("[{n},{n}]\n")).collect();
    let ended = place.samara_with(&sums, &["run", programs(), "add", "--input", "-"]);
    let wanted: String = (0..1000).map(|n| format!("{}\n", 2 * n)).collect();
    assert_eq!(ended.ok(), wanted);
    let none = place.samara_with("", &["run", programs(), "add", "--input", "-"]);
    assert_eq!(none.ok(), "", "no lines, no tasks");
    let bad = place.samara_with("[1,2]\n[1,\n", &["run", programs(), "add", "--input", "-"]);
    assert_eq!(bad.code, Some(2));
    assert!(bad.stderr.contains("line 2 of standard input is not JSON"), "{bad:?}");
}

#[test]
fn values_of_all_kinds_go_in_and_come_out() {
    for (function, input, output) in [
        ("echo_option", "null", "null"),
        ("echo_option", "7", "7"),
        ("echo_unit", "[]", "null"),
        ("echo_unit", "null", "null"),
        ("echo_string", r#""ü\n\"x\"""#, r#""ü\n\"x\"""#),
        ("echo_float", "5.0", "5.0"),
        ("echo_float", "5", "5.0"),
        ("echo_float", "0.1", "0.1"),
        ("echo_tuple", r#"[-1,"a",true,223]"#, r#"[-1,"a",true,223]"#),
        ("echo_shapes", r#"["Point",{"Circle":1.5}]"#, r#"["Point",{"Circle":1.5}]"#),
        ("echo_bytes", "[255,254,253]", r#""__79""#),
        ("echo_numbers", "[1,2]", "[1,2]"),
    ] {
        let ended = run(&[function, "--input", input]);
        assert_eq!(ended.stdout.trim_end(), output, "{function}: {ended:?}");
    }
}

#[test]
fn objects_are_cut_and_values_are_combined() {
    let place = Place::new();
    place.file("in/a.txt", "one two\ntwo\n".repeat(1000)).file("in/b.txt", "two\n");
    let run = |arguments: &[&str]| place.samara(&[&["run", programs()], arguments].concat()).ok();
    assert_eq!(run(&["count_lines", "--over", "in/*.txt"]), "2000\n1\n");
    assert_eq!(run(&["count_lines", "--over", "in/a.txt", "--over", "in/b.txt"]), "2000\n1\n");
    let cut = run(&["count_lines", "--over", "in", "--chunk", "1KiB", "--reduce", "sum"]);
    assert_eq!(cut, "2001\n");
    let cut = run(&["count_words", "--over", "in", "--chunks", "7", "--reduce", "add_counts"]);
    assert_eq!(cut, "{\"one\":1000,\"two\":2001}\n");
    let cut = run(&["sum_bytes", "--over", "in/b.txt", "--chunk", "1", "--records", "bytes"]);
    assert_eq!(cut, "116\n119\n111\n10\n");
    let cut = run(&["count_lines", "--over", "in/b.txt", "--chunk", "1", "--records", "jsonl"]);
    assert_eq!(cut, "1\n0\n0\n0\n");
    let cut = run(&["sum_bytes", "--over", "in/b.txt", "--chunk", "3", "--records", "fixed:2"]);
    assert_eq!(cut, "356\n0\n");
    let ended = ["--chunk", "2", "--records", r"ended-by:o\n"];
    assert_eq!(run(&[&["sum_bytes", "--over", "in/b.txt"][..], &ended[..]].concat()), "356\n0\n");
    place.file("table.csv", "word,n\n\"a\nb\",1\nc,2\n");
    let cut = run(&["count_lines", "--over", "table.csv", "--chunk", "9", "--records", "csv"]);
    assert_eq!(cut, "3\n2\n1\n");
    let found = ["find_lines", "--over", "in/a.txt", "--input", "[\"one\",3]"];
    assert_eq!(run(&found), "[1,3,5]\n");
}

#[test]
fn a_failed_task_hides_no_others_value() {
    let ended = run(&["fails_if_odd", "--input", "2", "--input", "3", "--input", "4"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), "2\n4\n"));
    expect![[r#"
        error: task 1 of job [JOB] (`fails_if_odd`) failed: 3 is odd
        3 tasks in [TIME], 1 failed
    "#]]
    .assert_eq(&Place::new().steady(&ended.stderr));
}

#[test]
fn many_failures_are_told_once_each_only_if_wanted() {
    let arguments = ["fails_if_odd", "--input", "1"].to_vec();
    let arguments = [arguments, ["--input", "1"].repeat(29)].concat();
    let ended = run(&arguments);
    assert_eq!(ended.stderr.matches("1 is odd").count(), 10);
    assert!(ended.stderr.contains("20 more tasks failed; -v prints"), "{}", ended.stderr);
    let verbose = run(&[&arguments[..], &["-v"]].concat());
    assert_eq!(verbose.stderr.matches("1 is odd").count(), 30);
}

#[test]
fn json_has_an_object_per_task_and_a_summary() {
    let ended = run(&["panics_if_odd", "--input", "2", "--input", "3", "--json"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""));
    let objects = objects(&ended.stdout);
    assert_eq!(objects[0], serde_json::json!({"index": 0, "ok": 2}));
    assert_eq!(objects[1]["index"], 1);
    let error = &objects[1]["error"];
    assert_eq!((&error["kind"], &error["message"]), (&"trapped".into(), &"3 is odd".into()));
    assert!(error["location"].as_str().unwrap().contains("ends.rs:"), "{error}");
    let summary = &objects[2]["summary"];
    assert_eq!((&summary["tasks"], &summary["failed"]), (&2.into(), &1.into()));
    assert_eq!(objects.len(), 3);
}

#[test]
fn a_reduction_fails_as_a_whole() {
    let inputs = ["--input", "60", "--input", "60", "--reduce", "sum_up_to_100"];
    let ended = run(&[&["fails_if_odd"], &inputs[..]].concat());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("60 + 60 is more than 100"), "{ended:?}");
    let json = run(&[&["fails_if_odd", "--json"], &inputs[..]].concat());
    assert_eq!(objects(&json.stdout)[0]["error"]["kind"], "failed");
    let map_fails = run(&["fails_if_odd", "--input", "1", "--input", "2", "--reduce", "sum"]);
    assert_eq!(map_fails.code, Some(1), "{map_fails:?}");
    assert!(map_fails.stderr.contains("1 is odd"), "{map_fails:?}");
}

#[test]
fn what_a_function_logs_is_printed_on_request() {
    assert!(!run(&["logs_at_all_levels"]).stderr.contains("a warning"));
    let ended = run(&["logs_at_all_levels", "-v"]);
    for line in ["task 0: error: an error", "task 0: warn: a warning", "task 0: info: an inform"] {
        assert!(ended.stderr.contains(line), "{}", ended.stderr);
    }
    assert_eq!(ended.stdout, "null\n");
}

#[test]
fn a_store_keeps_what_a_job_leaves() {
    let place = Place::new();
    let ended = place.samara(&["run", programs(), "answer", "--store", "kept"]);
    assert_eq!(ended.ok(), "42\n");
    let components = std::fs::read_dir(place.path("kept/components")).unwrap();
    assert_eq!(components.count(), 1);
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let place = Place::new();
    let mut command = place.command(&["run", programs(), "output_of", "--input", "1000000"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let ended: Ended = child.wait_with_output().unwrap().into();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn what_is_granted_can_be_used_and_nothing_else() {
    let place = Place::new();
    let url = format!("file://{}", place.path("out/x").display());
    let input = format!("[{url:?},[104,105]]");
    let put = ["run", programs(), "put_object", "--input", &input];
    let refused = place.samara(&put).ok();
    assert!(refused.contains("NotGranted"), "{refused}");
    let read_only = place.samara(&[&put[..], &["--grant-read", "out"]].concat()).ok();
    assert!(read_only.contains("NotGranted"), "{read_only}");
    let written = place.samara(&[&put[..], &["--grant-write", "out"]].concat()).ok();
    assert!(written.starts_with("{\"Did\":"), "{written}");
    assert_eq!(std::fs::read(place.path("out/x")).unwrap(), b"hi");
}

#[test]
fn names_and_numbers_may_look_like_anything() {
    assert_eq!(run(&["größer als", "--input", "[-1,-2]"]).ok(), "true\n");
    let ended = run(&["exits", "--input", "-1"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
}

/// Interrupts a run once it has printed a line; what else it said, and how long it took.
#[allow(clippy::disallowed_methods, reason = "what is timed is another process")]
fn interrupt(place: &Place, arguments: &[&str], from_stdout: bool) -> (String, Duration) {
    let mut child = crate::piped(&mut place.command(arguments));
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    match from_stdout {
        true => stdout.read_line(&mut line).unwrap(),
        false => stderr.read_line(&mut line).unwrap(),
    };
    let interrupted = Instant::now();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    line.push_str(&std::io::read_to_string(stderr).unwrap());
    (line, interrupted.elapsed())
}

#[test]
fn an_interrupt_stops_the_tasks_and_says_how_many_were_done() {
    let place = Place::new();
    let arguments = ["run", programs(), "collatz", "--input", "1", "--input", "1000000000000"];
    let (said, elapsed) = interrupt(&place, &arguments, true);
    assert!(said.starts_with("0\n"), "the value that was there: {said}");
    assert!(said.ends_with("interrupted: 1 of 2 tasks were done\n"), "{said}");
    let line = said.lines().nth(1).unwrap();
    assert!(line.starts_with("1 of 2 tasks in ") && line.ends_with(", 1 cancelled"), "{said}");
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");

    let arguments = [&arguments[..], &["--reduce", "sum", "-v"]].concat();
    let (said, elapsed) = interrupt(&place, &arguments, false);
    assert!(said.starts_with("running 2 tasks\n"), "{said}");
    assert!(said.contains(" of 2 tasks were done\n"), "{said}");
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
}

#[test]
fn a_dry_run_prints_the_plan_and_runs_nothing() {
    let place = Place::new();
    place
        .file("in/a.txt", "x\n".repeat(500))
        .file("in/b.txt", "")
        .file("samara.toml", "store = 'out'");
    let over =
        ["run", programs(), "count_lines", "--over", "in/*.txt", "--chunk", "400", "--dry-run"];
    let planned = place.samara(&[&over[..], &["--runtime", "local:2"]].concat()).ok();
    expect![[r#"
        `count_lines` on local:2: 4 tasks, 2 objects, 1000 B; nothing was run
          file://[DIR]/in/a.txt  1000 B, 3 partitions
          file://[DIR]/in/b.txt  0 B, 1 partition
    "#]]
    .assert_eq(&place.steady(&planned));
    let json = place.samara(&[&over[..], &["--json"]].concat()).ok();
    let json: Value = serde_json::from_str(&json).unwrap();
    let plan = &json["plan"];
    assert_eq!(
        (&plan["tasks"], &plan["objects"], &plan["bytes"]),
        (&4.into(), &2.into(), &1000.into())
    );
    assert_eq!(plan["partitions"][1]["offset"], 400, "{json}");
    assert!(!place.path("out/jobs").exists(), "no job was made");
    let values = ["run", programs(), "add", "--input", "[1,2]", "--input", "[3,4]", "--dry-run"];
    let planned = place.samara(&values).ok();
    assert!(planned.contains(": 2 tasks; nothing was run"), "{planned}");
    let misfit = place.samara(&["run", programs(), "add", "--input", "[1]", "--dry-run"]);
    assert_eq!(misfit.code, Some(2), "inputs are checked: {misfit:?}");
}
