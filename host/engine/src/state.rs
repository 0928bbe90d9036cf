//! What belongs to one running task: its sandbox's view of the host.

use std::sync::Arc;

use samara_core::Limits;
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::capabilities::{partition, storage, task};
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
    pub(crate) patience: Patience,
    pub(crate) log: Log,
    pub(crate) panic: Option<(String, String)>,
    /// Calls into the host.
    pub(crate) calls: u64,
    pub(crate) partition: partition::Granted,
    pub(crate) storage: storage::Granted,
    pub(crate) task: task::Granted,
    pub(crate) table: ResourceTable,
    pub(crate) wasi: WasiCtx,
}

/// Counts a task's memories and tables together: a limit per memory would be none.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: u64,
    used: u64,
    denied: bool,
}

// === impl Memory ===

impl Memory {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, used: 0, denied: false }
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Memories never shrink, so what is used is also the peak.
    pub(crate) fn peak(&self) -> u64 {
        self.used
    }

    /// Whether the guest asked for more than the limit.
    pub(crate) fn denied(&self) -> bool {
        self.denied
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let wanted = self.used.saturating_add(desired.saturating_sub(current) as u64);
        match wanted <= self.limit {
            true => self.used = wanted,
            false => self.denied = true,
        }
        wanted <= self.limit
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = |elements: usize| elements.saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(self.grow(bytes(current), bytes(desired)))
    }
}

// === impl State ===

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
        let mut memory = Memory::new(100);
        assert!(memory.memory_growing(0, 60, None).unwrap());
        assert!(!memory.memory_growing(0, 60, None).unwrap(), "a second memory");
        assert!(memory.denied());
        assert!(memory.memory_growing(60, 100, None).unwrap());
        assert!(!memory.table_growing(0, 1, None).unwrap());
        assert_eq!(memory.peak(), 100);
    }
}
