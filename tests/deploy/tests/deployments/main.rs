//! Deployments from outside: the library and the command against moto, the host's image in podman,
//! and the host as a function of an emulator. What is not installed is said to be skipped; with
//! `SAMARA_SERVERS=all` it has failed.
//!
//! AWS's credentials are variables of the process, so this program starts itself once more with
//! those of the server.
#![allow(missing_docs, reason = "a test")]
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod command;
mod emulator;
mod image;
mod lambda;
mod machine;

use std::io::{self, Write as _};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};
use samara_stores::{LAMBDA_EMULATOR, Server, Spec};

use crate::machine::Machine;

/// Says that this process is the one with credentials.
const INSIDE: &str = "SAMARA_TEST_ENDPOINT";

/// A check against moto, in a region of its own.
pub(crate) type Check = fn(&Machine);

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::from_args();
    let (moto, all) = (Spec::of("moto"), is_all());
    if let Some(endpoint) = inside() {
        return Ok(run(&arguments, Some(&endpoint), all));
    }
    if arguments.list {
        return Ok(run(&arguments, None, true));
    }
    if !moto.is_installed() && !all {
        writeln!(io::stdout(), "skipped: moto: try {} install", moto.script().display())?;
        return Ok(run(&arguments, None, all));
    }
    let server = moto.start()?;
    again(&server)
}

/// This program with the variables that AWS's SDK reads.
fn again(server: &Server) -> io::Result<ExitCode> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).env(INSIDE, server.endpoint());
    command.env("AWS_ACCESS_KEY_ID", &server.said["ENV_AWS_ACCESS_KEY_ID"]);
    command.env("AWS_SECRET_ACCESS_KEY", &server.said["ENV_AWS_SECRET_ACCESS_KEY"]);
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    for name in ["AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"] {
        command.env_remove(name);
    }
    let status = command.status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(arguments: &Arguments, endpoint: Option<&str>, all: bool) -> ExitCode {
    let mut trials = Vec::new();
    let checks = lambda::CHECKS.iter().chain(command::CHECKS);
    for (index, (name, check)) in checks.copied().enumerate() {
        let machine = endpoint.map(|endpoint| Machine::new(endpoint, index));
        let trial = Trial::test(format!("moto::{name}"), move || {
            check(machine.as_ref().ok_or("moto is not installed")?);
            Ok(())
        });
        trials.push(trial.with_ignored_flag(endpoint.is_none() && !all));
    }
    let rooms = [
        ("podman", image::is_installed(), image::SCRIPT.into(), image::CHECKS),
        ("lambda-emulator", emulator::is_installed(), LAMBDA_EMULATOR.script(), emulator::CHECKS),
    ];
    for (room, is_installed, script, checks) in rooms {
        if !is_installed && !arguments.list {
            drop(writeln!(io::stdout(), "skipped: {room}: try {} install", script.display()));
        }
        for (name, check) in checks.iter().copied() {
            let trial = Trial::test(format!("{room}::{name}"), move || {
                check();
                Ok(())
            });
            trials.push(trial.with_ignored_flag(!is_installed && !all));
        }
    }
    libtest_mimic::run(arguments, trials).exit_code()
}

#[allow(clippy::disallowed_methods, reason = "the edge of this program")]
fn inside() -> Option<String> {
    std::env::var(INSIDE).ok()
}

/// Whether a server that is missing is a failure.
#[allow(clippy::disallowed_methods, reason = "the edge of this program")]
fn is_all() -> bool {
    std::env::var_os("SAMARA_SERVERS").is_some_and(|servers| servers == "all")
}
