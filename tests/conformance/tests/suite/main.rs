//! Every case on this machine: the local runtime against each store that needs nothing further.
//!
//! The names of the tests begin with the pair: `local+file::objects::…`. Arguments and output are
//! those of any test binary, as libtest-mimic has them. All that is logged meanwhile, in this
//! process and by hosts that know them, is searched for the credentials of the stores; a find fails
//! the run.
#![allow(missing_docs, reason = "a test")]

mod far;
mod hosts;
mod own;
mod poisoned;
mod stores;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use samara::{Component, Executor};
use samara_conformance::{Case, Needs, Settings, Suite, Verdict, cases};
use samara_hosts::lambda::Lambda;
use samara_hosts::nats::{self, Nats};
use samara_stores::{NATS, Server, Spec, secrets, uploads};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<ExitCode> {
    let login = nats::LOGIN.map(|(name, said)| (name, said.to_owned()));
    samara_hosts::lambda::with_credentials(&login);
    samara_conformance::hide_expected_panics();
    let arguments = Arguments::from_args();
    let directory = tempfile::Builder::new().prefix("samara-suite-").tempdir()?;
    let file = directory.path().to_str().ok_or("the temporary directory's name is not UTF-8")?;
    let stores = [("local+mem", "mem://samara-suite/"), ("local+file", file)];
    if arguments.list {
        return Ok(list(&arguments, &stores.map(|(pair, _)| pair)));
    }
    // Before anything speaks to a store.
    secrets::listen();
    let programs = Component::from_crate(concat!(env!("CARGO_MANIFEST_DIR"), "/../programs"))?;
    let mut all = All { arguments, programs, suites: Vec::new(), trials: Vec::new() };
    for (pair, store) in stores {
        let suite = Arc::new(Suite::open(settings(&all.programs, store))?);
        all.add(pair, suite);
    }
    let hosts = all.add_elsewhere(file)?;
    let queue = all.add_queue(file)?;
    let (server, far) = all.add_far()?.unzip();
    let All { arguments, suites, trials, .. } = all;
    let conclusion = libtest_mimic::run(&arguments, trials);
    // What nobody waits for any more may still be under way there.
    drop((hosts, queue, far));
    let left = left_in_the_end(directory.path(), &suites)?;
    let is_tidy = uploads::verdict(server.as_deref(), &mut std::io::stdout())?;
    let is_clean = secrets::verdict(&mut std::io::stdout())?;
    if !left.is_empty() && !conclusion.has_failed() {
        return Err(format!("was left behind:\n{}", left.join("\n")).into());
    }
    Ok(if is_clean && is_tidy { conclusion.exit_code() } else { ExitCode::FAILURE })
}

/// What is left below a directory when the suites have removed what they wrote. A task that was
/// cancelled may still write a moment later, so it is looked again.
fn left_in_the_end(directory: &Path, suites: &[Arc<Suite>]) -> Result<Vec<String>> {
    let mut waited = Duration::ZERO;
    loop {
        for suite in suites {
            suite.clean()?;
        }
        let left = left_below(directory)?;
        if left.is_empty() || waited >= LEFT_MAX {
            return Ok(left);
        }
        thread::sleep(LOOK);
        waited += LOOK;
    }
}

/// Every file and every empty directory there, and how long ago it was written.
fn left_below(directory: &Path) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let below =
            if entry.file_type()?.is_dir() { left_below(&entry.path())? } else { Vec::new() };
        if below.is_empty() {
            let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
            left.push(format!("{} ({age:.0?} old)", entry.path().display()));
        }
        left.extend(below);
    }
    Ok(left)
}

/// What is run, as it comes together.
struct All {
    arguments: Arguments,
    programs: Component,
    suites: Vec<Arc<Suite>>,
    trials: Vec<Trial>,
}

/// A store behind a network and hosts that reach it, which end with this value.
type Far = (Arc<Server>, (Option<hosts::Host>, Option<Lambda>));

/// Hosts that pull from a queue, and its broker, which end with this value.
type Pool = ([hosts::Host; 2], Nats);

/// Hosts of some pairs, which end with this value.
type Hosts = (Option<[hosts::Host; 2]>, Option<Lambda>, Option<hosts::Host>);

// === impl All ===

impl All {
    /// Adds the cases of a pair, but for those that need the driver's own process where tasks run
    /// elsewhere.
    fn add(&mut self, pair: &str, suite: Arc<Suite>) {
        let needed = cases().into_iter().filter(|case| match case.needs {
            Needs::Within(reach) => suite.reach() <= reach,
            _ => true,
        });
        self.trials.extend(needed.map(|case| trial(pair, &suite, case)));
        self.suites.push(suite);
    }

    /// Adds the pairs whose tasks run in other processes.
    fn add_elsewhere(&mut self, store: &str) -> Result<Hosts> {
        let pair_of = || [(); 2].map(|()| hosts::Host::start(HOST_SLOTS));
        let hosts = is_wanted(&self.arguments, HTTP).then(pair_of);
        let functions = is_wanted(&self.arguments, LAMBDA).then(|| hosts::functions(&[]));
        let mut runtimes = vec![(PROCESSES, "local:2?processes=2".to_owned())];
        if let Some([one, other]) = &hosts {
            runtimes.push((HTTP, format!("{},{}", one.url, &other.url["http://".len()..])));
        }
        if let Some(functions) = &functions {
            runtimes.push((LAMBDA, format!("{}&slots={HOST_SLOTS}", functions.url())));
        }
        // What is no case removes nothing behind it.
        let own = Arc::new(tempfile::Builder::new().prefix("samara-hosts-store-").tempdir()?);
        for (pair, runtime) in runtimes {
            if !is_wanted(&self.arguments, pair) {
                continue;
            }
            let mut settings = settings(&self.programs, store);
            settings.builder = settings.builder.runtime(runtime);
            let checks = match pair {
                HTTP => hosts::CHECKS,
                LAMBDA => hosts::FUNCTIONS,
                _ => &[],
            };
            for (name, check) in checks {
                let (mut settings, own) = (settings.clone(), Arc::clone(&own));
                self.trials.push(Trial::test(format!("{pair}::hosts::{name}"), move || {
                    settings.store = own.path().display().to_string();
                    check(&settings);
                    Ok(())
                }));
            }
            self.add(pair, Arc::new(Suite::open(settings)?));
        }
        let own = is_wanted(&self.arguments, OWN).then(|| hosts::Host::start(HOST_SLOTS));
        if let Some(host) = &own {
            let address = host.url["http://".len()..].to_owned();
            let runtime = Arc::new(own::Plain { address, slots: HOST_SLOTS });
            let mut settings = settings(&self.programs, store);
            settings.builder = settings.builder.runtime_of(runtime);
            self.add(OWN, Arc::new(Suite::open(settings)?));
        }
        Ok((hosts, functions, own))
    }

    /// Adds the pair whose hosts pull from a queue, where its server is installed.
    #[allow(clippy::print_stdout, reason = "a word to the reader")]
    fn add_queue(&mut self, store: &str) -> Result<Option<Pool>> {
        if !is_named(&self.arguments, QUEUE) {
            return Ok(None);
        }
        if !Nats::is_installed() {
            let said = format!("skipped: {QUEUE}: try {} install", NATS.script().display());
            println!("{said}");
            return if is_all() { Err(said.into()) } else { Ok(None) };
        }
        let nats = Nats::start();
        let hosts = [(); 2].map(|()| hosts::Host::start_pulling(&nats, HOST_SLOTS));
        let mut settings = settings(&self.programs, store);
        settings.builder = settings.builder.runtime(nats.url());
        self.add(QUEUE, Arc::new(Suite::open(settings)?));
        Ok(Some((hosts, nats)))
    }

    /// Adds the pairs whose store is behind a network, where its server is installed.
    fn add_far(&mut self) -> Result<Option<Far>> {
        let Some(server) = far_away(&self.arguments)? else { return Ok(None) };
        let mut settings = settings(&self.programs, server.url());
        let place = server.url().trim_end_matches('/');
        for (name, value) in server.settings().of("s3", "samara").said() {
            settings.builder = settings.builder.store_setting(place, name, value);
        }
        // Where several write at once, which cases do not, this server is wrong by chance; and a trial
        // finds that out by chance.
        settings.builder = settings.builder.store_setting(place, "conditional_writes", "trust");
        let stores = far::for_hosts(&server, server.endpoint());
        let said = [("SAMARA_HOST_STORES", stores.as_str())];
        let host = is_named(&self.arguments, HTTP_FAR)
            .then(|| hosts::Host::start_at("127.0.0.1:0", HOST_SLOTS, &said));
        let functions = is_named(&self.arguments, LAMBDA_FAR).then(|| hosts::functions(&said));
        let by_http = host.as_ref().map(|host| (HTTP_FAR, host.url.clone()));
        let by_lambda = functions
            .as_ref()
            .map(|functions| (LAMBDA_FAR, format!("{}&slots={HOST_SLOTS}", functions.url())));
        for (pair, runtime) in by_http.into_iter().chain(by_lambda) {
            let mut settings = settings.clone();
            settings.builder = settings.builder.runtime(runtime);
            self.add(pair, Arc::new(Suite::open(settings)?));
        }
        if is_named(&self.arguments, FAR) {
            for (name, check) in far::CHECKS.iter().chain(stores::CHECKS) {
                let (settings, server) = (settings.clone(), Arc::clone(&server));
                self.trials.push(Trial::test(format!("{FAR}::far::{name}"), move || {
                    check(&settings, &server);
                    Ok(())
                }));
            }
            self.add(FAR, Arc::new(Suite::open(settings)?));
        }
        Ok(Some((server, (host, functions))))
    }
}

/// Says what there is, and builds nothing for it.
fn list(arguments: &Arguments, pairs: &[&str]) -> ExitCode {
    let of = |pair: &&str| {
        let pair = (*pair).to_owned();
        cases().into_iter().map(move |case| format!("{pair}::{case}"))
    };
    let names = pairs.iter().flat_map(of);
    let trials = names.map(|name| Trial::test(name, || Ok(()))).collect();
    libtest_mimic::run(arguments, trials).exit_code()
}

/// How long what is under way may go on to write when all cases have ended.
const LEFT_MAX: Duration = Duration::from_secs(10);

/// How often it is looked whether it still does.
const LOOK: Duration = Duration::from_millis(100);

/// The pair whose store is behind a network, and those where the runtime is as well: all cases, in
/// some minutes. Left out are processes and a runtime of one's own over such a store, which speak as
/// `http:` does, and stores other than S3, whose own tests are `host/store`'s.
const FAR: &str = "local+s3";
const HTTP_FAR: &str = "http+s3";
const LAMBDA_FAR: &str = "lambda+s3";

/// The pairs whose tasks run in other processes.
const PROCESSES: &str = "processes+file";
const HTTP: &str = "http+file";
const LAMBDA: &str = "lambda+file";
const OWN: &str = "own+file";
const QUEUE: &str = "queue+file";

/// Slots of each host: cases run side by side, and several have tasks that take all the time they
/// get. Each case's driver uses two.
const HOST_SLOTS: usize = 8;

/// Whether a pair may have tests that are asked for.
fn is_wanted(arguments: &Arguments, pair: &str) -> bool {
    let filter = arguments.filter.as_deref();
    filter.is_none_or(|filter| {
        pair.contains(filter) || filter.contains(pair) || !filter.contains('+')
    })
}

/// The same of a pair that takes a server: only where all are asked for, or its name is.
fn is_named(arguments: &Arguments, pair: &str) -> bool {
    let filter = arguments.filter.as_deref();
    filter.is_none_or(|filter| pair.contains(filter) || filter.contains(pair))
}

/// A server, where it is installed and wanted. One that is missing is said to be skipped; with
/// `SAMARA_SERVERS=all` it is a failure.
#[allow(clippy::print_stdout, reason = "a word to the reader")]
fn far_away(arguments: &Arguments) -> Result<Option<Arc<Server>>> {
    let spec = Spec::of("moto");
    let pairs = [FAR, HTTP_FAR, LAMBDA_FAR];
    if !pairs.iter().any(|pair| is_named(arguments, pair)) {
        return Ok(None);
    }
    if !spec.is_installed() {
        let (pairs, script) = (pairs.join(", "), spec.script());
        let said = format!("skipped: {pairs}: try {} install", script.display());
        println!("{said}");
        return if is_all() { Err(said.into()) } else { Ok(None) };
    }
    let server = spec.start()?;
    secrets::guard(&server);
    Ok(Some(Arc::new(server)))
}

/// Whether a server that is missing is a failure.
#[allow(clippy::disallowed_methods, reason = "the edge of this program")]
fn is_all() -> bool {
    std::env::var_os("SAMARA_SERVERS").is_some_and(|servers| servers == "all")
}

/// Two slots, no bar, and compiled code that these tests share with `all` and with the next run.
fn settings(programs: &Component, store: &str) -> Settings {
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let builder = Executor::builder().slots(2).progress(false).cache_dir(Some(cache));
    Settings::new(programs.clone(), builder, store)
}

fn trial(pair: &str, suite: &Arc<Suite>, case: Case) -> Trial {
    let suite = Arc::clone(suite);
    Trial::test(format!("{pair}::{case}"), move || match suite.run(&case).verdict {
        Verdict::Passed => Ok(()),
        Verdict::Failed(said) => Err(Failed::from(said)),
        Verdict::Skipped(why) => Err(Failed::from(format!("nothing is to be skipped here: {why}"))),
    })
}
