//! How long a host call may wait: until the task's deadline, or until nobody wants the task.
//!
//! Epochs interrupt a guest, not the host on its behalf, so every wait inside a host call goes
//! through here.

use std::sync::Arc;
use std::time::Duration;

use samara_core::{Cancel, Clock};
use tokio::runtime::Handle;

use crate::failure::Stop;

/// How often a waiting host call looks whether its task was cancelled.
const CANCEL_POLL: Duration = Duration::from_millis(20);

/// Bounds the waits of one task.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    io: Handle,
    clock: Arc<dyn Clock>,
    deadline: Duration,
    limit: Duration,
    cancel: Cancel,
}

// === impl Patience ===

impl Patience {
    pub(crate) fn new(io: Handle, clock: Arc<dyn Clock>, limit: Duration, cancel: Cancel) -> Self {
        let deadline = clock.monotonic().saturating_add(limit);
        Self { io, clock, deadline, limit, cancel }
    }

    /// Ends it after `time`, where it would last longer.
    pub(crate) fn shorten(&mut self, time: Duration) {
        self.deadline = self.deadline.min(self.now().saturating_add(time));
    }

    /// The runtime that waits are made on.
    pub(crate) fn io(&self) -> &Handle {
        &self.io
    }

    /// The time by the clock that deadlines are taken from.
    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Whether the task has to stop now.
    pub(crate) fn check(&self) -> Result<(), Stop> {
        if self.cancel.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        match self.clock.monotonic() < self.deadline {
            true => Ok(()),
            false => Err(Stop::OutOfTime(self.limit)),
        }
    }

    /// Waits for `future` on this thread, or until the task has to stop.
    pub(crate) fn wait<F: Future>(&self, future: F) -> Result<F::Output, Stop> {
        self.check()?;
        self.io.block_on(async {
            tokio::pin!(future);
            loop {
                match tokio::time::timeout(CANCEL_POLL, &mut future).await {
                    Ok(output) => return Ok(output),
                    Err(_) => self.check()?,
                }
            }
        })
    }
}
