//! What does one tenant's flood cost another, and what does a process for each tenant?
//!
//! `cargo bench -p samara-benches --bench isolation`

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use samara::{Component, Executor};
use samara_benches::{host_program, root, say, time};
use samara_core::{Clock as _, SystemClock};
use samara_programs::{ends, reuse};
use samara_tenants::{Claims, KeyPair, generate_keys, issue};

/// Calls of the tenant that behaves, each a task of some 20 ms of a processor.
const CALLS: usize = 200;
const ROUNDS: u64 = 60_000_000;

/// Tasks of the other one, none of which ends.
const FLOOD: u64 = 10_000;

const AUDIENCE: &str = "bench";

/// Calls of a task that does nothing.
const WARM: usize = 1000;

fn main() -> Result<()> {
    let programs = Component::from_crate(root().join("tests/programs"))?;
    warm(&programs)?;
    flood(&programs, "none")?;
    flood(&programs, "tenant")
}

/// A host of two tenants, that ends with this value.
struct Host {
    child: Child,
    url: String,
    place: tempfile::TempDir,
    tenants: [(&'static str, KeyPair); 2],
}

// === impl Host ===

impl Host {
    /// A host with this for `--isolate`.
    fn start(isolate: &str) -> Result<Self> {
        let place = tempfile::tempdir()?;
        let tenants = [("loud", generate_keys()?), ("quiet", generate_keys()?)];
        let mut file = format!("audience = \"{AUDIENCE}\"\naudit = \"audit.jsonl\"\n");
        for (name, pair) in &tenants {
            std::fs::write(place.path().join(format!("{name}.pem")), &pair.public_pem)?;
            let root = place.path().display();
            file += &format!(
                "[tenants.{name}]\nkeys = [\"{name}.pem\"]\n\
                 objects = [{{ url = \"file://{root}/{name}/\", access = \"read-write\" }}]\n"
            );
        }
        let path = place.path().join("tenants.toml");
        std::fs::write(&path, file)?;
        let mut command = Command::new(host_program()?);
        command.args(["--as", "http", "--listen", "127.0.0.1:0", "--with-parent"]);
        command
            .args(["--log", "error", "--slots", "2", "--isolate", isolate])
            .env("SAMARA_HOST_TENANTS", path);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ").context("no address")?;
        let url = format!("http://{address}");
        Ok(Self { child, url, place, tenants })
    }

    fn executor(&self, tenant: &str) -> Result<Executor> {
        let (name, pair) =
            self.tenants.iter().find(|(name, _)| *name == tenant).context("no such tenant")?;
        let now = SystemClock::new().unix().as_secs();
        let claims = Claims {
            sub: (*name).to_owned(),
            aud: vec![AUDIENCE.to_owned()],
            exp: now + 3600,
            nbf: None,
            iat: Some(now),
            jti: None,
            samara: None,
        };
        let store = self.place.path().join(name);
        let builder = Executor::builder().runtime(&*self.url).progress(false);
        let builder = builder.token(issue(&pair.private_pem, &claims)?);
        Ok(builder.store(store.to_str().context("a path of UTF-8")?).build()?)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Calls of a task that does nothing, in one process and in one for each tenant; turn by turn, so that
/// both have the same machine.
fn warm(programs: &Component) -> Result<()> {
    let hosts = [Host::start("none")?, Host::start("tenant")?];
    let executors = [hosts[0].executor("quiet")?, hosts[1].executor("quiet")?];
    let mut took = [const { Vec::new() }; 2];
    for round in 0..WARM + 20 {
        for (executor, took) in executors.iter().zip(&mut took) {
            let call = || Ok(samara::block_on(executor.call(programs, reuse::adds_one, 41))?);
            let (_, time) = time(call)?;
            if round >= 20 {
                took.push(time.as_secs_f64());
            }
        }
    }
    took.iter_mut().for_each(|took| took.sort_by(f64::total_cmp));
    let [one, each] = took.map(|took| took[WARM / 2] * 1e3);
    let (alone, host) = (resident(hosts[0].child.id())?, resident(hosts[1].child.id())?);
    let workers = children(hosts[1].child.id())?;
    let worker = resident(*workers.first().context("no process of a tenant")?)?;
    say(&format!(
        "{WARM} calls of a task that does nothing: p50 {one:.2} ms in one process for all tenants, \
         {each:.2} ms in one for each ({:.2} times as long); resident {alone} MiB in one, {host} MiB \
         and {worker} MiB for the tenant in the other",
        each / one
    ))
}

/// Memory of a process, in MiB.
fn resident(id: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.context("no size")? >> 10)
}

fn children(parent: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        if fields.split_whitespace().nth(1) == Some(&*parent.to_string()) {
            found.push(id);
        }
    }
    Ok(found)
}

/// One tenant's calls alone, and beside another's flood.
fn flood(programs: &Component, isolate: &str) -> Result<()> {
    let host = Host::start(isolate)?;
    let (quiet, loud) = (host.executor("quiet")?, host.executor("loud")?);
    calls(&quiet, programs, 10)?;
    let alone = calls(&quiet, programs, CALLS)?;
    let spinning = (0..FLOOD).map(|_| ());
    let job = samara::block_on(loud.map(programs, ends::loops, spinning))?;
    // The first of them are under way.
    calls(&quiet, programs, 3)?;
    let beside = calls(&quiet, programs, CALLS)?;
    job.cancel();
    let at = |took: &[f64], percent: usize| took[took.len() * percent / 100] * 1e3;
    say(&format!(
        "--isolate {isolate}: {CALLS} calls of one tenant: p50 {:.1} ms, p99 {:.1} ms alone; p50 {:.1} ms, p99 {:.1} ms \
         beside {FLOOD} tasks of another that spin: {:.2} times as long at p99",
        at(&alone, 50),
        at(&alone, 99),
        at(&beside, 50),
        at(&beside, 99),
        at(&beside, 99) / at(&alone, 99)
    ))
}

fn calls(executor: &Executor, programs: &Component, count: usize) -> Result<Vec<f64>> {
    let one = |_| {
        let call = || Ok(samara::block_on(executor.call(programs, ends::computes, ROUNDS))?);
        Ok(time(call)?.1.as_secs_f64())
    };
    let mut took = (0..count).map(one).collect::<Result<Vec<_>>>()?;
    took.sort_by(f64::total_cmp);
    Ok(took)
}
