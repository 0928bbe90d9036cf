//! Manifests of arrays: what workers do with one, by each of their doors.
//!
//! A worker runs no manifest but the one whose hash it was started with. One that a worker takes has
//! each of its calls in the share of one worker, which writes one answer, with an end, below the place
//! that the call names; who may not have one call's objects has none of them run.
//!
//! An input is which hash the worker is started with, and the manifest. In it `BATCH` and `HASH` stand
//! for a good batch and its hash.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use samara_core::{ComponentId, Error, ErrorKind};
use samara_runtimes::host::{Ended, Variables, named};
use serde_json::{Value, json};

use super::mail::{
    Asked, BATCH, CANCELLED, Door, Mail, Named, OTHERS, OWN, check_asked, field, is_cancelled, kind,
};
use crate::Target;
use crate::engine::Seen;

/// See the module.
pub const TARGET: Target = Target {
    name: "manifests",
    seeds,
    words: &[
        "BATCH",
        "HASH",
        "TICKET",
        "\"samara\":1,",
        "\"workers\":",
        "\"calls\":[",
        "{\"batch\":{\"inline\":\"BATCH\"},\"to\":\"mem://own/data/1/\"}",
        "\"stored\":{\"url\":",
        "\"range\":{\"start\":8,\"end\":",
        "\"hash\":\"HASH\"",
        "mem://own/data",
        "mem://own/database/",
        "/../",
        "/gone/",
        "s3://b/",
        "10000",
        "18446744073709551615",
        "null",
    ],
    bytes_max: 4 << 10,
    time_max: Duration::from_secs(10),
    start: || {
        let place = Place::new();
        Box::new(move |input| place.check(input))
    },
};

/// Where workers find the manifest, which is the tenant's.
const MANIFEST: &str = "mem://own/data/manifest";

/// Bytes of a manifest that a worker reads at most, and one more.
const READ_MAX: u64 = (8 << 20) + 1;

/// What a worker is started with: mostly the manifest's own hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Own,
    Others,
    Malformed,
}

/// What a worker came to, and what it asked of its store.
type Came = (Result<Ended, Error>, Vec<Asked>);

/// By the places of calls, what their answers came to.
type Answers = BTreeMap<String, Vec<Seen>>;

/// Workers, by each of their doors.
struct Place {
    mail: Mail,
}

fn seeds() -> Vec<Vec<u8>> {
    let range = Mail::new("slurm").range();
    let call = |place: &str, (start, end): (u64, u64), n: &str| {
        let range = json!({ "start": start, "end": end });
        let stored = json!({ "url": format!("{place}{BATCH}"), "range": range, "hash": "HASH" });
        json!({ "batch": { "stored": stored }, "to": format!("{OWN}/{n}/") })
    };
    let good = (range.start, range.end);
    let inline = json!({ "batch": { "inline": "BATCH" }, "to": format!("{OWN}/inline/") });
    let changed = |name: &str, new: Value| {
        let mut call = inline.clone();
        call[name] = new;
        call
    };
    let manifest = |hash: u8, workers: u64, calls: &[Value]| {
        let manifest = json!({ "samara": 1, "workers": workers, "calls": calls });
        [&[hash], manifest.to_string().as_bytes()].concat()
    };
    let three: Vec<Value> = ["1", "2", "3"].map(|n| call(OWN, good, n)).into();
    let mut unhashed = three[0].clone();
    unhashed["batch"]["stored"]["hash"] = Value::Null;
    let mut seeds = vec![
        manifest(0, 2, &three),
        manifest(0, 1, &[inline.clone(), three[0].clone(), three[0].clone()]),
        manifest(0, 3, &three),
        manifest(0, 10_000, &three),
        manifest(0, 10_001, &three),
        manifest(0, 0, &three),
        manifest(0, u64::MAX, &three),
        manifest(0, 1, &[]),
        manifest(6, 1, &three),
        manifest(7, 1, &three),
        manifest(0, 2, &[inline.clone(), call(OTHERS, good, "1")]),
        manifest(0, 1, &[call(OWN, (0, u64::MAX), "1")]),
        manifest(0, 1, &[call(OWN, (u64::MAX, 0), "1")]),
        manifest(0, 1, &[call(OWN, (range.start, range.end - 1), "1")]),
        manifest(0, 1, &[unhashed]),
        manifest(0, 1, &[changed("to", OWN.into())]),
        manifest(0, 1, &[changed("to", Value::Null)]),
        manifest(0, 1, &[changed("to", format!("{OWN}{CANCELLED}").into()), inline.clone()]),
        manifest(0, 1, &[changed("to", "s3://b/1/".into())]),
        manifest(0, 1, &[changed("to", format!("{OWN}/../database/1/").into())]),
        manifest(0, 1, &[changed("batch", json!({ "inline": "!" }))]),
        b"\0[1,1,[[{\"inline\":\"BATCH\"},\"mem://own/data/1/\"]]]".to_vec(),
        b"\0".to_vec(),
    ];
    let first = String::from_utf8(seeds[0].clone()).expect("JSON");
    for (from, to) in [
        ("\"samara\":1", "\"samara\":2"),
        ("\"samara\":1", "\"ticket\":\"TICKET\",\"samara\":1"),
        ("{", "{\"later\":\"TICKET\","),
    ] {
        seeds.push(first.replacen(from, to, 1).into_bytes());
    }
    // The batch itself, so that it is changed as well.
    seeds.push(Mail::new("slurm").expand(&manifest(0, 1, &[inline])));
    seeds
}

// === impl Place ===

impl Place {
    fn new() -> Self {
        let place = Self { mail: Mail::new("slurm") };
        // Else nothing but refusals would be tried.
        let manifest = Bytes::from(place.mail.expand(&seeds()[0][1..]));
        for door in [Door::Tenants, Door::Open] {
            let answers = place.check_whole(door, &manifest, Hash::Own).expect("it is taken");
            assert_eq!(answers.len(), 3, "{door:?}");
        }
        place
    }

    /// Starts a worker.
    fn start(&self, door: Door, index: &str, manifest: &Bytes, hash: Hash) -> Came {
        let hash = match hash {
            Hash::Own => ComponentId::of(manifest).to_string(),
            Hash::Others => ComponentId::of(&[manifest, &b" "[..]].concat()).to_string(),
            Hash::Malformed => "b3:00".to_owned(),
        };
        let said = [
            ("SLURM_ARRAY_TASK_ID", index),
            ("SAMARA_HOST_ARRAY", MANIFEST),
            ("SAMARA_HOST_ARRAY_HASH", &hash),
            ("SAMARA_HOST_ARRAY_TICKET", self.mail.ticket()),
        ];
        let variables: Variables =
            said.map(|(name, said)| (name.to_owned(), said.to_owned())).into();
        let worker = named("slurm").expect("a row").serve(self.mail.host(door, variables));
        let (came, asked) = self.mail.run(&[(MANIFEST, manifest)], worker);
        self.mail.check_door(door, &asked);
        let said = came.as_ref().err().map_or("", |error| &error.message);
        // What is no JSON is shown to its writer up to where it is wrong.
        if serde_json::from_slice::<Value>(manifest).is_ok() || !self.mail.has_ticket(manifest) {
            self.mail.check_unseen(manifest, said.as_bytes(), &asked);
        }
        (came, asked)
    }

    fn check(&self, input: &[u8]) -> Seen {
        let Some((hash, manifest)) = input.split_first() else { return Seen::of(()) };
        let hash = match hash % 8 {
            6 => Hash::Others,
            7 => Hash::Malformed,
            _ => Hash::Own,
        };
        let manifest = Bytes::from(self.mail.expand(manifest));
        let (came, _) = self.start(Door::Shut, "0", &manifest, hash);
        let refused = came.expect_err("nobody comes in").kind;
        let wanted = if hash == Hash::Malformed { ErrorKind::Invalid } else { ErrorKind::Denied };
        assert_eq!(refused, wanted);
        let mut seen = Seen::of(());
        for door in [Door::Tenants, Door::Open] {
            let answers = self.check_whole(door, &manifest, hash);
            if let (Door::Open, Ok(answers)) = (door, &answers)
                && let Ok(value) = serde_json::from_slice::<Value>(&manifest)
            {
                let again = Bytes::from(serde_json::to_vec_pretty(&value).expect("it is JSON"));
                let again = self.check_whole(door, &again, hash);
                assert_eq!(again.as_ref(), Ok(answers), "written again");
            }
            seen = match answers {
                Ok(answers) => {
                    let count = answers.len().min(6);
                    let kinds: BTreeSet<Seen> = answers.into_values().flatten().collect();
                    seen.and((count, kinds))
                }
                Err(refused) => seen.and(kind(&refused.message)),
            };
        }
        seen
    }

    /// Checks what all workers of a manifest come to; why it is refused, where it is.
    fn check_whole(&self, door: Door, manifest: &Bytes, hash: Hash) -> Result<Answers, Error> {
        let (came, asked) = self.start(door, "0", manifest, hash);
        if let Some(refused) = refusal(&came, &asked, hash) {
            return Err(refused);
        }
        assert_eq!(hash, Hash::Own, "another manifest is run than the one that was meant");
        // What this does not read may stand in what the host passes over.
        let Ok(value) = serde_json::from_slice::<Value>(manifest) else {
            return Ok(Answers::new());
        };
        let workers = field(&value, "workers", 1).as_u64().expect("it says how many there are");
        let calls = field(&value, "calls", 2).as_array().expect("it has a list of calls");
        let calls: Vec<Named> = calls.iter().map(Named::of).collect();
        check_calls(door, &calls, workers);
        let mut all = check_asked(&asked, &calls, Some(MANIFEST));
        let last = (workers - 1).min(calls.len() as u64);
        for index in (1..=last).chain((last < workers - 1).then_some(workers - 1)) {
            let (_, asked) = self.start(door, &index.to_string(), manifest, hash);
            for (to, answers) in check_asked(&asked, &calls, Some(MANIFEST)) {
                all.entry(to).or_default().extend(answers);
            }
        }
        let mut wanted: BTreeMap<&str, usize> = BTreeMap::new();
        for to in calls.iter().filter_map(|call| call.to.as_deref()) {
            *wanted.entry(to).or_default() += usize::from(!is_cancelled(to));
        }
        wanted.retain(|_, count| *count > 0);
        let found = all.iter().map(|(to, answers)| (to.as_str(), answers.len()));
        assert_eq!(found.collect::<BTreeMap<_, _>>(), wanted, "each call has one answer");
        for beyond in [workers.to_string(), u64::MAX.to_string(), "-1".to_owned()] {
            let (came, asked) = self.start(door, &beyond, manifest, hash);
            assert!(refusal(&came, &asked, hash).is_some(), "there is no worker {beyond}");
        }
        all.values_mut().for_each(|answers| answers.sort());
        Ok(all)
    }
}

/// Checks what has to hold of the calls of a manifest that workers run.
fn check_calls(door: Door, calls: &[Named], workers: u64) {
    assert!((1..=10_000).contains(&workers), "{workers} workers");
    for call in calls {
        let has_place = call.to.as_ref().is_some_and(|to| to.ends_with('/'));
        assert!(has_place, "there is nowhere to answer to: {call:?}");
        assert_eq!(call.url.is_some(), call.hash.is_some(), "it may be changed: {call:?}");
        assert!(door == Door::Open || call.is_own(), "it is not the tenant's: {call:?}");
    }
}

/// Why a worker refused its order, or a manifest, where it did: it reads the manifest at most.
fn refusal(came: &Result<Ended, Error>, asked: &[Asked], hash: Hash) -> Option<Error> {
    let refused = came.as_ref().err().filter(|error| error.kind != ErrorKind::Store)?;
    let wanted = match hash {
        Hash::Own => [ErrorKind::Invalid, ErrorKind::Denied].contains(&refused.kind),
        Hash::Others => refused.kind == ErrorKind::Denied,
        Hash::Malformed => refused.kind == ErrorKind::Invalid,
    };
    assert!(wanted, "{refused:?}");
    let read = super::mail::What::Get(Some(0..READ_MAX));
    let is_manifest = |asked: &Asked| asked.url == MANIFEST && asked.what == read;
    let reads_it = asked.len() <= 1 && asked.iter().all(is_manifest);
    assert!(reads_it, "a worker that refuses asks for more: {asked:?}");
    Some(refused.clone())
}
