//! `wasi:clocks/monotonic-clock`: guests wake when they asked to, not at the next millisecond.
//!
//! The library's own waits are the I/O threads' timers, which tick once a millisecond and round up:
//! a function that sleeps for 10 ms would take 11.

use std::sync::Arc;
use std::time::Duration;

use samara_core::Clock;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::clocks::{WasiClocksCtxView, WasiClocksView};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::{self, Host};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::state::State;

/// The last part of a wait, which the guest's own thread sleeps through: a tick of the timers, and one
/// that it may be rounded up by.
const LAST_PART: Duration = Duration::from_millis(2);

/// Clocks as a guest sees them, and the one that it is woken by.
struct Clocks<'a> {
    seen: WasiClocksCtxView<'a>,
    real: Arc<dyn Clock>,
}

/// Names [`Clocks`] for the linker.
struct HasClocks;

/// A moment that a guest waits for.
struct Alarm {
    clock: Arc<dyn Clock>,
    at: Duration,
}

/// Puts these clocks in the place of the library's.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    monotonic_clock::add_to_linker::<State, HasClocks>(linker, |state| {
        let real = state.patience.clock();
        Clocks { seen: state.clocks(), real }
    })
}

impl HasData for HasClocks {
    type Data<'a> = Clocks<'a>;
}

impl Host for Clocks<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.seen.now()
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Host::resolution(&mut self.seen)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let wait = when.saturating_sub(self.seen.now()?);
        self.subscribe_duration(wait)
    }

    fn subscribe_duration(&mut self, wait: u64) -> wasmtime::Result<Resource<DynPollable>> {
        if wait == 0 {
            // There it gives way to what else is polled, which programs rely on.
            return self.seen.subscribe_duration(wait);
        }
        let at = self.real.monotonic().saturating_add(Duration::from_nanos(wait));
        let alarm = self.seen.table.push(Alarm { clock: Arc::clone(&self.real), at })?;
        subscribe(self.seen.table, alarm)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Alarm {
    async fn ready(&mut self) {
        loop {
            let left = self.at.saturating_sub(self.clock.monotonic());
            match left.checked_sub(LAST_PART).filter(|most| !most.is_zero()) {
                Some(most) => tokio::time::sleep(most).await,
                None if left.is_zero() => return,
                // This is the guest's own thread (`Patience::wait`), and it has nothing else to do.
                None => std::thread::sleep(left),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use samara_core::SystemClock;

    use super::*;

    #[test]
    fn an_alarm_is_never_early() {
        let io = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        for micros in [1, 300, 1_500, 2_000, 2_001, 5_300, 20_000] {
            let at = clock.monotonic() + Duration::from_micros(micros);
            io.block_on(Alarm { clock: Arc::clone(&clock), at }.ready());
            assert!(clock.monotonic() >= at, "{micros} us");
        }
    }
}
