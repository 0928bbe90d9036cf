//! Job arrays on a Slurm cluster of one node, and a driver that has its batches run there.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use samara::{Builder, Cause, Component, Error, Executor, Objects, Retries};
use samara_core::{Clock as _, SystemClock};
use samara_programs as programs;
use samara_programs::{input, reduce};
use samara_stores::SLURM;
use samara_tenants::{Claims, generate_keys, issue};
use tempfile::TempDir;

use crate::machine::{program, samara};

/// How long Slurm may take for what it does within seconds when nobody else is there.
const SOON: Duration = Duration::from_secs(90);

/// Objects, and so batches at least.
const OBJECTS: usize = 20;

/// Cases of the suite, as many as show that what crosses does so here: each array takes seconds.
const SAMPLE: &[&str] = &[
    "values::values_of_every_kind_come_back_as_they_went",
    "values::a_map_over_values_keeps_their_order",
    "reduce::words_are_counted_over_partitions",
    "ends::a_returned_error_keeps_its_chain",
    "ends::a_panic_arrives_with_message_place_and_stack",
];

pub(crate) const CHECKS: &[(&str, fn())] = &[
    ("an_array_counts_words_as_this_machine_does", counts_words),
    ("a_worker_that_is_killed_is_a_lost_batch", killed),
    ("a_cancelled_job_leaves_nothing_in_the_queue", cancelled),
    ("a_users_error_comes_through", fails),
    ("a_host_that_is_not_there_is_a_clear_error", no_host),
    ("what_slurm_refuses_is_said_with_its_words", refused),
    ("a_sample_of_the_suite_passes_over_arrays", suite),
    ("a_ticket_goes_with_the_start_and_is_asked_for", tickets),
];

pub(crate) fn is_installed() -> bool {
    SLURM.is_installed()
}

/// A driver of the cluster's, and its store.
struct Ground {
    store: TempDir,
    app: Component,
}

// === impl Ground ===

impl Ground {
    fn new() -> Self {
        let store = tempfile::tempdir().expect("a directory");
        let app = Component::from_crate(concat!(env!("CARGO_MANIFEST_DIR"), "/../programs"));
        Self { store, app: app.expect("the component") }
    }

    fn driver(&self, url: &str) -> Builder {
        let builder = Executor::builder().runtime(url).progress(false);
        builder.host_program(program("samara-host")).store(self.path(""))
    }

    fn path(&self, name: &str) -> String {
        self.store.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Workers of this ground's: those that were told of its store.
    fn workers(&self) -> Vec<u32> {
        let told = format!("SAMARA_HOST_ARRAY=file://{}", self.store.path().display());
        let is_ours = |id: &u32| {
            let said = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
            let mut said = said.split(|byte| *byte == 0);
            name.trim() == "samara-host" && said.any(|said| said.starts_with(told.as_bytes()))
        };
        let all = fs::read_dir("/proc").expect("processes").flatten();
        all.filter_map(|it| it.file_name().to_str()?.parse().ok()).filter(is_ours).collect()
    }
}

/// What Slurm lists of a job of Samara's.
fn listed(job: &str, more: &[&str]) -> Vec<String> {
    let mut command = Command::new("squeue");
    command.args(["--noheader", "--array", "--format=%K|%T"]);
    let output = command.arg(format!("--name=samara-{job}")).args(more).output().expect("squeue");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[track_caller]
fn soon(what: &str, is_so: impl Fn() -> bool) {
    let clock = SystemClock::new();
    while !is_so() {
        assert!(clock.monotonic() < SOON, "not within {SOON:?}: {what}");
        sleep(Duration::from_millis(100));
    }
}

fn counts_words() {
    let ground = Ground::new();
    fs::create_dir(ground.path("in")).expect("a directory");
    for n in 0..OBJECTS {
        let text = format!("the word {n} and the word {}\n", n % 7).repeat(n + 1);
        fs::write(ground.path(&format!("in/{n}.txt")), text).expect("an object");
    }
    let count = |executor: Executor| -> (String, BTreeMap<String, u64>) {
        let objects = Objects::at(format!("{}/*.txt", ground.path("in")));
        samara::block_on(async {
            let job =
                executor.map_reduce(&ground.app, input::count_words, objects, reduce::add_counts);
            let job = job.await.expect("a job");
            (job.id().to_string(), job.value().await.expect("counts").expect("there are words"))
        })
    };
    let local = Executor::builder().store(ground.path("local")).progress(false).build();
    let (_, wanted) = count(local.expect("an executor"));
    let url = format!("slurm://all?slots={OBJECTS}");
    let (job, counts) = count(ground.driver(&url).build().expect("an executor"));
    assert_eq!(counts, wanted);
    assert_eq!(counts["word"], 2 * (1..=OBJECTS as u64).sum::<u64>());
    let ran = listed(&job, &["--states=all"]);
    assert!(ran.len() >= OBJECTS, "{ran:?}");
    soon("nothing is left of batches and answers", || {
        let job = ground.store.path().join("jobs").join(&job).join("calls");
        !fs::read_dir(job).is_ok_and(|mut left| {
            left.any(|it| it.is_ok_and(|it| it.path().join("batches").exists()))
        })
    });
}

fn killed() {
    let ground = Ground::new();
    let executor = ground.driver("slurm://all?slots=2").build().expect("an executor");
    let results = samara::block_on(async {
        let map = executor.map(&ground.app, programs::sandbox::sleeps, [15_000_u64, 15_001]);
        let job = map.retries(Retries::default().attempts(2)).await.expect("a job");
        soon("a worker is at work", || !ground.workers().is_empty());
        sleep(Duration::from_secs(1));
        let worker = ground.workers()[0].to_string();
        assert!(Command::new("kill").args(["-KILL", &worker]).status().expect("kill").success());
        job.results().await
    });
    assert_eq!(results.len(), 2);
    for result in results {
        assert!(result.expect("it slept, the second time at the latest") >= 15_000);
    }
}

fn cancelled() {
    let ground = Ground::new();
    let executor = ground.driver("slurm://all?slots=20").build().expect("an executor");
    let id = samara::block_on(async {
        let map = executor.map(&ground.app, programs::sandbox::sleeps, [120_000_u64; 20]);
        let job = map.await.expect("a job");
        let id = job.id().to_string();
        let count = |state| listed(&id, &[]).iter().filter(|line| line.ends_with(state)).count();
        soon("some run, and others wait", || count("RUNNING") > 0 && count("PENDING") > 0);
        job.cancel();
        soon("nothing of it is in the queue", || listed(&id, &[]).is_empty());
        assert!(job.results().await.into_iter().all(|result| result.is_err()));
        id
    });
    soon("no worker is left", || ground.workers().is_empty());
    assert_eq!(listed(&id, &[]), Vec::<String>::new());
}

fn fails() {
    let ground = Ground::new();
    let executor = ground.driver("slurm://all").build().expect("an executor");
    match samara::block_on(executor.call(&ground.app, programs::ends::fails, ())) {
        Err(Error::Task(error)) => {
            assert!(matches!(error.cause, Cause::Failed(_)), "{error}");
            assert!(error.to_string().contains("cannot"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

/// What a call on this runtime comes to.
fn said(ground: &Ground, url: &str) -> String {
    let executor = ground.driver(url).build().expect("an executor");
    let called = samara::block_on(executor.call(&ground.app, programs::reuse::adds_one, 41));
    called.expect_err("it cannot run").to_string()
}

fn no_host() {
    let ground = Ground::new();
    let clock = SystemClock::new();
    let text = said(&ground, "slurm://all?host=/nowhere/samara-host");
    for named in ["no host to start", "host=PATH", "127:0"] {
        assert!(text.contains(named), "{named}: {text}");
    }
    assert!(clock.monotonic() < SOON, "it is not tried again: {:?}", clock.monotonic());
}

fn refused() {
    let ground = Ground::new();
    let text = said(&ground, "slurm://moon");
    assert!(text.contains("no such partition") && text.contains("sinfo"), "{text}");
    let text = said(&ground, "slurm://all?time=never");
    assert!(text.contains("`sbatch` ended with") && text.contains("?time="), "{text}");
}

fn suite() {
    let ground = Ground::new();
    let store = ground.path("");
    let host = program("samara-host");
    let told = [("SAMARA_HOST_PROGRAM", host.to_str().expect("UTF-8"))];
    let all = [&["test", "--runtime", "slurm://all?slots=8", "--store", &store], SAMPLE].concat();
    let ended = samara(&all, &told);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let passed = format!("{} passed", SAMPLE.len());
    assert!(ended.stdout.contains(&passed) || ended.stderr.contains(&passed), "{ended:?}");
}

/// A host with a file of tenants, which Slurm's jobs get as their starter has it.
fn tickets() {
    let ground = Ground::new();
    let pair = generate_keys().expect("keys");
    fs::write(ground.path("acme.pem"), &pair.public_pem).expect("a key");
    let file = ground.path("tenants.toml");
    let text = format!(
        "audience = \"slurm\"\naudit = \"audit.jsonl\"\n[tenants.acme]\nkeys = [\"acme.pem\"]\n\
         objects = [{{ url = \"file://{}/acme/\", access = \"read-write\" }}]\n",
        ground.store.path().display()
    );
    fs::write(&file, text).expect("a file");
    let now = SystemClock::new().unix().as_secs();
    let claims = |exp| Claims {
        sub: "acme".to_owned(),
        aud: vec!["slurm".to_owned()],
        exp,
        nbf: None,
        iat: Some(now),
        jti: None,
        samara: None,
    };
    let ticket = |exp| issue(&pair.private_pem, &claims(exp)).expect("a ticket");
    let host = program("samara-host");
    let run = |ticket: &str, store: &str| {
        let told = [
            ("SAMARA_HOST_PROGRAM", host.to_str().expect("UTF-8")),
            ("SAMARA_HOST_TENANTS", &file),
            ("SAMARA_TOKEN", ticket),
        ];
        let store = ground.path(store);
        let case = "values::eight_arguments_arrive_in_order";
        samara(&["test", "--runtime", "slurm://all", "--store", &store, case], &told)
    };
    let ended = run(&ticket(now + 3600), "acme/");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for (ticket, store) in
        [(String::new(), "acme/"), (ticket(now - 3600), "acme/"), (ticket(now + 3600), "beta/")]
    {
        let ended = run(&ticket, store);
        let text = format!("{}{}", ended.stdout, ended.stderr);
        assert_eq!(
            (ended.code, text.contains("refused what it was to do")),
            (Some(1), true),
            "{text}"
        );
        assert!(ticket.is_empty() || !text.contains(&ticket), "the ticket is shown");
    }
    let audit = fs::read_to_string(ground.path("audit.jsonl")).expect("an audit log");
    assert_eq!(audit.matches("\"refused\"").count(), 3, "{audit}");
}
