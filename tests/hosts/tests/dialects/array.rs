//! Workers of arrays, started as each platform would: with an index, a manifest and its hash. Most of
//! it is about hosts that know tenants: who may have what done by workers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use samara_core::{ComponentId, ErrorKind, Outcome};
use samara_tenants::{Claims, Narrower, NarrowerObject, generate_keys, issue};
use serde_json::json;

use crate::batch::{Done, Place, batch, component};
use crate::host::{checked, piped, refused, signal};
use crate::tenants::{Ground, claims, isolated, isolation, times};

/// By name.
pub(crate) const CHECKS: &[(&str, fn())] = &[
    ("a_worker_runs_its_share_on_every_platform", shares),
    ("a_worker_that_is_told_to_end_hands_back_what_is_undone", hands_back),
    ("a_worker_begins_nothing_that_was_cancelled", cancelled),
    ("a_worker_runs_only_what_its_starter_named", bound),
    ("a_worker_says_what_is_missing_or_makes_no_sense", settings),
    ("a_worker_asks_for_tickets_too", tickets),
    ("a_worker_touches_nothing_for_whom_it_refuses", foreign),
    ("a_withdrawn_key_opens_no_worker", withdrawn),
    ("a_workers_batches_are_admitted_one_by_one", admitted),
];

/// What holds with a process for each tenant too, by name.
pub(crate) const ISOLATED: &[(&str, fn())] = &[
    ("a_worker_asks_for_tickets_too", || isolated(tickets)),
    ("a_workers_batches_are_admitted_one_by_one", || isolated(admitted)),
];

/// The code of a host that may not do what it was started for.
const DENIED: Option<i32> = Some(77);

/// A manifest in a store of files, and what a worker of it is told.
struct Array {
    calls: PathBuf,
    manifest: PathBuf,
    hash: String,
}

// === impl Array ===

impl Array {
    /// Batches below a directory, for so many workers.
    fn new(store: &str, batches: &[Vec<u8>], workers: usize) -> Self {
        let calls = Path::new(store).join("jobs/1/calls");
        fs::create_dir_all(&calls).unwrap();
        let list = batches.iter().zip(0..).map(|(batch, n): (_, usize)| {
            let path = calls.join(format!("batch-{n}"));
            fs::write(&path, batch).unwrap();
            let hash = ComponentId::of(batch).to_string();
            let range = json!({ "start": 0, "end": batch.len() });
            let stored = json!({ "url": url(&path), "range": range, "hash": hash });
            json!({ "batch": { "stored": stored }, "to": format!("{}/{n}/", url(&calls)) })
        });
        let list: Vec<_> = list.collect();
        Self::of(calls, &json!({ "samara": 1, "workers": workers, "calls": list }))
    }

    fn of(calls: PathBuf, manifest: &serde_json::Value) -> Self {
        let (path, bytes) = (calls.join("manifest"), manifest.to_string().into_bytes());
        fs::write(&path, &bytes).unwrap();
        Self { calls, manifest: path, hash: ComponentId::of(&bytes).to_string() }
    }

    fn variables<'a>(
        &'a self,
        index: &'a (String, String),
        more: &[(&'a str, &'a str)],
    ) -> Vec<(&'a str, &'a str)> {
        let mut all = vec![
            (index.0.as_str(), index.1.as_str()),
            ("SAMARA_HOST_ARRAY", self.manifest.to_str().unwrap()),
            ("SAMARA_HOST_ARRAY_HASH", self.hash.as_str()),
        ];
        all.extend(more);
        all
    }

    /// Runs a worker to its end: its code, and what it said.
    fn run(&self, index: usize, more: &[(&str, &str)]) -> (Option<i32>, String) {
        self.run_on("SLURM_ARRAY_TASK_ID", index, more)
    }

    fn run_on(&self, told: &str, index: usize, more: &[(&str, &str)]) -> (Option<i32>, String) {
        refused(&self.variables(&(told.to_owned(), index.to_string()), more))
    }

    fn start(&self, index: usize, more: &[(&str, &str)]) -> Child {
        let index = ("SLURM_ARRAY_TASK_ID".to_owned(), index.to_string());
        piped(&self.variables(&index, more)).spawn().unwrap()
    }

    /// The answer to a batch, where one was written.
    fn answer(&self, batch: usize) -> Option<Done> {
        let mut runs = fs::read_dir(self.calls.join(batch.to_string())).ok()?.flatten();
        let run = runs.find(|run| run.path().is_dir())?;
        let mut parts: Vec<PathBuf> =
            fs::read_dir(run.path()).unwrap().map(|part| part.unwrap().path()).collect();
        parts.sort();
        let bytes: Vec<u8> = parts.iter().flat_map(|part| fs::read(part).unwrap()).collect();
        Some(Done::read(&bytes))
    }

    fn numbers(&self, batch: usize) -> Vec<(u64, u64)> {
        self.answer(batch).expect("an answer").numbers()
    }
}

fn url(path: &Path) -> String {
    format!("file://{}", path.display())
}

fn shares() {
    let place = Place::new();
    let batches: Vec<Vec<u8>> = (0..5).map(|n| place.batch("adds_one", &[n, n + 10])).collect();
    for (told, name) in [
        ("SLURM_ARRAY_TASK_ID", "slurm"),
        ("JOB_COMPLETION_INDEX", "kubernetes-job"),
        ("AWS_BATCH_JOB_ARRAY_INDEX", "aws-batch"),
        ("CLOUD_RUN_TASK_INDEX", "cloud-run-job"),
    ] {
        let array = Array::new(place.path(), &batches, 2);
        let index = (told.to_owned(), "1".to_owned());
        let (code, said) = checked(&array.variables(&index, &[]));
        assert_eq!((code, said.contains(name)), (Some(0), true), "{said}");
        assert_eq!(array.run_on(told, 1, &[]).0, Some(0));
        let done: Vec<bool> = (0..5).map(|n| array.answer(n).is_some()).collect();
        assert_eq!(done, [false, true, false, true, false], "{name}: the others are another's");
        assert_eq!(array.run_on(told, 0, &[]).0, Some(0));
        for n in 0..5 {
            assert_eq!(array.numbers(usize::try_from(n).unwrap()), [(0, n + 1), (1, n + 11)]);
        }
        fs::remove_dir_all(&array.calls).unwrap();
    }
}

fn hands_back() {
    let place = Place::new();
    let batches = [place.batch("sleeps", &[60_000]), place.batch("adds_one", &[1])];
    let array = Array::new(place.path(), &batches, 1);
    let mut child = array.start(0, &[("SAMARA_HOST_GRACE", "100ms")]);
    // Its first sign of life comes after a while.
    crate::isolate::soon("the first part", || array.calls.join("0").exists());
    signal(child.id(), "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(3));
    for n in 0..2 {
        let error = array.answer(n).unwrap().failed.expect("it is undone");
        assert_eq!(error.kind, ErrorKind::HandedBack, "{error}");
    }
}

fn cancelled() {
    let place = Place::new();
    let batches = [place.batch("adds_one", &[1]), place.batch("adds_one", &[1])];
    let array = Array::new(place.path(), &batches, 1);
    fs::create_dir_all(array.calls.join("0")).unwrap();
    fs::write(array.calls.join("0/cancel"), "").unwrap();
    assert_eq!(array.run(0, &[]).0, Some(0));
    assert!(array.answer(0).is_none());
    assert_eq!(array.numbers(1), [(0, 2)]);
}

fn bound() {
    let place = Place::new();
    let array = || Array::new(place.path(), &[place.batch("adds_one", &[1])], 1);
    // A manifest in the place of the one that was named.
    let one = array();
    let text = fs::read_to_string(&one.manifest).unwrap();
    fs::write(&one.manifest, text.replace("calls/0/", "calls/9/")).unwrap();
    let (code, said) = one.run(0, &[]);
    assert_eq!((code, said.contains("hash")), (DENIED, true), "{said}");
    assert!(one.answer(0).is_none() && one.answer(9).is_none());
    // A batch in the place of the one that the manifest names.
    let one = array();
    let other = place.batch("adds_one", &[7]);
    fs::write(one.calls.join("batch-0"), other).unwrap();
    assert_eq!(one.run(0, &[]).0, Some(0));
    let error = one.answer(0).unwrap().failed.expect("it is another");
    assert_eq!((error.kind, error.message.contains("hash")), (ErrorKind::Denied, true), "{error}");
    // One that is not there may come yet.
    fs::remove_file(&one.manifest).unwrap();
    let (code, said) = one.run(0, &[]);
    assert_eq!((code, said.contains("no manifest")), (Some(75), true), "{said}");
}

fn settings() {
    let place = Place::new();
    let array = Array::new(place.path(), &[place.batch("adds_one", &[1])], 1);
    for (more, named) in [
        (("SAMARA_HOST_ARRAY", ""), "SAMARA_HOST_ARRAY "),
        (("SAMARA_HOST_ARRAY_HASH", ""), "SAMARA_HOST_ARRAY_HASH "),
        (("SAMARA_HOST_ARRAY_HASH", "b3:1"), "64 digits"),
        (("SLURM_ARRAY_TASK_ID", "first"), "`first`"),
        (("SLURM_ARRAY_TASK_ID", "1"), "1 workers"),
        (("SAMARA_HOST_LISTEN", ":8080"), "SAMARA_HOST_LISTEN"),
    ] {
        let (code, said) = array.run(0, &[more]);
        assert_eq!((code, said.contains(named)), (Some(78), true), "{named}: {said}");
    }
    for (change, named) in [
        (json!({ "samara": 1, "workers": 1, "calls": [], "ticket": "a.b.c" }), "unknown field"),
        (json!({ "samara": 2, "workers": 1, "calls": [] }), "version 2"),
    ] {
        let other = Array::of(array.calls.clone(), &change);
        let (code, said) = other.run(0, &[]);
        assert_eq!((code, said.contains(named)), (Some(78), true), "{named}: {said}");
    }
}

// === With tenants ===

/// One batch in a tenant's store, and a worker of it, with a ticket where there is one.
fn worker(ground: &Ground, store: &str, ticket: &str) -> (Array, Option<i32>, String) {
    let batch = stored(ground, store);
    let array = Array::new(&ground.path(store), &[batch], 1);
    let (code, said) = run_for(ground, &array, ticket);
    (array, code, said)
}

/// A batch of a store, with its component in it.
fn stored(ground: &Ground, store: &str) -> Vec<u8> {
    let path = Path::new(&ground.path(store)).join(samara_core::layout::component(&component()));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::copy(crate::batch::path(), path).unwrap();
    batch(&ground.path(store), component(), ("adds_one", &[41]))
}

fn run_for(ground: &Ground, array: &Array, ticket: &str) -> (Option<i32>, String) {
    let file = ground.path("tenants.toml");
    let isolate = ("SAMARA_HOST_ISOLATE", isolation());
    array.run(0, &[("SAMARA_HOST_TENANTS", &file), ("SAMARA_HOST_ARRAY_TICKET", ticket), isolate])
}

fn changed(ground: &Ground, change: impl FnOnce(&mut Claims)) -> String {
    let mut claims = claims("acme");
    change(&mut claims);
    issue(&ground.acme.private_pem, &claims).unwrap()
}

fn tickets() {
    let ground = Ground::new("");
    let ticket = ground.ticket();
    let (array, code, said) = worker(&ground, "acme", &ticket);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(array.numbers(0), [(0, 42)]);
    assert_eq!(ground.audited("job").len(), 1);
    let (claims_alone, _) = ticket.rsplit_once('.').unwrap();
    let (_, claimed) = claims_alone.split_once('.').unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let strangers = [
        (String::new(), "none was shown"),
        ("garbage".to_owned(), "ticket"),
        (format!("{claims_alone}."), "ticket"),
        (format!("{none}.{claimed}."), "ticket"),
        (issue(&ground.beta.private_pem, &claims("acme")).unwrap(), "ticket"),
        (changed(&ground, |claims| claims.exp = 1_000_000_000), "ended"),
        (changed(&ground, |claims| claims.aud = vec!["https://others.example".into()]), "not for"),
    ];
    let refused = strangers.len();
    for (ticket, named) in strangers {
        let (array, code, said) = worker(&ground, "acme", &ticket);
        assert_eq!((code, said.contains(named)), (DENIED, true), "{named}: {said}");
        // The array before it left its answer.
        let parts = fs::read_dir(array.calls.join("0")).unwrap().count();
        assert_eq!(parts, 1, "{named}: an answer was written");
        assert!(ticket.len() < 10 || !said.contains(&ticket), "the ticket is shown: {said}");
    }
    let audited: u64 = ground.audited("refused").iter().map(times).sum();
    assert_eq!(audited, refused as u64);
}

fn foreign() {
    let ground = Ground::new("");
    // All of it is another's, which a ticket of one's own does not open.
    let (array, code, said) = worker(&ground, "beta", &ground.ticket());
    assert_eq!((code, said.contains("not granted")), (DENIED, true), "{said}");
    assert!(array.answer(0).is_none());
    // Manifests of one's own that name another's objects, one at a time.
    let own = stored(&ground, "acme");
    for change in ["batch", "to"] {
        let mut array = Array::new(&ground.path("acme"), std::slice::from_ref(&own), 1);
        let text = fs::read_to_string(&array.manifest).unwrap();
        let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
        let call = &mut manifest["calls"][0];
        let field = match change {
            "batch" => &mut call["batch"]["stored"]["url"],
            _ => &mut call["to"],
        };
        *field = json!(field.as_str().unwrap().replace("/acme/", "/beta/"));
        array = Array::of(array.calls, &manifest);
        let (code, said) = run_for(&ground, &array, &ground.ticket());
        assert_eq!((code, said.contains("not granted")), (DENIED, true), "{change}: {said}");
        assert!(array.answer(0).is_none(), "{change}");
        assert!(!Path::new(&ground.path("beta")).join("jobs/1/calls/0").exists(), "{change}");
    }
    // A call that is another worker's counts too.
    let mine = Array::new(&ground.path("acme"), &[own.clone(), own], 2);
    let text = fs::read_to_string(&mine.manifest).unwrap();
    let to = format!("{}/1/", url(&mine.calls));
    let manifest = text.replace(&to, &to.replace("/acme/", "/beta/"));
    let array = Array::of(mine.calls, &serde_json::from_str(&manifest).unwrap());
    let (code, said) = run_for(&ground, &array, &ground.ticket());
    assert_eq!((code, said.contains("not granted")), (DENIED, true), "{said}");
    assert_eq!(ground.audited("refused").iter().map(times).sum::<u64>(), 4);
}

fn withdrawn() {
    let ground = Ground::new("");
    let ticket = ground.ticket();
    fs::write(ground.path("acme.pem"), generate_keys().unwrap().public_pem).unwrap();
    let (array, code, said) = worker(&ground, "acme", &ticket);
    assert_eq!((code, said.contains("ticket")), (DENIED, true), "{said}");
    assert!(array.answer(0).is_none());
}

fn admitted() {
    let ground = Ground::new("");
    let own = stored(&ground, "acme");
    // A batch of another's store, though it lies in one's own; its driver is told.
    let others = batch(&ground.path("beta"), component(), ("adds_one", &[1]));
    let array = Array::new(&ground.path("acme"), &[others, own.clone()], 1);
    let (code, said) = run_for(&ground, &array, &ground.ticket());
    assert_eq!(code, Some(0), "{said}");
    let error = array.answer(0).unwrap().failed.expect("it is not allowed");
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert_eq!(array.numbers(1), [(0, 42)]);
    // A ticket that allows less than its tenant may.
    let narrow = |url: String| {
        let objects = vec![NarrowerObject { url, access: samara::Access::ReadWrite }];
        let narrower = Narrower { objects, ..Narrower::default() };
        changed(&ground, |claims| claims.samara = Some(narrower))
    };
    fs::remove_dir_all(&array.calls).unwrap();
    let array = Array::new(&ground.path("acme"), &[own], 1);
    let elsewhere = narrow(format!("file://{}/elsewhere/", ground.path("acme")));
    let (code, said) = run_for(&ground, &array, &elsewhere);
    assert_eq!((code, said.contains("not granted")), (DENIED, true), "{said}");
    let (code, said) =
        run_for(&ground, &array, &narrow(format!("file://{}/", ground.path("acme"))));
    assert_eq!(code, Some(0), "{said}");
    assert!(matches!(array.answer(0).unwrap().reports[0].outcome, Outcome::Success(_)));
}
