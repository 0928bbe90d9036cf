//! A driver that knows nothing of the platform, by way of the platform's front door.

use samara::{Component, Executor};
use samara_programs as programs;

use crate::Check;
use crate::host::{Ended, TOKEN};
use crate::http::front_door;
use crate::platform::Platform;
use crate::pushed::start;

/// By platform, name and check.
pub(crate) const CHECKS: &[(&str, &str, Check)] = &[
    ("azure-functions", "a_driver_maps_through_the_front_door", maps),
    ("openwhisk", "a_driver_maps_through_the_front_door", maps),
    ("openwhisk", "components_are_compiled_in_processes_of_their_own", compiled_apart),
    ("http", "memory_of_tasks_that_ended_goes_back", memory_of_tasks_that_ended_goes_back),
];

fn maps(platform: &Platform) {
    let ended = mapped(platform, &[]);
    assert!(!ended.stderr.contains("a process of its own"), "{ended:?}");
}

fn compiled_apart(platform: &Platform) {
    let variables = [("SAMARA_HOST_COMPILE", "process"), ("SAMARA_HOST_CACHE_DIR", "none")];
    let ended = mapped(platform, &variables);
    assert!(ended.stderr.contains("compiled in a process of its own"), "{ended:?}");
}

/// Many tasks of some memory, one after the other: none waits for others to give it back.
fn memory_of_tasks_that_ended_goes_back(platform: &Platform) {
    const EACH: usize = 100 << 20;
    let (host, _ground) = start(platform, &[("SAMARA_HOST_SLOTS", "1")]);
    let store = tempfile::tempdir().expect("a directory");
    let executor = driver(&format!("http://{}", host.address), &store);
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", host.id())).expect("proc");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        let kilobytes = line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number");
        kilobytes << 10
    };
    samara::block_on(async {
        let held = executor.map(&app(), programs::ends::holds, vec![(EACH, 0); 12]);
        let held = held.await.expect("a job").values().await.expect("values");
        assert_eq!(held, [EACH; 12]);
    });
    // What a task had last may be going back at this moment.
    assert!(resident() < 4 * EACH, "{} MiB resident", resident() >> 20);
    host.stop();
}

fn app() -> Component {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs");
    Component::from_crate(path).expect("the component")
}

fn driver(url: &str, store: &tempfile::TempDir) -> Executor {
    let builder = Executor::builder().runtime(url).token(TOKEN).progress(false);
    let store = store.path().to_str().expect("a path of UTF-8");
    builder.store(store).build().expect("an executor")
}

/// Maps by way of a host with these variables too; what the host came to.
fn mapped(platform: &Platform, variables: &[(&str, &str)]) -> Ended {
    let (host, _ground) = start(platform, variables);
    let (asking, address) = (*platform, host.address.clone());
    let port = front_door(Box::new(move |request| asking.ask(&address, &request)));
    let store = tempfile::tempdir().expect("a directory");
    let (executor, app) = (driver(&format!("http://127.0.0.1:{port}"), &store), app());
    samara::block_on(async {
        let job = executor.map(&app, programs::reuse::adds_one, 0..500_u64).await.expect("a job");
        let results = job.results().await;
        assert!(results.into_iter().map(|n| n.expect("a number")).eq(1..=500));
        // Every byte there is, both ways.
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| ((n * 7) >> 3).to_le_bytes()[0]).collect();
        let echo = executor.call(&app, programs::values::echo_numbers, bytes.clone()).await;
        assert!(echo.expect("bytes") == bytes);
        let failed = executor.call(&app, programs::ends::fails, ()).await;
        assert!(failed.expect_err("an error").to_string().contains("cannot"));
    });
    let ended = host.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}
