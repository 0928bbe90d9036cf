//! Components that take long to be had, and whose slot it is meanwhile.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use samara_core::{Batch, Clock, Error, Reports, SystemClock, Waits};
use samara_engine::{Compile, Config, precompile};

use crate::common::{Worker, apart, arguments, programs, value_of};

/// What everybody waits at until it is open.
#[derive(Debug, Default)]
struct Barrier {
    is_open: Mutex<bool>,
    opened: Condvar,
    came: AtomicUsize,
}

/// Slots that somebody else always wants.
#[derive(Debug, Default)]
struct Wanted {
    given: AtomicUsize,
    back: AtomicUsize,
}

/// Another process that compiles, when it may.
#[derive(Debug)]
struct Elsewhere(Arc<Barrier>);

// === impl Barrier ===

impl Barrier {
    fn pass(&self) {
        self.came.fetch_add(1, Ordering::SeqCst);
        let is_open = self.is_open.lock().unwrap();
        drop(self.opened.wait_while(is_open, |is_open| !*is_open).unwrap());
    }

    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }
}

// === impl Wanted ===

impl Wanted {
    /// How many slots are others' now.
    fn away(&self) -> usize {
        self.given.load(Ordering::SeqCst) - self.back.load(Ordering::SeqCst)
    }
}

impl Waits for Wanted {
    fn begin(&self) {}

    fn end(&self) {
        self.back.fetch_add(1, Ordering::SeqCst);
    }

    fn rest(&self) -> bool {
        self.given.fetch_add(1, Ordering::SeqCst);
        true
    }
}

// === impl Elsewhere ===

impl Compile for Elsewhere {
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.pass();
        precompile(&Config::default(), component)
    }
}

/// A store by HTTP in which every object is the component, once it may be had.
fn slow_store(barrier: &Arc<Barrier>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let barrier = Arc::clone(barrier);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let barrier = Arc::clone(&barrier);
            std::thread::spawn(move || answer(stream, &barrier, programs()));
        }
    });
    format!("http://{address}/store")
}

fn answer(mut stream: TcpStream, barrier: &Barrier, bytes: &Bytes) {
    let _head = stream.read(&mut [0; 4096]);
    barrier.pass();
    let length = bytes.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let _gone = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(bytes));
}

/// A worker to which every component is new.
fn worker(change: impl FnOnce(&mut Config)) -> Worker {
    Worker::with(|config| {
        config.cache_dir = None;
        change(config);
    })
}

fn adds_one(worker: &Worker) -> Batch {
    worker.batch("adds_one", vec![arguments((41_u64,))])
}

fn value(all: Vec<Reports>) -> u64 {
    let (_, each) = apart(all);
    value_of(&each[0])
}

#[track_caller]
fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    while !is_so() {
        assert!(clock.monotonic() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Two batches of one component, which have no slots until the barrier is open.
fn two_without_slots(worker: &Worker, store: &str, barrier: &Barrier) {
    let slots = Arc::<Wanted>::default();
    let waits = Arc::clone(&slots) as Arc<dyn Waits>;
    let run = || worker.run_and_tell(Batch { store: store.to_owned(), ..adds_one(worker) }, &waits);
    std::thread::scope(|scope| {
        let both = [scope.spawn(run), scope.spawn(run)];
        soon("neither has a slot", || slots.away() == 2 && barrier.came() > 0);
        assert_eq!(barrier.came(), 1, "one of them waits for the other");
        barrier.open();
        for one in both {
            assert_eq!(value(one.join().unwrap()), 42);
        }
    });
    assert_eq!(slots.away(), 0, "they have them again");
}

#[test]
fn who_waits_for_a_component_has_no_slot() {
    let barrier = Arc::<Barrier>::default();
    two_without_slots(&worker(|_| ()), &slow_store(&barrier), &barrier);
}

#[test]
fn who_waits_for_another_process_to_compile_has_no_slot() {
    let barrier = Arc::<Barrier>::default();
    let elsewhere = Arc::new(Elsewhere(Arc::clone(&barrier)));
    let worker = worker(|config| config.compiler = Some(elsewhere));
    let store = worker.store.clone();
    two_without_slots(&worker, &store, &barrier);
}

#[test]
fn nobody_waits_for_the_slow_store_of_another() {
    let barrier = Arc::<Barrier>::default();
    let (worker, store) = (worker(|_| ()), slow_store(&barrier));
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| worker.run(Batch { store, ..adds_one(&worker) }));
        soon("it is asked for", || barrier.came() == 1);
        assert_eq!(value(worker.run(adds_one(&worker))), 42, "the same component");
        barrier.open();
        assert_eq!(value(slow.join().unwrap()), 42);
    });
}
