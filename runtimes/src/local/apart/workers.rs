//! Which process a batch goes to.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use samara_core::{Batch, Cancel, Capacity, Clock, Error, ErrorKind, Observer, Reach, Runtime};
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::shares::shares;
use super::worker::{Closed, Place, Talk, Worker, nobody_pays};
use super::{Exit, Launch, Orders, Process};
use crate::local::config::BATCH_TASKS_MAX;

/// Processes at the same moment: each has its threads, and some tens of megabytes.
pub(super) const WORKERS_MAX: usize = 64;

/// How long a process is left alone where others wait for its place, and how long it is until the next
/// one has to make room.
const TURN: Duration = Duration::from_secs(1);

/// The same after one that was idle, which is gone in a moment.
const MOMENT: Duration = Duration::from_millis(50);

/// The wait before a process that died is started again; doubles with each one that dies soon.
const AGAIN_FIRST: Duration = Duration::from_millis(100);
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// How long a process has to live to count as one that lives.
const LIVES: Duration = Duration::from_secs(10);

/// How often it is looked whether a batch that waits for its process is still wanted.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How often it is looked at idle and silent processes.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How long a process that has no batch any more is left its share: who calls again and again has the
/// next one by then, and those who hold more than theirs take milliseconds to stand still.
pub(super) const LINGER: Duration = Duration::from_millis(50);

/// Looks in a row at which a process that has batches had said nothing: it says each second that it
/// is alive. Looks and not time, because a host may be stopped as a whole.
const SILENT_MAX: u32 = 10;

/// What processes are kept by.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Tasks at the same moment, in each of them.
    pub slots: usize,
    /// How long one without work is kept.
    pub idle_max: Duration,
}

/// Runs each tenant's batches in a process of the tenant's own.
pub struct Workers(Arc<Shared>);

struct Shared {
    launch: Arc<dyn Launch>,
    terms: Terms,
    /// Processes at the same moment.
    most: usize,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Told when a batch may find what it waits for.
    changed: Arc<Notify>,
    /// Told when slots are to be shared anew in a while.
    lingers: Arc<Notify>,
}

#[derive(Default)]
struct State {
    tenants: BTreeMap<String, Tenant>,
    /// Those that are ready, also where they get no further batch.
    workers: Vec<Arc<Worker>>,
    /// Processes that there are: also those that start, and those that end.
    processes: usize,
    /// When the next one may have to make room for another tenant's.
    room_after: Duration,
    closed: bool,
}

#[derive(Default)]
struct Tenant {
    worker: Option<Arc<Worker>>,
    starting: bool,
    /// Processes that died soon, one after the other.
    failures: u32,
    /// When the next one may be started.
    not_before: Duration,
}

/// Shares slots anew when it is dropped.
struct Balance<'a>(&'a Shared);

/// What a batch is told that looks for its process.
enum Found {
    Place(Place),
    /// To start one: the place for it is taken.
    Start,
    /// To look again.
    Wait,
}

// === impl Workers ===

impl Workers {
    /// Starts processes by `launch`, and watches them on `io`.
    pub fn new(launch: Arc<dyn Launch>, terms: Terms, clock: Arc<dyn Clock>, io: &Handle) -> Self {
        Self::with_most(launch, terms, clock, (io, WORKERS_MAX))
    }

    pub(super) fn with_most(
        launch: Arc<dyn Launch>,
        terms: Terms,
        clock: Arc<dyn Clock>,
        (io, most): (&Handle, usize),
    ) -> Self {
        let (state, changed, lingers) = Default::default();
        let shared = Arc::new(Shared { launch, terms, most, clock, state, changed, lingers });
        io.spawn(sweep(Arc::downgrade(&shared)));
        io.spawn(linger(Arc::downgrade(&shared), Arc::clone(&shared.lingers)));
        Self(shared)
    }
}

#[async_trait]
impl Runtime for Workers {
    fn capacity(&self) -> Capacity {
        Capacity::new(self.0.terms.slots, BATCH_TASKS_MAX)
    }

    fn reach(&self) -> Reach {
        Reach::Machine
    }

    async fn invoke(
        &self,
        batch: Arc<Batch>,
        cancel: Cancel,
        observer: Arc<dyn Observer>,
    ) -> Result<(), Error> {
        let tenant = batch.payer.account().ok_or_else(nobody_pays)?.tenant().to_owned();
        // Dropped last, also where nobody waits for the batch any more.
        let _when_done = Balance(&self.0);
        let place = self.0.place(&tenant, &cancel).await?;
        self.0.balance();
        place.run(&batch, &cancel, observer).await
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.closed = true;
        for tenant in std::mem::take(&mut state.tenants).into_values() {
            tenant.worker.iter().for_each(|worker| worker.end());
        }
        self.0.lingers.notify_one();
    }
}

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "local:{} for each tenant", self.0.terms.slots)
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("terms", &self.0.terms).finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells processes that are at work with how many slots, now that there are others.
    fn balance(&self) {
        // Held until they are told, so that the last word is the last.
        let state = self.state();
        let wanted = state.workers.iter().map(|worker| (worker, worker.wanted(LINGER)));
        let (at_work, wanted): (Vec<_>, Vec<_>) = wanted.filter(|(_, wanted)| *wanted > 0).unzip();
        let shares = shares(self.terms.slots, &wanted);
        at_work.into_iter().zip(shares).for_each(|(worker, slots)| worker.allot(slots));
    }

    /// A place at the tenant's process, which is started where there is none.
    async fn place(self: &Arc<Self>, tenant: &str, cancel: &Cancel) -> Result<Place, Error> {
        loop {
            if cancel.is_cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "the job was cancelled"));
            }
            let orders = self.launch.orders(tenant)?;
            match self.find(tenant, &orders) {
                Found::Place(place) => return Ok(place),
                Found::Start => self.start(tenant, orders).await?,
                Found::Wait => {
                    let _either = timeout(LOOK_AGAIN, self.changed.notified()).await;
                }
            }
        }
    }

    fn find(&self, name: &str, orders: &Arc<Orders>) -> Found {
        let now = self.clock.monotonic();
        let mut state = self.state();
        let tenant = state.tenants.entry(name.to_owned()).or_default();
        if let Some(worker) = &tenant.worker {
            let is_right = Arc::ptr_eq(&worker.orders, orders) || worker.orders == *orders;
            match is_right.then(|| worker.place(&self.changed)).flatten() {
                Some(place) => return Found::Place(place),
                None => {
                    worker.retire();
                    tenant.worker = None;
                }
            }
        }
        if tenant.starting || now < tenant.not_before {
            return Found::Wait;
        }
        if state.processes >= self.most {
            state.make_room(now, self.most);
            return Found::Wait;
        }
        state.processes += 1;
        state.tenants.entry(name.to_owned()).or_default().starting = true;
        Found::Start
    }

    /// Starts a process for a tenant that has a place for one.
    async fn start(self: &Arc<Self>, name: &str, orders: Arc<Orders>) -> Result<(), Error> {
        let started = self.try_start(orders).await;
        let now = self.clock.monotonic();
        let mut state = self.state();
        let closed = state.closed;
        let tenant = state.tenants.entry(name.to_owned()).or_default();
        tenant.starting = false;
        let result = match started {
            Ok((worker, talk, process)) => {
                match closed {
                    true => worker.end(),
                    false => tenant.worker = Some(Arc::clone(&worker)),
                }
                state.workers.push(Arc::clone(&worker));
                tokio::spawn(Arc::clone(self).keep(worker, talk, process));
                Ok(())
            }
            Err(error) => {
                tenant.failed(now);
                Err(error.context(format_args!("the process of tenant `{name}` does not start")))
            }
        };
        drop(state);
        self.changed.notify_waiters();
        result
    }

    /// Gives back the process's place where it does not come to anything.
    async fn try_start(
        self: &Arc<Self>,
        orders: Arc<Orders>,
    ) -> Result<(Arc<Worker>, Talk, Box<dyn Process>), Error> {
        let internal = |error: std::io::Error| {
            Error::new(ErrorKind::Lost, format!("there is no link to it: {error}"))
        };
        let prepare = async {
            let (ours, its) = StdUnixStream::pair().map_err(internal)?;
            ours.set_nonblocking(true).map_err(internal)?;
            let ours = UnixStream::from_std(ours).map_err(internal)?;
            let (launch, wanted) = (Arc::clone(&self.launch), Arc::clone(&orders));
            let process = blocking(move || launch.start(&wanted, its)).await??;
            Ok::<_, Error>((ours, process))
        };
        let (link, process) = match prepare.await {
            Ok(prepared) => prepared,
            Err(error) => {
                self.state().processes -= 1;
                return Err(error);
            }
        };
        let tenant = orders.tenant.clone();
        let greeted = Worker::greet(link, orders, Arc::clone(&self.clock)).await;
        let accepted = greeted.and_then(|(worker, talk, protections)| {
            self.launch.accept(&tenant, &protections)?;
            Ok((worker, talk))
        });
        match accepted {
            Ok((worker, talk)) => Ok((worker, talk, process)),
            Err(mut error) => {
                let exit = blocking(|| process.end()).await;
                self.state().processes -= 1;
                let status = exit.map_or_else(|error| error.message, |exit| exit.status);
                error.message = format!("{} ({status})", error.message);
                Err(error)
            }
        }
    }

    /// Keeps a process until it has ended.
    async fn keep(self: Arc<Self>, worker: Arc<Worker>, talk: Talk, process: Box<dyn Process>) {
        let closed = worker.listen(talk, &self.launch).await;
        let exit = blocking(|| process.end()).await;
        let exit = exit.unwrap_or_else(|error| Exit { status: error.message, cpu: None });
        worker.ended(&closed, &exit);
        let now = self.clock.monotonic();
        let mut state = self.state();
        state.processes -= 1;
        state.workers.retain(|known| !Arc::ptr_eq(known, &worker));
        let tenant = state.tenants.entry(worker.tenant().to_owned()).or_default();
        if tenant.worker.as_ref().is_some_and(|current| Arc::ptr_eq(current, &worker)) {
            tenant.worker = None;
        }
        if let Closed::Unwanted(why) = &closed {
            match now.saturating_sub(worker.since) >= LIVES {
                true => tenant.failures = 0,
                false => tenant.failed(now),
            }
            let (tenant, status) = (worker.tenant(), &exit.status);
            tracing::warn!(tenant, "a tenant's process was lost: {why} ({status})");
        }
        state.forget(now);
        drop(state);
        self.changed.notify_waiters();
    }
}

/// Ends processes that are idle for long, and those that say nothing any more.
async fn sweep(shared: Weak<Shared>) {
    let mut ticks = interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let mut state = shared.state();
        for tenant in state.tenants.values_mut() {
            let Some(worker) = &tenant.worker else { continue };
            let is_idle = worker.idle().is_some_and(|idle| idle >= shared.terms.idle_max);
            let is_silent = worker.silence() > SILENT_MAX;
            if is_silent {
                tracing::warn!(tenant = worker.tenant(), "a tenant's process says nothing");
            }
            if is_idle || is_silent {
                worker.end();
                tenant.worker = None;
            }
        }
        let now = shared.clock.monotonic();
        state.forget(now);
    }
}

/// Shares slots anew once nobody lingers.
async fn linger(shared: Weak<Shared>, lingers: Arc<Notify>) {
    loop {
        lingers.notified().await;
        tokio::time::sleep(LINGER).await;
        let Some(shared) = shared.upgrade() else { return };
        if shared.state().closed {
            return;
        }
        shared.balance();
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Error::new(ErrorKind::Lost, format!("its thread ended ({error}): a defect of Samara's"))
    })
}

// === impl Balance ===

impl Drop for Balance<'_> {
    fn drop(&mut self) {
        self.0.balance();
        self.0.lingers.notify_one();
    }
}

// === impl State ===

impl State {
    /// Ends the process that was idle for longest. Where none is, the one that was there for longest
    /// gets no further batch, so that whoever waits has a turn; but no more than a quarter of all at
    /// the same moment.
    fn make_room(&mut self, now: Duration, most: usize) {
        if now < self.room_after {
            return;
        }
        let workers = || self.tenants.values().filter_map(|tenant| tenant.worker.as_ref());
        let starting = self.tenants.values().filter(|tenant| tenant.starting).count();
        let ending = self.processes.saturating_sub(workers().count() + starting);
        let idle = workers().filter_map(|worker| Some((worker.idle()?, worker)));
        let chosen = match idle.max_by_key(|(idle, _)| *idle) {
            Some((_, worker)) => Some((MOMENT, worker)),
            None if ending >= (most / 4).max(1) => None,
            None => {
                let oldest = workers().min_by_key(|worker| worker.since);
                let had_its_turn = |worker: &&Arc<Worker>| now.saturating_sub(worker.since) >= TURN;
                oldest.filter(had_its_turn).map(|worker| (TURN, worker))
            }
        };
        let Some((wait, chosen)) = chosen.map(|(wait, worker)| (wait, Arc::clone(worker))) else {
            return;
        };
        self.room_after = now + wait;
        chosen.retire();
        if let Some(tenant) = self.tenants.get_mut(chosen.tenant()) {
            tenant.worker = None;
        }
    }

    /// Forgets tenants of whom nothing is to be known.
    fn forget(&mut self, now: Duration) {
        self.tenants.retain(|_, tenant| {
            let is_known = tenant.worker.is_some() || tenant.starting;
            is_known || now < tenant.not_before + LIVES
        });
    }
}

// === impl Tenant ===

impl Tenant {
    fn failed(&mut self, now: Duration) {
        let wait = AGAIN_FIRST * 2_u32.saturating_pow(self.failures.min(8));
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + wait.min(AGAIN_MAX);
    }
}
