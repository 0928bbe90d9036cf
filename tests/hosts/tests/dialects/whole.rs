//! The conformance suite by way of each front door, but for the cases that need a driver's going to be
//! noticed behind it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use samara::{Component, Executor};
use samara_conformance::{Case, Needs, Settings, Suite, Verdict, cases};

use crate::Check;
use crate::host::{TOKEN, cache};
use crate::http::{Answer, front_door};
use crate::platform::Platform;
use crate::pushed::start;

/// Those that pass requests on in a way of their own. What is like plain HTTP is in the suite's own
/// runs.
pub(crate) const CHECKS: &[(&str, &str, Check)] = &[
    ("azure-functions", NAME, passes),
    ("openfaas", NAME, passes),
    ("openwhisk", NAME, passes),
    ("fn", NAME, passes),
    ("function-compute", NAME, passes),
];

const NAME: &str = "whatever_is_sent_and_comes_back_passes_the_front_door";

/// Cases that are left out, by room and name: of each, tasks are left behind that hang until they are
/// cancelled, which such platforms do not pass on (Azure Functions goes on when its client is gone,
/// <https://github.com/Azure/azure-functions-host/issues/8873>). They take their slots until the
/// platform's own time is over, or what is checked is that they do not.
const LEFT_OUT: &[(&str, &str, &str)] = &[
    ("collect", "a_wait_ends_when_its_time_is_over", "a task sleeps for a minute"),
    ("collect", "a_wait_ends_where_it_was_asked_to", "a task sleeps for a minute"),
    ("jobs", "calls_run_side_by_side_and_end_in_time", "a task loops past its job's time"),
    ("jobs", "cancelling_stops_running_guests", "twenty tasks loop"),
    ("jobs", "cancelling_wakes_a_sleeping_guest_and_one_that_asks", "tasks wait to be cancelled"),
    ("jobs", "dropping_a_call_cancels_it", "a task loops"),
    ("jobs", "dropping_a_job_cancels_it", "three tasks loop"),
    ("policy", "a_straggler_gets_a_second_attempt", "the slot of the first has to be free"),
    ("policy", "tasks_behind_a_straggler_do_not_wait_for_it", "the same"),
    ("policy", "the_first_failure_stops_the_rest_where_asked", "a task loops"),
    ("policy", "the_jobs_time_ends_tasks_that_never_started", "three tasks sleep for a minute"),
];

/// Cases side by side. A few have tasks that take all the time they get, so there are more slots.
const CASES_AT_ONCE: usize = 3;

fn passes(platform: &Platform) {
    let (host, _ground) = start(platform, &[("SAMARA_HOST_SLOTS", "8")]);
    let (asking, address) = (*platform, host.address.clone());
    // Tasks that nobody waits for may be running when the host ends.
    let gone = |_| Answer { status: 502, headers: Vec::new(), body: Vec::new() };
    let ask = move |request| asking.try_ask(&address, &request).unwrap_or_else(gone);
    let port = front_door(Box::new(ask));
    let store = tempfile::tempdir().expect("a directory");
    let builder = Executor::builder()
        .runtime(format!("http://127.0.0.1:{port}"))
        .token(TOKEN)
        .slots(2)
        .cache_dir(Some(cache()))
        .progress(false);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs");
    let programs = Component::from_crate(path).expect("the component");
    let store = store.path().to_str().expect("a path of UTF-8");
    let suite = Suite::open(Settings::new(programs, builder, store)).expect("a suite");
    let reach = suite.reach();
    let is_for_all = |case: &Case| match case.needs {
        Needs::Within(within) => reach <= within,
        _ => true,
    };
    let is_left_out = |case: &Case| {
        LEFT_OUT.iter().any(|(room, name, _)| (case.room, case.name) == (*room, *name))
    };
    let (left_out, rest): (Vec<Case>, Vec<Case>) = cases().into_iter().partition(is_left_out);
    assert_eq!(left_out.len(), LEFT_OUT.len(), "one of them has another name now");
    let all: Vec<Case> = rest.into_iter().filter(is_for_all).collect();
    let faults = run(&suite, &all);
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), all.len(), faults.join("\n"));
    assert!(all.len() > 140, "{} cases", all.len());
    suite.clean().expect("an empty store");
    // Platforms do not pass on that nobody waits any more, so tasks of cases may still run there.
    drop(host);
}

/// What the cases that did not pass say.
fn run(suite: &Suite, cases: &[Case]) -> Vec<String> {
    let (next, faults) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            match suite.run(case).verdict {
                Verdict::Passed => {}
                verdict => faults.lock().unwrap().push(format!("{case}: {verdict:?}")),
            }
        }
    };
    thread::scope(|scope| (0..CASES_AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    faults.into_inner().unwrap()
}
