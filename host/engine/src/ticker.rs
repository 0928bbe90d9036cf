//! The engine's heart-beat: a thread that moves the epoch on while tasks run.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

/// Time between two epochs: how late a deadline or a cancellation may be noticed. Each tick costs a
/// running guest one call into the host, about a microsecond.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Idle ticks after which the thread sleeps until it is woken. Long enough that a series of short
/// tasks does not pay for waking it each time.
const IDLE_TICKS_MAX: u32 = 100;

/// A thread that moves an engine's epoch on while somebody holds a [`Running`].
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Shared {
    running: AtomicUsize,
    asleep: AtomicBool,
}

/// While this lives, the epoch moves.
#[derive(Debug)]
pub(crate) struct Running<'a>(&'a Shared);

// === impl Ticker ===

impl Ticker {
    /// Starts the thread; it ends by itself after the ticker is dropped.
    pub(crate) fn start(engine: &wasmtime::Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (weak_engine, weak_shared) = (engine.weak(), Arc::downgrade(&shared));
        let handle = thread::Builder::new()
            .name("samara-epoch".to_owned())
            .spawn(move || tick(&weak_engine, &weak_shared))?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    /// Keeps the epoch moving as long as the result lives.
    pub(crate) fn running(&self) -> Running<'_> {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(&self.shared)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.thread.unpark();
    }
}

// === impl Running ===

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(engine: &wasmtime::EngineWeak, shared: &Weak<Shared>) {
    let mut idle = 0;
    loop {
        let Some(engine) = engine.upgrade() else { return };
        let Some(shared) = shared.upgrade() else { return };
        engine.increment_epoch();
        drop(engine);
        idle = if shared.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
        if idle < IDLE_TICKS_MAX {
            drop(shared);
            thread::sleep(TICK);
            continue;
        }
        // Announce the sleep, then look again: a task that started in between either is seen here
        // or sees the announcement and wakes this thread.
        shared.asleep.store(true, Ordering::SeqCst);
        let still_idle = shared.running.load(Ordering::SeqCst) == 0;
        let weak = Arc::downgrade(&shared);
        drop(shared);
        if still_idle && weak.strong_count() > 0 {
            thread::park();
        }
        idle = 0;
        if let Some(shared) = weak.upgrade() {
            shared.asleep.store(false, Ordering::SeqCst);
        }
    }
}
