//! What belongs to one running task: its sandbox's view of the host.

use std::sync::Arc;

use samara_core::{Error, ErrorKind, Exceeded, Limits, Outcome, Payer};
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::budget::Budget;
use crate::capabilities::{partition, storage, task};
use crate::engine::{CORE_INSTANCES_EACH, MEMORIES_EACH, TABLES_EACH};
use crate::failure::Stop;
use crate::job::Job;
use crate::log::Log;
use crate::patience::Patience;

/// Resources that a guest may hold at once: pollables, streams, writers.
pub(crate) const RESOURCES_MAX: usize = 1024;

/// What a table element costs the host.
const TABLE_ELEMENT_BYTES: usize = 8;

/// The state behind one instance.
pub(crate) struct State {
    pub(crate) limits: Limits,
    pub(crate) job: Arc<Job>,
    pub(crate) memory: Memory,
    pub(crate) budget: Budget,
    pub(crate) patience: Patience,
    pub(crate) log: Log,
    pub(crate) panic: Option<(String, String)>,
    /// Calls into the host.
    pub(crate) calls: u64,
    pub(crate) partition: partition::Granted,
    pub(crate) storage: storage::Granted,
    pub(crate) task: task::Granted,
    #[cfg(feature = "http")]
    pub(crate) http: crate::capabilities::http::Granted,
    pub(crate) table: ResourceTable,
    pub(crate) wasi: WasiCtx,
}

/// Counts a task's memories and tables together: a limit per memory would be none.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: u64,
    used: u64,
    denied: Option<Denied>,
    payer: Payer,
}

/// Why there is no more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Denied {
    /// The task has as much as it may have.
    Task,
    /// The tasks of its tenant have, together.
    Tenant,
}

// === impl Memory ===

impl Memory {
    pub(crate) fn new(limit: u64, payer: Payer) -> Self {
        Self { limit, used: 0, denied: None, payer }
    }

    /// Memories never shrink, so what is used is also the peak.
    pub(crate) fn peak(&self) -> u64 {
        self.used
    }

    /// What it comes to that the guest asked for more than there was, if it did.
    pub(crate) fn denied(&self) -> Option<Outcome> {
        Some(match self.denied? {
            Denied::Task => Outcome::LimitExceeded(Exceeded::Memory { limit: self.limit }),
            Denied::Tenant => {
                let text = format!(
                    "the tasks of tenant `{}` have as much memory as they may have together",
                    self.payer.tenant()
                );
                Outcome::Platform(Error::new(ErrorKind::Throttled, text))
            }
        })
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let more = desired.saturating_sub(current) as u64;
        let wanted = self.used.saturating_add(more);
        if wanted > self.limit {
            self.denied = Some(Denied::Task);
            return false;
        }
        if self.payer.account().is_some_and(|account| !account.take_memory(more)) {
            self.denied = Some(Denied::Tenant);
            return false;
        }
        self.used = wanted;
        // It went on without what it was refused before.
        self.denied = None;
        true
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(account) = self.payer.account() {
            account.give_back_memory(self.used);
        }
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(is_within(desired, maximum) && self.grow(current, desired))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = |elements: usize| elements.saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(is_within(desired, maximum) && self.grow(bytes(current), bytes(desired)))
    }

    // Where there is a pool it says the same; where there is none, nothing else does.

    fn instances(&self) -> usize {
        CORE_INSTANCES_EACH as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_EACH as usize
    }

    fn tables(&self) -> usize {
        TABLES_EACH as usize
    }
}

/// Whether a memory or a table may be so large by its own declaration. It does not grow beyond, so
/// nothing of that counts; wasmtime asks before it looks itself.
fn is_within(desired: usize, maximum: Option<usize>) -> bool {
    maximum.is_none_or(|maximum| desired <= maximum)
}

// === impl State ===

impl State {
    /// What is done from time to time while the guest computes: whether it has to stop, or to let
    /// others go first.
    pub(crate) fn look(&mut self) -> Result<(), Stop> {
        self.patience.check_all()?;
        self.budget.check_served()?;
        let before = self.patience.now();
        let patience = &self.patience;
        if self.job.waits().give_way(&|| !patience.is_cancelled()) {
            let stood = self.patience.now().saturating_sub(before);
            self.patience.extend(stood);
            return self.patience.check_all();
        }
        Ok(())
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_counted_together() {
        let mut memory = Memory::new(100, Payer::default());
        assert!(memory.memory_growing(0, 60, None).unwrap());
        assert!(!memory.memory_growing(0, 60, None).unwrap(), "a second memory");
        assert!(matches!(memory.denied(), Some(Outcome::LimitExceeded(_))));
        assert!(memory.memory_growing(60, 100, None).unwrap());
        assert!(memory.denied().is_none(), "it went on without");
        assert!(!memory.table_growing(0, 1, None).unwrap());
        assert_eq!(memory.peak(), 100);
    }

    #[test]
    fn what_does_not_grow_is_not_counted() {
        let mut memory = Memory::new(1 << 20, Payer::default());
        assert!(memory.table_growing(0, 10, Some(10)).unwrap());
        let peak = memory.peak();
        for _ in 0..1_000 {
            assert!(!memory.table_growing(10, 11, Some(10)).unwrap());
            assert!(!memory.memory_growing(0, 65_537, Some(65_536)).unwrap());
        }
        assert_eq!(memory.peak(), peak);
        assert!(memory.denied().is_none(), "the guest's own bound is no limit of ours");
    }
}
