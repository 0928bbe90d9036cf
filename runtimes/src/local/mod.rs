//! `local:` — tasks run in this process, each slot a thread.

#[cfg(feature = "serve")]
pub mod apart;
mod config;
mod lanes;
mod memory;
mod pool;
#[cfg(feature = "http")]
mod processes;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use samara_core::{
    Batch, Cancel, Capacity, Clock, Error, ErrorKind, Observer, Reach, Report, Reports, Runtime,
    TaskHandler, Waits,
};
use tokio::sync::oneshot;

use crate::Context;
pub(crate) use crate::local::config::BATCH_TASKS_MAX;
pub use crate::local::config::SLOTS_MAX;
use crate::local::config::{Config, REPORTS_LATE, REPORTS_WAIT};
pub use crate::local::lanes::PAUSED_MAX;
use crate::local::pool::Pool;

/// Threads that run batches. They end when the runtime is dropped, after the batch they run.
pub struct Local {
    pool: Arc<Pool>,
    task_memory_max: Option<u64>,
}

/// A batch and who is told of it.
struct Request {
    batch: Arc<Batch>,
    cancel: Cancel,
    pending: Arc<Pending>,
    done: oneshot::Sender<()>,
}

/// Reports that wait for others to go with them.
struct Pending {
    unsent: Mutex<Unsent>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
}

#[derive(Default)]
struct Unsent {
    reports: Vec<Report>,
    sent: Duration,
}

pub(crate) fn open(url: &str, context: &Context) -> Result<Arc<dyn Runtime>, Error> {
    if url.contains('?') {
        #[cfg(feature = "http")]
        return processes::open(url, context);
        #[cfg(not(feature = "http"))]
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("`{url}`: build with the feature `http` for tasks in processes of their own"),
        ));
    }
    let config = Config::parse(url, context)?;
    let task_memory_max = memory::task_memory_max();
    Ok(Arc::new(Local { pool: Pool::start(config)?, task_memory_max }))
}

// === impl Local ===

#[async_trait]
impl Runtime for Local {
    fn capacity(&self) -> Capacity {
        Capacity::new(self.pool.slots(), BATCH_TASKS_MAX).with_task_memory_max(self.task_memory_max)
    }

    fn reach(&self) -> Reach {
        Reach::Process
    }

    async fn invoke(
        &self,
        batch: Arc<Batch>,
        cancel: Cancel,
        observer: Arc<dyn Observer>,
    ) -> Result<(), Error> {
        let (done, mut ended) = oneshot::channel();
        let alone = batch.tasks.len() == 1;
        let (unsent, clock) = (Mutex::default(), self.pool.clock());
        let pending = Arc::new(Pending { unsent, clock, observer });
        self.pool.push(Request { batch, cancel, pending: Arc::clone(&pending), done });
        loop {
            let ended = match alone {
                // No report can wait behind it, and a timer costs as much as a tiny task.
                true => Ok((&mut ended).await),
                false => tokio::time::timeout(REPORTS_LATE, &mut ended).await,
            };
            // The last reports go with the batch's end: whoever waits is woken once.
            pending.send();
            match ended {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(_)) => {
                    let text = "the thread that ran the batch ended: a defect of Samara's";
                    return Err(Error::new(ErrorKind::Lost, text));
                }
                // The thread is in a long task, and cannot send what came before it.
                Err(_) => {}
            }
        }
    }

    fn allot(&self, slots: usize) {
        self.pool.allot(slots);
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.pool.close();
    }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "local:{}", self.pool.slots())
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("slots", &self.pool.slots()).finish_non_exhaustive()
    }
}

// === impl Pending ===

impl Pending {
    fn add(&self, reports: Reports) {
        match reports {
            Reports::Each(reports) => self.lock().reports.extend(reports),
            shared @ Reports::Shared(_) => self.observer.ended(shared),
        }
        if self.clock.monotonic().saturating_sub(self.lock().sent) >= REPORTS_WAIT {
            self.send();
        }
    }

    fn send(&self) {
        let mut unsent = self.lock();
        unsent.sent = self.clock.monotonic();
        let reports = std::mem::take(&mut unsent.reports);
        drop(unsent);
        if !reports.is_empty() {
            self.observer.ended(Reports::Each(reports));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Unsent> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Request ===

impl Request {
    /// Runs the batch on this thread.
    fn run(self, handler: &dyn TaskHandler, waits: &Arc<dyn Waits>) {
        let Self { batch, cancel, pending, done } = self;
        pending.observer.started();
        pending.send();
        let run = std::panic::AssertUnwindSafe(|| {
            handler.run(&batch, &cancel, waits, &mut |reports| pending.add(reports));
        });
        // A panic here is a defect of ours. The slot survives it; the tasks without a report count
        // as lost and are tried again.
        let ran = std::panic::catch_unwind(run);
        if ran.is_ok() {
            let _nobody_waits = done.send(());
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::Bytes;
    use samara_core::{
        Arguments, ComponentId, Grants, JobId, Limits, Outcome, Output, Stats, Task,
    };

    use super::*;

    /// Answers each task with its own index, panics on index 13, and waits on index 99.
    #[derive(Debug)]
    struct Echo;

    impl TaskHandler for Echo {
        fn run(
            &self,
            batch: &Arc<Batch>,
            cancel: &Cancel,
            _: &Arc<dyn Waits>,
            report: &mut dyn FnMut(Reports),
        ) {
            for task in &batch.tasks {
                assert_ne!(task.index, 13, "planted");
                while task.index == 99 && !cancel.is_cancelled() {
                    std::thread::sleep(Duration::from_millis(1));
                }
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

    pub(crate) fn batch(indices: std::ops::Range<u64>) -> Arc<Batch> {
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
            payer: Default::default(),
            tasks: indices.map(task).collect(),
        })
    }

    fn local(slots: usize) -> Arc<dyn Runtime> {
        let handler: Option<Arc<dyn TaskHandler>> = Some(Arc::new(Echo));
        let context = Context { handler, slots: Some(slots), ..Context::default() };
        crate::open("local:", &context).unwrap()
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
            .block_on(future)
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

    #[test]
    fn a_long_task_does_not_hold_the_reports_before_it() {
        let (runtime, cancel) = (local(1), Cancel::default());
        let told = Arc::new(Told::default());
        let running = runtime.invoke(batch(97..100), cancel.clone(), Arc::clone(&told) as _);
        let look = async {
            while told.0.lock().unwrap().len() < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            cancel.cancel();
        };
        let (ended, ()) = block_on(async { tokio::join!(running, look) });
        assert_eq!((ended, told.0.lock().unwrap().len()), (Ok(()), 3));
    }
}
