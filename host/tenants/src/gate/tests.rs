//! Batches against grants, limits and quotas, and what the audit log says of them.

use std::sync::Barrier;

use samara_core::{Grant, Limits, Partition, Records, Usage};
use serde_json::{Value, json};

use super::*;
use crate::testing::{Place as Files, batch, claims, ticket};

fn stored(content: Option<&str>) -> Arguments {
    let content = content.map(Into::into);
    Arguments::Parts(vec![Argument::Stored { job: JobId::new(1, 0), index: 0, size: 1, content }])
}

fn acme(files: &Files, tenants: &Tenants) -> Arc<dyn Caller> {
    tenants.identify("http", Some(&ticket(&claims("acme"), &files.acme))).unwrap()
}

fn narrower(files: &Files, tenants: &Tenants, narrower: &Value) -> Arc<dyn Caller> {
    let mut claims = claims("acme");
    claims["samara"] = narrower.clone();
    tenants.identify("http", Some(&ticket(&claims, &files.acme))).unwrap()
}

fn reading(object: &str) -> Option<Box<Partition>> {
    Some(Box::new(Partition {
        object: object.to_owned(),
        offset: 0,
        length: 1,
        object_size: 1,
        etag: "e".to_owned(),
        records: Records::default(),
    }))
}

fn grants(objects: &[(&str, Access)]) -> Grants {
    let grant =
        |(prefix, access): &(&str, Access)| Grant { prefix: (*prefix).to_owned(), access: *access };
    Grants::of(objects.iter().map(grant).collect())
}

/// Acme's batch, changed.
fn changed(change: impl FnOnce(&mut Batch)) -> Batch {
    let mut batch = batch(1);
    change(&mut batch);
    batch
}

#[test]
fn a_batch_within_the_grants_is_admitted() {
    let files = Files::new();
    let tenants = files.open();
    let caller = acme(&files, &tenants);
    let mut batch = changed(|batch| {
        batch.tasks[0].partition = reading("s3://public/data.csv");
        batch.tasks[0].arguments = stored(Some(&"0f".repeat(32)));
        batch.grants =
            grants(&[("s3://acme/out/", Access::ReadWrite), ("s3://public/a", Access::Read)]);
        batch.grants.secrets.insert("KEY".to_owned(), "api-key".to_owned());
        batch.grants.variables.insert("A".to_owned(), "b".to_owned());
        batch.grants.http = vec!["https://api.acme.com".parse().unwrap()];
    });
    let _place = caller.admit(&mut batch).unwrap();
    assert_eq!(batch.payer.tenant(), "acme");
    assert_eq!(batch.payer.account().unwrap().tasks_max(), 8);
    assert_eq!(batch.limits.memory_bytes, 512 << 20, "lowered to the tenant's");
    assert_eq!(batch.limits.time, Duration::from_mins(5));
    let mut small = changed(|batch| batch.limits.memory_bytes = 1 << 20);
    let _place = caller.admit(&mut small).unwrap();
    assert_eq!(small.limits.memory_bytes, 1 << 20, "never raised");
}

#[test]
fn every_refusal_of_a_batch_says_why_and_is_written_down() {
    let files = Files::new();
    let tenants = files.open();
    let caller = acme(&files, &tenants);
    let object = |object: &'static str| changed(|batch| batch.tasks[0].partition = reading(object));
    let store = |store: &str| changed(|batch| batch.store = store.to_owned());
    let granted = |url: &str, access| changed(|batch| batch.grants = grants(&[(url, access)]));
    let content = |text: &str| changed(|batch| batch.tasks[0].arguments = stored(Some(text)));
    let cases = [
        (granted("s3://beta/", Access::Read), "to read s3://beta/"),
        (granted("s3://public/", Access::ReadWrite), "to write s3://public/"),
        (granted("s3://acme/../beta/", Access::Read), "to read"),
        (granted("", Access::Read), "to read"),
        (
            changed(|batch| batch.grants.http = vec!["https://evil.test".parse().unwrap()]),
            "to ask https://evil.test",
        ),
        (
            changed(|batch| drop(batch.grants.secrets.insert("A".into(), "other".into()))),
            "the secret `other`",
        ),
        (changed(|batch| batch.grants.precise_clock = true), "precise clock"),
        (
            changed(|batch| drop(batch.grants.variables.insert("A=B".into(), String::new()))),
            "variable's name",
        ),
        (store("s3://beta/jobs"), "to write s3://beta/jobs"),
        (store("s3://public/jobs"), "to write s3://public/jobs"),
        (store("s3://acme-2"), "to write s3://acme-2"),
        (store("s3://acme/../beta"), "to write"),
        (store("jobs"), "`jobs` is no URL"),
        (store(""), "`` is no URL"),
        (object("s3://beta/data.csv"), "to read s3://beta/data.csv"),
        (object("data.csv"), "`data.csv` is no URL"),
        (content("../../other"), "hash of a stored argument"),
        (content(&"A".repeat(64)), "hash of a stored argument"),
        (content(&"a".repeat(63)), "hash of a stored argument"),
        (content(""), "hash of a stored argument"),
        (changed(|batch| batch.limits.memory_bytes = 0), "memory_bytes"),
    ];
    for (mut batch, why) in cases.clone() {
        // Those of one second that are alike are one line.
        files.clock.advance(Duration::from_secs(1));
        let error = caller.admit(&mut batch).map(drop).unwrap_err();
        assert!(error.message.contains(why), "{why}: {error}");
        assert!(matches!(error.kind, ErrorKind::Denied | ErrorKind::Invalid), "{why}");
        assert_eq!(error.retry, samara_core::Retry::Never, "{why}");
        assert_eq!(batch.payer, Payer::default());
    }
    let lines = files.audit();
    assert_eq!(lines.len(), cases.len());
    for (line, (batch, why)) in lines.iter().zip(&cases) {
        assert_eq!(line["event"], "refused");
        assert_eq!((&line["tenant"], &line["ticket"]), (&"acme".into(), &"ticket-1".into()));
        assert_eq!(line["job"], batch.job.to_string());
        assert!(line["reason"].as_str().unwrap().contains(why), "{line}");
    }
}

#[test]
fn what_a_message_quotes_is_escaped_and_cut() {
    let files = Files::new();
    let tenants = files.open();
    let url = format!("s3://beta/\u{1b}[31m{}", "x".repeat(1 << 20));
    for mut batch in [
        changed(|batch| batch.grants = grants(&[(&url, Access::Read)])),
        changed(|batch| batch.store = url.clone()),
        changed(|batch| batch.tasks[0].partition = reading(&url)),
    ] {
        let error = acme(&files, &tenants).admit(&mut batch).map(drop).unwrap_err();
        assert!(error.message.len() < 1_000 && !error.message.contains('\u{1b}'), "{error}");
    }
}

#[test]
fn an_audit_log_that_cannot_be_opened_is_said_at_the_start() {
    let files = Files::new();
    files.edit("tenants.toml", "audit.jsonl", "none/audit.jsonl");
    let faults = files.try_open().unwrap_err();
    assert!(faults[0].starts_with("audit is ") && faults[0].contains("none/audit.jsonl"));
}

#[test]
fn all_tasks_of_a_batch_are_looked_at() {
    let files = Files::new();
    let tenants = files.open();
    let mut batch = batch(1);
    let task = batch.tasks[0].clone();
    batch.tasks = vec![task; 100];
    batch.tasks[99].partition = reading("s3://beta/x");
    assert!(acme(&files, &tenants).admit(&mut batch).is_err());
}

#[test]
fn a_narrower_ticket_allows_less() {
    let files = Files::new();
    let tenants = files.open();
    let own = json!({ "objects": [{ "url": "s3://acme/jobs/", "access": "read-write" }] });
    let caller = narrower(&files, &tenants, &own);
    let _place = caller.admit(&mut batch(1)).unwrap();
    for change in [
        (|batch: &mut Batch| batch.store = "s3://acme/other".to_owned()) as fn(&mut Batch),
        |batch| batch.tasks[0].partition = reading("s3://public/data.csv"),
        |batch| batch.grants = grants(&[("s3://acme/other/", Access::Read)]),
        |batch| drop(batch.grants.secrets.insert("A".into(), "api-key".into())),
        |batch| batch.grants.http = vec!["https://api.acme.com".parse().unwrap()],
    ] {
        assert_eq!(
            caller.admit(&mut changed(change)).map(drop).unwrap_err().kind,
            ErrorKind::Denied
        );
    }
    assert!(narrower(&files, &tenants, &json!({})).admit(&mut batch(1)).is_err(), "nothing");
}

#[test]
fn a_store_is_a_place_whatever_its_end() {
    let files = Files::new();
    let tenants = files.open();
    let own = json!({ "objects": [{ "url": "s3://acme/jobs/", "access": "read-write" }] });
    let caller = narrower(&files, &tenants, &own);
    for store in ["s3://acme/jobs", "s3://acme/jobs/", "s3://acme/jobs/a"] {
        let _place = caller.admit(&mut changed(|batch| batch.store = store.to_owned())).unwrap();
    }
    assert!(caller.admit(&mut changed(|batch| batch.store = "s3://acme/jobs-2".into())).is_err());
}

#[test]
fn a_quota_that_is_used_up_throttles_until_the_window_moves() {
    let files = Files::new();
    let tenants = files.open();
    let caller = acme(&files, &tenants);
    for usage in [
        Usage { cpu: Duration::from_secs(10), bytes: 0 },
        Usage { cpu: Duration::ZERO, bytes: 1 << 20 },
    ] {
        let mut first = batch(1);
        let place = caller.admit(&mut first).unwrap();
        first.payer.account().unwrap().spent(usage);
        drop(place);
        // Another ticket is of the same tenant, and another look at the files changes nothing.
        files.clock.advance(Duration::from_secs(20));
        let error = acme(&files, &tenants).admit(&mut batch(2)).map(drop).unwrap_err();
        assert_eq!((error.kind, error.retry), (ErrorKind::Throttled, samara_core::Retry::Later));
        assert!(error.message.contains("per 1m; some is free again in 41s"), "{error}");
        files.clock.advance(Duration::from_secs(41));
        caller.admit(&mut batch(2)).unwrap();
    }
    let beta = tenants.identify("http", Some(&ticket(&claims("beta"), &files.beta))).unwrap();
    let store = |batch: &mut Batch| batch.store = "s3://beta/jobs".to_owned();
    assert!(beta.admit(&mut changed(store)).is_ok(), "each tenant has its own");
}

#[test]
fn what_was_used_is_kept_when_files_change() {
    let files = Files::new();
    let tenants = files.open();
    let mut first = batch(1);
    let _place = acme(&files, &tenants).admit(&mut first).unwrap();
    let account = first.payer.account().unwrap();
    account.spent(Usage { cpu: Duration::from_secs(5), bytes: 0 });
    files.edit("tenants.toml", "cpu = \"10s\"", "cpu = \"5s\"");
    files.edit("tenants.toml", "tasks = 8", "tasks = 2");
    files.clock.advance(Duration::from_secs(5));
    let error = acme(&files, &tenants).admit(&mut batch(2)).map(drop).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Throttled);
    assert_eq!(account.tasks_max(), 2, "of what runs already, too");
}

#[test]
fn a_job_is_written_down_when_it_comes_and_when_none_of_it_is_left() {
    let files = Files::new();
    let tenants = files.open();
    let caller = acme(&files, &tenants);
    let places = [caller.admit(&mut batch(1)).unwrap(), caller.admit(&mut batch(1)).unwrap()];
    let usage = Usage { cpu: Duration::from_millis(7), bytes: 9 };
    let tally = Tally { succeeded: 2, failed: 1, lost: 0, usage };
    for place in places {
        caller.ended(batch(1).job, &tally);
        drop(place);
    }
    let lines = files.audit();
    let events: Vec<&Value> = lines.iter().map(|line| &line["event"]).collect();
    assert_eq!(events, ["job", "ended"]);
    let sums = ["succeeded", "failed", "lost", "cpu_ms", "bytes"].map(|name| &lines[1][name]);
    assert_eq!(sums, [4, 2, 0, 14, 18]);
}

#[test]
fn the_audit_log_is_complete_under_load() {
    const THREADS: u64 = 8;
    const JOBS: u64 = 100;
    let files = Files::new();
    let tenants = files.open();
    let (caller, barrier) = (acme(&files, &tenants), Barrier::new(8));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (caller, barrier) = (&caller, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for n in 0..JOBS {
                    // Every job comes to two threads.
                    let id = (thread / 2) * JOBS + n;
                    let place = caller.admit(&mut batch(id)).unwrap();
                    caller.ended(batch(id).job, &Tally { succeeded: 1, ..Tally::default() });
                    drop(place);
                }
            });
        }
    });
    let lines = files.audit();
    let of = |event: &'static str| lines.iter().filter(move |line| line["event"] == event);
    let mut jobs: Vec<&str> = of("job").map(|line| line["job"].as_str().unwrap()).collect();
    jobs.sort_unstable();
    let written = jobs.len();
    jobs.dedup();
    assert_eq!((written as u64, jobs.len()), (THREADS / 2 * JOBS, written), "each once");
    let succeeded: u64 = of("ended").map(|line| line["succeeded"].as_u64().unwrap()).sum();
    assert_eq!(succeeded, THREADS * JOBS, "every task is in one sum");
}

#[test]
fn no_refusal_is_lost_under_load() {
    const THREADS: u64 = 8;
    const EACH: u64 = 1_500;
    let files = Files::new();
    let tenants = files.open();
    let (acme, barrier) = (acme(&files, &tenants), Barrier::new(8));
    let betas = ticket(&claims("beta"), &files.beta);
    let beta = tenants.identify("http", Some(&betas)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (tenants, acme, beta) = (&tenants, &acme, &beta);
            let (barrier, clock) = (&barrier, &files.clock);
            scope.spawn(move || {
                barrier.wait();
                for n in 0..EACH {
                    // Some are alike, some differ, and strangers make up names.
                    let denied = |batch: &mut Batch| batch.store = "s3://public/jobs".to_owned();
                    let mut alike = changed(denied);
                    assert!(acme.admit(&mut alike).is_err());
                    let mut other = batch(thread * EACH + n);
                    denied(&mut other);
                    assert!(beta.admit(&mut other).is_err());
                    assert!(tenants.identify("http", Some(&format!("{thread}.{n}.x"))).is_err());
                    assert!(tenants.identify("http", None).is_err());
                    clock.advance(Duration::from_micros(100));
                }
            });
        }
    });
    drop((acme, beta, tenants));
    let lines = files.audit();
    let counted = |tenant: Option<&str>| -> u64 {
        let of = lines.iter().filter(|line| line["tenant"].as_str() == tenant);
        let count = |line: &Value| line["times"].as_u64().or_else(|| line["left_out"].as_u64());
        of.map(|line| count(line).unwrap_or(1)).sum()
    };
    assert_eq!(counted(Some("acme")), THREADS * EACH);
    assert_eq!(counted(Some("beta")), THREADS * EACH);
    assert_eq!(counted(None), 2 * THREADS * EACH);
    // 1.2 seconds by that clock are five windows at most, and of two kinds there are two lines in each.
    let strangers = lines.iter().filter(|line| line["tenant"].is_null()).count();
    assert!(strangers <= 6 * 2 * 2, "{strangers} lines of strangers");
}

#[test]
fn strangers_are_written_down_without_a_tenants_name() {
    let files = Files::new();
    let tenants = files.open();
    tenants.identify("http", None).unwrap_err();
    tenants.identify("http", Some(&ticket(&claims("acme"), &files.beta))).unwrap_err();
    let mut ended = claims("acme");
    ended["exp"] = json!(1);
    tenants.identify("http", Some(&ticket(&ended, &files.acme))).unwrap_err();
    let lines = files.audit();
    let tenants: Vec<&Value> = lines.iter().map(|line| &line["tenant"]).collect();
    assert_eq!(tenants, [&Value::Null, &Value::Null, &"acme".into()]);
}

#[test]
fn old_hosts_are_told_to_be_updated() {
    let files = Files::new();
    files.edit("tenants.toml", "audience", "host-version-min = \"0.2.0\"\naudience");
    let tenants = files.open();
    assert_eq!(tenants.refuses_version("0.2.0"), None);
    assert!(tenants.refuses_version("0.1.9").unwrap().contains("host-version-min is 0.2.0"));
}

/// The page's files, made by hand: it has to be right as it stands.
#[test]
fn the_guides_example_is_a_file_of_tenants() {
    const PAGE: &str = include_str!("../../../../docs/guide/tenants.md");
    let files = Files::new();
    let (_, rest) = PAGE.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let audit = files.path("audit.jsonl").display().to_string();
    assert!(example.contains("/var/log/samara/audit.jsonl"));
    files.write("tenants.toml", &example.replace("/var/log/samara/audit.jsonl", &audit));
    std::fs::create_dir(files.path("keys")).unwrap();
    files.write("keys/acme.pem", &files.acme.public_pem);
    files.write("keys/acme-next.pem", &crate::generate_keys().unwrap().public_pem);
    files.write("keys/beta.json", r#"{"keys":[]}"#);
    let tenants = files.open();
    let roster = tenants.roster();
    let acme = roster.member("acme").unwrap();
    assert_eq!(acme.keys.len(), 2);
    assert!(acme.grants.allow("s3://acme/x", Access::ReadWrite));
    assert_ne!(acme.limits, Limits::default());
}
