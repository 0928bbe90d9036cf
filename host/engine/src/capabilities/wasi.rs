//! WASI 0.2 as far as Rust's standard library needs it, with nothing behind it: no files, no
//! environment, no arguments, no network. Standard output and error are lines of the task's log;
//! clocks and random numbers are real.

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::io::poll as waiting;
use wasmtime_wasi::p2::bindings::sync::io::poll;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use crate::command::Setting;
use crate::failure::Stop;
use crate::log::{Log, Source};
use crate::patience::Patience;
use crate::state::State;

/// Random bytes that one call may ask for: a megabyte is more than any seed.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// A view of the state for waiting within the task's patience.
struct Waiting<'a> {
    table: &'a mut ResourceTable,
    patience: &'a Patience,
}

/// Names [`Waiting`] for the linker.
struct HasWaiting;

pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    // The library's own wait has no end: `thread::sleep` would hold its thread past any deadline.
    linker.allow_shadowing(true);
    poll::add_to_linker::<State, HasWaiting>(linker, |state| Waiting {
        table: &mut state.table,
        patience: &state.patience,
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

/// A context that grants nothing.
pub(crate) fn context(log: &Log) -> WasiCtx {
    let mut builder = WasiCtxBuilder::new();
    builder
        .stdout(log.stdio(Source::Out))
        .stderr(log.stdio(Source::Err))
        .allow_tcp(false)
        .allow_udp(false)
        .max_random_size(RANDOM_BYTES_MAX);
    builder.build()
}

/// A context that grants a program its command line and its output.
pub(crate) fn program_context(log: &Log, setting: &Setting) -> WasiCtx {
    let mut builder = WasiCtxBuilder::new();
    builder.args(&setting.arguments);
    match setting.inherit {
        true => builder.inherit_stdout().inherit_stderr(),
        false => builder.stdout(log.stdio(Source::Out)).stderr(log.stdio(Source::Err)),
    };
    builder.allow_tcp(false).allow_udp(false).max_random_size(RANDOM_BYTES_MAX);
    builder.build()
}

impl HasData for HasWaiting {
    type Data<'a> = Waiting<'a>;
}

impl poll::Host for Waiting<'_> {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.patience.wait(waiting::Host::poll(self.table, pollables)).map_err(stop)?
    }
}

impl poll::HostPollable for Waiting<'_> {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.patience.wait(waiting::HostPollable::ready(self.table, pollable)).map_err(stop)?
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.patience.wait(waiting::HostPollable::block(self.table, pollable)).map_err(stop)?
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        waiting::HostPollable::drop(self.table, pollable)
    }
}

fn stop(stop: Stop) -> wasmtime::Error {
    wasmtime::Error::new(stop)
}
