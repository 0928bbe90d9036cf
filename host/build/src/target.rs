//! Sees to it that the rustc in use has a standard library for components.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use crate::process::{self, Stderr};
use crate::{Attempt, Environment, Error, Obstacle, Output, Step, TARGET, Toolchain, std_install};

/// Gets the standard library of [`TARGET`] for the rustc that is used in `dir`, if it is not there.
///
/// May be called at any time, by many processes at once: only one works, the others wait for it.
/// What an interrupted run left is put right by the next. See the [crate](crate#the-target) for
/// the ways that are tried.
///
/// # Errors
///
/// [`Error::TargetUnavailable`] if there is no way to get it here.
pub fn ensure_target(
    dir: &Path,
    environment: &Environment,
    output: &Output,
) -> Result<Toolchain, Error> {
    let toolchain = Toolchain::probe(dir, environment)?;
    if toolchain.has_std() {
        return Ok(toolchain);
    }
    let mut attempts = Vec::new();
    let steps = [(Step::Rustup, add_by_rustup as Way), (Step::Debian, std_install::install)];
    match prepare(&toolchain, output) {
        Ok(_lock) if toolchain.has_std() => return Ok(toolchain),
        Ok(_lock) => {
            for (step, way) in steps {
                match way(&toolchain, dir, environment, output) {
                    Ok(()) if toolchain.has_std() => return Ok(toolchain),
                    Ok(()) => attempts.push(Attempt { step, obstacle: Obstacle::StillMissing }),
                    Err(obstacle) => attempts.push(Attempt { step, obstacle }),
                }
            }
        }
        Err(obstacle) => attempts.push(Attempt { step: Step::Prepare, obstacle }),
    }
    Err(Error::TargetUnavailable {
        release: toolchain.release().to_owned(),
        libdir: toolchain.libdir().to_owned(),
        attempts,
    })
}

/// One way to get the library.
type Way = fn(&Toolchain, &Path, &Environment, &Output) -> Result<(), Obstacle>;

/// Takes the lock, which lasts as long as the file is open, and clears what fits no longer.
fn prepare(toolchain: &Toolchain, output: &Output) -> Result<File, Obstacle> {
    let path = toolchain.rustlib().join(".samara-target.lock");
    let lock = File::create(&path).map_err(|e| Obstacle::io("create", &path, e))?;
    let locked = match lock.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            output.say(&format!("waiting for another process that installs {TARGET}"));
            lock.lock()
        }
        Err(TryLockError::Error(error)) => Err(error),
    };
    locked.map_err(|e| Obstacle::io("lock", &path, e))?;
    if toolchain.has_stale_std() {
        // Made by us for an older rustc; rustup would refuse to install over it.
        let target = toolchain.rustlib().join(TARGET);
        fs::remove_dir_all(&target).map_err(|e| Obstacle::io("remove", &target, e))?;
    }
    Ok(lock)
}

fn add_by_rustup(
    _toolchain: &Toolchain,
    dir: &Path,
    environment: &Environment,
    output: &Output,
) -> Result<(), Obstacle> {
    if !environment.rustup_may_install() {
        return Err(Obstacle::Forbidden);
    }
    output.say(&format!("adding the target {TARGET} by rustup (once)"));
    let mut command = environment.command("rustup");
    command.args(["target", "add", TARGET]).current_dir(dir);
    match process::run(&mut command, Stderr::Show(output)) {
        Ok(finished) if finished.status.success() => Ok(()),
        Ok(finished) => Err(Obstacle::Failed { what: "rustup".to_owned(), said: finished.said() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Obstacle::NotInstalled { program: "rustup".to_owned() })
        }
        Err(error) => Err(Obstacle::io("run rustup in", dir, error)),
    }
}
