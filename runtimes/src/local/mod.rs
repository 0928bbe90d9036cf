//! `local:` — tasks run in this process, each slot a thread.

mod config;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use samara_core::{
    Batch, Cancel, Capacity, Clock, Error, ErrorKind, Observer, Report, Reports, Runtime,
    TaskHandler,
};
use tokio::sync::oneshot;

use crate::Context;
use crate::local::config::{BATCH_TASKS_MAX, Config, REPORTS_WAIT, STACK_BYTES};

/// Threads that run batches. They end when the runtime is dropped, after the batch they run.
pub struct Local {
    queue: Arc<Queue>,
    slots: usize,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Request>,
    closed: bool,
}

/// A batch and who is told of it.
struct Request {
    batch: Arc<Batch>,
    cancel: Cancel,
    observer: Arc<dyn Observer>,
    done: oneshot::Sender<()>,
}

/// Reports that wait for others to go with them.
struct Pending<'a> {
    reports: Vec<Report>,
    sent: Duration,
    clock: &'a dyn Clock,
    observer: &'a dyn Observer,
}

pub(crate) fn open(url: &str, context: &Context) -> Result<Arc<dyn Runtime>, Error> {
    let config = Config::parse(url, context)?;
    Ok(Arc::new(Local::start(&config)?))
}

// === impl Local ===

impl Local {
    fn start(config: &Config) -> Result<Self, Error> {
        let queue = Arc::new(Queue::default());
        // From here on, dropping `local` ends the threads that were started.
        let local = Self { queue: Arc::clone(&queue), slots: config.slots };
        for slot in 0..config.slots {
            let (queue, handler) = (Arc::clone(&queue), Arc::clone(&config.handler));
            let clock = Arc::clone(&config.clock);
            thread::Builder::new()
                .name(format!("samara-slot-{slot}"))
                .stack_size(STACK_BYTES)
                .spawn(move || work(&queue, &*handler, &*clock))
                .map_err(|error| {
                    Error::new(ErrorKind::Internal, format!("cannot start a thread: {error}"))
                })?;
        }
        Ok(local)
    }
}

#[async_trait]
impl Runtime for Local {
    fn capacity(&self) -> Capacity {
        Capacity::new(self.slots, BATCH_TASKS_MAX)
    }

    async fn invoke(
        &self,
        batch: Arc<Batch>,
        cancel: Cancel,
        observer: Arc<dyn Observer>,
    ) -> Result<(), Error> {
        let (done, ended) = oneshot::channel();
        self.queue.push(Request { batch, cancel, observer, done });
        ended.await.map_err(|_| {
            Error::new(ErrorKind::Lost, "the thread that ran the batch ended: a defect of Samara's")
        })
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "local:{}", self.slots)
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("slots", &self.slots).finish_non_exhaustive()
    }
}

// === impl Queue ===

impl Queue {
    fn push(&self, request: Request) {
        self.lock().requests.push_back(request);
        self.changed.notify_one();
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.requests.clear();
        self.changed.notify_all();
    }

    /// Waits for the next request; none when the runtime was dropped.
    fn pop(&self) -> Option<Request> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(request) = state.requests.pop_front() {
                return Some(request);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Pending ===

impl Pending<'_> {
    fn add(&mut self, reports: Reports) {
        match reports {
            Reports::Each(reports) => self.reports.extend(reports),
            shared @ Reports::Shared(_) => self.observer.ended(shared),
        }
        if self.clock.monotonic().saturating_sub(self.sent) >= REPORTS_WAIT {
            self.send();
        }
    }

    fn send(&mut self) {
        self.sent = self.clock.monotonic();
        if !self.reports.is_empty() {
            self.observer.ended(Reports::Each(std::mem::take(&mut self.reports)));
        }
    }
}

/// What one slot does.
fn work(queue: &Queue, handler: &dyn TaskHandler, clock: &dyn Clock) {
    while let Some(Request { batch, cancel, observer, done }) = queue.pop() {
        observer.started();
        let sent = clock.monotonic();
        let mut pending = Pending { reports: Vec::new(), sent, clock, observer: &*observer };
        let run = std::panic::AssertUnwindSafe(|| {
            handler.run(&batch, &cancel, &mut |reports| pending.add(reports));
        });
        // A panic here is a defect of ours. The slot survives it; the tasks without a report count
        // as lost and are tried again.
        let ran = std::panic::catch_unwind(run);
        pending.send();
        if ran.is_ok() {
            let _nobody_waits = done.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use samara_core::{
        Arguments, ComponentId, Grants, JobId, Limits, Outcome, Output, Stats, Task,
    };

    use super::*;

    /// Answers each task with its own index, and panics on index 13.
    #[derive(Debug)]
    struct Echo;

    impl TaskHandler for Echo {
        fn run(&self, batch: &Batch, _: &Cancel, report: &mut dyn FnMut(Reports)) {
            for task in &batch.tasks {
                assert_ne!(task.index, 13, "planted");
                report(Reports::Each(vec![Report {
                    index: task.index,
                    attempt: task.attempt,
                    outcome: Outcome::Success(Output::Inline(Bytes::from(vec![0]))),
                    log: Vec::new(),
                    log_dropped: 0,
                    stats: Stats::default(),
                }]));
            }
        }
    }

    fn batch(indices: std::ops::Range<u64>) -> Arc<Batch> {
        let task =
            |index| Task { index, attempt: 0, arguments: Arguments::default(), partition: None };
        Arc::new(Batch {
            job: JobId::new(0, 0),
            component: ComponentId::of(b""),
            function: "f".to_owned(),
            store: "mem://x".to_owned(),
            limits: Limits::default(),
            grants: Grants::default(),
            task_count: indices.end,
            reuse: false,
            depth: 0,
            tasks: indices.map(task).collect(),
        })
    }

    fn local(slots: usize) -> Arc<dyn Runtime> {
        let mut context = Context::default();
        context.handler = Some(Arc::new(Echo));
        context.slots = Some(slots);
        crate::open("local:", &context).unwrap()
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    /// Keeps the indices of the tasks it is told of.
    #[derive(Debug, Default)]
    struct Told(Mutex<Vec<u64>>);

    impl Observer for Told {
        fn ended(&self, reports: Reports) {
            let Reports::Each(reports) = reports else { panic!("{reports:?}") };
            self.0.lock().unwrap().extend(reports.iter().map(|report| report.index));
        }
    }

    fn invoke(runtime: &dyn Runtime, batch: Arc<Batch>) -> (Vec<u64>, Result<(), Error>) {
        let told = Arc::new(Told::default());
        let ended = block_on(runtime.invoke(batch, Cancel::default(), Arc::clone(&told) as _));
        let indices = std::mem::take(&mut *told.0.lock().unwrap());
        (indices, ended)
    }

    #[test]
    fn every_task_of_a_batch_is_reported() {
        let runtime = local(2);
        assert_eq!(invoke(&*runtime, batch(0..10)), ((0..10).collect(), Ok(())));
        assert_eq!(runtime.to_string(), "local:2");
    }

    #[test]
    fn a_panic_of_the_handler_loses_its_batch_and_no_slot() {
        let runtime = local(1);
        let (before, lost) = invoke(&*runtime, batch(11..15));
        assert_eq!((before, lost.unwrap_err().kind), (vec![11, 12], ErrorKind::Lost));
        assert_eq!(invoke(&*runtime, batch(0..1)), (vec![0], Ok(())));
    }
}
