//! A pool whose hosts know tenants: messages show tickets, and those that are not good, or not good for
//! what they ask for, are thrown away, written down, and not given to anybody else.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use samara::{Access, Builder, Executor};
use samara_core::{Clock as _, SystemClock};
use samara_hosts::nats::Nats;
use samara_tenants::{Claims, generate_keys, issue};

use crate::batch::{batch, component};
use crate::host::Host;
use crate::isolate::soon;
use crate::queue::host;
use crate::tenants::{Ground, claims, denied, isolated, isolation, ticket};

/// By name.
pub(crate) const CHECKS: &[(&str, fn())] = &[
    ("tickets_are_asked_for_and_bad_ones_are_refused", tickets),
    ("a_tenant_has_what_is_its_own_and_nothing_else", own),
    ("a_tenant_has_that_in_a_process_of_its_own", || isolated(own)),
    ("a_message_for_anothers_place_writes_nothing_there", places),
    ("a_tenants_key_that_is_withdrawn_opens_nothing", withdrawn),
    ("a_quota_that_is_used_up_keeps_batches_back", used_up),
];

/// How long a refusal may take, where nobody may answer: the driver finds out by the broker.
const REFUSED_MAX: Duration = Duration::from_secs(90);

fn pool(ground: &Ground) -> (Nats, Host) {
    let nats = Nats::start();
    let file = ground.path("tenants.toml");
    let variables = [("SAMARA_HOST_TENANTS", file.as_str()), ("SAMARA_HOST_ISOLATE", isolation())];
    let host = host(&nats, &variables);
    (nats, host)
}

fn driver(ground: &Ground, nats: &Nats, ticket: Option<&str>, store: &str) -> Builder {
    let builder = Executor::builder().runtime(nats.url()).store(ground.path(store)).progress(false);
    match ticket {
        Some(ticket) => builder.token(ticket),
        None => builder,
    }
}

/// A ticket that nobody signed.
fn unsigned() -> String {
    let part = |json: String| URL_SAFE_NO_PAD.encode(json);
    let body = serde_json::json!({
        "sub": "acme",
        "aud": claims("acme").aud,
        "exp": claims("acme").exp,
    });
    format!("{}.{}.", part(r#"{"alg":"none","typ":"JWT"}"#.to_owned()), part(body.to_string()))
}

fn tickets() {
    let ground = Ground::new("");
    let (nats, host) = pool(&ground);
    let good = ground.ticket();
    assert_eq!(ground.adds(driver(&ground, &nats, Some(&good), "acme")).unwrap(), 42);
    let changed = |change: fn(&mut Claims)| {
        let mut claims = claims("acme");
        change(&mut claims);
        issue(&ground.acme.private_pem, &claims).unwrap()
    };
    let (body, _) = good.rsplit_once('.').unwrap();
    let bad = [
        None,
        Some("garbage".to_owned()),
        Some(unsigned()),
        Some(format!("{body}.")),
        Some(ticket(&generate_keys().unwrap(), "acme")),
        Some(ticket(&ground.beta, "acme")),
        Some(ticket(&ground.acme, "nobody")),
        Some(changed(|claims| claims.exp = 1_000_000_000)),
        Some(changed(|claims| claims.aud = vec!["https://others.example".to_owned()])),
    ];
    let clock = SystemClock::new();
    std::thread::scope(|scope| {
        for ticket in &bad {
            let (ground, nats) = (&ground, &nats);
            scope.spawn(move || {
                let result = ground.adds(driver(ground, nats, ticket.as_deref(), "acme"));
                denied(result, "audit log says why");
            });
        }
    });
    assert!(clock.monotonic() < REFUSED_MAX, "{:?}", clock.monotonic());
    // Nobody else is given them, and nothing was tried twice.
    assert_eq!(nats.left(), 0);
    assert_eq!(ground.adds(driver(&ground, &nats, Some(&good), "acme")).unwrap(), 42);
    let ended = host.stop();
    assert!(!ended.stderr.contains(body), "a ticket is in the log");
    let lines = ground.audited("refused");
    let times = |line: &serde_json::Value| line["times"].as_u64().unwrap_or(1);
    assert_eq!(lines.iter().map(times).sum::<u64>(), bad.len() as u64, "{lines:?}");
}

fn own() {
    let ground = Ground::new("");
    let (nats, host) = pool(&ground);
    let (acme, beta) = (ground.ticket(), ticket(&ground.beta, "beta"));
    let acmes = |store| driver(&ground, &nats, Some(&acme), store);
    assert_eq!(ground.adds(acmes("acme")).unwrap(), 42);
    assert_eq!(ground.adds(driver(&ground, &nats, Some(&beta), "beta")).unwrap(), 42);
    // Its own store is where a refusal can be written.
    let others = acmes("acme").grant(ground.path("beta"), Access::Read);
    denied(ground.adds(others), "not granted to read");
    let public = acmes("acme").grant(ground.path("public"), Access::ReadWrite);
    denied(ground.adds(public), "not granted to write");
    denied(ground.adds(acmes("acme").secret("A", "other")), "`other`");
    denied(ground.adds(acmes("acme").precise_clock(true)), "precise");
    // Another's is not.
    denied(ground.adds(acmes("beta")), "audit log says why");
    assert_eq!(nats.left(), 0);
    host.stop();
    let said: Vec<String> =
        ground.audited("refused").iter().map(|line| line["reason"].to_string()).collect();
    assert!(said.iter().any(|why| why.contains("not granted to write")), "{said:?}");
}

/// Files below a directory.
fn files(path: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    let each = |entry: std::fs::DirEntry| match entry.path().is_dir() {
        true => files(&entry.path()),
        false => vec![entry.path().display().to_string()],
    };
    entries.flatten().flat_map(each).collect()
}

/// Messages as an attacker would write them, with a ticket that is good.
fn places() {
    let ground = Ground::new("");
    let (nats, host) = pool(&ground);
    let place = |name: &str| format!("file://{}/", ground.path(name));
    let inline = STANDARD.encode(batch(&ground.path("acme"), component(), ("adds_one", &[1])));
    let send = |batch: serde_json::Value, to: &str| {
        let message = serde_json::json!({
            "samara": 1, "ticket": ground.ticket(), "batch": batch, "to": to,
        });
        nats.put(message.to_string().as_bytes());
    };
    let here = serde_json::json!({ "inline": inline });
    for to in [
        place("beta"),
        place("public"),
        place(""),
        format!("{}../beta/", place("acme")),
        place("acmes"),
    ] {
        send(here.clone(), &to);
    }
    let secret = place("beta/batch").trim_end_matches('/').to_owned();
    std::fs::write(ground.path("beta/batch"), "secret").unwrap();
    let stored =
        serde_json::json!({ "stored": { "url": secret, "range": { "start": 0, "end": 6 } } });
    send(stored, &place("acme/out"));
    soon("all are gone", || nats.left() == 0);
    assert_eq!(files(Path::new(&ground.path("beta"))), [ground.path("beta/batch")]);
    for name in ["public", "acmes", "acme/out"] {
        assert_eq!(files(Path::new(&ground.path(name))), Vec::<String>::new(), "{name}");
    }
    host.stop();
    let lines = ground.audited("refused");
    let times = |line: &serde_json::Value| line["times"].as_u64().unwrap_or(1);
    assert_eq!(lines.iter().map(times).sum::<u64>(), 6, "{lines:?}");
    assert!(lines.iter().all(|line| line["tenant"] == "acme"), "{lines:?}");
}

fn withdrawn() {
    let ground = Ground::new("");
    let (nats, host) = pool(&ground);
    let acme = ground.ticket();
    assert_eq!(ground.adds(driver(&ground, &nats, Some(&acme), "acme")).unwrap(), 42);
    let other = generate_keys().unwrap();
    std::fs::write(ground.path("acme.pem"), &other.public_pem).unwrap();
    // Hosts look at the files every few seconds.
    std::thread::sleep(Duration::from_secs(6));
    denied(ground.adds(driver(&ground, &nats, Some(&acme), "acme")), "audit log says why");
    let again = ticket(&other, "acme");
    assert_eq!(ground.adds(driver(&ground, &nats, Some(&again), "acme")).unwrap(), 42);
    host.stop();
}

fn used_up() {
    let ground = Ground::new("");
    ground.edit("quota]\n", "quota]\ncpu = \"50ms\"\nwindow = \"10s\"\n");
    let (nats, host) = pool(&ground);
    let acme = ground.ticket();
    let executor = driver(&ground, &nats, Some(&acme), "acme").build().unwrap();
    let retries = samara::Retries::default().attempts(1);
    let results = samara::block_on(async {
        let rounds = [20_000_000_u64; 12];
        let map = executor.map(&ground.app, samara_programs::ends::computes, rounds);
        map.retries(retries).backups(None).await.unwrap().results().await
    });
    for result in results {
        result.unwrap();
    }
    assert_eq!(nats.left(), 0);
    host.stop();
}
