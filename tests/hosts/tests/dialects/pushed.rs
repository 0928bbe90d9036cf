//! What holds on every platform: batches, refusals, health, and the drain.

use std::thread;
use std::time::Duration;

use samara_core::ErrorKind;
use samara_core::wire::{self, BATCH_TYPE, HostInfo};

use crate::Check;
use crate::batch::{Done, Place};
use crate::host::{DONE, Host, TOKEN, count, refused};
use crate::http::{Answer, Request};
use crate::platform::{Ground, Platform};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("a_batch_goes_in_and_its_frames_come_back", batches),
    ("what_makes_no_sense_is_refused", refusals),
    ("without_tokens_nobody_runs_tasks", tokens),
];

pub(crate) const DRAINS: &[(&str, Check)] = &[
    ("a_batch_under_way_is_done_before_the_end", drains),
    ("what_takes_longer_than_the_grace_is_handed_back", hands_back),
];

/// Bytes of a request that are too many anywhere.
const TOO_MANY: usize = (128 << 20) + 1;

/// A host, as its platform starts it.
pub(crate) fn start(platform: &Platform, more: &[(&str, &str)]) -> (Host, Ground) {
    let ground = Ground::new();
    let variables = platform.variables(&ground);
    let mut variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, said)| (*name, said.as_str())).collect();
    variables.extend(more);
    (Host::start(&variables), ground)
}

/// What the host says of itself.
pub(crate) fn info(platform: &Platform, address: &str) -> HostInfo {
    let request = Request::new("GET", "/v1/host").with("samara-token", TOKEN);
    let answer = platform.ask(address, &request);
    assert_eq!(answer.status, 200, "{}", answer.text());
    wire::decode_info(&bytes_of(&answer)).expect("what it is")
}

/// A batch as a driver sends it to a host that is like that.
pub(crate) fn post(batch: &[u8], is_text: bool) -> Request {
    let request = Request::new("POST", "/v1/batches").with("samara-token", TOKEN);
    match is_text {
        true => request
            .with("content-type", "text/plain; charset=utf-8")
            .with("samara-encoding", "base64")
            .body(encoded(batch)),
        false => request.with("content-type", BATCH_TYPE).body(batch),
    }
}

fn encoded(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A body as a driver reads it.
pub(crate) fn bytes_of(answer: &Answer) -> Vec<u8> {
    use base64::Engine as _;
    match answer.header("samara-encoding") {
        "base64" => base64::engine::general_purpose::STANDARD.decode(&answer.body).expect("base64"),
        _ => answer.body.clone(),
    }
}

fn batches(platform: &Platform) {
    let place = Place::new();
    let (host, _ground) = start(platform, &[]);
    let info = info(platform, &host.address);
    assert_eq!((info.slots, info.streams, info.draining), (2, platform.streams, false));
    let numbers: Vec<u64> = (0..50).collect();
    let batch = place.batch("adds_one", &numbers);
    for _ in 0..2 {
        let answer = platform.ask(&host.address, &post(&batch, info.text));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let done = Done::read(&bytes_of(&answer));
        assert!(done.is_done);
        assert!(done.numbers().into_iter().eq((0..50).map(|n| (n, n + 1))), "{done:?}");
    }
    if !info.text {
        // Whoever wants to may send text to any host.
        let answer = platform.ask(&host.address, &post(&batch, true));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let alive = Request::new("GET", "/healthz").send(&host.address).unwrap();
    let ready = Request::new("GET", "/_/ready").send(&host.address).unwrap();
    assert_eq!((alive.status, ready.status), (200, 200));
    let ended = host.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

fn refusals(platform: &Platform) {
    let place = Place::new();
    let (host, _ground) = start(platform, &[]);
    let text = info(platform, &host.address).text;
    let batch = place.batch("adds_one", &[1]);
    let ask = |request| platform.ask(&host.address, &request);
    for (status, request) in [
        (400, post(b"no batch", text)),
        (400, post(&[], text)),
        (401, {
            let mut request = post(&batch, text);
            request.headers[0].1 = "another-token-than-that".to_owned();
            request
        }),
        (401, {
            let mut request = post(&batch, text);
            request.headers.remove(0);
            request
        }),
        (404, Request::new("GET", "/nothing")),
        (405, Request::new("GET", "/v1/batches").with("samara-token", TOKEN)),
        (426, post(&batch, text).with("samara-wire", "99")),
    ] {
        let answer = ask(request);
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    let large = vec![b'{'; TOO_MANY];
    let path = platform.garbage.map_or("/v1/batches", |(path, _)| path);
    // Where an envelope is sent as it is, the path is its own.
    let path = if platform.name == "fn" { "/call" } else { path };
    // With a token: a stranger's is refused unread.
    let request = Request::new("POST", path).with("samara-token", TOKEN);
    let large = request.with("content-type", "application/json").body(large);
    assert_eq!(large.send(&host.address).unwrap().status, 413);
    if let Some((path, status)) = platform.garbage {
        for body in ["", "{", "[]", "{}", "null"] {
            let garbage = Request::new("POST", path);
            let garbage = garbage.with("content-type", "application/json").body(body);
            let answer = garbage.send(&host.address).unwrap();
            assert_eq!(answer.status, status, "{body}: {}", answer.text());
        }
    }
    // It goes on.
    let answer = ask(post(&batch, text));
    assert_eq!(Done::read(&bytes_of(&answer)).numbers(), [(0, 2)]);
}

fn tokens(platform: &Platform) {
    let ground = Ground::new();
    let variables = platform.variables(&ground);
    let variables = variables.iter().filter(|(name, _)| *name != "SAMARA_HOST_TOKENS");
    let mut variables: Vec<_> = variables.map(|(name, said)| (*name, said.as_str())).collect();
    match platform.name {
        // Cloud Run asks who comes; and here nobody else comes in.
        "knative" | "http" => drop(Host::start(&variables).stop()),
        _ => {
            // Reached from this machine alone, some need none.
            variables.retain(|(name, _)| *name != "SAMARA_HOST_LISTEN");
            let (code, said) = refused(&variables);
            assert_eq!(code, Some(78), "{said}");
            assert!(said.contains("SAMARA_HOST_TOKENS"), "{said}");
        }
    }
}

/// Sends a batch of which the second task takes so long, and SIGTERM once the first is done.
fn drained(platform: &Platform, ms: u64, grace: &str) -> (Done, crate::host::Ended) {
    let place = Place::new();
    let (host, _ground) = start(platform, &[("SAMARA_HOST_GRACE", grace)]);
    let text = info(platform, &host.address).text;
    // What was compiled is there before the time counts.
    let first = platform.ask(&host.address, &post(&place.batch("sleeps_at_first", &[0]), text));
    assert!(Done::read(&bytes_of(&first)).is_done);
    let batch = post(&place.batch("sleeps_at_first", &[0, ms, 0]), text);
    let done = || count(&host.address, DONE);
    let before = done();
    let (address, asking) = (host.address.clone(), *platform);
    let answer = thread::spawn(move || asking.ask(&address, &batch));
    while done() == before {
        assert!(!answer.is_finished(), "{:?}", answer.join());
        thread::sleep(Duration::from_millis(10));
    }
    host.terminate();
    let answer = answer.join().expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    (Done::read(&bytes_of(&answer)), host.ended())
}

fn drains(platform: &Platform) {
    let (done, ended) = drained(platform, 2000, "30s");
    assert!(done.is_done, "{done:?}");
    assert_eq!(done.numbers(), [(0, 0), (1, 0), (2, 0)]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

fn hands_back(platform: &Platform) {
    let (done, ended) = drained(platform, 60_000, "1s");
    assert_eq!(
        done.failed.as_ref().map(|error| error.kind),
        Some(ErrorKind::HandedBack),
        "{done:?}"
    );
    assert_eq!(done.numbers(), [(0, 0)]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
}
