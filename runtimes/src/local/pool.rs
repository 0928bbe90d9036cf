//! The threads of `local:`. There are as many as slots, and more while tasks wait for nested jobs.
//!
//! A task that waits keeps its thread, so others have to run what it waits for. Which batch begins
//! is decided so that this always ends:
//!
//! - No more threads compute than there are slots. One that stops waiting goes on at once, so there
//!   can be more until the next batch ends.
//! - No more batches of one depth and tenant are under way than there are slots. So there are at most
//!   `slots` threads for each depth, and of those that wait, the deepest always find their children's
//!   depth free.
//! - The deepest goes first: somebody waits for it.
//!
//! Where several tenants want slots, tasks of one that has more than its share stand still in the
//! middle of their work, at the next look that the engine takes at them, until it is their turn. So do
//! tasks beyond what was allotted, where other processes have a share of the same processors. A task
//! that waits for something elsewhere, be it only a time, has no slot while another tenant wants it;
//! it goes on at once when it has what it waited for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use samara_core::{Clock, Error, ErrorKind, Waits};

use crate::local::Request;
use crate::local::config::{Config, STACK_BYTES};
use crate::local::lanes::{Lanes, Next};

/// How long a thread beyond the slots waits for work before it ends: long against the time between
/// two waits of one task, short against a person's patience with idle threads.
const SPARE_WAIT: Duration = Duration::from_secs(1);

/// How often a task that stands still looks whether it is still wanted.
const PAUSE_LOOK: Duration = Duration::from_millis(20);

/// Requests, and the threads that run them.
pub(super) struct Pool {
    state: Mutex<State>,
    changed: Condvar,
    /// Told where a task that stands still may go on.
    resumed: Condvar,
    config: Config,
    /// Its own reference, for the threads that are started while tasks wait.
    this: Weak<Self>,
}

#[derive(Default)]
struct State {
    lanes: Lanes,
    /// Threads that there are.
    threads: usize,
    /// Threads that wait for requests.
    idle: usize,
    /// Threads that run a batch and have a slot.
    computing: usize,
    /// Threads that wait for a nested job, or for something elsewhere while others want their slot.
    waiting: usize,
    /// Threads whose batch stands still.
    paused: usize,
    /// Slots that others have for now.
    withheld: usize,
    closed: bool,
}

/// One batch's way of letting others go first.
struct Turn {
    pool: Arc<Pool>,
    tenant: String,
    /// Whether it waits for something elsewhere, without its slot.
    rests: AtomicBool,
}

// === impl Pool ===

impl Pool {
    /// Starts a thread per slot.
    pub(super) fn start(config: Config) -> Result<Arc<Self>, Error> {
        let slots = config.slots;
        let pool = Arc::new_cyclic(|this| Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            resumed: Condvar::new(),
            config,
            this: Weak::clone(this),
        });
        for _ in 0..slots {
            if let Err(error) = pool.start_thread(&mut pool.lock()) {
                pool.close();
                let text = format!("cannot start a thread: {error}");
                return Err(Error::new(ErrorKind::Internal, text));
            }
        }
        Ok(pool)
    }

    pub(super) fn slots(&self) -> usize {
        self.config.slots
    }

    pub(super) fn push(&self, request: Request) {
        let tenant = request.batch.payer.tenant().to_owned();
        let mut state = self.lock();
        state.lanes.push(request);
        let is_owed = state.next(self.config.slots).is_none() && state.lanes.is_owed(&tenant);
        self.wake(state);
        if is_owed {
            // Who holds more than its share would give way some milliseconds later by itself.
            self.config.handler.look_now();
        }
    }

    /// From now on no more than so many batches compute, and no fewer than one.
    pub(super) fn allot(&self, slots: usize) {
        let mut state = self.lock();
        state.withheld = self.config.slots.saturating_sub(slots.max(1));
        let is_over = state.is_over(self.config.slots);
        self.wake(state);
        if is_over {
            // They would stand still some milliseconds later by themselves.
            self.config.handler.look_now();
        }
    }

    /// Ends the threads after the batches they run; what is queued is dropped, and so lost.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.lanes.clear();
        self.changed.notify_all();
        self.resumed.notify_all();
    }

    /// Sees to it that a thread takes what may begin now.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        match state.next(self.config.slots) {
            None => return,
            Some(Next::Resume(_)) => {
                self.resumed.notify_all();
                return;
            }
            Some(Next::Begin(..)) => {}
        }
        if state.idle > 0 {
            // Whoever is woken finds the lock free.
            drop(state);
            self.changed.notify_one();
        } else if state.threads - state.waiting - state.paused < self.config.slots
            && let Err(error) = self.start_thread(&mut state)
        {
            // Whoever ends next takes it. Where all threads wait nobody ends, but a task's time is
            // limited, and it says what it waited for.
            tracing::warn!("cannot start a thread for nested jobs: {error}");
        }
    }

    fn start_thread(&self, state: &mut State) -> std::io::Result<()> {
        let Some(this) = self.this.upgrade() else { return Ok(()) };
        thread::Builder::new()
            .name(format!("samara-slot-{}", state.threads))
            .stack_size(STACK_BYTES)
            .spawn(move || this.work())?;
        state.threads += 1;
        Ok(())
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.config.clock)
    }

    /// What a thread does.
    fn work(self: Arc<Self>) {
        while let Some(request) = self.take() {
            let depth = request.batch.depth as usize;
            let tenant = request.batch.payer.tenant().to_owned();
            let rests = AtomicBool::new(false);
            let turn = Arc::new(Turn { pool: Arc::clone(&self), tenant, rests });
            let waits: Arc<dyn Waits> = Arc::clone(&turn) as _;
            request.run(&*self.config.handler, &waits);
            let mut state = self.lock();
            state.computing -= 1;
            state.lanes.end(&turn.tenant, depth);
        }
    }

    /// Waits for a request that may begin; none when the runtime was dropped, or for a thread that
    /// is not needed any more.
    fn take(&self) -> Option<Request> {
        let mut state = self.lock();
        loop {
            if state.closed {
                state.threads -= 1;
                return None;
            }
            match state.next(self.config.slots) {
                Some(Next::Begin(tenant, depth)) => {
                    let request = state.lanes.begin(&tenant, depth);
                    state.computing += 1;
                    // What was pushed while this thread was on its way may be for others.
                    self.wake(state);
                    return request;
                }
                Some(Next::Resume(_)) => self.resumed.notify_all(),
                None => {}
            }
            state.idle += 1;
            let spare = state.threads > self.config.slots;
            let late;
            (state, late) = self.wait(state, spare);
            state.idle -= 1;
            let is_wanted = matches!(state.next(self.config.slots), Some(Next::Begin(..)));
            if late && state.threads > self.config.slots && !is_wanted {
                state.threads -= 1;
                return None;
            }
        }
    }

    /// Waits for a change; says whether a spare thread did so in vain.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, spare: bool) -> (MutexGuard<'a, State>, bool) {
        if !spare {
            let state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            return (state, false);
        }
        let waited = self.changed.wait_timeout(state, SPARE_WAIT);
        let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        (state, timeout.timed_out())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Turn ===

impl Waits for Turn {
    fn begin(&self) {
        let mut state = self.pool.lock();
        state.computing -= 1;
        state.waiting += 1;
        state.lanes.waits(&self.tenant, true);
        self.pool.wake(state);
    }

    fn end(&self) {
        let mut state = self.pool.lock();
        state.computing += 1;
        state.waiting -= 1;
        match self.rests.swap(false, Ordering::Relaxed) {
            true => state.lanes.wake(&self.tenant),
            false => state.lanes.waits(&self.tenant, false),
        }
    }

    fn rest(&self) -> bool {
        let mut state = self.pool.lock();
        if !state.lanes.rest(&self.tenant, self.pool.config.slots) {
            return false;
        }
        self.rests.store(true, Ordering::Relaxed);
        state.computing -= 1;
        state.waiting += 1;
        self.pool.wake(state);
        true
    }

    fn give_way(&self, is_wanted: &dyn Fn() -> bool) -> bool {
        let (pool, slots) = (&self.pool, self.pool.config.slots);
        let mut state = pool.lock();
        if !state.is_over(slots) && !state.lanes.owes(&self.tenant, slots) {
            return false;
        }
        state.computing -= 1;
        state.paused += 1;
        state.lanes.pause(&self.tenant);
        pool.wake(state);
        let mut state = pool.lock();
        let own = Next::Resume(self.tenant.clone());
        while !state.closed && is_wanted() && state.next(slots).as_ref() != Some(&own) {
            let waited = pool.resumed.wait_timeout(state, PAUSE_LOOK);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.computing += 1;
        state.paused -= 1;
        state.lanes.resume(&self.tenant);
        // Another slot may be free for another one.
        pool.wake(state);
        true
    }
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("slots", &self.config.slots).finish_non_exhaustive()
    }
}

// === impl State ===

impl State {
    /// What a slot is to be used for now, if one is free.
    fn next(&self, slots: usize) -> Option<Next> {
        match self.computing < slots.saturating_sub(self.withheld) {
            true => self.lanes.next(slots),
            false => None,
        }
    }

    /// Whether more compute than others leave.
    fn is_over(&self, slots: usize) -> bool {
        self.withheld > 0 && self.computing > slots.saturating_sub(self.withheld)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex, mpsc};

    use samara_core::{
        Batch, Cancel, Observer, Reports, Runtime, SystemClock, TaskHandler, Waiting, Waits,
    };

    use super::*;
    use crate::local::Pending;
    use crate::local::{Local, tests::batch};

    /// Each task starts as many of the next depth and waits for all of them.
    #[derive(Debug)]
    struct Tree {
        pool: Mutex<Weak<Pool>>,
        fan_out: u64,
        depth_max: u32,
        done: AtomicUsize,
        /// The most threads that there were when a task began: those that are spare end again.
        threads_max: AtomicUsize,
    }

    #[derive(Debug)]
    struct Nobody;

    impl Observer for Nobody {
        fn ended(&self, _: Reports) {}
    }

    fn nobody(pool: &Pool) -> Arc<Pending> {
        let (unsent, clock) = (Mutex::default(), pool.clock());
        Arc::new(Pending { unsent, clock, observer: Arc::new(Nobody) })
    }

    impl Tree {
        fn pool(&self) -> Arc<Pool> {
            self.pool.lock().unwrap().upgrade().unwrap()
        }

        fn children(&self, parent: &Batch, waits: &dyn Waits) {
            let pool = self.pool();
            let children = (0..self.fan_out).map(|_| {
                let child = Batch { depth: parent.depth + 1, ..(*batch(0..1)).clone() };
                let (done, ended) = tokio::sync::oneshot::channel();
                let (cancel, pending) = (Cancel::default(), nobody(&pool));
                pool.push(Request { batch: Arc::new(child), cancel, pending, done });
                ended
            });
            let children: Vec<_> = children.collect();
            let _waiting = Waiting::begin(waits);
            for child in children {
                child.blocking_recv().unwrap();
            }
        }
    }

    impl TaskHandler for Tree {
        fn run(
            &self,
            batch: &Arc<Batch>,
            _: &Cancel,
            waits: &Arc<dyn Waits>,
            _: &mut dyn FnMut(Reports),
        ) {
            let threads = self.pool().lock().threads;
            self.threads_max.fetch_max(threads, Ordering::SeqCst);
            for _ in &batch.tasks {
                if batch.depth < self.depth_max {
                    self.children(batch, &**waits);
                }
                self.done.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    fn tree(slots: usize, fan_out: u64, depth_max: u32) -> (Arc<Tree>, Local) {
        let (pool, done, threads_max) = Default::default();
        let tree = Arc::new(Tree { pool, fan_out, depth_max, done, threads_max });
        let (handler, clock) = (Arc::clone(&tree) as _, Arc::new(SystemClock::new()) as _);
        let pool = Pool::start(Config { slots, handler, clock }).unwrap();
        let local = Local { pool, task_memory_max: None };
        *tree.pool.lock().unwrap() = Arc::downgrade(&local.pool);
        (tree, local)
    }

    /// Runs `roots` trees; returns the tasks done and the largest number of threads.
    fn run(slots: usize, roots: u64, fan_out: u64, depth_max: u32) -> (usize, usize) {
        let (tree, local) = tree(slots, fan_out, depth_max);
        let (sender, ended) = mpsc::channel();
        std::thread::scope(|scope| {
            for root in 0..roots {
                let (local, sender) = (&local, sender.clone());
                scope.spawn(move || {
                    let io = tokio::runtime::Builder::new_current_thread()
                        .enable_time()
                        .build()
                        .unwrap();
                    let invoked = local.invoke(
                        batch(root..root + 1),
                        Cancel::default(),
                        Arc::new(Nobody) as Arc<dyn Observer>,
                    );
                    io.block_on(invoked).unwrap();
                    sender.send(()).unwrap();
                });
            }
        });
        drop(sender);
        assert_eq!(ended.iter().count() as u64, roots);
        (tree.done.load(Ordering::SeqCst), tree.threads_max.load(Ordering::SeqCst))
    }

    #[test]
    fn with_one_slot_tasks_wait_for_their_childrens_children() {
        assert_eq!(run(1, 1, 1, 3), (4, 4), "one thread for each depth");
        assert_eq!(run(1, 3, 3, 2).0, 3 * (1 + 3 + 9));
    }

    #[test]
    fn many_that_wait_take_no_more_threads_than_slots_for_each_depth() {
        let (done, threads) = run(2, 20, 3, 3);
        assert_eq!(done, 20 * (1 + 3 + 9 + 27));
        assert!(threads <= 2 * 4, "{threads}");
        let (done, threads) = run(3, 10, 2, 8);
        assert_eq!(done, 10 * ((1 << 9) - 1));
        assert!(threads <= 3 * 9, "{threads}");
    }

    /// A tenant without quotas but for its tasks.
    #[derive(Debug)]
    struct Tenant(&'static str, usize);

    impl samara_core::Account for Tenant {
        fn tenant(&self) -> &str {
            self.0
        }

        fn tasks_max(&self) -> usize {
            self.1
        }

        fn memory_max(&self) -> u64 {
            u64::MAX
        }

        fn take_memory(&self, _: u64) -> bool {
            true
        }

        fn give_back_memory(&self, _: u64) {}

        fn spent(&self, _: samara_core::Usage) {}
    }

    /// Computes until it is told to stop, with the looks that an engine takes; counts by tenant.
    #[derive(Debug, Default)]
    struct Spins {
        computing: Mutex<std::collections::BTreeMap<String, (usize, usize)>>,
        stop: std::sync::atomic::AtomicBool,
        looks: AtomicUsize,
    }

    impl Spins {
        fn add(&self, tenant: &str, more: isize) {
            let mut computing = self.computing.lock().unwrap();
            let (now, most) = computing.entry(tenant.to_owned()).or_default();
            *now = now.checked_add_signed(more).unwrap();
            *most = (*most).max(*now);
        }

        fn now(&self, tenant: &str) -> usize {
            self.computing.lock().unwrap().get(tenant).map_or(0, |(now, _)| *now)
        }
    }

    impl TaskHandler for Spins {
        fn run(
            &self,
            batch: &Arc<Batch>,
            _: &Cancel,
            waits: &Arc<dyn Waits>,
            _: &mut dyn FnMut(Reports),
        ) {
            let tenant = batch.payer.tenant();
            self.add(tenant, 1);
            while !self.stop.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
                if tenant == "sleeper" {
                    if let Some(_resting) = Waiting::rest(&**waits) {
                        while !self.stop.load(Ordering::SeqCst) {
                            std::thread::sleep(Duration::from_millis(1));
                        }
                    }
                    continue;
                }
                self.add(tenant, -1);
                waits.give_way(&|| true);
                self.add(tenant, 1);
                if tenant == "short" {
                    break;
                }
            }
            self.add(tenant, -1);
        }

        fn look_now(&self) {
            self.looks.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn of(tenant: &'static str, tasks: usize) -> Arc<Batch> {
        let payer: Arc<dyn samara_core::Account> = Arc::new(Tenant(tenant, tasks));
        Arc::new(Batch { payer: payer.into(), ..(*batch(0..1)).clone() })
    }

    fn spinning(slots: usize) -> (Arc<Spins>, Arc<Pool>) {
        let spins = Arc::<Spins>::default();
        let (handler, clock) = (Arc::clone(&spins) as _, Arc::new(SystemClock::new()) as _);
        (spins, Pool::start(Config { slots, handler, clock }).unwrap())
    }

    fn begin(pool: &Pool, batch: Arc<Batch>) -> tokio::sync::oneshot::Receiver<()> {
        let (done, ended) = tokio::sync::oneshot::channel();
        pool.push(Request { batch, cancel: Cancel::default(), pending: nobody(pool), done });
        ended
    }

    #[track_caller]
    fn soon(what: impl Fn() -> bool) {
        let holds = |_: &u32| {
            std::thread::sleep(Duration::from_millis(5));
            what()
        };
        assert!((0..4000).any(|n| holds(&n)));
    }

    /// For a while no more than one is seen to compute, and then one is.
    #[track_caller]
    fn one_goes_on(spins: &Spins) {
        for _ in 0..50 {
            std::thread::sleep(Duration::from_millis(1));
            assert!(spins.now("one") <= 1, "{}", spins.now("one"));
        }
        // At a look of its own nobody computes for a moment.
        soon(|| spins.now("one") == 1);
    }

    #[test]
    fn a_tenant_that_floods_makes_room_for_another() {
        let (spins, pool) = spinning(2);
        let flood: Vec<_> = (0..50).map(|_| begin(&pool, of("flood", 100))).collect();
        soon(|| spins.now("flood") == 2);
        assert_eq!(spins.looks.load(Ordering::SeqCst), 0, "nobody else is there");
        // Each of them waits for no more than the next look, and asks for one where none is free.
        for _ in 0..20 {
            begin(&pool, of("short", 100)).blocking_recv().unwrap();
        }
        assert!(spins.looks.load(Ordering::SeqCst) > 0);
        let other = begin(&pool, of("other", 100));
        soon(|| spins.now("flood") == 1 && spins.now("other") == 1);
        spins.stop.store(true, Ordering::SeqCst);
        for ended in flood.into_iter().chain([other]) {
            ended.blocking_recv().unwrap();
        }
        assert!(spins.computing.lock().unwrap().values().all(|(now, _)| *now == 0));
        pool.close();
    }

    #[test]
    fn a_tenant_that_sleeps_makes_room_for_another() {
        let (spins, pool) = spinning(2);
        let sleepers: Vec<_> = (0..10).map(|_| begin(&pool, of("sleeper", 100))).collect();
        soon(|| spins.now("sleeper") == 2);
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(pool.lock().waiting, 0, "nobody else is there");
        for _ in 0..5 {
            begin(&pool, of("short", 100)).blocking_recv().unwrap();
        }
        // No more of its own begin because some have no slot.
        assert_eq!(spins.computing.lock().unwrap()["sleeper"].1, 2);
        spins.stop.store(true, Ordering::SeqCst);
        for ended in sleepers {
            ended.blocking_recv().unwrap();
        }
        soon(|| {
            let state = pool.lock();
            (state.computing, state.waiting) == (0, 0)
        });
        pool.close();
    }

    #[test]
    fn with_one_slot_tenants_take_turns() {
        let (spins, pool) = spinning(1);
        let one = begin(&pool, of("one", 100));
        let other = begin(&pool, of("other", 100));
        for _ in 0..3 {
            soon(|| spins.now("one") == 1 && spins.now("other") == 0);
            soon(|| spins.now("other") == 1 && spins.now("one") == 0);
        }
        spins.stop.store(true, Ordering::SeqCst);
        one.blocking_recv().unwrap();
        other.blocking_recv().unwrap();
        pool.close();
    }

    #[test]
    fn a_tenant_has_no_more_tasks_at_once_than_it_may_have() {
        let (spins, pool) = spinning(4);
        let all: Vec<_> = (0..10).map(|_| begin(&pool, of("small", 2))).collect();
        soon(|| spins.now("small") == 2);
        std::thread::sleep(Duration::from_millis(50));
        spins.stop.store(true, Ordering::SeqCst);
        for ended in all {
            ended.blocking_recv().unwrap();
        }
        assert_eq!(spins.computing.lock().unwrap()["small"].1, 2);
        pool.close();
    }

    #[test]
    fn tasks_beyond_what_is_allotted_stand_still() {
        let (spins, pool) = spinning(3);
        let all: Vec<_> = (0..4).map(|_| begin(&pool, of("one", 100))).collect();
        soon(|| spins.now("one") == 3);
        pool.allot(1);
        assert_eq!(spins.looks.load(Ordering::SeqCst), 1, "they are asked at once");
        // One that was at a look of its own a moment ago goes on until the next.
        soon(|| pool.lock().paused == 2 && spins.now("one") == 1);
        one_goes_on(&spins);
        // What was not allotted is there for nobody, and one slot is there always.
        pool.allot(0);
        one_goes_on(&spins);
        pool.allot(2);
        soon(|| spins.now("one") == 2);
        pool.allot(100);
        soon(|| spins.now("one") == 3);
        pool.allot(1);
        spins.stop.store(true, Ordering::SeqCst);
        for ended in all {
            ended.blocking_recv().unwrap();
        }
        pool.close();
    }

    #[test]
    fn spare_threads_end_by_themselves() {
        let (tree, local) = tree(1, 1, 4);
        let pool = &local.pool;
        let (done, ended) = tokio::sync::oneshot::channel();
        let (cancel, pending) = (Cancel::default(), nobody(pool));
        pool.push(Request { batch: batch(0..1), cancel, pending, done });
        ended.blocking_recv().unwrap();
        assert_eq!(tree.threads_max.load(Ordering::SeqCst), 5);
        soon(|| pool.lock().threads == 1);
    }
}
