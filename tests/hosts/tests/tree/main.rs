//! One driver and ten thousand functions of AWS Lambda at the same moment: functions start functions.
//!
//! Driver, codec, store and the host's side of a function are the real ones; Lambda is the fake of
//! `samara_hosts::lambda`, and its environments live in this process. In the engine's place is a hall
//! in which each task waits until all of the job are there.
#![allow(missing_docs, reason = "a test")]
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod hall;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libtest_mimic::{Arguments, Trial};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeValLike as _;
use samara::{Component, Executor, Retries};
use samara_core::{Clock as _, Depot, SystemClock};
use samara_hosts::lambda::{Handed, Here, Lambda, NAME, Settings, Take};
use samara_programs as programs;
use samara_runtimes::host::{Given, Host, Service, Variables, named};
use samara_store::Locator;

use crate::hall::Hall;

/// Functions at the same moment, each with one task.
const FUNCTIONS: u64 = 10_000;

/// Batches that a driver sends by itself at most, each on a connection of its own.
const DIRECT_MAX: u64 = 128;

/// Lists that a driver hands to functions at most. There are about a hundred where the machine has
/// nothing else to do, and more and shorter ones where the driver gets on slowly.
const WAVES_MAX: u64 = 700;

/// How long it may take until all functions have begun, on a machine that is busy.
const BEGIN_MAX: Duration = Duration::from_mins(2);

/// Memory that this process may take: driver, Lambda, functions and store together.
const MEMORY_MAX: u64 = 2 << 30;

/// Where Invoke listens, by the number of this process, which none shares that is alive.
const PORT: u16 = 8_390;

fn main() -> ExitCode {
    let endpoint = format!("http://{}", address());
    // Functions find Lambda as they do at Amazon: by their own environment, which is this process's.
    samara_hosts::lambda::with_credentials(&[
        ("AWS_ENDPOINT_URL_LAMBDA", endpoint),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]);
    let arguments = Arguments::from_args();
    let name = "one_driver_has_ten_thousand_functions_run_at_the_same_moment";
    let trial = Trial::test(name, || {
        ten_thousand();
        Ok(())
    });
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

/// An address of this machine's own network that is this process's.
fn address() -> SocketAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, 64 + high % 64, middle, low), PORT))
}

/// An environment: the host's side of a function, on a runtime that is the hall.
fn environment(hall: &Arc<Hall>, depot: &Arc<dyn Depot>, number: u64) -> Take {
    let service = Service::new(Arc::new(hall.at(number)), "test", None);
    let said = [("AWS_LAMBDA_FUNCTION_NAME", NAME), ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769")];
    let variables: Variables = said.map(|(name, said)| (name.to_owned(), said.to_owned())).into();
    let take = named("lambda").expect("a row").embed(Host {
        service,
        variables,
        listen: None,
        tokens: Vec::new(),
        tls: None,
        grace: Duration::ZERO,
        stop: tokio::sync::watch::channel(false).1,
        clock: Arc::new(SystemClock::new()),
        depot: Arc::clone(depot),
        listening: Box::new(|_| ()),
    });
    let (take, hall) = (take.expect("functions are handed events"), Arc::clone(hall));
    Arc::new(move |event: Handed| {
        hall.asked(&event.payload);
        let Handed { id, arn, deadline, payload } = event;
        let answer = take(Given { id, function: arn, deadline, payload: payload.to_vec() });
        Box::pin(async move { Bytes::from(answer.await) })
    })
}

#[allow(clippy::print_stdout, reason = "the figures, for `benches/RESULTS.md`")]
fn ten_thousand() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("as many files as may be");
    let hall = Hall::new(FUNCTIONS, BEGIN_MAX);
    let depot: Arc<dyn Depot> = Arc::<Locator>::default();
    let mut settings = Settings::new("/nowhere".into());
    let guests = Arc::clone(&hall);
    settings.here = Some(Here(Arc::new(move |number| environment(&guests, &depot, number))));
    settings.concurrency = usize::try_from(FUNCTIONS).unwrap();
    settings.address = address();
    let lambda = Lambda::start(settings).expect("an address");
    // In memory, where that is to be had: it is no disk that is tried here.
    let memory = std::path::Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let store = tempfile::tempdir_in(place).expect("a directory");
    let app = Component::from_crate(concat!(env!("CARGO_MANIFEST_DIR"), "/../programs")).unwrap();
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let builder = Executor::builder().progress(false).cache_dir(Some(cache));
    let runtime = format!("{}&slots={FUNCTIONS}", lambda.url());
    let executor = builder.runtime(runtime).store(store.path().to_str().unwrap()).build().unwrap();

    let (clock, cpu_before) = (SystemClock::new(), cpu());
    let results = samara::block_on(async {
        let map = executor.map(&app, programs::reuse::adds_one, 0..FUNCTIONS);
        // No second attempt at anything.
        let job = map.retries(Retries::default().attempts(1)).backups(None).await.expect("a job");
        job.results().await
    });
    let (took, cpu, memory) = (clock.monotonic(), cpu() - cpu_before, resident_max());
    let (counts, asks) = (lambda.counts(), hall.asks());
    let said = format!(
        "{took:.1?}, {cpu:.1?} of processors, {} MiB at most, {counts:?}, {asks:?}, {}",
        memory >> 20,
        lambda.logs()
    );
    let numbers = results.into_iter().map(|n| n.unwrap_or_else(|error| panic!("{error}: {said}")));
    assert!(numbers.eq(1..=FUNCTIONS), "{said}");
    assert!(hall.is_once(), "no task runs twice: {said}");
    assert_eq!(hall.places() as u64, FUNCTIONS, "a function for each task: {said}");
    assert_eq!(counts.peak as u64, FUNCTIONS, "{said}");
    // What the driver asked for by itself, and what functions did.
    assert_eq!(asks["host"], 1, "{said}");
    assert!(asks["batch"] <= DIRECT_MAX && asks["wave"] <= WAVES_MAX, "{said}");
    assert_eq!(asks["batch"] + asks["wave"] + asks["queued"], FUNCTIONS, "{said}");
    assert!(memory < MEMORY_MAX, "{said}");
    println!("{said}");
}

/// The time that processors had for this process.
fn cpu() -> Duration {
    let used = getrusage(UsageWho::RUSAGE_SELF).expect("what it used");
    let all = [used.user_time(), used.system_time()].map(|time| time.num_microseconds());
    Duration::from_micros(all.into_iter().sum::<i64>().try_into().expect("a time"))
}

/// The most memory that this process had, in bytes.
fn resident_max() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}
