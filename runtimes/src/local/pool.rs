//! The threads of `local:`. There are as many as slots, and more while tasks wait for nested jobs.
//!
//! A task that waits keeps its thread, so others have to run what it waits for. Which batch begins
//! is decided so that this always ends:
//!
//! - No more threads compute than there are slots. One that stops waiting goes on at once, so there
//!   can be more until the next batch ends.
//! - No more batches of one depth are under way than there are slots. So there are at most `slots`
//!   threads for each depth, and of those that wait, the deepest always find their children's depth
//!   free.
//! - The deepest goes first: somebody waits for it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use samara_core::{Clock, Error, ErrorKind, Waits};

use crate::local::Request;
use crate::local::config::{Config, STACK_BYTES};

/// How long a thread beyond the slots waits for work before it ends: long against the time between
/// two waits of one task, short against a person's patience with idle threads.
const SPARE_WAIT: Duration = Duration::from_secs(1);

/// Requests, and the threads that run them.
pub(super) struct Pool {
    state: Mutex<State>,
    changed: Condvar,
    config: Config,
    /// Its own reference, for the threads that are started while tasks wait.
    this: Weak<Self>,
}

#[derive(Default)]
struct State {
    /// By depth.
    queues: Vec<Level>,
    /// Threads that there are.
    threads: usize,
    /// Threads that wait for requests.
    idle: usize,
    /// Threads that run a batch and do not wait for a nested job.
    computing: usize,
    /// Threads that wait for a nested job.
    waiting: usize,
    closed: bool,
}

/// The batches of one depth.
#[derive(Default)]
struct Level {
    queue: VecDeque<Request>,
    /// Batches under way, also those that wait.
    running: usize,
}

// === impl Pool ===

impl Pool {
    /// Starts a thread per slot.
    pub(super) fn start(config: Config) -> Result<Arc<Self>, Error> {
        let slots = config.slots;
        let pool = Arc::new_cyclic(|this| Self {
            state: Mutex::default(),
            changed: Condvar::new(),
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
        let depth = request.batch.depth as usize;
        let mut state = self.lock();
        if state.queues.len() <= depth {
            state.queues.resize_with(depth + 1, Level::default);
        }
        state.queues[depth].queue.push_back(request);
        self.wake(state);
    }

    /// Ends the threads after the batches they run; what is queued is dropped, and so lost.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.queues.iter_mut().for_each(|level| level.queue.clear());
        self.changed.notify_all();
    }

    /// Sees to it that a thread takes what may begin now.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        if state.next(self.config.slots).is_none() {
            return;
        }
        if state.idle > 0 {
            // Whoever is woken finds the lock free.
            drop(state);
            self.changed.notify_one();
        } else if state.threads - state.waiting < self.config.slots
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
        let waits: Arc<dyn Waits> = Arc::clone(&self) as _;
        while let Some(request) = self.take() {
            let depth = request.batch.depth as usize;
            request.run(&*self.config.handler, &waits);
            let mut state = self.lock();
            state.computing -= 1;
            state.queues[depth].running -= 1;
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
            if let Some(depth) = state.next(self.config.slots) {
                let level = &mut state.queues[depth];
                level.running += 1;
                let request = level.queue.pop_front();
                state.computing += 1;
                // What was pushed while this thread was on its way may be for others.
                self.wake(state);
                return request;
            }
            state.idle += 1;
            let spare = state.threads > self.config.slots;
            let late;
            (state, late) = self.wait(state, spare);
            state.idle -= 1;
            if late && state.threads > self.config.slots && state.next(self.config.slots).is_none()
            {
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

impl Waits for Pool {
    fn begin(&self) {
        let mut state = self.lock();
        state.computing -= 1;
        state.waiting += 1;
        self.wake(state);
    }

    fn end(&self) {
        let mut state = self.lock();
        state.computing += 1;
        state.waiting -= 1;
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("slots", &self.config.slots).finish_non_exhaustive()
    }
}

// === impl State ===

impl State {
    /// The depth of the request that is to begin next, if one may.
    fn next(&self, slots: usize) -> Option<usize> {
        if self.computing >= slots {
            return None;
        }
        let may_begin = |level: &Level| !level.queue.is_empty() && level.running < slots;
        self.queues.iter().rposition(may_begin)
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
        fn children(&self, parent: &Batch, waits: &dyn Waits) {
            let pool = self.pool.lock().unwrap().upgrade().unwrap();
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
            for _ in &batch.tasks {
                if batch.depth < self.depth_max {
                    self.children(batch, &**waits);
                }
                self.done.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    fn tree(slots: usize, fan_out: u64, depth_max: u32) -> (Arc<Tree>, Local) {
        let done = AtomicUsize::new(0);
        let tree = Arc::new(Tree { pool: Mutex::default(), fan_out, depth_max, done });
        let (handler, clock) = (Arc::clone(&tree) as _, Arc::new(SystemClock::new()) as _);
        let local = Local { pool: Pool::start(Config { slots, handler, clock }).unwrap() };
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
        let threads = local.pool.lock().threads;
        (tree.done.load(Ordering::SeqCst), threads)
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

    #[test]
    fn spare_threads_end_by_themselves() {
        let (_tree, local) = tree(1, 1, 4);
        let pool = &local.pool;
        let (done, ended) = tokio::sync::oneshot::channel();
        let (cancel, pending) = (Cancel::default(), nobody(pool));
        pool.push(Request { batch: batch(0..1), cancel, pending, done });
        ended.blocking_recv().unwrap();
        assert_eq!(pool.lock().threads, 5);
        let gone = |_: &u32| {
            std::thread::sleep(Duration::from_millis(50));
            pool.lock().threads == 1
        };
        assert!((0..200).any(|n| gone(&n)), "{} threads", pool.lock().threads);
    }
}
