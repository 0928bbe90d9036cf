//! Compiles, links, and holds what every task shares.

use std::num::NonZeroUsize;
use std::sync::Arc;

use samara_core::{Clock, ComponentId, Error, ErrorKind, Secrets};
use tokio::runtime::Handle;
use wasmtime::component::{Component, Linker};
use wasmtime::{InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use crate::cache::{Cache, CacheKey};
use crate::capabilities;
#[cfg(feature = "http")]
use crate::capabilities::http::Clients;
use crate::compile::{self, Compile};
use crate::component::Prepared;
use crate::config::Config;
use crate::failure::FRAMES_SEEN_MAX;
use crate::permits::Permits;
use crate::state::State;
use crate::ticker::Ticker;

/// Core instances, memories and tables per component instance. A Rust component is three core
/// instances and one memory; other languages' adapters add a few. No component may have more: it
/// would have them from others' share of the pool.
pub(crate) const CORE_INSTANCES_EACH: u32 = 20;
pub(crate) const MEMORIES_EACH: u32 = 2;
pub(crate) const TABLES_EACH: u32 = 20;

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

/// Memories that wait until their pages are given back together: none. A task that had a gigabyte
/// would leave it to wait for others', beyond any limit or quota. What is kept resident anyway costs
/// no system call.
const DECOMMIT_BATCH: usize = 1;

/// Guest stack. Twice what wasmtime gives, a quarter of what a thread of `local:` has.
const STACK_BYTES: usize = 1 << 20;

/// Stacks for calls that are suspended: there are none, and a thousand of 2 MiB would be mapped.
const ASYNC_STACKS: u32 = 1;

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
    compiler: Option<Arc<dyn Compile>>,
    pooling: bool,
    /// Whether instructions are counted.
    pub(crate) fuel: bool,
    pub(crate) secrets: Option<Arc<dyn Secrets>>,
    #[cfg(feature = "http")]
    pub(crate) clients: Clients,
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
        let (cache, compiler) = (open_cache(config, &engine), config.compiler.clone());
        let permits = Permits::new(config.instances_max.max(1));
        let (clock, fuel) = (Arc::clone(&config.clock), config.fuel);
        Ok(Self(Arc::new(Inner {
            engine,
            linker,
            ticker,
            permits,
            io,
            clock,
            cache,
            compiler,
            pooling,
            fuel,
            secrets: config.secrets.clone(),
            #[cfg(feature = "http")]
            clients: Clients::default(),
        })))
    }

    /// Compiles a component, or maps its compiled code from the cache, and links it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Component`] where the bytes are no component, are damaged, exceed what may be
    /// compiled, or are of another world or version; the message says which.
    pub fn prepare(&self, bytes: &[u8]) -> Result<Prepared, Error> {
        let id = ComponentId::of(bytes);
        if let Some(prepared) = self.prepare_cached(id)? {
            return Ok(prepared);
        }
        let component = self.compile(bytes)?;
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

    /// Whether another process compiles.
    pub(crate) fn compiles_elsewhere(&self) -> bool {
        self.0.compiler.is_some()
    }

    /// Compiles a component here, or wherever this engine has it done.
    pub(crate) fn compile(&self, bytes: &[u8]) -> Result<Component, Error> {
        compile::compile(&self.0.engine, self.0.compiler.as_deref(), bytes)
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
        wasm.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(config)));
        match wasmtime::Engine::new(&wasm) {
            Ok(engine) => return Ok((engine, true)),
            Err(error) => tracing::warn!("no instance pool, tasks start slower: {error:#}"),
        }
    }
    let engine = wasmtime::Engine::new(&base_config(config)).map_err(|error| internal(&error))?;
    Ok((engine, false))
}

/// What code is compiled for; `compile.rs` does so without an engine of ours.
pub(crate) fn base_config(config: &Config) -> wasmtime::Config {
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

fn pool(config: &Config) -> PoolingAllocationConfig {
    let instances_max = Permits::in_all(config.instances_max.max(1));
    let kept = config.kept_max.map(|kept| kept.min(instances_max));
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances_max)
        .total_core_instances(instances_max.saturating_mul(CORE_INSTANCES_EACH))
        .total_memories(instances_max.saturating_mul(MEMORIES_EACH))
        .total_tables(instances_max.saturating_mul(TABLES_EACH))
        .max_core_instances_per_component(CORE_INSTANCES_EACH)
        .max_memories_per_component(MEMORIES_EACH)
        .max_tables_per_component(TABLES_EACH)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .total_stacks(ASYNC_STACKS)
        .linear_memory_keep_resident(MEMORY_RESIDENT_BYTES)
        .table_keep_resident(TABLE_RESIDENT_BYTES)
        .decommit_batch_size(DECOMMIT_BATCH)
        .max_unused_warm_slots(kept.unwrap_or(instances_max));
    pool
}

/// The cache, where there is a directory and a key that it may be used with.
fn open_cache(config: &Config, engine: &wasmtime::Engine) -> Option<Cache> {
    let dir = config.cache_dir.as_deref()?;
    let key = match (&config.cache_key, &config.cache_key_file) {
        (Some(key), _) => Ok(key.clone()),
        (None, Some(path)) => CacheKey::read_or_make(path),
        (None, None) => {
            tracing::warn!(
                "no cache of compiled code: there is no key for it (hosts are told one by SAMARA_HOST_CACHE_KEY_FILE)"
            );
            return None;
        }
    };
    key.and_then(|key| Cache::open(dir, &key, engine))
        .inspect_err(|error| {
            tracing::warn!("no cache of compiled code in {}: {error}", dir.display());
        })
        .ok()
}

fn internal(error: &wasmtime::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("cannot make a WebAssembly engine: {error:#}"))
}
