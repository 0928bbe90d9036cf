//! The suite of `samara-store` against every server that is installed.
//!
//! The names of the tests begin with the server: `moto::put_if_absent`. Servers are started when
//! the first of their tests runs. One that is not installed is said to be skipped; with
//! `SAMARA_SERVERS=all` it has failed.
#![allow(missing_docs, reason = "a test")]

mod az;
mod command;
mod faults;
mod files;
mod google;
mod keystone;
mod lost;
mod redis;
mod s3;
mod segments;
mod stranger;
mod sums;
mod swift;
mod tokens;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use libtest_mimic::{Arguments, Failed, Trial};
use samara_store::Location;
use samara_store::conformance::{CASES, Case};
use samara_stores::{HAPROXY, SERVERS, Server, Spec, secrets, uploads};

/// What is checked of one server beside the suite.
type Check = fn(&Server) -> BoxFuture<'_, ()>;

/// A server that is started when it is needed.
struct Lazy {
    spec: Spec,
    server: Mutex<Option<Result<Arc<Server>, String>>>,
    /// Held by each test where the server cannot serve two.
    alone: Mutex<()>,
    /// Tests that held.
    passed: AtomicUsize,
}

fn main() -> io::Result<ExitCode> {
    if let Some(ended) = files::alone() {
        return ended;
    }
    let arguments = Arguments::from_args();
    secrets::listen();
    let all = is_all();
    let mut servers = Vec::new();
    let mut trials = Vec::new();
    for spec in SERVERS {
        let is_installed = arguments.list || spec.is_installed();
        let lazy = Arc::new(Lazy::new(*spec));
        let is_whole = spec.name != "swift-keystone";
        for case in CASES.iter().filter(|_| is_whole) {
            if let Some((_, reason)) = spec.skips.iter().find(|(name, _)| *name == case.name) {
                writeln!(io::stdout(), "left out: {}::{}: {reason}", spec.name, case.name)?;
                continue;
            }
            trials.push(trial(&lazy, *case).with_ignored_flag(!is_installed && !all));
        }
        if spec.name == "moto" {
            let both = is_installed && (arguments.list || HAPROXY.is_installed());
            let trial =
                checked(&lazy, "faults_haproxy", |server| Box::pin(faults::haproxy(server)));
            trials.push(trial.with_ignored_flag(!both && !all));
            if is_installed && !both {
                let script = HAPROXY.script();
                writeln!(io::stdout(), "skipped: haproxy: try {} install", script.display())?;
            }
        }
        let of_command = command::checks(spec.name).iter();
        for (name, check) in checks(spec.name).iter().copied().flatten().chain(of_command) {
            trials.push(checked(&lazy, name, *check).with_ignored_flag(!is_installed && !all));
        }
        if !is_installed {
            let script = spec.script();
            writeln!(io::stdout(), "skipped: {}: try {} install", spec.name, script.display())?;
        }
        servers.push(lazy);
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if arguments.list {
        return Ok(conclusion.exit_code());
    }
    let mut out = io::stdout();
    let passed: Vec<String> = servers.iter().filter_map(|lazy| lazy.passed()).collect();
    let started: Vec<_> = servers.iter().filter_map(|lazy| lazy.started()).collect();
    let is_tidy = uploads::verdict(started.iter().map(Arc::as_ref), &mut out)?;
    // Each server stops here, before the process does.
    drop((servers, started));
    for line in &passed {
        writeln!(out, "{line}")?;
    }
    let is_clean = secrets::verdict(&mut out)?;
    Ok(if is_clean && is_tidy { conclusion.exit_code() } else { ExitCode::FAILURE })
}

/// What is checked of a server beside the suite.
fn checks(name: &str) -> &'static [&'static [(&'static str, Check)]] {
    match name {
        "apache" => &[KEPT, files::CHECKS, files::CUT, faults::COMMON],
        "azurite" => &[
            KEPT,
            az::CHECKS,
            tokens::AZURE,
            sums::CHECKS,
            sums::PARTS,
            lost::CHECKS,
            files::MEMORY,
            faults::COMMON,
        ],
        "ceph" | "garage" | "swift-s3" => &[KEPT, s3::CHECKS, s3::PARTS, faults::COMMON],
        "gcp-storage-emulator" => &[KEPT],
        "google" => &[
            KEPT,
            google::CHECKS,
            tokens::GOOGLE,
            faults::COMMON,
            faults::CONDITIONS,
            sums::CHECKS,
            sums::PIECES,
            sums::RANGES,
            lost::CHECKS,
            lost::GIVEN_UP,
            files::MEMORY,
        ],
        "moto" => &[
            s3::CHECKS,
            s3::PARTS,
            sums::RANGES,
            faults::COMMON,
            faults::CONDITIONS,
            lost::CHECKS,
            files::MEMORY,
        ],
        "redis" => &[KEPT, lost::REDIS, redis::CHECKS],
        "s3s-fs" => &[s3::RACY],
        "sshd" => &[KEPT, files::CHECKS],
        "swift" => &[
            KEPT,
            swift::CHECKS,
            segments::CHECKS,
            files::MEMORY,
            sums::CHECKS,
            sums::PIECES,
            sums::PARTS,
            faults::COMMON,
        ],
        "swift-keystone" => &[keystone::CHECKS],
        // In this mode the server fails on signed URLs, and listings of rights take long.
        "moto-iam" => &[s3::IAM],
        _ => &[],
    }
}

/// What is checked where it is certain what a store finds that the server keeps. Where several may win
/// by chance, a trial finds that out by chance.
const KEPT: &[(&str, Check)] =
    &[("conditions_are_found_to_be_kept_or_not", |server| Box::pin(conditions(server)))];

async fn conditions(server: &Server) {
    let store = server.locator().open(server.url()).expect("the store").store;
    let found = store.conditions().await.expect("conditions");
    let (if_absent, if_match) = match server.spec().name {
        "apache" | "garage" | "gcp-storage-emulator" | "sshd" | "swift-s3" => (false, false),
        // Of versions it is wrong by chance.
        "ceph" => (true, found.if_match),
        "redis" => (true, false),
        // Of new objects it is wrong by chance.
        "swift" => (found.if_absent, false),
        _ => (true, true),
    };
    assert_eq!((found.if_absent, found.if_match), (if_absent, if_match));
}

/// Whether a server that is missing is a failure.
#[allow(clippy::disallowed_methods, reason = "the edge of this program")]
fn is_all() -> bool {
    std::env::var_os("SAMARA_SERVERS").is_some_and(|servers| servers == "all")
}

fn trial(lazy: &Arc<Lazy>, case: Case) -> Trial {
    let lazy = Arc::clone(lazy);
    Trial::test(format!("{}::{}", lazy.spec.name, case.name), move || {
        let server = lazy.get()?;
        let _alone = lazy.alone();
        let io = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let Location { store, key } = server.locator().open(server.url())?;
        io.block_on(case.run_with(&*store, &key, &lazy.spec.exceptions));
        lazy.passed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    })
}

fn checked(lazy: &Arc<Lazy>, name: &str, check: Check) -> Trial {
    let lazy = Arc::clone(lazy);
    Trial::test(format!("{}::{name}", lazy.spec.name), move || {
        let server = lazy.get()?;
        let _alone = lazy.alone();
        let io = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        io.block_on(check(&server));
        lazy.passed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    })
}

// === impl Lazy ===

impl Lazy {
    fn new(spec: Spec) -> Self {
        let (server, alone) = (Mutex::new(None), Mutex::new(()));
        Self { spec, server, alone, passed: AtomicUsize::new(0) }
    }

    fn get(&self) -> Result<Arc<Server>, Failed> {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let start = || {
            let server = self.spec.start().map_err(|error| error.to_string())?;
            secrets::guard(&server);
            Ok(Arc::new(server))
        };
        Ok(server.get_or_insert_with(start).clone()?)
    }

    /// The server, where a test wanted it and it could be started.
    fn started(&self) -> Option<Arc<Server>> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server.as_ref()?.as_ref().ok().cloned()
    }

    /// How many tests held, where any ran.
    fn passed(&self) -> Option<String> {
        let count = self.passed.load(Ordering::Relaxed);
        (count > 0).then(|| format!("{}: {count} of its tests held", self.spec.name))
    }

    /// Held where the server cannot serve two.
    fn alone(&self) -> Option<MutexGuard<'_, ()>> {
        let is_single = !self.spec.skips.is_empty();
        is_single.then(|| self.alone.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
