//! What does storage on a network cost, beside the bytes? Ours against the least that a program
//! could do, against other programs, and against files.
//!
//! `cargo bench -p samara-benches --bench storage`, or a part of it: `… -- get cp`. The part
//! `cp-large` copies 4 GiB, also by way of a real server, and `cp-tls` by TLS; they are measured
//! only where they are asked for.
//! Servers run on this machine (`host/store/ci/README.md`); their data, and what is copied, lie in
//! `TMPDIR`.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use samara::{Builder, Component, Executor, Objects};
use samara_benches::bare::Bare;
use samara_benches::fake::{self, Fake};
use samara_benches::turns::{Way, ratios, turns};
use samara_benches::{median, root, say, text, time};
use samara_programs::values;
use samara_store::{GetOptions, Location, Locator, PutOptions, Settings, StoreExt, Verb, transfer};
use samara_stores::{FAST, Server};
use tokio::runtime::Runtime;

const ROUNDS: usize = 5;

/// Turns of what takes parts of a second.
const SHORT_ROUNDS: usize = 21;

/// What is measured, in this order.
const PARTS: [&str; 5] = ["get", "cp", "word-count", "requests", "list"];
const CP_LARGE: &str = "cp-large";
const CP_TLS: &str = "cp-tls";

/// The size of a request, and how many are under way.
const RANGE_BYTES: u64 = 8 << 20;
const AT_ONCE: usize = 8;

/// What is read in ranges.
const GET_BYTES: u64 = 512 << 20;

/// Turns of what takes tens of seconds.
const LARGE_ROUNDS: usize = 3;

/// What is counted, and in which partitions.
const TEXT_BYTES: u64 = 512 << 20;
const CHUNK_BYTES: u64 = 32 << 20;

/// Tasks of the part `requests`.
const TASKS: u64 = 10_000;

/// Keys after which a listing has all the memory that it should need.
const SETTLED: usize = 20_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |part: &str| arguments.iter().any(|argument| argument == part);
    if let [first, rest @ ..] = &*arguments
        && first == fake::SERVE
    {
        return fake::serve(rest.first().map(Path::new));
    }
    let all = !asked(CP_LARGE) && !asked(CP_TLS) && !PARTS.iter().any(|part| asked(part));
    for part in PARTS.into_iter().filter(|part| all || asked(part)) {
        match part {
            "get" => get()?,
            "cp" => cp()?,
            "word-count" => count_words()?,
            "requests" => requests()?,
            _ => list()?,
        }
    }
    if asked(CP_LARGE) {
        cp_large()?;
    }
    if asked(CP_TLS) {
        let fake = Fake::start_with_tls()?;
        copies(&forgetful(&fake, &large()), fake::LARGE_BYTES, LARGE_ROUNDS)?;
    }
    Ok(())
}

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// The real server: the fastest that there is a script for.
fn server() -> Result<Server> {
    ensure!(FAST.is_installed(), "run `{} install` first", FAST.script().display());
    Ok(FAST.start()?)
}

// === get ===

/// Ranges of one object, by ours and by a bare client.
fn get() -> Result<()> {
    let runtime = runtime()?;
    let fake = Fake::start()?;
    let settings = Settings::default()
        .with("s3:", "endpoint", &fake.endpoint)
        .with("s3:", "region", "us-east-1")
        .with("s3:", "access_key_id", "samara")
        .with("s3:", "secret_access_key", "samara-secret");
    let at = Locator::default().with_settings(settings).open("s3://samara/object")?;
    gets("get, bytes from memory", &runtime, &at)?;
    let server = server()?;
    let at = server.locator().open("s3://samara/object")?;
    let piece = bytes::Bytes::from(vec![7; usize::try_from(RANGE_BYTES)?]);
    runtime.block_on(async {
        let mut writer = at.store.writer(&at.key, PutOptions::default()).await?;
        for _ in 0..GET_BYTES / RANGE_BYTES {
            writer.write(piece.clone()).await?;
        }
        writer.finish().await
    })?;
    gets(&format!("get, {}", FAST.name), &runtime, &at)
}

fn gets(what: &str, runtime: &Runtime, at: &Location) -> Result<()> {
    let hour = Duration::from_hours(1);
    let url = runtime.block_on(at.store.presign(&at.key, Verb::Get, hour))?;
    let bare = Bare::default();
    let ours = || {
        runtime.block_on(all(|range| {
            let at = at.clone();
            async move { Ok(at.store.read_range(&at.key, range, None).await?.len() as u64) }
        }))
    };
    let theirs = || {
        runtime.block_on(all(|range| {
            let (bare, url) = (bare.clone(), url.clone());
            async move { Ok(bare.read(url, range).await?.len() as u64) }
        }))
    };
    let ways = vec![Way::new("samara", ours), Way::new("hyper", theirs)];
    turns(what, SHORT_ROUNDS, ways, || Ok(()))?;
    let ours = || {
        runtime.block_on(all(|range| {
            let at = at.clone();
            async move {
                let object = at.store.get(&at.key, GetOptions::default().range(range)).await?;
                let sizes = object.body.map_ok(|piece| piece.len() as u64);
                Ok(sizes.try_fold(0, |a, b| async move { Ok(a + b) }).await?)
            }
        }))
    };
    let theirs = || {
        runtime.block_on(all(|range| {
            let (bare, url) = (bare.clone(), url.clone());
            async move { bare.pass(url, range).await }
        }))
    };
    let ways = vec![Way::new("samara", ours), Way::new("hyper", theirs)];
    turns(&format!("{what}, piece by piece"), SHORT_ROUNDS, ways, || Ok(())).map(drop)
}

/// Reads all of an object, range by range.
#[allow(clippy::future_not_send, reason = "it is awaited where it is made")]
async fn all<F>(one: impl Fn(Range<u64>) -> F) -> Result<()>
where
    F: Future<Output = Result<u64>> + Send + 'static,
{
    let starts = (0..GET_BYTES / RANGE_BYTES).map(|n| n * RANGE_BYTES);
    let reads = stream::iter(starts.map(|start| tokio::spawn(one(start..start + RANGE_BYTES))));
    let mut reads = reads.buffer_unordered(AT_ONCE);
    let mut length = 0;
    while let Some(read) = reads.next().await {
        length += read??;
    }
    ensure!(length == GET_BYTES, "{length} bytes came");
    Ok(())
}

// === cp ===

/// A place to copy to: a server's variables, and where it listens.
struct Target {
    name: &'static str,
    variables: Vec<(String, String)>,
    endpoint: String,
    /// What is copied to and from.
    url: String,
    /// Whether it keeps what it is given.
    keeps: bool,
}

fn cp() -> Result<()> {
    let fake = Fake::start()?;
    copies(&forgetful(&fake, "s3://samara/cp"), fake::OBJECT_BYTES, ROUNDS)
}

fn cp_large() -> Result<()> {
    let fake = Fake::start()?;
    let url = large();
    copies(&forgetful(&fake, &url), fake::LARGE_BYTES, LARGE_ROUNDS)?;
    drop(fake);
    let server = server()?;
    let said = server.said.iter();
    let variables = said.filter_map(|(name, value)| Some((name.strip_prefix("ENV_")?, value)));
    let variables = variables.map(|(name, value)| (name.to_owned(), value.clone())).collect();
    let endpoint = server.endpoint().to_owned();
    let target = Target { name: FAST.name, variables, endpoint, url, keeps: true };
    copies(&target, fake::LARGE_BYTES, 1)
}

fn large() -> String {
    format!("s3://samara/{}", fake::LARGE)
}

/// The server of the benches' own, as a target.
fn forgetful(fake: &Fake, url: &str) -> Target {
    let mut variables = vec![
        ("AWS_ENDPOINT_URL", fake.endpoint.clone()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "samara".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "samara-secret".to_owned()),
    ];
    if let Some(file) = &fake.certificate {
        // What rustls, Go and awscli trust beside, or instead of, the machine's own.
        let names = ["SSL_CERT_FILE", "AWS_CA_BUNDLE"];
        variables.extend(names.map(|name| (name, file.display().to_string())));
    }
    let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value));
    Target {
        name: match fake.certificate {
            Some(_) => "a server that keeps nothing, with TLS",
            None => "a server that keeps nothing",
        },
        variables: variables.collect(),
        endpoint: fake.endpoint.clone(),
        url: url.to_owned(),
        keeps: false,
    }
}

/// A file, up and down, by ours and by other programs.
fn copies(target: &Target, size: u64, rounds: usize) -> Result<()> {
    let samara = program()?;
    let (awscli, s5cmd) = tools()?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("file");
    fill(&file, size)?;
    let (what, url) = (format!("cp, {} GiB, {}", size >> 30, target.name), target.url.as_str());
    let copy = |tool: &str, from: &str, to: &str| {
        let (program, before): (&Path, &[&str]) = match tool {
            "samara" => (&samara, &["storage", "cp", "-q"]),
            "awscli" => (awscli.as_ref(), &["s3", "cp", "--only-show-errors"]),
            _ => (s5cmd.as_ref(), &["--endpoint-url", &target.endpoint, "cp"]),
        };
        run(Command::new(program).args(before).args([from, to]), &target.variables)
    };
    let tool_names = ["samara", "s5cmd", "awscli"];
    let here = file.to_str().context("a path in UTF-8")?;
    let ups = tool_names.map(|tool| Way::new(tool, move || copy(tool, here, url)));
    turns(&format!("{what}, up"), rounds, Vec::from(ups), || Ok(()))?;
    let there = directory.path().join("there");
    let down = |tool: &str| {
        copy(tool, url, there.to_str().context("a path in UTF-8")?)?;
        ensure!(std::fs::metadata(&there)?.len() == size, "{tool} left something out");
        Ok(())
    };
    // Each takes its copy away, within its time, so that memory holds one of them at a time.
    let downs = tool_names.map(|tool| {
        let (down, there) = (&down, &there);
        Way::new(tool, move || down(tool).and_then(|()| Ok(std::fs::remove_file(there)?)))
    });
    turns(&format!("{what}, down"), rounds, Vec::from(downs), || Ok(()))?;
    if target.keeps {
        down("samara")?;
        let same = Command::new("cmp").arg(&file).arg(&there).status()?;
        ensure!(same.success(), "what came down is not what went up");
    }
    Ok(())
}

/// Runs a program with the server's credentials.
fn run(command: &mut Command, variables: &[(String, String)]) -> Result<()> {
    command.envs(variables.iter().cloned());
    command.env("AWS_EC2_METADATA_DISABLED", "true").stdin(Stdio::null());
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Our command, built with the stores that this bench has.
fn program() -> Result<PathBuf> {
    let bench = std::env::current_exe()?;
    let target = bench.ancestors().nth(3).context("a bench lies in a target directory")?;
    let packages = ["-p", "samara-cli", "-p", "samara-benches", "--bins"];
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--target-dir"])
        .arg(target)
        .args(packages)
        .current_dir(root())
        .status()?;
    ensure!(built.success(), "the command was not built");
    Ok(target.join("release/samara"))
}

/// Where awscli and s5cmd are.
fn tools() -> Result<(String, String)> {
    let script = root().join("host/store/s3/ci/tools");
    let said = Command::new(&script).arg("path").output()?;
    ensure!(said.status.success(), "run `{} install` first", script.display());
    let said = String::from_utf8(said.stdout)?;
    let path = |name: &str| said.lines().find_map(|line| line.strip_prefix(name));
    match (path("AWS="), path("S5CMD=")) {
        (Some(aws), Some(s5cmd)) => Ok((aws.to_owned(), s5cmd.to_owned())),
        _ => bail!("the script does not say where they are"),
    }
}

/// A file of bytes that do not repeat.
fn fill(path: &Path, size: u64) -> Result<()> {
    use std::io::Write;
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut state = 1_u64;
    for _ in 0..size / 8 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        file.write_all(&state.to_le_bytes())?;
    }
    Ok(file.flush()?)
}

// === word-count ===

/// Words in a store, and the same words in a file.
fn count_words() -> Result<()> {
    let runtime = runtime()?;
    let server = server()?;
    let path = text(TEXT_BYTES)?;
    let file = path.to_str().context("a path in UTF-8")?;
    let (url, locator) = ("s3://samara/text", server.locator());
    let at = locator.open(url)?;
    let upload = transfer::copy(locator.open(file)?, at.clone(), PutOptions::default(), |_| {});
    runtime.block_on(upload)?;
    let hour = Duration::from_hours(1);
    let presigned = runtime.block_on(at.store.presign(&at.key, Verb::Get, hour))?;
    let bare = Bare::default();
    let executor = with_store(&server).build()?;
    let app = Component::from_crate(root().join("examples/word-count/function"))?;
    let count = |source: &str| {
        let objects = Objects::at(source).chunk_bytes(CHUNK_BYTES);
        let counts = samara::block_on(async {
            let job = executor.map_reduce(&app, word_count::count, objects, word_count::add);
            job.await?.value().await
        })?;
        ensure!(counts.is_some_and(|counts| counts.len() > 1000), "too few words");
        Ok(())
    };
    let ways = vec![
        Way::new("s3", || count(url)),
        Way::new("file", || count(file)),
        Way::new("transfer alone", || {
            runtime.block_on(all(|range| {
                let (bare, url) = (bare.clone(), presigned.clone());
                async move { bare.pass(url, range).await }
            }))
        }),
    ];
    let took = turns("word-count, 512 MiB", ROUNDS, ways, || Ok(()))?;
    let both: Vec<f64> = took[1].wall.iter().zip(&took[2].wall).map(|(a, b)| a + b).collect();
    say(&format!(
        "word-count: from s3 it takes {:.2} times file and transfer together",
        median(ratios(&took[0].wall, &both))
    ))
}

/// An executor that knows the server.
fn with_store(server: &Server) -> Builder {
    let said = |name: &str| server.said[name].clone();
    Executor::builder()
        .progress(false)
        .store_setting("s3:", "endpoint", server.endpoint())
        .store_setting("s3:", "region", said("ENV_AWS_REGION"))
        .store_setting("s3:", "access_key_id", said("ENV_AWS_ACCESS_KEY_ID"))
        .store_setting("s3:", "secret_access_key", said("ENV_AWS_SECRET_ACCESS_KEY"))
}

// === requests ===

/// Requests of tiny tasks to the store that keeps their job.
fn requests() -> Result<()> {
    let server = server()?;
    let executor = with_store(&server).store("s3://samara/bench").build()?;
    let programs = Component::from_crate(root().join("tests/programs"))?;
    let sent = || executor.storage().requests().values().sum::<u64>();
    for job in ["first", "second"] {
        let before = sent();
        let (values, took) = time(|| {
            Ok(samara::block_on(async {
                let job = executor.map(&programs, values::add, (0..TASKS).map(|n| (n, 1))).await?;
                Ok::<_, samara::Error>(job.values().await?)
            })?)
        })?;
        ensure!(values.len() as u64 == TASKS && values.last() == Some(&TASKS));
        let requests = sent() - before;
        say(&format!(
            "requests: {TASKS} tasks, the {job} job of a process: {requests} requests in {:.2} s, \
             {:.4} per task",
            took.as_secs_f64(),
            requests as f64 / TASKS as f64
        ))?;
    }
    Ok(())
}

// === list ===

/// A million keys, and the memory that listing them takes.
fn list() -> Result<()> {
    let fake = Fake::start()?;
    let executor = Executor::builder()
        .store_setting("s3:", "endpoint", &fake.endpoint)
        .store_setting("s3:", "access_key_id", "samara")
        .store_setting("s3:", "secret_access_key", "samara-secret")
        .build()?;
    let mut found = executor.storage().list("s3://samara/")?;
    let (mut count, mut settled, mut last) = (0, 0, String::new());
    let ((), took) = time(|| {
        samara::block_on(async {
            while let Some(entry) = found.try_next().await? {
                ensure!(entry.url > last, "{} after {last}", entry.url);
                last = entry.url;
                count += 1;
                if count == SETTLED {
                    // The peak begins anew: proc(5), clear_refs.
                    std::fs::write("/proc/self/clear_refs", "5")?;
                    settled = status("VmRSS:")?;
                }
            }
            Ok(())
        })
    })?;
    ensure!(count as u64 == fake::KEYS, "{count} keys were listed");
    let peak = status("VmHWM:")?;
    say(&format!(
        "list: {count} keys in {:.2} s; {:.1} MB resident after {SETTLED}, {:.1} MB at most from \
         there on",
        took.as_secs_f64(),
        settled as f64 / 1e6,
        peak as f64 / 1e6
    ))
}

/// A line of `/proc/self/status`, in bytes.
fn status(name: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
}
