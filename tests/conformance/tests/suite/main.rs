//! Every case on this machine: the local runtime against each store that needs nothing further.
//!
//! The names of the tests begin with the pair: `local+file::objects::…`. Arguments and output are
//! those of any test binary, as libtest-mimic has them.
#![allow(missing_docs, reason = "a test")]

mod far;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use samara::{Component, Executor};
use samara_conformance::{Case, Settings, Suite, Verdict, cases};
use samara_stores::{Server, Spec};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    let directory = tempfile::Builder::new().prefix("samara-suite-").tempdir()?;
    let file = directory.path().to_str().ok_or("the temporary directory's name is not UTF-8")?;
    let stores = [("local+mem", "mem://samara-suite/"), ("local+file", file)];
    if arguments.list {
        // Nothing is built for a list.
        let of = |pair| cases().into_iter().map(move |case| format!("{pair}::{case}"));
        let names = stores.iter().flat_map(|(pair, _)| of(pair));
        let trials = names.map(|name| Trial::test(name, || Ok(()))).collect();
        return Ok(libtest_mimic::run(&arguments, trials).exit_code());
    }
    let programs = Component::from_crate(concat!(env!("CARGO_MANIFEST_DIR"), "/../programs"))?;
    let mut suites = Vec::new();
    let mut trials = Vec::new();
    for (pair, store) in stores {
        let suite = Arc::new(Suite::open(settings(&programs, store))?);
        trials.extend(cases().into_iter().map(|case| trial(pair, &suite, case)));
        suites.push(suite);
    }
    let server = far_away(&arguments)?;
    if let Some(server) = &server {
        let mut settings = settings(&programs, server.url());
        let place = server.url().trim_end_matches('/');
        for (name, value) in server.settings().of("s3", "samara").said() {
            settings.builder = settings.builder.store_setting(place, name, value);
        }
        for (name, check) in far::CHECKS {
            let (settings, server) = (settings.clone(), Arc::clone(server));
            trials.push(Trial::test(format!("{FAR}::far::{name}"), move || {
                check(&settings, &server);
                Ok(())
            }));
        }
        let suite = Arc::new(Suite::open(settings)?);
        trials.extend(cases().into_iter().map(|case| trial(FAR, &suite, case)));
        suites.push(suite);
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    for suite in suites {
        suite.clean()?;
    }
    let left = std::fs::read_dir(directory.path())?.count();
    if left > 0 && !conclusion.has_failed() {
        return Err(format!("{left} entries were left in {}", directory.path().display()).into());
    }
    Ok(conclusion.exit_code())
}

/// The pair whose store is behind a network.
const FAR: &str = "local+s3";

/// A server, where it is installed and wanted.
fn far_away(arguments: &Arguments) -> Result<Option<Arc<Server>>> {
    let spec = Spec::of("moto");
    let is_wanted = match &arguments.filter {
        Some(filter) => FAR.contains(filter.as_str()) || filter.contains(FAR),
        None => true,
    };
    match is_wanted && spec.is_installed() {
        true => Ok(Some(Arc::new(spec.start()?))),
        false => Ok(None),
    }
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
