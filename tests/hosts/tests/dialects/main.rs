//! The host's binary on every platform that pushes requests: each check plays the platform, and its
//! name begins with the platform's.
#![allow(missing_docs, reason = "a test")]
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod also;
mod array;
mod authority;
mod batch;
mod bounds;
mod doors;
mod driver;
mod fallback;
mod gateway;
mod host;
mod http;
mod http2;
mod isolate;
mod lambda;
mod lambda_cancel;
mod own;
mod platform;
mod pushed;
mod queue;
mod queue_tenants;
mod reach;
mod tenants;
mod tls;
mod whole;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use samara_hosts::nats::{self, Nats};

use crate::platform::{PLATFORMS, Platform};

/// A check of one platform.
type Check = fn(&Platform);

fn main() -> ExitCode {
    let login = nats::LOGIN.map(|(name, said)| (name, said.to_owned()));
    samara_hosts::lambda::with_credentials(&[&doors::variables()[..], &login].concat());
    samara_conformance::hide_expected_panics();
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    let mut add = |platform: Platform, name: &str, check: Check| {
        trials.push(Trial::test(format!("{}::{name}", platform.name), move || {
            check(&platform);
            Ok(())
        }));
    };
    for platform in PLATFORMS {
        for (name, check) in pushed::CHECKS {
            add(*platform, name, *check);
        }
        // Those that are like another one end as it does.
        for (name, check) in pushed::DRAINS.iter().filter(|_| !platform.is_alike) {
            add(*platform, name, *check);
        }
    }
    for (platform, name, check) in driver::CHECKS.iter().chain(own::CHECKS).chain(whole::CHECKS) {
        add(Platform::of(platform), name, *check);
    }
    let lambda = lambda::CHECKS.iter().chain(lambda_cancel::CHECKS);
    let lambda = lambda.map(|(name, check)| (format!("lambda::{name}"), check));
    let doors = doors::CHECKS.iter().map(|(name, check)| (format!("doors::{name}"), check));
    let tenants = tenants::CHECKS.iter().map(|(name, check)| (format!("tenants::{name}"), check));
    let isolated = tenants::ISOLATED.iter().chain(array::ISOLATED);
    let isolated = isolated.chain(isolate::CHECKS).chain(reach::CHECKS);
    let isolated = isolated.map(|(name, check)| (format!("isolate::{name}"), check));
    let tls = tls::CHECKS.iter().map(|(name, check)| (format!("tls::{name}"), check));
    let bounds = bounds::CHECKS.iter().map(|(name, check)| (format!("bounds::{name}"), check));
    let gateway = gateway::CHECKS.iter().map(|(name, check)| (format!("gateway::{name}"), check));
    let fallback =
        fallback::CHECKS.iter().map(|(name, check)| (format!("fallback::{name}"), check));
    let http2 = http2::CHECKS.iter().map(|(name, check)| (format!("http2::{name}"), check));
    let array = array::CHECKS.iter().map(|(name, check)| (format!("array::{name}"), check));
    let queue = queue::CHECKS.iter().chain(queue_tenants::CHECKS);
    let queue = queue.map(|(name, check)| (format!("queue::{name}"), check));
    let lambda = lambda.chain(fallback).chain(http2).chain(array).chain(queue);
    let ours =
        lambda.chain(gateway).chain(doors).chain(tenants).chain(isolated).chain(tls).chain(bounds);
    for (name, check) in ours {
        let lacks_openssl = name.contains("commands_of_the_guide") && !tls::has_openssl();
        let lacks_server = name.contains("objects_of_s3") && !reach::s3_server().is_installed();
        let lacks_broker = name.starts_with("queue::") && !Nats::is_installed();
        let trial = Trial::test(name, || {
            check();
            Ok(())
        });
        trials.push(
            trial.with_ignored_flag(lacks_openssl || (lacks_server || lacks_broker) && !is_all()),
        );
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Whether a server that is missing is a failure.
#[allow(clippy::disallowed_methods, reason = "the edge of this program")]
fn is_all() -> bool {
    std::env::var_os("SAMARA_SERVERS").is_some_and(|servers| servers == "all")
}
