//! Processes of several tenants, which are threads here: the links are real.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use async_trait::async_trait;
use samara_core::link::FromWorker;
use samara_core::wire::Frame;
use samara_core::{
    Account, Batch, Cancel, Capacity, Clock, ErrorKind, Observer, Outcome, Output, Payer, Reach,
    Report, Reports, Runtime, Secrets as _, Stats, SystemClock, Usage,
};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::workers::{LINGER, WORKERS_MAX};
use super::*;
use crate::local::tests::batch;
use crate::testing::Hand;

/// Starts threads instead of processes.
#[derive(Debug, Default)]
struct Threads {
    /// Whose were started.
    started: Mutex<Vec<String>>,
    /// Those that are there.
    there: Arc<AtomicU64>,
    /// Changed to have processes replaced.
    version: AtomicU64,
    /// Whether what they say of themselves is not enough.
    refuses: AtomicBool,
    /// Batches that have begun to wait.
    waiting: Arc<AtomicU64>,
}

struct Thread {
    thread: JoinHandle<()>,
    there: Arc<AtomicU64>,
}

/// What runs inside, by the function's name.
#[derive(Debug)]
struct Does {
    line: Arc<Line>,
    dies: Arc<Notify>,
    allotted: AtomicUsize,
    waiting: Arc<AtomicU64>,
}

/// Bytes that a tenant may use.
const QUOTA: u64 = 1_000_000;

/// A tenant's account.
#[derive(Debug)]
struct Purse(&'static str, Mutex<Usage>);

/// Remembers what it is told.
#[derive(Default)]
struct Seen(Mutex<Vec<Report>>);

impl Launch for Threads {
    fn orders(&self, tenant: &str) -> Result<Arc<Orders>, Error> {
        let first = self.version.load(Ordering::SeqCst).to_be_bytes().to_vec().into();
        Ok(Arc::new(Orders { tenant: tenant.to_owned(), first, environment: Vec::new() }))
    }

    fn start(&self, orders: &Orders, link: UnixStream) -> Result<Box<dyn Process>, Error> {
        self.started.lock().unwrap().push(orders.tenant.clone());
        let (tenant, first) = (orders.tenant.clone(), orders.first.clone());
        let waiting = Arc::clone(&self.waiting);
        self.there.fetch_add(1, Ordering::SeqCst);
        let thread = std::thread::spawn(move || {
            assert_eq!(Line::first(&link).unwrap(), first);
            let (line, outgoing) = Line::new();
            Line::say_now(&link, &FromWorker::Ready(Vec::new())).unwrap();
            let dies = Arc::new(Notify::new());
            let does = Arc::new(Does {
                line: Arc::clone(&line),
                dies: Arc::clone(&dies),
                allotted: AtomicUsize::new(0),
                waiting,
            });
            let io = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            io.block_on(async {
                tokio::select! {
                    served = line.serve(link, outgoing, (&tenant, does)) => served.unwrap(),
                    () = dies.notified() => {}
                }
            });
            io.shutdown_background();
        });
        Ok(Box::new(Thread { thread, there: Arc::clone(&self.there) }))
    }

    fn accept(&self, _: &str, _: &[Protection]) -> Result<(), Error> {
        match self.refuses.load(Ordering::SeqCst) {
            true => Err(Error::new(ErrorKind::Internal, "it is not enough")),
            false => Ok(()),
        }
    }

    fn answer(&self, tenant: &str, question: Question) -> Result<Bytes, Error> {
        match question {
            Question::Secret(name) => Ok(format!("{tenant}'s {name}").into()),
            Question::Compile(_) => Err(Error::new(ErrorKind::Component, "it is none")),
        }
    }
}

impl Process for Thread {
    fn end(self: Box<Self>) -> Exit {
        let status = match self.thread.join() {
            Ok(()) => "it returned",
            Err(_) => "it panicked",
        };
        self.there.fetch_sub(1, Ordering::SeqCst);
        Exit { status: status.to_owned(), cpu: Some(Duration::from_secs(7)) }
    }
}

#[async_trait]
impl Runtime for Does {
    fn capacity(&self) -> Capacity {
        Capacity::new(1, 1)
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
        observer.started();
        let account = batch.payer.account().expect("an account");
        let line = Arc::clone(&self.line);
        let text = match &*batch.function {
            "who" => account.tenant().to_owned(),
            "allotted" => self.allotted.load(Ordering::SeqCst).to_string(),
            "share" => format!("{} {}", account.tasks_max(), account.memory_max()),
            "memory" => {
                let taken = [60, 60].map(|bytes| account.take_memory(bytes));
                account.give_back_memory(60);
                format!("{taken:?} {}", account.take_memory(100))
            }
            "secret" => {
                let ask = move || line.secret("", "key").map(|it| it.reveal().to_owned());
                tokio::task::spawn_blocking(ask).await.unwrap().unwrap_or_default()
            }
            "compile" => {
                let ask = move || line.ask(Question::Compile(Bytes::new())).unwrap_err();
                tokio::task::spawn_blocking(ask).await.unwrap().message
            }
            "waits" => {
                self.waiting.fetch_add(1, Ordering::SeqCst);
                while !cancel.is_cancelled() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                "cancelled".to_owned()
            }
            "uses-up" => {
                account.spent(Usage { cpu: Duration::ZERO, bytes: QUOTA });
                while account.may_begin() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                "used up".to_owned()
            }
            "may-begin" => account.may_begin().to_string(),
            "dies" => {
                self.dies.notify_one();
                std::future::pending().await
            }
            "lies" => {
                let frame = Frame::Done;
                self.line.say(&FromWorker::Frame { number: 999, frame });
                std::future::pending().await
            }
            _ => return Err(Error::new(ErrorKind::Invalid, "there is no such function")),
        };
        account.spent(Usage { cpu: Duration::from_secs(1), bytes: 5 });
        let report = |index| Report {
            index,
            attempt: 0,
            outcome: Outcome::Success(Output::Inline(text.clone().into())),
            log: Vec::new(),
            log_dropped: 0,
            stats: Stats::default(),
        };
        let reports = batch.tasks.iter().map(|task| report(task.index)).collect();
        observer.ended(Reports::Each(reports));
        Ok(())
    }

    fn allot(&self, slots: usize) {
        self.allotted.store(slots, Ordering::SeqCst);
    }
}

impl fmt::Display for Does {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("does:")
    }
}

impl Account for Purse {
    fn tenant(&self) -> &str {
        self.0
    }

    fn tasks_max(&self) -> usize {
        3
    }

    fn memory_max(&self) -> u64 {
        100
    }

    fn take_memory(&self, _: u64) -> bool {
        panic!("the tenant's process counts its memory")
    }

    fn give_back_memory(&self, _: u64) {}

    fn spent(&self, usage: Usage) {
        let mut sum = self.1.lock().unwrap();
        *sum = Usage { cpu: sum.cpu + usage.cpu, bytes: sum.bytes + usage.bytes };
    }

    fn may_begin(&self) -> bool {
        self.1.lock().unwrap().bytes < QUOTA
    }
}

impl Observer for Seen {
    fn ended(&self, reports: Reports) {
        let Reports::Each(reports) = reports else { panic!("{reports:?}") };
        self.0.lock().unwrap().extend(reports);
    }
}

// === impl Threads ===

impl Threads {
    fn workers(self: &Arc<Self>, idle_max: Duration, most: usize) -> Workers {
        self.workers_by(Arc::new(SystemClock::new()), idle_max, most)
    }

    fn workers_by(
        self: &Arc<Self>,
        clock: Arc<dyn Clock>,
        idle_max: Duration,
        most: usize,
    ) -> Workers {
        let terms = Terms { slots: 4, idle_max };
        Workers::with_most(Arc::clone(self) as _, terms, clock, (&Handle::current(), most))
    }

    /// Waits until so many are there.
    async fn become_(&self, there: u64) {
        comes_to(&self.there, there).await;
    }

    /// Waits until so many batches have begun to wait.
    async fn wait(&self, batches: u64) {
        comes_to(&self.waiting, batches).await;
    }

    fn starts(&self) -> BTreeMap<String, usize> {
        let mut starts = BTreeMap::new();
        for tenant in &*self.started.lock().unwrap() {
            *starts.entry(tenant.clone()).or_default() += 1;
        }
        starts
    }
}

/// Waits until there are so many.
async fn comes_to(count: &AtomicU64, wanted: u64) {
    for _ in 0..3000 {
        if count.load(Ordering::SeqCst) == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("there are {}, not {wanted}", count.load(Ordering::SeqCst));
}

const LONG: Duration = Duration::from_secs(60);

fn purse(tenant: &'static str) -> Arc<Purse> {
    Arc::new(Purse(tenant, Mutex::default()))
}

/// What a batch of one task came to.
async fn run(workers: &Workers, purse: &Arc<Purse>, function: &str) -> Result<String, Error> {
    run_until(workers, purse, function, Cancel::default()).await
}

async fn run_until(
    workers: &Workers,
    purse: &Arc<Purse>,
    function: &str,
    cancel: Cancel,
) -> Result<String, Error> {
    let payer = Payer::from(Arc::clone(purse) as Arc<dyn Account>);
    let batch = Batch { function: function.to_owned(), payer, ..(*batch(0..1)).clone() };
    let seen = Arc::new(Seen::default());
    workers.invoke(Arc::new(batch), cancel, Arc::clone(&seen) as _).await?;
    let reports = seen.0.lock().unwrap();
    let Outcome::Success(Output::Inline(bytes)) = &reports[0].outcome else { panic!() };
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn each_tenant_has_a_process_of_its_own() {
    let threads = Arc::new(Threads::default());
    let workers = threads.workers(LONG, WORKERS_MAX);
    let (acme, beta) = (purse("acme"), purse("beta"));
    for _ in 0..3 {
        assert_eq!(run(&workers, &acme, "who").await.unwrap(), "acme");
        assert_eq!(run(&workers, &beta, "who").await.unwrap(), "beta");
    }
    assert_eq!(threads.starts(), [("acme".to_owned(), 1), ("beta".to_owned(), 1)].into());
    let error = run(&workers, &acme, "none").await.unwrap_err();
    assert_eq!((error.kind, &*error.message), (ErrorKind::Invalid, "there is no such function"));
    drop(workers);
    threads.become_(0).await;
}

#[tokio::test]
async fn use_is_counted_where_the_quota_is_and_memory_where_the_tasks_are() {
    let threads = Arc::new(Threads::default());
    let workers = threads.workers(LONG, WORKERS_MAX);
    let acme = purse("acme");
    assert_eq!(run(&workers, &acme, "share").await.unwrap(), "3 100");
    assert_eq!(run(&workers, &acme, "memory").await.unwrap(), "[true, false] true");
    let used = Usage { cpu: Duration::from_secs(2), bytes: 10 };
    assert_eq!(*acme.1.lock().unwrap(), used);
    // Two seconds were paid for; the process has used seven.
    let error = run(&workers, &acme, "dies").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Lost, "{error}");
    assert_eq!(*acme.1.lock().unwrap(), Usage { cpu: Duration::from_secs(7), bytes: 10 });
}

#[tokio::test]
async fn a_process_hears_when_a_quota_is_used_up() {
    let threads = Arc::new(Threads::default());
    let workers = threads.workers(LONG, WORKERS_MAX);
    let acme = purse("acme");
    assert_eq!(run(&workers, &acme, "may-begin").await.unwrap(), "true");
    // It ends when the process has heard of it.
    assert_eq!(run(&workers, &acme, "uses-up").await.unwrap(), "used up");
    // What the host sends it let in.
    assert_eq!(run(&workers, &acme, "may-begin").await.unwrap(), "true");
}

#[tokio::test]
async fn what_a_process_must_not_have_it_asks_for() {
    let threads = Arc::new(Threads::default());
    let workers = threads.workers(LONG, WORKERS_MAX);
    assert_eq!(run(&workers, &purse("acme"), "secret").await.unwrap(), "acme's key");
    assert_eq!(run(&workers, &purse("beta"), "secret").await.unwrap(), "beta's key");
    assert_eq!(run(&workers, &purse("beta"), "compile").await.unwrap(), "it is none");
}

#[tokio::test]
async fn a_process_that_is_lost_is_started_again_and_harms_nobody_else() {
    let threads = Arc::new(Threads::default());
    let workers = threads.workers(LONG, WORKERS_MAX);
    let (acme, beta) = (purse("acme"), purse("beta"));
    let cancel = Cancel::default();
    let others = async {
        let run = run_until(&workers, &beta, "waits", cancel.clone());
        run.await
    };
    let lost = async {
        threads.wait(1).await;
        for function in ["dies", "lies", "dies"] {
            let error = run(&workers, &acme, function).await.unwrap_err();
            assert!(error.kind == ErrorKind::Lost && error.message.contains("acme"), "{error}");
        }
        assert_eq!(run(&workers, &acme, "who").await.unwrap(), "acme");
        cancel.cancel();
    };
    let (others, ()) = tokio::join!(others, lost);
    assert_eq!(others.unwrap(), "cancelled", "it was told, and had time to say so");
    assert_eq!(threads.starts(), [("acme".to_owned(), 4), ("beta".to_owned(), 1)].into());
}

#[tokio::test]
async fn a_process_that_is_not_as_it_should_be_gets_no_batch() {
    let threads = Arc::new(Threads::default());
    let workers = threads.workers(LONG, WORKERS_MAX);
    threads.refuses.store(true, Ordering::SeqCst);
    let error = run(&workers, &purse("acme"), "who").await.unwrap_err();
    assert!(error.message.contains("acme") && error.message.contains("not enough"), "{error}");
    threads.become_(0).await;
    threads.refuses.store(false, Ordering::SeqCst);
    assert_eq!(run(&workers, &purse("acme"), "who").await.unwrap(), "acme");
}

#[tokio::test]
async fn a_process_is_replaced_when_its_orders_change_and_ends_when_it_is_done() {
    let threads = Arc::new(Threads::default());
    let workers = threads.workers(LONG, WORKERS_MAX);
    let acme = purse("acme");
    let cancel = Cancel::default();
    let long = async {
        let run = run_until(&workers, &acme, "waits", cancel.clone());
        run.await
    };
    let meanwhile = async {
        threads.wait(1).await;
        threads.version.store(1, Ordering::SeqCst);
        assert_eq!(run(&workers, &acme, "who").await.unwrap(), "acme");
        assert_eq!(threads.there.load(Ordering::SeqCst), 2, "the old one is at work");
        cancel.cancel();
    };
    let (long, ()) = tokio::join!(long, meanwhile);
    assert_eq!(long.unwrap(), "cancelled");
    threads.become_(1).await;
}

#[tokio::test]
async fn slots_are_shared_between_processes() {
    let (threads, clock) = (Arc::new(Threads::default()), Arc::new(Hand::default()));
    let workers = threads.workers_by(Arc::clone(&clock) as _, LONG, WORKERS_MAX);
    // Whoever has no batch lingers until this is said.
    let later = || *clock.0.lock().unwrap() += LINGER;
    let (acme, beta) = (purse("acme"), purse("beta"));
    assert_eq!(run(&workers, &acme, "allotted").await.unwrap(), "4", "nobody else is there");
    later();
    let (cancel, unwanted, dropped) = (Cancel::default(), Notify::new(), Notify::new());
    let flood = async {
        let batch = || run_until(&workers, &beta, "waits", cancel.clone());
        let fourth = async {
            tokio::select! {
                ended = run(&workers, &beta, "waits") => panic!("{ended:?}"),
                () = unwanted.notified() => {}
            }
            dropped.notify_one();
        };
        tokio::join!(batch(), batch(), batch(), fourth)
    };
    let others = async {
        threads.wait(4).await;
        // One batch of acme's and four of beta's.
        assert_eq!(run(&workers, &acme, "allotted").await.unwrap(), "1");
        assert_eq!(run(&workers, &beta, "allotted").await.unwrap(), "3", "acme may have the next");
        later();
        assert_eq!(run(&workers, &beta, "allotted").await.unwrap(), "4", "acme has none now");
        let enough = Cancel::default();
        let two = || run_until(&workers, &acme, "waits", enough.clone());
        let third = async {
            threads.wait(6).await;
            assert_eq!(run(&workers, &acme, "allotted").await.unwrap(), "2", "an even share");
            enough.cancel();
        };
        let (one, two, ()) = tokio::join!(two(), two(), third);
        assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
        // Whom nobody waits for any more takes no share.
        assert_eq!(run(&workers, &acme, "allotted").await.unwrap(), "1");
        unwanted.notify_one();
        dropped.notified().await;
        assert_eq!(run(&workers, &acme, "allotted").await.unwrap(), "4");
        cancel.cancel();
    };
    let (flood, ()) = tokio::join!(flood, others);
    assert!(flood.0.is_ok() && flood.1.is_ok() && flood.2.is_ok(), "{flood:?}");
}

#[tokio::test]
async fn a_process_without_work_ends() {
    let threads = Arc::new(Threads::default());
    let workers = threads.workers(Duration::ZERO, WORKERS_MAX);
    assert_eq!(run(&workers, &purse("acme"), "who").await.unwrap(), "acme");
    threads.become_(0).await;
    assert_eq!(run(&workers, &purse("acme"), "who").await.unwrap(), "acme");
    assert_eq!(threads.starts()["acme"], 2);
}

#[tokio::test]
async fn there_are_no_more_processes_than_there_may_be_and_everybody_has_a_turn() {
    let threads = Arc::new(Threads::default());
    let workers = threads.workers(LONG, 1);
    // Idle ones make room at once.
    for tenant in ["acme", "beta", "acme"] {
        assert_eq!(run(&workers, &purse(tenant), "who").await.unwrap(), tenant);
        assert!(threads.there.load(Ordering::SeqCst) <= 1);
    }
    // One that is at work does when it is done: it gets no further batch.
    let (acme, cancel) = (purse("acme"), Cancel::default());
    let long = async {
        let run = run_until(&workers, &acme, "waits", cancel.clone());
        run.await
    };
    let others = async {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let beta = purse("beta");
        let waits = run(&workers, &beta, "who");
        tokio::pin!(waits);
        let early = tokio::time::timeout(Duration::from_millis(200), &mut waits).await;
        assert!(early.is_err(), "there is no room: {early:?}");
        cancel.cancel();
        assert_eq!(waits.await.unwrap(), "beta");
    };
    let (long, ()) = tokio::join!(long, others);
    assert_eq!(long.unwrap(), "cancelled");
    assert!(threads.there.load(Ordering::SeqCst) <= 1);
}
