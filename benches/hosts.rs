//! What does it cost that tasks run in another process, behind HTTP?
//!
//! `cargo bench -p samara-benches --bench hosts`, or a part of it: `… -- rate calls`. Hosts run on
//! this machine, and so on the same processors as the driver.

#[path = "common/containers.rs"]
mod containers;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use samara::{Component, Executor};
use samara_benches::turns::{Way, ratios, turns};
use samara_benches::{host_program, median, root, say, time};
use samara_hosts::lambda::{Lambda, NAME, Settings};
use samara_programs::{sandbox, values};
use samara_stores::LAMBDA_EMULATOR;

const ROUNDS: usize = 5;

/// Tiny tasks, a fresh instance each.
const TASKS: u64 = 100_000;

/// Calls, one after the other.
const CALLS: usize = 5_000;

/// Tasks that wait, and for how long: 2.5 s of each of four slots.
const WAITING: usize = 1_000;
const WAIT_MS: u64 = 10;
const HOSTS: usize = 4;

/// What containers are let in by.
const TOKEN: &str = "a-token-for-benches";

/// What is measured, in this order.
const PARTS: [&str; 8] =
    ["rate", "calls", "spread", "containers", "start", "lambda", "emulator", "change"];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |part: &str| arguments.iter().any(|argument| argument == part);
    let all = !PARTS.iter().any(|part| asked(part));
    let program = host_program()?;
    for part in PARTS.into_iter().filter(|part| all || asked(part)) {
        match part {
            "rate" => rate(&program)?,
            "calls" => calls(&program)?,
            "spread" => spread(&program)?,
            "containers" => containers::run(&program)?,
            "start" => start(&program)?,
            "lambda" => lambda(&program)?,
            "emulator" => emulator(&program)?,
            _ => change(&program)?,
        }
    }
    Ok(())
}

/// A host that ends with this value.
struct Host {
    child: Child,
    url: String,
}

// === impl Host ===

impl Host {
    fn start(program: &Path, slots: Option<usize>) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(slots.into_iter().flat_map(|slots| ["--slots".to_owned(), slots.to_string()]));
        Self::started(command, "http")
    }

    /// One that speaks TLS, with this certificate.
    fn start_safe(program: &Path, certificate: &Certificate) -> Result<Self> {
        let mut command = Command::new(program);
        command.env("SAMARA_HOST_TLS_CERT", &certificate.file);
        command.env("SAMARA_HOST_TLS_KEY", &certificate.key);
        Self::started(command, "https")
    }

    fn started(mut command: Command, scheme: &str) -> Result<Self> {
        command.args([
            "--as",
            "http",
            "--listen",
            "127.0.0.1:0",
            "--with-parent",
            "--log",
            "error",
        ]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ").context("no address")?;
        Ok(Self { url: format!("{scheme}://{address}"), child })
    }

    /// A line of `/proc/PID/status`, in bytes.
    fn status(&self, name: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

/// A certificate for this machine, good for as long as this value.
struct Certificate {
    file: PathBuf,
    key: PathBuf,
    _directory: tempfile::TempDir,
}

// === impl Certificate ===

impl Certificate {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let (file, key) = (directory.path().join("host.pem"), directory.path().join("host.key"));
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
        std::fs::write(&file, made.cert.pem())?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        Ok(Self { file, key, _directory: directory })
    }
}

/// An executor over hosts, with a store on this machine.
fn over(hosts: &[Host], store: &tempfile::TempDir) -> Result<Executor> {
    let places: Vec<&str> = hosts.iter().map(|host| &host.url["http://".len()..]).collect();
    let store = store.path().to_str().context("a path in UTF-8")?;
    let builder = Executor::builder().progress(false).store(store);
    Ok(builder.runtime(format!("http://{}", places.join(","))).build()?)
}

/// A component of ordinary size.
fn small() -> Result<Component> {
    Ok(Component::from_crate(root().join("examples/monte-carlo-pi/function"))?)
}

fn run(executor: &Executor, component: &Component) -> Result<()> {
    let inputs = (0..TASKS).map(|seed| (seed, 1));
    let values = samara::block_on(async {
        let job = executor.map(component, monte_carlo_pi::throw, inputs).await?;
        Ok::<_, samara::Error>(job.values().await?)
    })?;
    ensure!(values.len() as u64 == TASKS);
    Ok(())
}

/// Tiny tasks here and behind HTTP; what the driver's process takes of it.
fn rate(program: &Path) -> Result<()> {
    let (component, store) = (small()?, tempfile::tempdir()?);
    let hosts = [Host::start(program, None)?];
    let (near, far) = (Executor::builder().progress(false).build()?, over(&hosts, &store)?);
    let ways = vec![
        Way::new("http", || run(&far, &component)),
        Way::new("local", || run(&near, &component)),
    ];
    let took = turns("100,000 tiny tasks", ROUNDS, ways, || Ok(()))?;
    let (tasks, driver) = (TASKS as f64, median(took[0].cpu.clone()));
    say(&format!(
        "100,000 tiny tasks: {:.0} tasks/s by HTTP, {:.0} here: {:.2} times as many; the driver's \
         process takes {:.1} µs of processors per task",
        tasks / median(took[0].wall.clone()),
        tasks / median(took[1].wall.clone()),
        median(ratios(&took[1].wall, &took[0].wall)),
        driver / tasks * 1e6
    ))
}

/// One call after the other, by HTTP, by TLS and here, with the same store: a job writes down what
/// it is.
fn calls(program: &Path) -> Result<()> {
    let (component, store, certificate) = (small()?, tempfile::tempdir()?, Certificate::new()?);
    let hosts = [Host::start(program, None)?];
    let safe_host = Host::start_safe(program, &certificate)?;
    let here = || -> Result<_> {
        let builder = Executor::builder().progress(false);
        Ok(builder.store(store.path().to_str().context("a path in UTF-8")?))
    };
    let safe = here()?.runtime(&safe_host.url).tls_ca(&certificate.file).build()?;
    let ways = [("by HTTP", over(&hosts, &store)?), ("by TLS", safe), ("here", here()?.build()?)];
    for (name, executor) in ways {
        let mut took = Vec::new();
        for seed in 0..CALLS as u64 {
            let (_, one) = time(|| {
                let call = executor.call(&component, monte_carlo_pi::throw, (seed, 1));
                Ok(samara::block_on(call)?)
            })?;
            took.push(one.as_secs_f64());
        }
        took.drain(..CALLS / 10);
        took.sort_by(f64::total_cmp);
        let at = |percent: usize| took[took.len() * percent / 100] * 1e3;
        say(&format!("a warm call {name}: p50 {:.3} ms, p99 {:.3} ms", at(50), at(99)))?;
    }
    Ok(())
}

/// Tasks that wait, over several hosts of one slot each.
fn spread(program: &Path) -> Result<()> {
    let store = tempfile::tempdir()?;
    let hosts: Result<Vec<Host>> = (0..HOSTS).map(|_| Host::start(program, Some(1))).collect();
    let hosts = hosts?;
    spread_over("hosts of one slot", &over(&hosts, &store)?)
}

fn spread_over(what: &str, executor: &Executor) -> Result<()> {
    let programs = Component::from_crate(root().join("tests/programs"))?;
    let ideal = Duration::from_millis(WAIT_MS * (WAITING / HOSTS) as u64).as_secs_f64();
    let (mut parts, mut own_parts) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (own, took) = time(|| {
            let job = async {
                let job = executor.map(&programs, sandbox::sleeps, [WAIT_MS; WAITING]).await?;
                job.wait().await;
                let own: Duration = job.stats().attempts.iter().map(|one| one.wall).sum();
                Ok::<_, samara::Error>(own)
            };
            Ok(samara::block_on(job)?)
        })?;
        if round > 0 {
            parts.push(ideal / took.as_secs_f64());
            own_parts.push(own.as_secs_f64() / HOSTS as f64 / took.as_secs_f64());
        }
    }
    say(&format!(
        "1,000 tasks of 10 ms over {HOSTS} {what}: {:.1} % of the ideal, {:.1} % of that of the time \
         that the tasks took themselves",
        median(parts) * 100.0,
        median(own_parts) * 100.0
    ))
}

/// From the start of a host to its first task, with compiled code on disk.
fn start(program: &Path) -> Result<()> {
    let (component, store) =
        (Component::from_crate(root().join("tests/programs"))?, tempfile::tempdir()?);
    let mut took = Vec::new();
    for round in 0..=ROUNDS {
        let (host, one) = time(|| {
            let hosts = [Host::start(program, None)?];
            let executor = over(&hosts, &store)?;
            samara::block_on(async { executor.call(&component, values::add, (1, 2)).await })?;
            Ok(hosts)
        })?;
        if round > 0 {
            took.push(one.as_secs_f64() * 1e3);
        }
        drop(host);
    }
    let host = Host::start(program, None)?;
    say(&format!(
        "from the start of a host to its first task, executor and all: {:.1} ms; {:.1} MB resident \
         before it, {:.1} MB on disk",
        median(took),
        host.status("VmRSS:")? as f64 / 1e6,
        std::fs::metadata(program)?.len() as f64 / 1e6
    ))
}

/// The start of a function of Lambda: from an invocation that finds none to its answer, with the
/// process, the engine and the runtime API; the second one finds it.
fn lambda(program: &Path) -> Result<()> {
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let cache = tempfile::tempdir()?;
        let mut settings = Settings::new(program.to_owned());
        let path = cache.path().to_str().context("a path of UTF-8")?.to_owned();
        settings.variables.push(("SAMARA_HOST_CACHE_DIR".to_owned(), path));
        let lambda = Lambda::start(settings)?;
        let address = lambda.endpoint()["http://".len()..].to_owned();
        let (_, first) = time(|| ask(&address, NAME))?;
        let (_, second) = time(|| ask(&address, NAME))?;
        if round > 0 {
            cold.push(first.as_secs_f64() * 1e3);
            warm.push(second.as_secs_f64() * 1e3);
        }
    }
    say(&format!(
        "an invocation of a function of Lambda that has to be started: {:.1} ms; that is there: \
         {:.1} ms",
        median(cold),
        median(warm)
    ))
}

/// The same in cargo-lambda's emulator: from the start of the function's process, which the emulator
/// leaves to us, to the answer of its first invocation, and of the second.
fn emulator(program: &Path) -> Result<()> {
    if !LAMBDA_EMULATOR.is_installed() {
        return say("cargo-lambda's emulator: skipped: try runtimes/ci/lambda-emulator install");
    }
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        // One of its own: it remembers who asked it for an event before.
        let server = LAMBDA_EMULATOR.start()?;
        let cache = tempfile::tempdir()?;
        let name = &server.said["FUNCTION"];
        let address = server.endpoint()["http://".len()..].to_owned();
        let mut command = Command::new(program);
        command
            .args(["--with-parent", "--log", "error"])
            .env("SAMARA_HOST_CACHE_DIR", cache.path());
        command.env("AWS_LAMBDA_RUNTIME_API", &server.said["ENV_AWS_LAMBDA_RUNTIME_API"]);
        command.env("AWS_LAMBDA_FUNCTION_NAME", name).env("AWS_LAMBDA_FUNCTION_VERSION", "1");
        command.env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769");
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let (child, first) = time(|| {
            let child = command.spawn()?;
            ask(&address, name)?;
            Ok(child)
        })?;
        let _ends = Host { child, url: String::new() };
        let (_, second) = time(|| ask(&address, name))?;
        if round > 0 {
            cold.push(first.as_secs_f64() * 1e3);
            warm.push(second.as_secs_f64() * 1e3);
        }
    }
    say(&format!(
        "the same in cargo-lambda's emulator: {:.1} ms; that is there: {:.1} ms",
        median(cold),
        median(warm)
    ))
}

/// From a changed function to its first result from a host that runs: what `cargo build` takes, and
/// all of it.
fn change(program: &Path) -> Result<()> {
    let (store, place) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let source = changeable(place.path())?;
    let hosts = [Host::start(program, None)?];
    let executor = over(&hosts, &store)?;
    let text = store.path().join("text");
    std::fs::write(&text, "to be or not to be\n".repeat(1_000))?;
    let (mut built, mut whole) = (Vec::new(), Vec::new());
    // The first round builds what the function depends on.
    for round in 0..=ROUNDS {
        let changed = format!("Result<Counts> {{\n    std::hint::black_box({round}_u64);\n");
        let changed = source.replacen("Result<Counts> {\n", &changed, 1);
        std::fs::write(place.path().join("src/lib.rs"), changed)?;
        let (build, took) = time(|| {
            let (component, build) = time(|| Ok(Component::from_crate(place.path())?))?;
            let input = text.to_str().context("a path in UTF-8")?;
            let counts = samara::block_on(async {
                let job = executor.map(&component, word_count::count, input).await?;
                Ok::<_, samara::Error>(job.values().await?)
            })?;
            ensure!(counts.len() == 1 && counts[0]["be"] == 2_000, "{counts:?}");
            Ok(build)
        })?;
        if round > 0 {
            built.push(build.as_secs_f64());
            whole.push(took.as_secs_f64());
        }
    }
    say(&format!(
        "from the start of `cargo build` of a changed word count to its first result from a host: \
         {:.2} s, of which the build is {:.2} s",
        median(whole),
        median(built)
    ))
}

/// The word count as a crate of its own in a directory; its source.
fn changeable(place: &Path) -> Result<String> {
    let guest = root().join("guest-sdk");
    let manifest = format!(
        "[package]\nname = \"word-count-function\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [lib]\nname = \"word_count\"\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\nsamara-guest = {{ path = {guest:?} }}\n\
         serde = {{ version = \"1\", features = [\"derive\"] }}\n\n[workspace]\n"
    );
    std::fs::create_dir(place.join("src"))?;
    std::fs::write(place.join("Cargo.toml"), manifest)?;
    std::fs::copy(root().join("Cargo.lock"), place.join("Cargo.lock"))?;
    Ok(std::fs::read_to_string(root().join("examples/word-count/function/src/lib.rs"))?)
}

/// Asks a function what it is, without AWS's SDK.
fn ask(address: &str, name: &str) -> Result<()> {
    let body = r#"{"samara":1,"ask":"host"}"#;
    let path = format!("/2015-03-31/functions/{name}/invocations");
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(
        format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: x\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .as_bytes(),
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.contains("\"host\""), "it answers {answer}");
    Ok(())
}
