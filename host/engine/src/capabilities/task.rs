//! `samara:function/task`: which task this is, its log, its progress, whether it is still wanted.

use samara_core::Level;

use crate::bindings::samara::function::task::{Host, Identity, Level as GuestLevel};
use crate::failure::shortened;
use crate::state::State;

/// Bytes of a panic's message that are kept; a reply has to stay small.
const PANIC_BYTES_MAX: usize = 16 << 10;

/// The same of its place: a file's name and two numbers.
const PLACE_BYTES_MAX: usize = 4 << 10;

/// Which task this is, and how far it says it has come.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) index: u64,
    pub(crate) attempt: u32,
    pub(crate) progress: (u64, u64),
}

impl Host for State {
    fn current(&mut self) -> wasmtime::Result<Identity> {
        self.calls += 1;
        let task = &self.task;
        Ok(Identity {
            job: self.job.batch().job.to_string(),
            index: task.index,
            attempt: task.attempt,
        })
    }

    fn scratch(&mut self) -> wasmtime::Result<String> {
        self.calls += 1;
        Ok(self.job.objects().to_owned())
    }

    fn kept(&mut self) -> wasmtime::Result<String> {
        self.calls += 1;
        Ok(self.job.kept().to_owned())
    }

    fn log(&mut self, level: GuestLevel, message: String) -> wasmtime::Result<()> {
        self.calls += 1;
        self.log.push(level.into(), message);
        Ok(())
    }

    fn progress(&mut self, done: u64, total: u64) -> wasmtime::Result<()> {
        self.calls += 1;
        self.task.progress = (done, total);
        Ok(())
    }

    fn is_cancelled(&mut self) -> wasmtime::Result<bool> {
        self.calls += 1;
        Ok(self.patience.is_cancelled())
    }

    fn panicked(&mut self, message: String, location: String) -> wasmtime::Result<()> {
        self.calls += 1;
        let message = shortened(self.log.without_secrets(message), PANIC_BYTES_MAX);
        self.panic = Some((message, shortened(location, PLACE_BYTES_MAX)));
        Ok(())
    }
}

impl From<GuestLevel> for Level {
    fn from(level: GuestLevel) -> Self {
        match level {
            GuestLevel::Error => Self::Error,
            GuestLevel::Warn => Self::Warn,
            GuestLevel::Info => Self::Info,
            GuestLevel::Debug => Self::Debug,
            GuestLevel::Trace => Self::Trace,
        }
    }
}
