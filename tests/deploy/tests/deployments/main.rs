//! Deployments from outside: the library and the command against moto, the host's image in podman,
//! the host as a function of an emulator, and in job arrays of Slurm. What is not installed is said to
//! be skipped; with `SAMARA_SERVERS=all` it has failed.
//!
//! AWS's credentials, and where Slurm is, are variables of the process, so this program starts itself
//! once more with those of the servers.
#![allow(missing_docs, reason = "a test")]
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod command;
mod emulator;
mod image;
mod lambda;
mod machine;
mod slurm;

use std::io::{self, Write as _};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};
use samara_stores::{LAMBDA_EMULATOR, SLURM, Server, Spec};

use crate::machine::Machine;

/// Says that this process is the one with variables: where moto is, or nothing.
const INSIDE: &str = "SAMARA_TEST_ENDPOINT";

/// A check against moto, in a region of its own.
pub(crate) type Check = fn(&Machine);

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::from_args();
    let (moto, all) = (Spec::of("moto"), is_all());
    if let Some(endpoint) = inside() {
        let endpoint = Some(endpoint.as_str()).filter(|endpoint| !endpoint.is_empty());
        return Ok(run(&arguments, endpoint, all));
    }
    if arguments.list {
        return Ok(run(&arguments, None, true));
    }
    if !moto.is_installed() && !all {
        writeln!(io::stdout(), "skipped: moto: try {} install", moto.script().display())?;
    }
    let start = |spec: Spec| (all || spec.is_installed()).then(|| spec.start()).transpose();
    again(start(moto)?.as_ref(), start(SLURM)?.as_ref())
}

/// This program with the variables that AWS's SDK reads, and Slurm's commands do.
fn again(moto: Option<&Server>, slurm: Option<&Server>) -> io::Result<ExitCode> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).env(INSIDE, "");
    if let Some(moto) = moto {
        command.env(INSIDE, moto.endpoint());
        command.env("AWS_ACCESS_KEY_ID", &moto.said["ENV_AWS_ACCESS_KEY_ID"]);
        command.env("AWS_SECRET_ACCESS_KEY", &moto.said["ENV_AWS_SECRET_ACCESS_KEY"]);
    }
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    for name in ["AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"] {
        command.env_remove(name);
    }
    if let Some(slurm) = slurm {
        command.env("SLURM_CONF", &slurm.said["ENV_SLURM_CONF"]);
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
        ("slurm", slurm::is_installed(), SLURM.script(), slurm::CHECKS),
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
