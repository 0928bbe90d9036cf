//! Hosts that find another component in the store than their job's, or none, while a job is under way:
//! it fails by the component's name, soon, and nothing else is run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use samara::{Component, Executor};
use samara_conformance::Settings;
use samara_core::{Clock as _, SystemClock, layout};
use samara_programs::values;

use crate::hosts::{Check, Host, functions};

/// What hosts are told, so that nothing is at hand that was compiled before.
const UNCACHED: [(&str, &str); 1] = [("SAMARA_HOST_CACHE_DIR", "none")];

/// How long a refusal may take, on a machine that is busy.
const SOON: Duration = Duration::from_secs(60);

/// Checked of hosts behind HTTP, and of functions of Lambda.
pub(crate) const HTTP: Check =
    ("a_host_that_finds_a_poisoned_component_or_none_runs_nothing", by_http);
pub(crate) const LAMBDA: Check =
    ("a_function_that_finds_a_poisoned_component_or_none_runs_nothing", by_lambda);

fn by_http(settings: &Settings) {
    // Where nobody else listens: ports of 127.0.0.1 that are free are given to whoever asks.
    let host = Host::start_at("127.0.0.2:0", 2, &UNCACHED);
    let (url, mut host) = (host.url.clone(), Some(host));
    let address = url["http://".len()..].to_owned();
    poisoned(settings, &url, || {
        let mut old = host.take().expect("a host");
        old.signal(Signal::SIGKILL);
        old.wait();
        host = Some(Host::start_at(&address, 2, &UNCACHED));
    });
}

fn by_lambda(settings: &Settings) {
    let functions = functions(&UNCACHED);
    poisoned(settings, &functions.url(), || functions.retire());
}

/// A component that does the same, under another name: nobody sees from what it returns which of the
/// two was run.
fn twin(component: &Component) -> Vec<u8> {
    let mut bytes = component.bytes().to_vec();
    // A section of its own, without meaning: number, length, and a name of that length.
    bytes.extend([0, 5, 4, b't', b'w', b'i', b'n']);
    bytes
}

/// What is poisonous, and what is said of it.
fn poisons(component: &Component) -> [(&'static str, Option<Vec<u8>>); 4] {
    let whole = component.bytes();
    let mut flipped = whole.to_vec();
    flipped[whole.len() / 2] ^= 1;
    [
        ("flipped", Some(flipped)),
        ("cut", Some(whole[..whole.len() / 2].to_vec())),
        ("another", Some(twin(component))),
        ("removed", None),
    ]
}

/// Runs tasks, has hosts forget what they have in memory, poisons the stored component, and runs
/// further tasks by the same driver.
fn poisoned(settings: &Settings, runtime: &str, mut forget: impl FnMut()) {
    let store = tempfile::tempdir().expect("a directory");
    let place = store.path().to_str().expect("UTF-8");
    let builder = settings.builder.clone().runtime(runtime).store(place);
    let executor = builder.build().expect("an executor");
    let component = &settings.programs;
    let stored: PathBuf = Path::new(place).join(layout::component(&component.id()));
    assert_eq!(sums(&executor, component), Ok(vec![2, 3, 4]));
    for (what, bytes) in poisons(component) {
        match bytes {
            Some(bytes) => std::fs::write(&stored, bytes).expect("written"),
            None => std::fs::remove_file(&stored).expect("removed"),
        }
        forget();
        let (clock, is_gone) = (SystemClock::new(), what == "removed");
        let error = sums(&executor, component).expect_err(what);
        assert!(clock.monotonic() < SOON, "{what}: {:?}", clock.monotonic());
        let id = component.id().to_string();
        let said = if is_gone { ["fetching component", ""] } else { ["is damaged", "remove it"] };
        let all = said.into_iter().chain([id.as_str(), "uploads it again"]);
        all.for_each(|said| assert!(error.contains(said), "{what}: {error}"));
    }
    // A driver that is started anew uploads it, and the hosts are none the worse.
    let anew = settings.builder.clone().runtime(runtime).store(place).build().expect("executor");
    assert_eq!(sums(&anew, component), Ok(vec![2, 3, 4]));
    assert_eq!(std::fs::read(&stored).expect("it is there"), component.bytes()[..]);
}

/// Three tasks; all of them fail, or none.
fn sums(executor: &Executor, component: &Component) -> Result<Vec<u64>, String> {
    let results = samara::block_on(async {
        let job = executor.map(component, values::add, [(1, 1), (1, 2), (1, 3)]).await?;
        Ok::<_, samara::Error>(job.results().await)
    });
    let results = results.map_err(|error| error.to_string())?;
    let (values, errors): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert!(values.is_empty() || errors.is_empty(), "{values:?} {errors:?}");
    let error = errors.into_iter().find_map(Result::err);
    match error {
        Some(error) => Err(error.to_string()),
        None => Ok(values.into_iter().flatten().collect()),
    }
}
