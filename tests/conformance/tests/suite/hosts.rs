//! Hosts that are processes: the cases over them, and what becomes of a job when they fail.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use samara::Executor;
use samara_conformance::Settings;
use samara_core::{Clock as _, SystemClock};
use samara_hosts::lambda::{self, Lambda};
use samara_hosts::nats::{LOGIN, Nats};
use samara_programs as programs;
use samara_stores::{Fault, Proxy, secrets};

/// Lets a driver in.
const TOKEN: &str = "0123456789abcdef";

/// What is checked of hosts beside the cases.
pub(crate) type Check = (&'static str, fn(&Settings));

pub(crate) const CHECKS: &[Check] = &[
    ("a_host_that_is_killed_loses_nothing", killed),
    ("a_host_that_is_told_to_end_finishes_or_gives_back", drained),
    ("a_host_that_starts_late_is_waited_for", late),
    ("answers_that_fail_are_asked_for_again", faults),
    ("a_host_that_falls_silent_is_lost_within_seconds", silent),
    ("a_host_that_is_busy_is_waited_for", busy),
    ("who_has_no_token_is_refused", refused),
    ("what_is_no_host_is_told_so", strangers),
    ("a_process_that_is_killed_loses_nothing", child_killed),
    ("hosts_need_a_store_that_they_can_reach", unreachable_stores),
    crate::poisoned::HTTP,
];

/// The same of functions of Lambda.
pub(crate) const FUNCTIONS: &[Check] = &[crate::poisoned::LAMBDA];

/// A host on this machine, which ends with this value.
#[derive(Debug)]
pub(crate) struct Host {
    child: Child,
    pub(crate) url: String,
}

/// Functions of a fake of AWS Lambda.
pub(crate) fn functions(variables: &[(&str, &str)]) -> Lambda {
    let mut settings = lambda::Settings::new(program());
    let cache = cache().to_str().expect("a path of UTF-8").to_owned();
    settings.variables.push(("SAMARA_HOST_CACHE_DIR".to_owned(), cache));
    settings.variables.push(("XDG_CACHE_HOME".to_owned(), user_cache().display().to_string()));
    let more = variables.iter().map(|(name, said)| ((*name).to_owned(), (*said).to_owned()));
    settings.variables.extend(more);
    Lambda::start(settings).expect("a port")
}

// === impl Host ===

impl Host {
    pub(crate) fn start(slots: usize) -> Self {
        Self::start_at("127.0.0.1:0", slots, &[])
    }

    pub(crate) fn start_at(address: &str, slots: usize, variables: &[(&str, &str)]) -> Self {
        Self::start_for(address, slots, "2s", variables)
    }

    /// The same, with so long to finish when it is told to end.
    fn start_for(address: &str, slots: usize, grace: &str, variables: &[(&str, &str)]) -> Self {
        let place = ["--as", "http", "--listen", address, "--grace", grace];
        Self::start_as(&place, slots, variables)
    }

    /// One that pulls from a queue.
    pub(crate) fn start_pulling(nats: &Nats, slots: usize) -> Self {
        let url = nats.url();
        let queue = [("SAMARA_HOST_QUEUE", url.as_str())];
        Self::start_as(&["--grace", "2s"], slots, &[&queue, &LOGIN[..]].concat())
    }

    fn start_as(place: &[&str], slots: usize, variables: &[(&str, &str)]) -> Self {
        // What a host says that has credentials of stores is searched for them.
        let is_searched = variables.iter().any(|(name, _)| *name == "SAMARA_HOST_STORES");
        let level = if is_searched { "debug" } else { "warn" };
        let mut command = Command::new(program());
        command.args(place).args(["--with-parent", "--log", level]);
        command.args(["--slots", &slots.to_string()]);
        command.env_clear();
        command.env("SAMARA_HOST_CACHE_DIR", cache()).env("XDG_CACHE_HOME", user_cache());
        command.envs(variables.iter().copied());
        if is_searched {
            command.stderr(Stdio::piped());
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("host");
        if let Some(log) = child.stderr.take() {
            thread::spawn(move || search(log));
        }
        let mut line = String::new();
        let output = child.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on ").expect(&line).to_owned();
        Self { child, url: format!("http://{address}") }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("an id");
        kill(Pid::from_raw(id), signal).expect("a signal");
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("its end")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Searches a host's log, and passes on what it would have said otherwise.
#[allow(clippy::print_stderr, reason = "where the host would have said it")]
fn search(log: impl Read) {
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        secrets::look("a host", &line);
        if line.contains(r#""level":"WARN""#) || line.contains(r#""level":"ERROR""#) {
            eprintln!("{line}");
        }
    }
}

/// The program, beside this one.
fn program() -> PathBuf {
    let this = std::env::current_exe().expect("this program");
    let found = this.ancestors().map(|dir| dir.join("samara-host")).find(|path| path.is_file());
    found.expect("samara-host was built: `cargo build --workspace --bins`")
}

/// Where the driver has its key for compiled code, so that hosts have the same one.
fn user_cache() -> PathBuf {
    let compiled = samara::default_cache_dir().expect("a user with a cache directory");
    compiled.ancestors().nth(2).expect("samara/compiled").to_owned()
}

fn cache() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled")
}

/// An executor over these hosts.
fn over(settings: &Settings, hosts: &str) -> Executor {
    let builder = settings.builder.clone().runtime(hosts).store(&settings.store);
    builder.build().expect("executor")
}

/// Runs tasks of some milliseconds each while `meanwhile` happens, and sees that each has its value.
fn all_are_done(executor: &Executor, settings: &Settings, meanwhile: impl FnOnce() + Send) {
    const TASKS: u64 = 150;
    thread::scope(|scope| {
        scope.spawn(meanwhile);
        let values = samara::block_on(async {
            let inputs = (0..TASKS).map(|n| 5 + n % 20);
            let job = executor.map(&settings.programs, programs::sandbox::sleeps, inputs);
            job.await.expect("job").values().await
        });
        assert_eq!(values.expect("values").len() as u64, TASKS);
    });
}

fn pause(milliseconds: u64) {
    thread::sleep(Duration::from_millis(milliseconds));
}

fn killed(settings: &Settings) {
    let (first, second) = (Host::start(2), Host::start(2));
    let executor = over(settings, &format!("{},{}", first.url, &second.url["http://".len()..]));
    all_are_done(&executor, settings, || {
        pause(200);
        first.signal(Signal::SIGKILL);
    });
}

fn drained(settings: &Settings) {
    // What it has is done within its time, also on a busy machine.
    let (mut first, second) = (Host::start_for("127.0.0.1:0", 2, "30s", &[]), Host::start(2));
    let executor = over(settings, &format!("{},{}", first.url, &second.url["http://".len()..]));
    all_are_done(&executor, settings, || {
        pause(200);
        first.signal(Signal::SIGTERM);
    });
    assert_eq!(first.wait().code(), Some(0), "all that it took was done");
    // A task that takes longer than the grace goes elsewhere.
    let third = Host::start(1);
    let executor = over(settings, &format!("{},{}", second.url, &third.url["http://".len()..]));
    let mut ending = [second, third];
    let clock = SystemClock::new();
    thread::scope(|scope| {
        let ending = &mut ending;
        scope.spawn(move || {
            pause(300);
            ending[0].signal(Signal::SIGTERM);
            let code = ending[0].wait().code();
            assert!(matches!(code, Some(0 | 3)), "{code:?}");
        });
        let job = executor.map(&settings.programs, programs::sandbox::sleeps, [4_000, 4_000_u64]);
        let values = samara::block_on(async { job.await.expect("job").values().await });
        assert_eq!(values.expect("values").len(), 2);
    });
    assert!(clock.monotonic() < Duration::from_mins(1), "{:?}", clock.monotonic());
}

fn late(settings: &Settings) {
    // Where nobody else listens: ports of 127.0.0.1 that are free are given to whoever asks.
    let first = Host::start_at("127.0.0.2:0", 1, &[]);
    let second = Host::start(1);
    let address = first.url["http://".len()..].to_owned();
    let executor = over(settings, &format!("{},{}", first.url, &second.url["http://".len()..]));
    let mut again = None;
    all_are_done(&executor, settings, || {
        pause(100);
        first.signal(Signal::SIGKILL);
        second.signal(Signal::SIGKILL);
        pause(500);
        again = Some(Host::start_at(&address, 1, &[]));
    });
    assert!(again.is_some());
}

fn faults(settings: &Settings) {
    let host = Host::start(2);
    let count = AtomicUsize::new(0);
    let plan = move |number: u64, line: &str| match line.contains("/v1/batches") {
        false => Fault::None,
        true => match count.fetch_add(1, Ordering::Relaxed) % 9 {
            1 => Fault::Reset,
            2 => Fault::LostAnswer,
            4 => Fault::Truncated,
            5 => Fault::Status(if number.is_multiple_of(2) { 503 } else { 502 }),
            6 => Fault::Status(if number.is_multiple_of(2) { 500 } else { 504 }),
            7 => Fault::Twice,
            8 => Fault::Status(429),
            _ => Fault::None,
        },
    };
    let proxy = Proxy::start(&host.url, plan).expect("proxy");
    let builder = settings.builder.clone().runtime(proxy.endpoint()).store(&settings.store);
    let retries =
        samara::Retries::default().attempts(20).budget(5.0).backoff(Duration::from_millis(5));
    let executor = builder.retries(retries).build().expect("executor");
    all_are_done(&executor, settings, || {});
    assert!(proxy.requests() > 10, "{} requests", proxy.requests());
}

fn silent(settings: &Settings) {
    let host = Host::start(2);
    let count = AtomicUsize::new(0);
    let plan = move |_, line: &str| match line.contains("/v1/batches") {
        true if count.fetch_add(1, Ordering::Relaxed) == 1 => Fault::Stalled,
        _ => Fault::None,
    };
    let proxy = Proxy::start(&host.url, plan).expect("proxy");
    let executor = over(settings, &proxy.endpoint());
    let clock = SystemClock::new();
    all_are_done(&executor, settings, || {});
    // Some of it is the job itself. The proxy is silent for five minutes.
    let took = clock.monotonic();
    assert!(took < Duration::from_mins(1), "{took:?}");
}

fn busy(settings: &Settings) {
    let host = Host::start(1);
    let drivers: Vec<Executor> = (0..6).map(|_| over(settings, &host.url)).collect();
    thread::scope(|scope| {
        for driver in &drivers {
            scope.spawn(|| {
                let inputs = [150_u64; 4];
                let job = driver.map(&settings.programs, programs::sandbox::sleeps, inputs);
                let values = samara::block_on(async { job.await.expect("job").values().await });
                assert_eq!(values.expect("values").len(), 4);
            });
        }
    });
}

fn refused(settings: &Settings) {
    let host = Host::start_at("127.0.0.1:0", 1, &[("SAMARA_HOST_TOKENS", TOKEN)]);
    let run = |builder: samara::Builder| {
        let executor = builder.runtime(&host.url).store(&settings.store).build()?;
        let job = executor.map(&settings.programs, programs::sandbox::sleeps, [1_u64]);
        samara::block_on(async { Ok::<_, samara::Error>(job.await?.values().await?) })
    };
    assert_eq!(run(settings.builder.clone().token(TOKEN)).expect("values").len(), 1);
    for builder in [settings.builder.clone(), settings.builder.clone().token("0123456789abcdeg")] {
        let error = run(builder).expect_err("no token").to_string();
        assert!(error.contains("401") && error.contains("`token`"), "{error}");
        assert!(!error.contains(TOKEN), "{error}");
    }
    assert!(!format!("{:?}", settings.builder.clone().token(TOKEN)).contains(TOKEN));
}

fn strangers(settings: &Settings) {
    let error_of = |url: &str| {
        let executor = over(settings, url);
        let job = executor.map(&settings.programs, programs::sandbox::sleeps, [1_u64]);
        samara::block_on(async { job.await.map(drop) }).expect_err(url).to_string()
    };
    // Nobody there: a port that is given to nobody who asks for any.
    let nobody = "http://127.0.0.1:1";
    let error = error_of(nobody);
    assert!(error.contains(nobody) && error.contains("cannot be reached"), "{error}");
    // Somebody else.
    let host = Host::start(1);
    let error = error_of("http://samara-host.invalid:1");
    assert!(error.contains("samara-host.invalid"), "{error}");
    let proxy = Proxy::start(&host.url, |_, _| Fault::Status(404)).expect("proxy");
    let error = error_of(&proxy.endpoint());
    assert!(error.contains("404") && error.contains("no host of Samara's"), "{error}");
}

fn child_killed(settings: &Settings) {
    // Under a name of its own: other cases have children beside this one.
    let directory = tempfile::tempdir().expect("a directory");
    let own = directory.path().join("samara-host");
    std::os::unix::fs::symlink(program(), &own).expect("a link");
    let builder = settings.builder.clone().runtime("local:2?processes=2").host_program(&own);
    let executor = builder.store(&settings.store).build().expect("executor");
    let clock = SystemClock::new();
    all_are_done(&executor, settings, || {
        pause(200);
        let child = loop {
            match children(&own).first() {
                Some(child) => break *child,
                None => assert!(clock.monotonic() < Duration::from_mins(1), "no child"),
            }
            pause(5);
        };
        kill(Pid::from_raw(child), Signal::SIGKILL).expect("a signal");
    });
    drop(executor);
}

/// What this process started of this program.
fn children(program: &Path) -> Vec<i32> {
    let this = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_ours = |id: &i32| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).map(str::trim);
        let line = std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
        parent == Some(&this) && line.split('\0').next().map(Path::new) == Some(program)
    };
    ids.filter(is_ours).collect()
}

fn unreachable_stores(settings: &Settings) {
    let error_of = |runtime: &str, store: Option<&str>| {
        let builder = settings.builder.clone().runtime(runtime);
        let builder = match store {
            Some(store) => builder.store(store),
            None => builder,
        };
        builder.build().expect_err("no store that both reach").to_string()
    };
    let none = error_of("http://127.0.0.1:1", None);
    assert!(none.contains("`store`") && none.contains("http://127.0.0.1:1"), "{none}");
    for runtime in ["http://127.0.0.1:1", "local:?processes=1"] {
        let memory = error_of(runtime, Some("mem://samara-unreachable/"));
        assert!(memory.contains("mem://samara-unreachable/"), "{memory}");
    }
}
