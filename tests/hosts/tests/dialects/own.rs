//! What one platform alone asks for.

use std::os::unix::fs::PermissionsExt;

use samara_core::{ErrorKind, Outcome, Report};
use serde_json::{Value, json};

use crate::Check;
use crate::batch::{Done, Place};
use crate::http::Request;
use crate::platform::{Platform, unix_ms, whisk_out, whisk_until};
use crate::pushed::{post, start};

/// By platform, name and check.
pub(crate) const CHECKS: &[(&str, &str, Check)] = &[
    ("openwhisk", "an_action_is_initialized_once", initialized),
    ("openwhisk", "each_activation_ends_its_log", logs),
    ("openwhisk", "what_would_outlive_its_deadline_goes_back", deadline),
    ("fn", "the_socket_is_for_everybody_and_goes_with_the_host", socket),
    ("fn", "a_direct_invocation_is_answered_with_200_or_502", direct),
    ("function-compute", "hooks_and_events_are_answered", hooks),
];

/// What ends the log of an activation.
const LOG_END: &str = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX";

fn initialized(platform: &Platform) {
    let (host, _ground) = start(platform, &[]);
    let init =
        json!({ "value": { "name": "samara", "main": "main", "binary": false, "code": "" } });
    let post = |path: &str, body: String| {
        let request = Request::new("POST", path).with("content-type", "application/json");
        let answer = request.body(body).send(&host.address).unwrap();
        let said: Value = serde_json::from_slice(&answer.body).expect("JSON");
        (answer.status, said)
    };
    assert_eq!(post("/init", init.to_string()).0, 200);
    let (status, said) = post("/init", init.to_string());
    assert_eq!((status, said["error"].is_string()), (403, true), "{said}");
    let get = Request::new("GET", "/run").send(&host.address).unwrap();
    assert_eq!(get.status, 405);
    // What is no web action's has no request in it.
    let (status, said) = post("/run", json!({ "value": { "name": "x" } }).to_string());
    assert_eq!(status, 400);
    assert!(said["error"].as_str().unwrap().contains("--web raw"), "{said}");
}

fn logs(platform: &Platform) {
    let place = Place::new();
    let (host, _ground) = start(platform, &[]);
    for _ in 0..3 {
        let answer = platform.ask(&host.address, &post(&place.batch("adds_one", &[1]), false));
        assert_eq!(Done::read(&answer.body).numbers(), [(0, 2)]);
    }
    let ended = host.stop();
    assert_eq!(ended.stdout.iter().filter(|line| *line == LOG_END).count(), 3, "{ended:?}");
    assert_eq!(ended.stderr.lines().filter(|line| *line == LOG_END).count(), 3, "{ended:?}");
}

fn deadline(platform: &Platform) {
    let place = Place::new();
    let (host, _ground) = start(platform, &[]);
    let ask = |batch: &[u8], deadline: Value| {
        let answer = whisk_until(&post(batch, false), &deadline).send(&host.address).unwrap();
        Done::read(&whisk_out(&answer).body)
    };
    let warm = place.batch("sleeps_at_first", &[0]);
    assert!(ask(&warm, json!(unix_ms(60_000))).is_done);
    let slow = place.batch("sleeps_at_first", &[0, 60_000, 0]);
    for is_text in [false, true] {
        let until = unix_ms(6000);
        let mut done = ask(&slow, if is_text { json!(until.to_string()) } else { json!(until) });
        // The second task would go on for a minute. How long before its time a host answers is
        // looked at where time stands still.
        assert!(unix_ms(0) < until + 20_000, "it was answered too late");
        // It had nearly all of the time, and uses up an attempt; the third was not begun.
        let kind = done.failed.as_ref().map(|error| error.kind);
        assert_eq!(kind, Some(ErrorKind::HandedBack), "{done:?}");
        let is_lost = |report: &Report| match &report.outcome {
            Outcome::Platform(error) => error.kind == ErrorKind::Lost,
            _ => false,
        };
        let lost: Vec<u64> =
            done.reports.extract_if(.., |report| is_lost(report)).map(|r| r.index).collect();
        assert_eq!((lost, done.numbers()), (vec![1], vec![(0, 0)]));
    }
    let ended = host.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

fn socket(platform: &Platform) {
    let (host, ground) = start(platform, &[]);
    let path = ground.path("lsnr.sock");
    assert_eq!(host.address, format!("unix:{path}"));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
    let directory = std::path::Path::new(&path).parent().unwrap();
    assert_eq!(std::fs::read_dir(directory).unwrap().count(), 1, "nothing else is left there");
    let ended = host.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(std::fs::read_dir(directory).unwrap().count(), 0);
}

fn direct(platform: &Platform) {
    let place = Place::new();
    let (host, _ground) = start(platform, &[]);
    let call = |mut request: Request| {
        request.path = "/call".to_owned();
        request.send(&host.address).unwrap()
    };
    let answer = call(post(&place.batch("adds_one", &[1]), false));
    assert_eq!((answer.status, Done::read(&answer.body).numbers()), (200, vec![(0, 2)]));
    let answer = call(post(b"no batch", false));
    assert_eq!((answer.status, answer.header("fn-http-status")), (502, "400"));
    // A deadline that is over leaves no time for anything.
    let late = post(&place.batch("adds_one", &[1]), false);
    let late = call(late.with("Fn-Deadline", "2000-01-01T00:00:00Z"));
    assert_eq!(late.status, 200);
    assert!(Done::read(&late.body).failed.is_some());
}

fn hooks(platform: &Platform) {
    let place = Place::new();
    let (host, _ground) = start(platform, &[]);
    let control = |method: &str, path: &str| {
        Request::new(method, path).with("x-fc-request-id", "r").with("x-fc-control-path", path)
    };
    for (method, path) in [("POST", "/initialize"), ("GET", "/pre-freeze"), ("GET", "/pre-stop")] {
        let answer = control(method, path).send(&host.address).unwrap();
        assert_eq!((answer.status, answer.header("x-fc-status")), (200, "200"));
    }
    let event = |batch: &[u8]| {
        let mut request = control("POST", "/invoke");
        request.headers.extend(post(batch, false).headers);
        let answer = request.body(batch).send(&host.address).unwrap();
        let status = answer.header("x-fc-status").to_owned();
        (answer.status, status, answer.body)
    };
    let (status, said, body) = event(&place.batch("adds_one", &[1]));
    assert_eq!((status, &said[..], Done::read(&body).numbers()), (200, "200", vec![(0, 2)]));
    let (status, said, _) = event(b"no batch");
    assert_eq!((status, &said[..]), (404, "404"));
    let ended = host.stop();
    let has = |line: &str| ended.stdout.iter().any(|said| said == line);
    assert!(
        has("FC Initialize Start RequestId: r") && has("FC Invoke End RequestId: r"),
        "{ended:?}"
    );
}
