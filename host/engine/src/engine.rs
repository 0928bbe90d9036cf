//! Compiles, links, and holds what every task shares.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use samara_core::{Clock, ComponentId, Error, ErrorKind};
use tokio::runtime::Handle;
use wasmtime::component::{Component, Linker};
use wasmtime::{InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use crate::cache::Cache;
use crate::capabilities;
use crate::component::{Prepared, check_header, refuse};
use crate::config::Config;
use crate::failure::FRAMES_SEEN_MAX;
use crate::permits::Permits;
use crate::state::State;
use crate::ticker::Ticker;

/// Core instances, memories and tables per component instance. A Rust component is three core
/// instances and one memory; other languages' adapters add a few.
const CORE_INSTANCES_EACH: u32 = 8;
const MEMORIES_EACH: u32 = 2;
const TABLES_EACH: u32 = 8;

/// Elements of one table. A large Rust guest has some thousand; interpreters have more.
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Host data of one core instance; grows with its imports and functions.
const INSTANCE_BYTES_MAX: usize = 4 << 20;

/// Start of a memory that is cleared by writing rather than by giving its pages back: a Rust guest's
/// stack (1 MiB, which the linker puts first) and its data. A page that is given back costs the next
/// task a fault, and every fault on copied data interrupts all other cores, which with several
/// threads is most of a small task's cost (`benches/task_cost.rs`).
///
/// To ask the kernel which pages were written would be twice as fast, and would miss some
/// (`docs/decisions/0007-pool-settings.md`).
const MEMORY_RESIDENT_BYTES: usize = (1 << 20) + (256 << 10);

/// The same for tables: some thousand elements.
const TABLE_RESIDENT_BYTES: usize = 32 << 10;

/// Slots whose pages are given back in one system call: a call for each interrupts the other cores
/// as often.
const DECOMMIT_BATCH: usize = 32;

/// Bytes of a component. The largest known guests, whole Python programs, have 40 MB.
pub(crate) const COMPONENT_BYTES_MAX: usize = 512 << 20;

/// Guest stack. Twice what wasmtime gives, a quarter of what a thread of `local:` has.
const STACK_BYTES: usize = 1 << 20;

/// Runs tasks. Clones share one engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) linker: Linker<State>,
    pub(crate) ticker: Ticker,
    pub(crate) permits: Permits,
    pub(crate) io: Handle,
    pub(crate) clock: Arc<dyn Clock>,
    cache: Option<Cache>,
    pooling: bool,
    /// Whether instructions are counted.
    pub(crate) fuel: bool,
}

// === impl Engine ===

impl Engine {
    /// Makes an engine. Host calls that wait do so on `io`, which must be able to make progress
    /// while the calling thread is blocked: the handle of a multi-threaded runtime.
    ///
    /// # Errors
    ///
    /// Where the machine can run no WebAssembly at all. A cache directory that cannot be used is
    /// left alone with a warning: it only makes starts slower.
    pub fn new(config: &Config, io: Handle) -> Result<Self, Error> {
        let (engine, pooling) = make_engine(config)?;
        let linker = capabilities::link(&engine).map_err(|error| internal(&error))?;
        let ticker = Ticker::start(&engine).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("cannot start a thread: {error}"))
        })?;
        let cache = config.cache_dir.as_deref().and_then(|dir| open_cache(dir, &engine));
        let permits = Permits::new(config.instances_max.max(1));
        let (clock, fuel) = (Arc::clone(&config.clock), config.fuel);
        let inner = Inner { engine, linker, ticker, permits, io, clock, cache, pooling, fuel };
        Ok(Self(Arc::new(inner)))
    }

    /// Compiles a component, or maps its compiled code from the cache, and links it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Component`] where the bytes are no component, are damaged, or are of another
    /// world or version; the message says which.
    pub fn prepare(&self, bytes: &[u8]) -> Result<Prepared, Error> {
        check_header(bytes)?;
        if bytes.len() > COMPONENT_BYTES_MAX {
            return Err(refuse(format!("it is larger than {COMPONENT_BYTES_MAX} bytes")));
        }
        let id = ComponentId::of(bytes);
        if let Some(prepared) = self.prepare_cached(id)? {
            return Ok(prepared);
        }
        let component = Component::from_binary(&self.0.engine, bytes)
            .map_err(|error| refuse(format!("it is damaged: {}", error.root_cause())))?;
        let prepared = Prepared::link(id, &component, &self.0.linker)?;
        if let Some(cache) = &self.0.cache {
            cache.save(&id, &component);
        }
        Ok(prepared)
    }

    /// Links a component from the cache of compiled code alone, if it is there.
    ///
    /// # Errors
    ///
    /// As [`prepare`](Self::prepare).
    pub fn prepare_cached(&self, id: ComponentId) -> Result<Option<Prepared>, Error> {
        let component = self.0.cache.as_ref().and_then(|cache| cache.load(&id, &self.0.engine));
        let link = |component| Prepared::link(id, &component, &self.0.linker);
        Ok(component.map(link).transpose()?.map(Prepared::mark_cached))
    }

    /// Whether instances come from the pool; without it a fresh one costs several times as much.
    pub fn is_pooling(&self) -> bool {
        self.0.pooling
    }

    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.0.cache.as_ref()
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("pooling", &self.0.pooling).finish_non_exhaustive()
    }
}

/// Tries the pool first: it reserves about 6 GiB of address space per memory, which small machines
/// and `RLIMIT_AS` refuse.
fn make_engine(config: &Config) -> Result<(wasmtime::Engine, bool), Error> {
    if config.pooling {
        let mut wasm = base_config(config);
        wasm.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(Permits::in_all(
            config.instances_max.max(1),
        ))));
        match wasmtime::Engine::new(&wasm) {
            Ok(engine) => return Ok((engine, true)),
            Err(error) => tracing::warn!("no instance pool, tasks start slower: {error:#}"),
        }
    }
    let engine = wasmtime::Engine::new(&base_config(config)).map_err(|error| internal(&error))?;
    Ok((engine, false))
}

fn base_config(config: &Config) -> wasmtime::Config {
    let mut wasm = wasmtime::Config::new();
    wasm.concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(NonZeroUsize::new(FRAMES_SEEN_MAX))
        .memory_init_cow(true)
        .consume_fuel(config.fuel);
    wasm
}

fn pool(instances_max: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances_max)
        .total_core_instances(instances_max.saturating_mul(CORE_INSTANCES_EACH))
        .total_memories(instances_max.saturating_mul(MEMORIES_EACH))
        .total_tables(instances_max.saturating_mul(TABLES_EACH))
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .linear_memory_keep_resident(MEMORY_RESIDENT_BYTES)
        .table_keep_resident(TABLE_RESIDENT_BYTES)
        .decommit_batch_size(DECOMMIT_BATCH)
        .max_unused_warm_slots(instances_max);
    pool
}

fn open_cache(dir: &Path, engine: &wasmtime::Engine) -> Option<Cache> {
    Cache::open(dir, engine)
        .inspect_err(|error| tracing::warn!("no cache of compiled code: {error}"))
        .ok()
}

fn internal(error: &wasmtime::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("cannot make a WebAssembly engine: {error:#}"))
}
