//! Components by name: in memory, in the cache of compiled code, in a job's store.
//!
//! Who waits for a store, for another process that compiles, or for another thread that gets the same
//! component ready, has no slot while others want it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use samara_core::{Batch, ComponentId, Error, ErrorKind, Waits, layout};
use samara_store::{Location, Locator, StoreExt};
use tokio::sync::MutexGuard as PlaceGuard;
use tokio::time::timeout;

use crate::component::Prepared;
use crate::engine::Engine;
use crate::failure::store_error;
use crate::patience::wait_at_rest;

/// Components kept in memory. Each holds its compiled code, a few hundred KB for Rust guests.
const COMPONENTS_MAX: usize = 256;

/// Components of tenants that are known to be theirs; beyond that all are looked for again.
const OWNED_MAX: usize = 4096;

/// How long a component or an output may take between worker and store: a component of 512 MiB at
/// some 10 MB/s.
const STORE_WAIT_MAX: Duration = Duration::from_mins(1);

/// The way out where a stored component is not what it should be, or is gone.
const UPLOADED: &str = "a driver that is started anew uploads it again";

/// Finds components and gets them ready to run.
#[derive(Debug)]
pub(crate) struct Loader {
    engine: Engine,
    locator: Arc<Locator>,
    components: Mutex<Components>,
    /// Those that are being fetched, by component and store: from one store each is fetched once,
    /// however many threads want it, and nobody waits for another's store.
    fetches: Mutex<Fetches>,
    /// Tenants and components that are in a store of theirs.
    owned: Mutex<BTreeSet<(String, ComponentId)>>,
}

/// Components by name. Each has a place of its own, so that one is compiled once however many threads
/// want it, and nobody waits for another's.
#[derive(Debug, Default)]
struct Components {
    /// With the number of its last use.
    places: BTreeMap<ComponentId, (u64, Arc<Ready>)>,
    uses: u64,
}

/// What one thread is at, and others wait for.
type Place<T> = tokio::sync::Mutex<T>;

/// A component, once it is ready to run.
type Ready = Place<Option<Arc<Prepared>>>;

/// By component and store.
type Fetches = BTreeMap<(ComponentId, String), Arc<Place<()>>>;

// === impl Loader ===

impl Loader {
    /// Opens stores through `locator`.
    pub(crate) fn new(engine: Engine, locator: Arc<Locator>) -> Self {
        let (components, fetches, owned) = Default::default();
        Self { engine, locator, components, fetches, owned }
    }

    /// Finds the component of a batch. A tenant has to have it in its own store, even where it is at
    /// hand because another tenant's job ran before.
    pub(crate) fn component_of(
        &self,
        batch: &Batch,
        waits: &dyn Waits,
    ) -> Result<Arc<Prepared>, Error> {
        let tenant = batch.payer.tenant();
        if !tenant.is_empty() {
            self.check_owned(tenant, batch, waits)?;
        }
        self.component(batch.component, &batch.store, waits)
    }

    fn check_owned(&self, tenant: &str, batch: &Batch, waits: &dyn Waits) -> Result<(), Error> {
        let key = (tenant.to_owned(), batch.component);
        let owned = || self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        if owned().contains(&key) {
            return Ok(());
        }
        let location = self.object(&batch.store, &layout::component(&batch.component))?;
        let found = self.wait(waits, location.store.head(&location.key))?;
        found.map_err(|error| {
            store_error(&error).context(format_args!("looking for component {}", batch.component))
        })?;
        let mut owned = owned();
        if owned.len() >= OWNED_MAX {
            owned.clear();
        }
        owned.insert(key);
        Ok(())
    }

    /// Finds a component that is in `store`.
    pub(crate) fn component(
        &self,
        id: ComponentId,
        store: &str,
        waits: &dyn Waits,
    ) -> Result<Arc<Prepared>, Error> {
        let place = self.place(id);
        {
            let mut place = self.enter(&place, waits);
            if let Some(prepared) = &*place {
                return Ok(Arc::clone(prepared));
            }
            if let Some(prepared) = self.engine.prepare_cached(id)? {
                return Ok(Arc::clone(place.insert(Arc::new(prepared))));
            }
        }
        // The place is free meanwhile: who has it in a faster store need not wait for this one.
        let fetch = self.fetch_of(id, store);
        let _alone = self.enter(&fetch, waits);
        if let Some(prepared) = &*self.enter(&place, waits) {
            return Ok(Arc::clone(prepared));
        }
        let bytes = self.fetch(id, store, waits)?;
        let mut place = self.enter(&place, waits);
        if let Some(prepared) = &*place {
            return Ok(Arc::clone(prepared));
        }
        let prepared = self.prepare(bytes, waits)?;
        Ok(Arc::clone(place.insert(Arc::new(prepared))))
    }

    fn place(&self, id: ComponentId) -> Arc<Ready> {
        let mut components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        components.place(id)
    }

    fn fetch_of(&self, id: ComponentId, store: &str) -> Arc<Place<()>> {
        let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody is at any more.
        fetches.retain(|_, fetch| Arc::strong_count(fetch) > 1);
        Arc::clone(fetches.entry((id, store.to_owned())).or_default())
    }

    /// Waits for whoever is there.
    fn enter<'a, T>(&self, place: &'a Place<T>, waits: &dyn Waits) -> PlaceGuard<'a, T> {
        match place.try_lock() {
            Ok(entered) => entered,
            Err(_) => wait_at_rest(&self.engine.inner().io, waits, place.lock()),
        }
    }

    /// Reads a component from the job's store and checks that it is the one.
    fn fetch(&self, id: ComponentId, store: &str, waits: &dyn Waits) -> Result<Bytes, Error> {
        let location = self.object(store, &layout::component(&id))?;
        let read = location.store.read(&location.key);
        let bytes = self
            .wait(waits, read)
            .and_then(|read| read.map_err(|error| store_error(&error)))
            .map_err(|error| {
                let mut error = error.context(format_args!("fetching component {id}"));
                if error.kind == ErrorKind::NotFound {
                    error.message.push_str(&format!("; {UPLOADED}"));
                }
                error
            })?;
        match ComponentId::of(&bytes) == id {
            true => Ok(bytes),
            false => {
                let url = location.url();
                let text = format!(
                    "{url} is damaged: its bytes are not those of component {id}; remove it, and {UPLOADED}"
                );
                Err(Error::new(ErrorKind::Component, text))
            }
        }
    }

    /// Compiles a component. Where another process does, this one's slots are for others.
    fn prepare(&self, bytes: Bytes, waits: &dyn Waits) -> Result<Prepared, Error> {
        if !self.engine.compiles_elsewhere() {
            return self.engine.prepare(&bytes);
        }
        let (engine, io) = (self.engine.clone(), &self.engine.inner().io);
        let prepares = io.spawn_blocking(move || engine.prepare(&bytes));
        match wait_at_rest(io, waits, prepares) {
            Ok(prepared) => prepared,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Error::new(ErrorKind::Lost, "the host ended while it compiled")),
        }
    }

    /// Waits for a store, but not for ever, and after a while without the slot where others want it.
    pub(crate) fn wait<F: Future>(&self, waits: &dyn Waits, future: F) -> Result<F::Output, Error> {
        // Within the runtime, which has the timer.
        let bounded = async { timeout(STORE_WAIT_MAX, future).await };
        wait_at_rest(&self.engine.inner().io, waits, bounded).map_err(|_| {
            let text = format!("the job's store did not answer within {STORE_WAIT_MAX:?}");
            Error::new(ErrorKind::TimedOut, text)
        })
    }

    pub(crate) fn object(&self, store: &str, key: &str) -> Result<Location, Error> {
        let root = self.locator.open(store).map_err(|error| store_error(&error))?;
        Ok(root.join(key))
    }
}

// === impl Components ===

impl Components {
    fn place(&mut self, id: ComponentId) -> Arc<Ready> {
        self.uses += 1;
        let uses = self.uses;
        if !self.places.contains_key(&id) && self.places.len() >= COMPONENTS_MAX {
            let oldest = self.places.iter().min_by_key(|(_, (used, _))| *used);
            let oldest = oldest.map(|(id, _)| *id);
            oldest.and_then(|id| self.places.remove(&id));
        }
        let (used, place) = self.places.entry(id).or_default();
        *used = uses;
        Arc::clone(place)
    }
}
