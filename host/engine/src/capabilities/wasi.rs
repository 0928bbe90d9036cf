//! WASI 0.2 as far as Rust's standard library needs it, with nothing behind it: no files, no
//! arguments, no sockets, and of the environment what was granted. Standard output and error are
//! lines of the task's log; clocks are coarse unless a precise one was granted; random numbers are
//! real.

use std::sync::Arc;
use std::time::Duration;

use samara_core::grant::COARSE_CLOCK;
use samara_core::{Clock, Grants};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::io::poll as waiting;
use wasmtime_wasi::p2::bindings::io::streams as waiting_streams;
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder};

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

/// A clock that tells the time to [`COARSE_CLOCK`].
struct Coarse {
    clock: Arc<dyn Clock>,
    /// Where monotonic time begins: when the host was started is nobody's business.
    since: Duration,
}

pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    // The library's own waits have no end: `thread::sleep`, or a server that does not answer, would
    // hold a thread past any deadline.
    linker.allow_shadowing(true);
    poll::add_to_linker::<State, HasWaiting>(linker, waiting)?;
    streams::add_to_linker::<State, HasWaiting>(linker, waiting)?;
    super::alarm::link(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn waiting(state: &mut State) -> Waiting<'_> {
    Waiting { table: &mut state.table, patience: &state.patience }
}

/// A context with what is granted: variables and secrets in `variables`.
pub(crate) fn context(
    log: &Log,
    grants: &Grants,
    variables: &[(String, String)],
    clock: &Arc<dyn Clock>,
) -> WasiCtx {
    let mut builder = WasiCtxBuilder::new();
    builder
        .stdout(log.stdio(Source::Out))
        .stderr(log.stdio(Source::Err))
        .envs(variables)
        .allow_tcp(false)
        .allow_udp(false)
        .max_random_size(RANDOM_BYTES_MAX);
    if !grants.precise_clock {
        let coarse = || Coarse { clock: Arc::clone(clock), since: clock.monotonic() };
        builder.wall_clock(coarse()).monotonic_clock(coarse());
    }
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

impl Waiting<'_> {
    /// Waits for a stream within the task's patience.
    fn stream<T>(
        &mut self,
        wait: impl AsyncFnOnce(&mut ResourceTable) -> Result<T, StreamError>,
    ) -> Result<T, StreamError> {
        let waited = self.patience.wait(wait(self.table));
        waited.map_err(|why| StreamError::Trap(stop(why)))?
    }
}

impl streams::Host for Waiting<'_> {
    fn convert_stream_error(
        &mut self,
        error: StreamError,
    ) -> wasmtime::Result<streams::StreamError> {
        streams::Host::convert_stream_error(self.table, error)
    }
}

impl streams::HostInputStream for Waiting<'_> {
    fn drop(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<()> {
        let dropped = waiting_streams::HostInputStream::drop(self.table, stream);
        self.patience.wait(dropped).map_err(stop)?
    }

    fn read(
        &mut self,
        stream: Resource<DynInputStream>,
        length: u64,
    ) -> Result<Vec<u8>, StreamError> {
        waiting_streams::HostInputStream::read(self.table, stream, length)
    }

    fn blocking_read(
        &mut self,
        stream: Resource<DynInputStream>,
        length: u64,
    ) -> Result<Vec<u8>, StreamError> {
        self.stream(async |table| {
            waiting_streams::HostInputStream::blocking_read(table, stream, length).await
        })
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, length: u64) -> Result<u64, StreamError> {
        waiting_streams::HostInputStream::skip(self.table, stream, length)
    }

    fn blocking_skip(
        &mut self,
        stream: Resource<DynInputStream>,
        length: u64,
    ) -> Result<u64, StreamError> {
        self.stream(async |table| {
            waiting_streams::HostInputStream::blocking_skip(table, stream, length).await
        })
    }

    fn subscribe(
        &mut self,
        stream: Resource<DynInputStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        waiting_streams::HostInputStream::subscribe(self.table, stream)
    }
}

impl streams::HostOutputStream for Waiting<'_> {
    fn drop(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        let dropped = waiting_streams::HostOutputStream::drop(self.table, stream);
        self.patience.wait(dropped).map_err(stop)?
    }

    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> Result<u64, StreamError> {
        waiting_streams::HostOutputStream::check_write(self.table, stream)
    }

    fn write(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> Result<(), StreamError> {
        waiting_streams::HostOutputStream::write(self.table, stream, bytes)
    }

    fn blocking_write_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> Result<(), StreamError> {
        self.stream(async |table| {
            waiting_streams::HostOutputStream::blocking_write_and_flush(table, stream, bytes).await
        })
    }

    fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        length: u64,
    ) -> Result<(), StreamError> {
        self.stream(async |table| {
            waiting_streams::HostOutputStream::blocking_write_zeroes_and_flush(
                table, stream, length,
            )
            .await
        })
    }

    fn subscribe(
        &mut self,
        stream: Resource<DynOutputStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        waiting_streams::HostOutputStream::subscribe(self.table, stream)
    }

    fn write_zeroes(
        &mut self,
        stream: Resource<DynOutputStream>,
        length: u64,
    ) -> Result<(), StreamError> {
        waiting_streams::HostOutputStream::write_zeroes(self.table, stream, length)
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> Result<(), StreamError> {
        waiting_streams::HostOutputStream::flush(self.table, stream)
    }

    fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> Result<(), StreamError> {
        self.stream(async |table| {
            waiting_streams::HostOutputStream::blocking_flush(table, stream).await
        })
    }

    fn splice(
        &mut self,
        stream: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        length: u64,
    ) -> Result<u64, StreamError> {
        waiting_streams::HostOutputStream::splice(self.table, stream, from, length)
    }

    fn blocking_splice(
        &mut self,
        stream: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        length: u64,
    ) -> Result<u64, StreamError> {
        self.stream(async |table| {
            waiting_streams::HostOutputStream::blocking_splice(table, stream, from, length).await
        })
    }
}

// === impl Coarse ===

impl Coarse {
    fn floor(time: Duration) -> Duration {
        let grain = COARSE_CLOCK.as_nanos();
        let nanos = time.as_nanos() / grain * grain;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl HostWallClock for Coarse {
    fn resolution(&self) -> Duration {
        COARSE_CLOCK
    }

    fn now(&self) -> Duration {
        Self::floor(self.clock.unix())
    }
}

impl HostMonotonicClock for Coarse {
    fn resolution(&self) -> u64 {
        u64::try_from(COARSE_CLOCK.as_nanos()).unwrap_or(u64::MAX)
    }

    fn now(&self) -> u64 {
        let passed = self.clock.monotonic().saturating_sub(self.since);
        u64::try_from(Self::floor(passed).as_nanos()).unwrap_or(u64::MAX)
    }
}

fn stop(stop: Stop) -> wasmtime::Error {
    wasmtime::Error::new(stop)
}
