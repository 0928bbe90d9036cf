//! Jobs of a store, looked at and stopped by other processes than the one that runs them.

use std::time::{Duration, Instant};

use expect_test::expect;
use serde_json::Value;

use crate::{Ended, Place, hello, programs};

/// How long anything here may take: the log is written once a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// A place with a store, and a job of three tasks in it, the second of which fails.
fn with_job() -> Place {
    let place = Place::new();
    place.file("samara.toml", "store = 'out'\n");
    let inputs = ["--input", "2", "--input", "3", "--input", "4"];
    let ended = place.samara(&[&["run", programs(), "fails_if_odd", "-q"], &inputs[..]].concat());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    place
}

/// A text in which times of day are replaced too, and columns have one space between them.
fn steady(place: &Place, text: &str) -> String {
    let word = |word: &str| match word {
        word if word.len() == 20 && word.ends_with('Z') => "[WHEN]".to_owned(),
        word => word.to_owned(),
    };
    let line = |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ") + "\n";
    place.steady(&text.lines().map(line).collect::<String>())
}

fn id(place: &Place) -> String {
    let listed = place.samara(&["jobs", "--json", "--limit", "1"]).ok();
    let newest: Value = serde_json::from_str(&listed).unwrap();
    newest["id"].as_str().unwrap().to_owned()
}

#[test]
fn jobs_are_listed_and_described_by_another_process() {
    let place = with_job();
    place.samara(&["run", hello(), "primes", "--input", "10", "-q"]).ok();
    let listed = place.samara(&["jobs"]).ok();
    expect![[r#"
        JOB SUBMITTED STATE TASKS FAILED FUNCTION
        [JOB] [WHEN] ended 1/1 0 primes
        [JOB] [WHEN] ended 3/3 1 fails_if_odd
    "#]]
    .assert_eq(&steady(&place, &listed));
    let one = place.samara(&["jobs", "--limit", "1"]);
    assert!(one.stderr.contains("and 1 older; --limit 2 lists all"), "{one:?}");
    let older = listed.lines().nth(2).unwrap().split_once(' ').unwrap().0;

    let status = place.samara(&["status", older]).ok();
    expect![[r#"
        job [JOB]
        function fails_if_odd
        component b3:[ID]
        runtime local:[SLOTS]
        submitted [WHEN]
        state ended
        tasks 3/3 done, 1 failed
        in all 3 tasks in [TIME], 1 failed
    "#]]
    .assert_eq(&without_slots(&steady(&place, &status)));
    let json = place.samara(&["status", "latest", "--json"]).ok();
    let status: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&status["function"], &status["state"]), (&"primes".into(), &"ended".into()));
    assert_eq!((&status["tasks"], &status["summary"]["succeeded"]), (&1.into(), &1.into()));

    for (name, code, says) in [
        ("0", 2, "0 begins the ids of 2 jobs ("),
        ("zz", 2, "no job is called zz (`samara jobs` lists them) in file://"),
        ("", 2, "begins the ids of 2 jobs"),
    ] {
        let ended = place.samara(&["status", name]);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains(says), "{ended:?}");
    }
}

fn without_slots(text: &str) -> String {
    let (before, after) = text.split_once("local:").unwrap();
    format!("{before}local:[SLOTS]{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
}

#[test]
fn without_a_store_of_a_name_there_are_no_jobs_to_find() {
    let place = Place::new();
    for command in ["jobs", "status", "results", "logs", "stats", "cancel", "clean"] {
        let job: &[&str] = if command == "jobs" { &[] } else { &["latest"] };
        let ended = place.samara(&[&[command], job].concat());
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("give it: --store URL, SAMARA_STORE"), "{ended:?}");
    }
    let none = place.samara(&["jobs", "--store", "out"]);
    assert!(none.stderr.starts_with("no jobs in file://"), "{none:?}");
    assert_eq!(none.ok(), "");
}

#[test]
fn logs_are_printed_by_task() {
    let place = Place::new();
    place.file("samara.toml", "store = 'out'\n");
    let lines = ["run", programs(), "prints_lines", "--input", "2", "--input", "1", "-q"];
    place.samara(&lines).ok();
    let logs = |more: &[&str]| place.samara(&[&["logs", "latest"], more].concat()).ok();
    assert_eq!(logs(&[]).lines().count(), 3);
    assert_eq!(logs(&["--follow"]), logs(&[]), "it ends with the job");
    let second = logs(&["--task", "1"]);
    assert_eq!(second.lines().count(), 1);
    assert!(second.starts_with("task 1: info: "), "{second}");
    for task in ["2", "9"] {
        let none = place.samara(&["logs", "latest", "--task", task]);
        assert_eq!((none.code, none.stdout.as_str()), (Some(2), ""), "{none:?}");
        let said = format!("has no task {task}: it has 2, which are counted from 0\n");
        assert!(none.stderr.ends_with(&said), "{none:?}");
    }
    let json: Value = serde_json::from_str(&logs(&["--task", "1", "--json"])).unwrap();
    assert_eq!((&json["task"], &json["level"]), (&1.into(), &"info".into()), "{json}");
}

#[test]
fn a_job_in_numbers_is_had_from_the_run_and_from_the_store() {
    let place = Place::new();
    place.file("samara.toml", "store = 'out'\n");
    let run = ["run", hello(), "primes", "--input", "10", "--input", "20", "-q"];
    place.samara(&[&run[..], &["--stats", "job.csv"]].concat()).ok();
    let csv = std::fs::read_to_string(place.path("job.csv")).unwrap();
    assert_eq!(place.samara(&["stats", "latest", "--csv"]).ok(), csv);
    assert_eq!(csv.lines().count(), 3, "a header and two attempts: {csv}");
    assert!(csv.starts_with("task,tasks,attempt,outcome,"), "{csv}");
    place.samara(&[&run[..], &["--stats", "job.json"]].concat()).ok();
    let of_run = std::fs::read_to_string(place.path("job.json")).unwrap();
    let of_run: Value = serde_json::from_str(&of_run).unwrap();
    let of_store = place.samara(&["stats", "latest", "--json"]).ok();
    let of_store: Value = serde_json::from_str(&of_store).unwrap();
    assert_eq!(of_run["attempts"], of_store["attempts"]);
    assert_eq!(of_store["summary"]["succeeded"], 2);
    let text = place.samara(&["stats", "latest"]).ok();
    let text: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    expect![[r#"job function tasks retries backups elapsed in memory read outputs  ATTEMPTS waiting reading computing storing returning processor"#]]
        .assert_eq(&text.join(" "));
    let wrong = place.samara(&[&run[..], &["--stats", "job.txt"]].concat());
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("ends with .csv or .json"), "{wrong:?}");
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test gives up by the machine's own clock")]
fn a_running_job_is_followed_cancelled_and_cleaned_by_other_processes() {
    let place = Place::new();
    place.file("samara.toml", "store = 'out'\nruntime = 'local:1'\n");
    let inputs = ["--input", "1", "--input", "1000000000000"];
    let mut command = place.command(&[&["run", programs(), "collatz"], &inputs[..]].concat());
    let mut child = crate::piped(&mut command);
    let started = Instant::now();
    let running = loop {
        let listed = place.samara(&["jobs", "--json"]);
        let job = listed.stdout.lines().next().map(|line| serde_json::from_str(line).unwrap());
        match job {
            Some(job @ Value::Object(_)) if job["succeeded"] == 1 => break job,
            _ => {
                assert!(started.elapsed() < PATIENCE, "{listed:?}");
                assert_eq!(child.try_wait().unwrap(), None, "the job is still under way");
            }
        }
    };
    assert_eq!((&running["state"], &running["tasks"]), (&"running".into(), &2.into()));

    let refused = place.samara(&["clean", "latest"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("--force removes it anyway"), "{refused:?}");
    assert_eq!(place.samara(&["clean", "--ended", "--dry-run"]).ok(), "");

    let job = id(&place);
    let asked = place.samara(&["cancel", &job[..25]]);
    assert_eq!(asked.stderr, format!("asked job {job} to stop\n"));
    assert_eq!(asked.code, Some(0));
    let ended: Ended = child.wait_with_output().unwrap().into();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("was cancelled"), "{ended:?}");
    assert!(ended.stdout.starts_with("0\n"), "the value that was there: {ended:?}");

    let status = place.samara(&["status", &job]).ok();
    assert!(status.contains("state      stopped: "), "{status}");
    assert!(status.contains("tasks      1/2 done, 0 failed, 1 cancelled\n"), "{status}");
    assert!(status.contains("in all     1 of 2 tasks in "), "{status}");
    let listed = steady(&place, &place.samara(&["jobs"]).ok());
    assert!(listed.contains(" stopped 1/2 0 collatz\n"), "{listed}");
    let stats = place.samara(&["stats", &job]).ok();
    assert!(stats.contains("tasks      2: 1 succeeded, 0 failed, 1 cancelled\n"), "{stats}");
    let late = place.samara(&["cancel", &job]);
    assert_eq!(late.code, Some(2));
    assert!(late.stderr.contains("has stopped: there is nothing to cancel"), "{late:?}");
    let removed = place.samara(&["clean", "--ended"]);
    assert!(removed.stderr.starts_with(&format!("removed job {job}, ")), "{removed:?}");
    assert_eq!(removed.code, Some(0));
    assert_eq!(place.samara(&["jobs"]).ok(), "");
}

/// Sets the times of all files below a directory back.
fn age(directory: &std::path::Path, time: Duration) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path, time);
            continue;
        }
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.set_modified(modified - time).unwrap();
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test gives up by the machine's own clock")]
fn results_are_had_again_also_of_a_job_whose_driver_is_gone() {
    let place = with_job();
    let again = place.samara(&["results", "latest"]);
    assert_eq!((again.code, again.stdout.as_str()), (Some(1), "2\n4\n"), "{again:?}");
    assert!(again.stderr.contains("3 is odd") && again.stderr.contains("1 failed"), "{again:?}");
    let json = place.samara(&["results", "latest", "--json"]).stdout;
    let json: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&json[0]["ok"], &json[1]["index"]), (&2.into(), &1.into()));
    assert_eq!(json[3]["summary"]["succeeded"], 2);

    let inputs = ["--input", "1", "--input", "1000000000000", "--slots", "1"];
    let mut command = place.command(&[&["run", programs(), "collatz"], &inputs[..]].concat());
    let mut child = crate::piped(&mut command);
    let started = Instant::now();
    while !place.samara(&["status", "latest"]).stdout.contains("tasks      1/2 done") {
        assert!(started.elapsed() < PATIENCE && child.try_wait().unwrap().is_none());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    age(&place.path("out"), Duration::from_mins(2));
    let left = place.samara(&["results", "latest"]);
    assert_eq!((left.code, left.stdout.as_str()), (Some(1), "0\n"), "{left:?}");
    assert!(left.stderr.starts_with("warning: the driver of job "), "{left:?}");
    assert!(left.stderr.contains("was not done: the driver that ran the job is gone"), "{left:?}");
    assert!(left.stderr.lines().last().unwrap().ends_with(", 1 failed"), "{left:?}");
}

#[test]
fn clean_leaves_nothing_of_a_job_but_what_was_to_be_kept() {
    let place = with_job();
    let object = r#"["x.bin",[1,2],3,false]"#;
    let kept = r#"["y.bin",[1,2],3,true]"#;
    place
        .samara(&["run", programs(), "makes_object", "--input", object, "--input", kept, "-q"])
        .ok();
    let files = || {
        let listed = place.samara(&["storage", "ls", "-r", "out", "--json"]).ok();
        let url = |line: &str| serde_json::from_str::<Value>(line).unwrap()["url"].to_string();
        listed.lines().map(url).collect::<Vec<_>>()
    };
    let before = files();
    assert!(before.iter().any(|url| url.contains("/out/objects/")), "{before:?}");

    let dry = place.samara(&["clean", "--ended", "--dry-run"]).ok();
    assert_eq!(dry.lines().count(), 2, "{dry}");
    assert_eq!(files(), before);
    let none = place.samara(&["clean", "--older-than", "1h"]);
    assert!(none.stderr.starts_with("no job to remove in file://"), "{none:?}");
    assert_eq!(files(), before);
    let both = place.samara(&["clean", "latest", "no-such-job"]);
    assert_eq!(both.code, Some(2), "{both:?}");
    assert_eq!(files(), before, "nothing before all names are looked at");

    let removed = place.samara(&["clean", "latest", "--json"]).ok();
    let removed: Value = serde_json::from_str(&removed).unwrap();
    assert!(removed["objects"].as_u64().unwrap() >= 4, "{removed}");
    place.samara(&["clean", "--older-than", "1ms", "-q"]).ok();
    let left = files();
    let stays = |url: &String| url.contains("/out/components/") || url.contains("/out/kept/");
    assert!(left.iter().all(stays), "{left:?}");
    assert_eq!(left.iter().filter(|url| url.contains("/out/kept/")).count(), 1, "{left:?}");
}

#[test]
fn a_job_that_a_task_started_is_found_too() {
    let place = Place::new();
    place.file("samara.toml", "store = 'out'\n");
    place.samara(&["run", programs(), "squares_by_a_job", "--input", "[2,3]", "-q"]).ok();
    let listed = place.samara(&["jobs", "--json"]).ok();
    let jobs: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let functions: Vec<&str> = jobs.iter().map(|job| job["function"].as_str().unwrap()).collect();
    assert_eq!(functions, ["squared", "squares_by_a_job"], "the newest first");
    // Whether the nested job's end was still written nobody waits for.
    let ids = jobs.iter().map(|job| job["id"].as_str().unwrap());
    place.samara(&["clean", "--force", "-q"].into_iter().chain(ids).collect::<Vec<_>>()).ok();
    assert_eq!(place.samara(&["storage", "ls", "-r", "out/jobs"]).code, Some(3), "nothing there");
}

#[test]
fn flags_say_what_becomes_of_failures() {
    let place = Place::new();
    let run = |more: &[&str]| place.samara(&[&["run", programs()], more].concat());
    let again = ["fails_before_attempt", "--input", "2"];
    assert_eq!(run(&again).code, Some(1), "a user's error is not tried again");
    let asked = [&again[..], &["--retry-user-errors", "-q"]].concat();
    assert_eq!(run(&asked).ok(), "2\n");
    assert_eq!(run(&[&asked[..], &["--retries", "1"]].concat()).code, Some(1));

    let odd = ["fails_if_odd", "--input", "1", "--input", "3", "--input", "2", "--slots", "1"];
    let stopped = run(&[&odd[..], &["--on-failure", "stop"]].concat());
    assert_eq!((stopped.code, stopped.stdout.as_str()), (Some(1), ""), "{stopped:?}");
    assert!(stopped.stderr.contains("another task failed"), "{stopped:?}");
    let tolerant = run(&[&odd[..], &["--on-failure", "tolerate:67"]].concat());
    assert_eq!((tolerant.code, tolerant.stdout.as_str()), (Some(1), "2\n"), "{tolerant:?}");
    let wrong = run(&[&odd[..], &["--on-failure", "tolerate:101"]].concat());
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("must lie between 0 and 100"), "{wrong:?}");

    let late = run(&["collatz", "--input", "1000000000000", "--job-time", "300ms"]);
    assert_eq!(late.code, Some(1), "{late:?}");
    assert!(late.stderr.contains("300"), "{late:?}");
}

#[test]
fn tasks_share_an_instance_where_that_is_asked_for() {
    let place = Place::new();
    let numbers: String = (0..1000).map(|n| format!("{n}\n")).collect();
    let run = ["run", programs(), "number_and_calls_before", "--input", "-", "--slots", "1", "-q"];
    let calls = |more: &[&str]| {
        let values = place.samara_with(&numbers, &[&run[..], more].concat()).ok();
        let pairs = values.lines().map(|line| serde_json::from_str::<(u64, u64)>(line).unwrap());
        pairs.map(|(_, calls)| calls).max().unwrap()
    };
    assert_eq!(calls(&[]), 0);
    assert!(calls(&["--reuse"]) > 0);
}

#[test]
fn values_are_combined_object_by_object() {
    let place = Place::new();
    place.file("in/a.txt", "x\n".repeat(500)).file("in/b.txt", "x\ny\n");
    let over = ["run", programs(), "count_lines", "--over", "in/*.txt", "--chunk", "100"];
    let each = [&over[..], &["--reduce", "sum", "--per-object", "-q"]].concat();
    let url = |name: &str| format!("file://{}", place.path(name).display());
    let wanted = format!("{}\t500\n{}\t2\n", url("in/a.txt"), url("in/b.txt"));
    assert_eq!(place.samara(&each).ok(), wanted);
    let json = place.samara(&[&each[..], &["--json"]].concat()).ok();
    let first: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((&first["object"], &first["ok"]), (&url("in/a.txt").into(), &500.into()));
    let alone = place.samara(&[&over[..], &["--per-object"]].concat());
    assert_eq!(alone.code, Some(2), "it is about --reduce: {alone:?}");
}

#[test]
fn a_file_of_numbers_that_cannot_be_written_is_no_reason_to_lose_a_value() {
    let place = Place::new();
    place.file("in.txt", "x\ny\n");
    let over = ["run", programs(), "count_lines", "--over", "in.txt", "--reduce", "sum", "-q"];
    let none = place.samara(&[&over[..], &["--stats", "none/x.csv"]].concat());
    assert_eq!((none.code, none.stdout.as_str()), (Some(3), ""), "nothing ran: {none:?}");
    assert!(none.stderr.contains("cannot write none/x.csv"), "{none:?}");
    assert_eq!(place.samara(&[&over[..], &["--stats", "x.csv"]].concat()).ok(), "2\n");
    // One that may be opened, and is full.
    std::os::unix::fs::symlink("/dev/full", place.path("full.csv")).unwrap();
    for each in [&[][..], &["--per-object"]] {
        let full = place.samara(&[&over[..], &["--stats", "full.csv"], each].concat());
        assert!(full.code == Some(3) && full.stdout.ends_with("2\n"), "{full:?}");
    }
}

#[test]
fn warnings_of_one_kind_are_not_said_without_end() {
    let place = Place::new();
    let numbers = "1\n".repeat(15);
    let run = ["run", programs(), "fails_before_attempt", "--input", "-", "--retry-user-errors"];
    let warnings = |more: &[&str]| {
        let ended = place.samara_with(&numbers, &[&run[..], more].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stderr.lines().filter(|line| line.contains("trying again")).count()
    };
    assert_eq!(warnings(&[]), 11);
    assert_eq!(warnings(&["-v"]), 15);
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let place = Place::new();
    let mut command = place.command(&["run", programs(), "answer"]);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ended = crate::Ended::from(command.stdout(full).output().unwrap());
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("cannot write to standard output: No space"), "{ended:?}");
}
