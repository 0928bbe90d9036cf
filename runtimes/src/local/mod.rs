//! `local:` — tasks run in this process, each slot a thread.

mod config;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use async_trait::async_trait;
use samara_core::{Batch, Cancel, Capacity, Error, ErrorKind, Report, Runtime, TaskHandler};
use tokio::sync::oneshot;

use crate::Context;
use crate::local::config::{BATCH_TASKS_MAX, Config, STACK_BYTES};

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

/// A batch and where its reports go.
struct Request {
    batch: Arc<Batch>,
    cancel: Cancel,
    reply: oneshot::Sender<Vec<Report>>,
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
            thread::Builder::new()
                .name(format!("samara-slot-{slot}"))
                .stack_size(STACK_BYTES)
                .spawn(move || work(&queue, &*handler))
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

    async fn invoke(&self, batch: Arc<Batch>, cancel: Cancel) -> Result<Vec<Report>, Error> {
        let (reply, reports) = oneshot::channel();
        self.queue.push(Request { batch, cancel, reply });
        reports.await.map_err(|_| {
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

/// What one slot does.
fn work(queue: &Queue, handler: &dyn TaskHandler) {
    while let Some(Request { batch, cancel, reply }) = queue.pop() {
        let mut reports = Vec::with_capacity(batch.tasks.len());
        let run = std::panic::AssertUnwindSafe(|| {
            handler.run(&batch, &cancel, &mut |report| reports.push(report));
        });
        // A panic here is a defect of ours. The slot survives it; the batch's reply is dropped, so
        // its tasks count as lost and are tried again.
        if std::panic::catch_unwind(run).is_ok() {
            let _nobody_waits = reply.send(reports);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use samara_core::{ComponentId, Grants, JobId, Limits, Outcome, Output, Stats, Task};

    use super::*;

    /// Answers each task with its own index, and panics on index 13.
    #[derive(Debug)]
    struct Echo;

    impl TaskHandler for Echo {
        fn run(&self, batch: &Batch, _: &Cancel, report: &mut dyn FnMut(Report)) {
            for task in &batch.tasks {
                assert_ne!(task.index, 13, "planted");
                report(Report {
                    index: task.index,
                    attempt: task.attempt,
                    outcome: Outcome::Success(Output::Inline(Bytes::from(vec![0]))),
                    log: Vec::new(),
                    log_dropped: 0,
                    stats: Stats::default(),
                });
            }
        }
    }

    fn batch(indices: std::ops::Range<u64>) -> Arc<Batch> {
        let task = |index| Task { index, attempt: 0, arguments: Bytes::new(), partition: None };
        Arc::new(Batch {
            job: JobId::new(0, 0),
            component: ComponentId::of(b""),
            function: "f".to_owned(),
            store: "mem://x".to_owned(),
            limits: Limits::default(),
            grants: Grants::default(),
            task_count: indices.end,
            tasks: indices.map(task).collect(),
        })
    }

    fn local(slots: usize) -> Arc<dyn Runtime> {
        let context = Context { handler: Some(Arc::new(Echo)), slots: Some(slots) };
        crate::open("local:", &context).unwrap()
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn every_task_of_a_batch_is_reported() {
        let runtime = local(2);
        let reports = block_on(runtime.invoke(batch(0..10), Cancel::default())).unwrap();
        assert_eq!(
            reports.iter().map(|r| r.index).collect::<Vec<_>>(),
            (0..10).collect::<Vec<_>>()
        );
        assert_eq!(runtime.to_string(), "local:2");
    }

    #[test]
    fn a_panic_of_the_handler_loses_its_batch_and_no_slot() {
        let runtime = local(1);
        let lost = block_on(runtime.invoke(batch(13..14), Cancel::default())).unwrap_err();
        assert_eq!(lost.kind, ErrorKind::Lost);
        assert!(block_on(runtime.invoke(batch(0..1), Cancel::default())).is_ok());
    }
}
