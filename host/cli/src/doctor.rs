//! `samara doctor`: looks at everything that a job needs, and says what to do where it is missing.

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use futures::future::join_all;
use samara::{Component, Executor, Settings, Storage, storage};
use samara_build::{Environment, TARGET, Toolchain};
use serde::Serialize;

use crate::globals::Globals;
use crate::{hello, report, units};

/// Looks at what a job needs on this machine, and says what to do where something is missing.
///
/// Looks at the settings, the compiler and its target, the engine, the cache of compiled code, the
/// runtime and the store. Writes one small object to the store and removes it again.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(crate) struct Arguments {}

/// What one look came to.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warn,
    Fail,
}

/// Writers that race for one name: one would say nothing about atomicity.
const RACERS: usize = 8;

pub(crate) fn run(_: &Arguments, globals: &Globals, started: Instant) -> Result<ExitCode> {
    let mut checks = vec![toolchain()];
    let read = globals.reader().read();
    checks.insert(0, settings(read.as_ref()));
    let settings = read.unwrap_or_default();
    let sound = checks[0].status != Status::Fail;
    checks.push(engine());
    checks.push(cache(&settings));
    if sound {
        checks.push(runtime(&settings, started));
        checks.push(store(&settings));
    }
    let worst = checks.iter().map(|check| check.status).max().unwrap_or(Status::Ok);
    print(&checks, worst, globals)?;
    Ok(match (worst, sound) {
        (_, false) => ExitCode::from(report::USAGE),
        (Status::Fail, _) => ExitCode::from(report::PLATFORM),
        _ => ExitCode::SUCCESS,
    })
}

fn print(checks: &[Check], worst: Status, globals: &Globals) -> Result<()> {
    let mut out = io::stdout().lock();
    if globals.json {
        let all = serde_json::json!({ "status": worst, "checks": checks });
        return Ok(writeln!(out, "{all}")?);
    }
    for check in checks {
        if globals.verbosity.quiet && check.status == Status::Ok {
            continue;
        }
        let found = check.found.replace('\n', "\n                ");
        writeln!(out, "{:4}  {:9}  {found}", check.status.word(), check.name)?;
        if let Some(next) = &check.next {
            writeln!(out, "                next: {next}")?;
        }
    }
    Ok(())
}

fn settings(read: Result<&Settings, &samara::Error>) -> Check {
    let settings = match read {
        Ok(settings) => settings,
        Err(error) => {
            let next = "correct them; the runtime and the store are looked at then";
            return Check::fail("settings", error.to_string(), next);
        }
    };
    let files = match settings.files().count() {
        0 => "no file".to_owned(),
        _ => settings.files().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", "),
    };
    let profile = settings.profile().map_or("none", |(name, _)| name);
    let found = format!("{files}; profile: {profile}");
    match settings.ignored() {
        [] => Check::ok("settings", found),
        ignored => Check::warn(
            "settings",
            format!("{found}; variables that are no settings: {}", ignored.join(", ")),
            "nothing, if other programs set them; `samara config show` lists the settings",
        ),
    }
}

fn toolchain() -> Check {
    let install = "install Rust from https://rustup.rs to build components; built ones run as is";
    match Toolchain::probe(Path::new("."), &Environment::from_env()) {
        Ok(toolchain) if toolchain.has_std() => {
            Check::ok("toolchain", format!("rustc {} with {TARGET}", toolchain.release()))
        }
        Ok(toolchain) => Check::warn(
            "toolchain",
            format!("rustc {} has no standard library for {TARGET}", toolchain.release()),
            "nothing: `samara build` installs it on the way, or says why it cannot",
        ),
        Err(error) => Check::warn("toolchain", error.to_string(), install),
    }
}

/// Runs a task on this machine's engine, whatever the settings say.
fn engine() -> Check {
    let executor = Executor::builder().slots(1).progress(false).cache_dir(None).build();
    let ran = executor.map_err(anyhow::Error::from).and_then(|executor| {
        greet(&executor)?;
        Ok(executor)
    });
    match ran.as_ref().map(Executor::has_pool) {
        Ok(Some(true)) => Check::ok("engine", "runs components, with instances from a pool".into()),
        Ok(_) => Check::warn(
            "engine",
            "runs components, but without a pool of instances: tasks start more slowly".into(),
            "allow the process more address space (ulimit -v unlimited)",
        ),
        Err(error) => Check::fail(
            "engine",
            format!("{error:#}"),
            "a 64-bit machine that may map memory for execution is needed",
        ),
    }
}

fn cache(settings: &Settings) -> Check {
    let dir = match settings.get("cache-dir").map(|setting| setting.value) {
        Some(none) if none == "none" => {
            let found = "none: each process compiles anew".to_owned();
            return Check::warn("cache", found, "take `cache-dir = \"none\"` out of the settings");
        }
        Some(dir) => Some(PathBuf::from(dir)),
        None => samara::default_cache_dir(),
    };
    let choose = "choose a directory that only you may write: setting `cache-dir`";
    let Some(dir) = dir else {
        return Check::warn("cache", "neither XDG_CACHE_HOME nor HOME is set".into(), choose);
    };
    let shown = dir.display();
    match try_write(&dir) {
        Ok(()) => Check::ok("cache", format!("{shown} can be written")),
        Err(error) => Check::warn("cache", format!("{shown} cannot be used: {error:#}"), choose),
    }
}

fn try_write(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    let file = dir.join(format!(".samara-doctor-{:016x}", random()));
    fs::write(&file, "samara doctor")?;
    Ok(fs::remove_file(&file)?)
}

fn runtime(settings: &Settings, started: Instant) -> Check {
    let before = started.elapsed();
    match try_runtime(settings) {
        Ok(url) => {
            let time = units::duration(started.elapsed().saturating_sub(before));
            Check::ok("runtime", format!("{url} ran a task in {time}"))
        }
        Err(error) => Check::fail(
            "runtime",
            format!("{error:#}"),
            "see that it is there and allows you in, or choose another: setting `runtime`",
        ),
    }
}

/// Runs a task where the settings say, and gives that place's URL.
fn try_runtime(settings: &Settings) -> Result<String> {
    let run = |store: String| {
        let builder = samara::Builder::from_settings(settings).progress(false);
        let executor = builder.store(store).build()?;
        greet(&executor).map(|()| executor)
    };
    // Tasks in this process can do with its memory, and so leave nothing in anybody's store.
    let private = run(format!("mem://samara-doctor-{:016x}/", random()));
    let (Err(_), Some(_)) = (&private, settings.get("store")) else {
        return private.map(|executor| executor.runtime());
    };
    let whole = samara::Builder::from_settings(settings).progress(false).build()?;
    let own = format!("{}/samara-doctor-{:016x}/", whole.store().trim_end_matches('/'), random());
    let ran = run(own.clone()).map(|executor| executor.runtime());
    let storage = whole.storage();
    samara::block_on(async {
        let mut left = storage.list(&own)?;
        while let Some(found) = left.try_next().await? {
            storage.delete(&found.url).await?;
        }
        Ok::<_, storage::Error>(())
    })?;
    ran
}

fn greet(executor: &Executor) -> Result<()> {
    let component = Component::from_bytes(hello::COMPONENT);
    let called = executor.call(&component, hello::HELLO, "doctor".to_owned());
    samara::block_on(called).context("a task could not be run")?;
    Ok(())
}

fn store(settings: &Settings) -> Check {
    let Some(setting) = settings.get("store") else {
        return Check::ok("store", "memory of this process; none is set".into());
    };
    // The value is shown without passwords, the executor knows all of it.
    let opened = samara::Builder::from_settings(settings).progress(false).build();
    let tried = opened.map_err(anyhow::Error::from).and_then(|executor| {
        let name = format!("samara-doctor-{:016x}", random());
        let url = format!("{}/{name}", executor.store().trim_end_matches('/'));
        let storage = executor.storage();
        let tried = samara::block_on(try_store(&storage, &url));
        // Whatever went wrong, nothing is to be left.
        let removed = samara::block_on(storage.delete(&url));
        tried.and_then(|()| removed.context("a test object could not be removed"))
    });
    match tried {
        Ok(()) => Check::ok(
            "store",
            format!("{} is read and written, and of {RACERS} writers one wins", setting.value),
        ),
        Err(error) => Check::fail(
            "store",
            format!("{}: {error:#}", setting.value),
            "see that it exists and that you may read, write, list and delete there",
        ),
    }
}

/// What jobs rely on: one of many writers wins, and its object is found and read.
async fn try_store(storage: &Storage, url: &str) -> Result<()> {
    let writers = (0..RACERS).map(|n| storage.put_if_absent(url, n.to_string()));
    let mut winners = Vec::new();
    for (n, written) in join_all(writers).await.into_iter().enumerate() {
        match written {
            Ok(_) => winners.push(n.to_string()),
            Err(storage::Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error).context("an object could not be written"),
        }
    }
    let [winner] = winners.as_slice() else {
        bail!(
            "{} of {RACERS} writers of one new object succeeded; put-if-absent is not atomic",
            winners.len()
        );
    };
    let read = storage.get(url).await.context("an object could not be read")?;
    if read != winner.as_bytes() {
        bail!("an object has other bytes than the writer that succeeded wrote");
    }
    storage.find(url).await.context("an object could not be found")?;
    Ok(())
}

/// Differs from process to process, and is no secret.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

// === impl Check ===

impl Check {
    fn ok(name: &'static str, found: String) -> Self {
        Self { name, status: Status::Ok, found, next: None }
    }

    fn warn(name: &'static str, found: String, next: &str) -> Self {
        Self { name, status: Status::Warn, found, next: Some(next.to_owned()) }
    }

    fn fail(name: &'static str, found: String, next: &str) -> Self {
        Self { name, status: Status::Fail, found, next: Some(next.to_owned()) }
    }
}

// === impl Status ===

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}
