//! Programs in a task's sandbox: components of `wasi:cli/run`, such as a crate's tests.
//!
//! A program gets what a task gets, and its arguments. Its storage is private: every URL names an
//! object of one store that it shares with nobody, as it is natively.

use std::fmt;
use std::sync::Arc;

use samara_core::{ComponentId, Error, Exceeded, LogLine, Outcome, Task};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, TypedFunc};
use wasmtime_wasi::I32Exit;

use crate::capabilities::wasi;
use crate::component::{check_imports, refuse};
use crate::engine::Engine;
use crate::failure;
use crate::job::Job;
use crate::run::{Meter, Used};
use crate::state::State;

/// The interface that a program exports, in whichever version of WASI 0.2.
const RUN: &str = "wasi:cli/run@0.2.";

/// `run` of that interface.
type Run = TypedFunc<(), (Result<(), ()>,)>;

/// A program that is ready to run.
pub struct Command {
    pre: InstancePre<State>,
    run: ComponentExportIndex,
}

/// How a program is run.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Setting {
    /// Its command line, its name first.
    pub arguments: Vec<String>,
    /// Whether it writes to this process's standard output and error. Otherwise all that it writes
    /// is in [`Ran::log`].
    pub inherit: bool,
}

/// What a program came to.
#[derive(Debug, Clone)]
pub struct Ran {
    /// How it ended.
    pub exit: Exit,
    /// What it wrote and logged, in order.
    pub log: Vec<LogLine>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By its sandbox.
    Ended(Outcome),
}

// === impl Command ===

impl Command {
    fn link(component: &Component, engine: &Engine) -> Result<Self, Error> {
        check_imports(component)?;
        let ty = component.component_type();
        let run = ty.exports(component.engine()).find(|(name, _)| name.starts_with(RUN));
        let run = run.and_then(|(name, _)| {
            let interface = component.get_export_index(None, name)?;
            component.get_export_index(Some(&interface), "run")
        });
        let run = run.ok_or_else(|| {
            refuse("it is no program: it does not export wasi:cli/run of WASI 0.2".to_owned())
        })?;
        let pre =
            engine.inner().linker.instantiate_pre(component).map_err(|error| {
                refuse(format!("this sandbox has not what it imports: {error:#}"))
            })?;
        Ok(Self { pre, run })
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").finish_non_exhaustive()
    }
}

// === impl Exit ===

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "it {}", failure::exited(*code == 0)),
            Self::Ended(Outcome::Trapped(trap)) => trap.fmt(f),
            Self::Ended(Outcome::LimitExceeded(exceeded @ Exceeded::Time { .. })) => {
                write!(f, "{exceeded}; is there an endless loop?")
            }
            Self::Ended(Outcome::LimitExceeded(exceeded)) => exceeded.fmt(f),
            Self::Ended(Outcome::Platform(error)) => error.fmt(f),
            Self::Ended(other) => write!(f, "{other:?}"),
        }
    }
}

// === impl Engine ===

impl Engine {
    /// Compiles a program, or maps its compiled code from the cache, and links it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Component`](samara_core::ErrorKind::Component) where the bytes are no program
    /// for this sandbox; the message says why.
    pub fn prepare_command(&self, bytes: &[u8]) -> Result<Command, Error> {
        let (id, inner) = (ComponentId::of(bytes), self.inner());
        if let Some(component) = self.cache().and_then(|cache| cache.load(&id, &inner.engine)) {
            return Command::link(&component, self);
        }
        let component = self.compile(bytes)?;
        let command = Command::link(&component, self)?;
        if let Some(cache) = self.cache() {
            cache.save(&id, &component);
        }
        Ok(command)
    }

    /// Runs a program to its end in a fresh instance, as a task of `job` without a partition.
    /// Blocks.
    ///
    /// Must not be called on a thread that drives an async runtime.
    pub fn run_command(&self, command: &Command, job: &Arc<Job>, setting: &Setting) -> Ran {
        let _permit = self.inner().permits.take(job.batch().depth);
        let _entered = self.inner().io.enter();
        let meter = Meter::start(&*self.inner().clock);
        let task = Task { index: 0, attempt: 0, arguments: Default::default(), partition: None };
        let mut state = match self.state(job, &task) {
            Ok(state) => state,
            Err(error) => {
                return Ran { exit: Exit::Ended(Outcome::Platform(error)), log: Vec::new() };
            }
        };
        state.log.say_levels(setting.inherit);
        state.wasi = wasi::program_context(&state.log, setting);
        let mut store = self.store(state);
        let running = self.inner().ticker.running();
        let ran = command.pre.instantiate(&mut store).and_then(|instance| {
            let run: Run = instance.get_typed_func(&mut store, command.run)?;
            run.call(&mut store, ())
        });
        drop(running);
        let exit = match ran {
            Ok((Ok(()),)) => Exit::Code(0),
            Ok((Err(()),)) => Exit::Code(1),
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(I32Exit(code)) => Exit::Code(*code),
                None => Exit::Ended(failure::outcome(error, store.data_mut())),
            },
        };
        let Used { log, .. } = self.end(store, &meter);
        Ran { exit, log }
    }
}
