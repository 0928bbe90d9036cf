//! Push, the host's side: batches come with requests, frames go back with the answers.
//!
//! Every way in that is pushed to hands its batches to one [`Service`], which bounds them, runs
//! them on the runtime of this process, and drains.
//!
//! | file | does |
//! |---|---|
//! | `answer.rs` | the frames of one batch, as they come |
//! | `metrics.rs` | counts, as Prometheus reads them |
//! | `nested.rs` | jobs that tasks start |
//! | `unread.rs` | tests of answers that nobody reads |

mod answer;
mod metrics;
mod nested;
#[cfg(test)]
mod unread;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use samara_core::wire::HostInfo;
use samara_core::{Batch, Caller, Cancel, Error, Gate, Runtime, Tally};
use tokio::sync::Notify;

pub use self::answer::{ALIVE_EVERY, Answer, Bounds};
pub(crate) use self::answer::{Why, encoded, undone};
use self::metrics::Metrics;
pub use self::nested::Nesting;

/// Batches that a host takes per slot: the one that runs, the one that waits behind it, and as many
/// of another driver. What comes beyond is told to come again.
const BATCHES_PER_SLOT: usize = 4;

/// The same for all tenants together, where a host knows them: each has its own places, so that none
/// takes all of them.
const TENANTS_AT_ONCE: usize = 16;

/// Bytes of one batch at most, where it has several tasks: what a driver sends together with room to
/// spare. It is held in memory, and there are four of them for each slot.
pub const BATCH_BYTES_MAX: u64 = 32 << 20;

/// Bytes of a request at most: a task that is longer than [`BATCH_BYTES_MAX`] goes alone.
pub const REQUEST_BYTES_MAX: u64 = 128 << 20;

/// How long after it was cancelled a batch may take to end: a guest stops within some 10 ms.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_secs(2);

/// Takes batches, within bounds.
pub struct Service {
    runtime: Arc<dyn Runtime>,
    version: String,
    metrics: Metrics,
    gate: Option<Arc<dyn Gate>>,
    /// The way in, where nobody names another.
    way: &'static str,
    in_flight: AtomicUsize,
    /// Batches that are under way, by their tenants.
    by_tenant: Mutex<BTreeMap<String, usize>>,
    /// Told when a batch ended.
    ended: Notify,
    draining: AtomicBool,
    /// Set when what is not done goes back to its driver.
    handing_back: AtomicBool,
    cancel: Cancel,
}

/// Why a batch was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There are enough; it can be sent again, here or elsewhere.
    Busy,
    /// The host is about to end; it can be sent elsewhere.
    Draining,
    /// It has more tasks than the host says that it takes together; it can be cut.
    TooMany(Error),
    /// The host's gate did not let it in.
    Denied(Error),
}

/// A batch's place; dropping it gives it back.
struct Place {
    service: Arc<Service>,
    tenant: String,
    admitted: Option<Admitted>,
}

/// A batch that the gate let in.
struct Admitted {
    caller: Arc<dyn Caller>,
    job: samara_core::JobId,
    /// What the gate wants to be held.
    _place: Box<dyn Any + Send + Sync>,
}

// === impl Refusal ===

impl Refusal {
    /// In words.
    pub fn why(&self) -> &str {
        match self {
            Self::Busy => "busy",
            Self::Draining => "about to end",
            Self::TooMany(error) | Self::Denied(error) => &error.message,
        }
    }
}

// === impl Service ===

impl Service {
    /// Runs batches on `runtime`; `version` is what the program says of itself; `gate` decides who
    /// may send them, where it is not the platform or a token that does.
    pub fn new(
        runtime: Arc<dyn Runtime>,
        version: impl Into<String>,
        gate: Option<Arc<dyn Gate>>,
    ) -> Arc<Self> {
        Self::by_way("", runtime, version, gate)
    }

    /// The same, where batches come by the way of this name: what the gate writes down has it. A host
    /// has one, which is that of its surroundings.
    pub fn by_way(
        way: &'static str,
        runtime: Arc<dyn Runtime>,
        version: impl Into<String>,
        gate: Option<Arc<dyn Gate>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            runtime,
            version: version.into(),
            metrics: Metrics::default(),
            gate,
            way,
            in_flight: AtomicUsize::new(0),
            by_tenant: Mutex::default(),
            ended: Notify::new(),
            draining: AtomicBool::new(false),
            handing_back: AtomicBool::new(false),
            cancel: Cancel::default(),
        })
    }

    /// What the host says of itself.
    pub fn info(&self) -> HostInfo {
        let capacity = self.runtime.capacity();
        let mut info = HostInfo::new(&self.version, capacity.slots);
        info.batch_tasks_max = capacity.batch_tasks_max;
        info.batch_bytes_max = BATCH_BYTES_MAX;
        info.task_memory_max = capacity.task_memory_max;
        info.draining = self.is_draining();
        info
    }

    /// Whether there is a gate.
    pub fn has_gate(&self) -> bool {
        self.gate.is_some()
    }

    /// Finds out who holds a ticket; nobody in particular where there is no gate.
    ///
    /// # Errors
    ///
    /// What the gate says.
    pub fn identify(&self, ticket: Option<&str>) -> Result<Option<Arc<dyn Caller>>, Error> {
        self.identify_by(self.way, ticket)
    }

    /// The same, where a host has several ways in: this one is named so.
    ///
    /// # Errors
    ///
    /// What the gate says.
    pub fn identify_by(
        &self,
        way: &'static str,
        ticket: Option<&str>,
    ) -> Result<Option<Arc<dyn Caller>>, Error> {
        self.gate.as_ref().map(|gate| gate.identify(way, ticket)).transpose()
    }

    /// Takes a batch of whoever was identified. It runs until it ends, or until its answer is
    /// dropped.
    ///
    /// # Errors
    ///
    /// Where it has to go elsewhere, or come again; or is not let in.
    pub fn begin(
        self: &Arc<Self>,
        mut batch: Batch,
        caller: Option<Arc<dyn Caller>>,
    ) -> Result<Answer, Refusal> {
        let place = self.admit(&mut batch, caller)?;
        Ok(Answer::of(place, vec![batch]))
    }

    /// Takes a batch where no other comes until it is done: its tasks are spread over all slots.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub fn begin_alone(
        self: &Arc<Self>,
        mut batch: Batch,
        caller: Option<Arc<dyn Caller>>,
    ) -> Result<Answer, Refusal> {
        let place = self.admit(&mut batch, caller)?;
        Ok(Answer::of(place, spread(batch, self.runtime.capacity().slots)))
    }

    /// A place for a batch that the gate lets in.
    fn admit(
        self: &Arc<Self>,
        batch: &mut Batch,
        caller: Option<Arc<dyn Caller>>,
    ) -> Result<Place, Refusal> {
        let tenant = caller.as_ref().map_or("", |caller| caller.tenant());
        let place = self.bound(batch).and_then(|()| self.place(tenant));
        let mut place = place.inspect_err(|refusal| {
            self.metrics.refused();
            if let Some(caller) = &caller {
                caller.turned_away(Some(batch), refusal.why());
            }
        })?;
        if let Some(caller) = caller {
            let admitted = caller.admit(batch).map_err(Refusal::Denied)?;
            place.admitted = Some(Admitted { caller, job: batch.job, _place: admitted });
        } else if self.has_gate() {
            let text = "nobody in particular sent it: a defect of Samara's";
            let error = Error::new(samara_core::ErrorKind::Denied, text);
            return Err(Refusal::Denied(error));
        }
        Ok(place)
    }

    /// Refuses more tasks than a batch may have: what is held for a batch grows with them.
    fn bound(&self, batch: &Batch) -> Result<(), Refusal> {
        let (tasks, most) = (batch.tasks.len(), self.runtime.capacity().batch_tasks_max);
        let text = || format!("the batch has {tasks} tasks, and this host takes {most} at most");
        match tasks > most {
            true => Err(Refusal::TooMany(Error::new(samara_core::ErrorKind::Invalid, text()))),
            false => Ok(()),
        }
    }

    fn place(self: &Arc<Self>, tenant: &str) -> Result<Place, Refusal> {
        if self.is_draining() {
            return Err(Refusal::Draining);
        }
        let each = self.runtime.capacity().slots * BATCHES_PER_SLOT;
        let most = if self.has_gate() { each * TENANTS_AT_ONCE } else { each };
        let before = self.in_flight.fetch_add(1, Ordering::SeqCst);
        let mut by_tenant = self.tenants();
        let own = by_tenant.entry(tenant.to_owned()).or_default();
        let is_free = before < most && *own < each;
        *own += 1;
        drop(by_tenant);
        let place = Place { service: Arc::clone(self), tenant: tenant.to_owned(), admitted: None };
        // A drain that began meanwhile has to see it gone.
        match is_free {
            true if self.is_draining() => Err(Refusal::Draining),
            true => Ok(place),
            false => Err(Refusal::Busy),
        }
    }

    fn tenants(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no more batches are taken.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Whether what is not done goes back to its driver.
    fn is_handing_back(&self) -> bool {
        self.handing_back.load(Ordering::SeqCst)
    }

    /// Batches that are under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Takes no more batches, and waits for those that are under way; what is not done after
    /// `grace` goes back to its driver. Says whether all was done.
    pub async fn drain(&self, grace: Duration) -> bool {
        self.draining.store(true, Ordering::SeqCst);
        if tokio::time::timeout(grace, self.idle()).await.is_ok() {
            return true;
        }
        self.handing_back.store(true, Ordering::SeqCst);
        self.cancel.cancel();
        let _those_that_hang_are_left = tokio::time::timeout(CANCEL_GRACE, self.idle()).await;
        false
    }

    /// The process is about to end: the gate writes down what it has not written yet.
    pub fn close(&self) {
        if let Some(gate) = &self.gate {
            gate.close();
        }
    }

    async fn idle(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Counts, in Prometheus' text format.
    pub fn metrics(&self) -> String {
        self.metrics.text(&self.info(), self.in_flight())
    }
}

/// A batch as several, with its tasks dealt out in turn.
fn spread(mut batch: Batch, parts: usize) -> Vec<Batch> {
    let tasks = std::mem::take(&mut batch.tasks);
    let parts = parts.min(tasks.len()).max(1);
    let mut batches = vec![batch; parts];
    for (n, task) in tasks.into_iter().enumerate() {
        batches[n % parts].tasks.push(task);
    }
    batches
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("runtime", &self.runtime)
            .field("in_flight", &self.in_flight())
            .field("draining", &self.is_draining())
            .finish_non_exhaustive()
    }
}

// === impl Place ===

impl Place {
    /// Tells the gate what became of the batch.
    fn ended(&self, tally: &Tally) {
        if let Some(admitted) = &self.admitted {
            admitted.caller.ended(admitted.job, tally);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut tenants = self.service.tenants();
        if let Some(own) = tenants.get_mut(&self.tenant) {
            *own -= 1;
            if *own == 0 {
                tenants.remove(&self.tenant);
            }
        }
        drop(tenants);
        self.service.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.service.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use samara_core::{Capacity, ErrorKind, Observer, Reach};

    use super::*;

    /// Tasks of a batch that it takes.
    const TASKS_MAX: usize = 3;

    #[derive(Debug)]
    struct OneSlot;

    #[async_trait]
    impl Runtime for OneSlot {
        fn capacity(&self) -> Capacity {
            Capacity::new(1, TASKS_MAX)
        }

        fn reach(&self) -> Reach {
            Reach::Process
        }

        async fn invoke(
            &self,
            _: Arc<Batch>,
            _: Cancel,
            _: Arc<dyn Observer>,
        ) -> Result<(), Error> {
            Ok(())
        }
    }

    impl fmt::Display for OneSlot {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("one:")
        }
    }

    #[derive(Debug)]
    struct Closed;

    impl Gate for Closed {
        fn identify(&self, way: &'static str, _: Option<&str>) -> Result<Arc<dyn Caller>, Error> {
            Err(Error::new(ErrorKind::Denied, format!("closed to {way}")))
        }
    }

    /// Whom it is told what was turned away.
    #[derive(Debug, Default)]
    struct Told(Mutex<Vec<(bool, String)>>);

    impl Caller for Told {
        fn tenant(&self) -> &'static str {
            "acme"
        }

        fn admit(&self, _: &mut Batch) -> Result<Box<dyn Any + Send + Sync>, Error> {
            Ok(Box::new(()))
        }

        fn check_object(&self, _: &str, _: samara_core::Access) -> Result<(), Error> {
            Ok(())
        }

        fn turned_away(&self, batch: Option<&Batch>, why: &str) {
            self.0.lock().unwrap().push((batch.is_some(), why.to_owned()));
        }
    }

    #[tokio::test]
    async fn the_gate_hears_of_every_batch_that_is_turned_away() {
        let service = Service::by_way("queue", Arc::new(OneSlot), "1", Some(Arc::new(Closed)));
        let caller = Arc::new(Told::default());
        let told = || std::mem::take(&mut *caller.0.lock().unwrap());
        let begin = |tasks| {
            let batch = (*crate::local::tests::batch(0..tasks)).clone();
            service.begin(batch, Some(Arc::clone(&caller) as Arc<dyn Caller>))
        };
        assert!(matches!(begin(4), Err(Refusal::TooMany(_))));
        let text = "the batch has 4 tasks, and this host takes 3 at most";
        assert_eq!(told(), [(true, text.to_owned())]);
        let places = taken(&service, "acme", BATCHES_PER_SLOT);
        assert!(matches!(begin(1), Err(Refusal::Busy)));
        assert_eq!(told(), [(true, "busy".to_owned())]);
        drop(places);
        assert!(begin(1).is_ok() && told().is_empty());
        service.draining.store(true, Ordering::SeqCst);
        assert!(matches!(begin(1), Err(Refusal::Draining)));
        assert_eq!(told(), [(true, "about to end".to_owned())]);
        let Err(error) = service.identify(None) else { panic!("it is closed") };
        assert_eq!(error.message, "closed to queue");
        let Err(error) = service.identify_by("array", None) else { panic!("it is closed") };
        assert_eq!(error.message, "closed to array");
    }

    fn taken(service: &Arc<Service>, tenant: &str, times: usize) -> Vec<Place> {
        (0..times).filter_map(|_| service.place(tenant).ok()).collect()
    }

    #[test]
    fn a_tenants_batches_leave_the_places_of_others_free() {
        let service = Service::new(Arc::new(OneSlot), "1", Some(Arc::new(Closed)));
        let flood = taken(&service, "flood", 1_000);
        assert_eq!(flood.len(), BATCHES_PER_SLOT);
        let mut others = Vec::new();
        for n in 1..TENANTS_AT_ONCE {
            let places = taken(&service, &format!("t{n}"), 1_000);
            assert_eq!(places.len(), BATCHES_PER_SLOT, "tenant {n}");
            others.extend(places);
        }
        assert!(matches!(service.place("one more"), Err(Refusal::Busy)), "in all there are enough");
        drop(others.pop());
        assert!(service.place("one more").is_ok());
        drop((flood, others));
        assert_eq!((service.in_flight(), service.tenants().len()), (0, 0));
    }

    #[tokio::test]
    async fn a_batch_of_more_tasks_than_are_taken_together_is_refused() {
        let service = Service::new(Arc::new(OneSlot), "1", None);
        assert_eq!(service.info().batch_tasks_max, TASKS_MAX);
        let batch = |tasks| (*crate::local::tests::batch(0..tasks)).clone();
        assert!(service.begin(batch(3), None).is_ok());
        for refused in [service.begin(batch(4), None), service.begin_alone(batch(4), None)] {
            let Err(Refusal::TooMany(error)) = refused else { panic!("it is too long") };
            assert!(error.message.contains("4 tasks, and this host takes 3"), "{error}");
        }
    }

    #[test]
    fn without_tenants_there_are_the_places_of_one() {
        let service = Service::new(Arc::new(OneSlot), "1", None);
        assert_eq!(taken(&service, "", 1_000).len(), BATCHES_PER_SLOT);
    }
}
