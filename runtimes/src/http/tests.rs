//! A driver and hosts that answer as they are told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use samara_core::wire::{Frame, HostInfo, encode_info};
use samara_core::{
    Arguments, Batch, Cancel, ComponentId, Error, ErrorKind, Grants, JobId, Limits, Observer,
    Reports, Runtime, Task,
};

use super::invoke::{GONE, PATIENCE};
use super::open;
use crate::Context;
use crate::testing::Hand;

/// What a host answers to a batch: the status, a header, and the body.
type Says = (u16, &'static str, Vec<u8>);

/// A host, and how often it was asked and sent a batch.
struct Fake {
    address: String,
    asked: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
    /// Whether it says nothing any more.
    gone: Arc<AtomicBool>,
}

struct Nobody;

impl Observer for Nobody {
    fn ended(&self, _: Reports) {}
}

// === impl Fake ===

impl Fake {
    /// One that says this of itself, and that to the batch of this number.
    fn start(info: &HostInfo, says: impl Fn(usize) -> Says + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (asked, sent) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let (gone, counts) =
            (Arc::<AtomicBool>::default(), (Arc::clone(&asked), Arc::clone(&sent)));
        let silent = Arc::clone(&gone);
        let (info, says) = (encode_info(info).unwrap().to_vec(), Arc::new(says));
        std::thread::spawn(move || {
            let open = |_: &TcpStream| !silent.load(Ordering::SeqCst);
            for stream in listener.incoming().flatten().filter(open) {
                let (says, info) = (Arc::clone(&says), info.clone());
                let (asked, sent) = (Arc::clone(&counts.0), Arc::clone(&counts.1));
                std::thread::spawn(move || {
                    answer(stream, |is_batch| match is_batch {
                        true => says(sent.fetch_add(1, Ordering::SeqCst)),
                        false => {
                            asked.fetch_add(1, Ordering::SeqCst);
                            (200, "x-a: b", info)
                        }
                    });
                });
            }
        });
        Self { address, asked, sent, gone }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }
}

/// One request, and what is said to it.
fn answer(mut stream: TcpStream, says: impl FnOnce(bool) -> Says) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        // Who connects ahead of need and says nothing is gone.
        if reader.read_line(&mut line).unwrap() == 0 {
            return;
        }
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        length = line.strip_prefix("content-length: ").map_or(length, |said| said.parse().unwrap());
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    let (status, header, body) = says(first.starts_with("POST"));
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} As Told\r\nsamara-host: 1\r\n{header}\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
}

/// A runtime of these hosts, and its clock.
fn driver(hosts: &[&Fake]) -> (Arc<dyn Runtime>, Arc<Hand>) {
    let clock = Arc::new(Hand(Mutex::new(Duration::from_secs(100))));
    let context = Context { clock: Arc::clone(&clock) as _, ..Context::default() };
    let hosts: Vec<&str> = hosts.iter().map(|host| &*host.address).collect();
    (open(&format!("http://{}", hosts.join(",")), &context).unwrap(), clock)
}

async fn invoke(runtime: &Arc<dyn Runtime>, tasks: u64) -> Result<(), Error> {
    let task = |index| Task { index, attempt: 0, arguments: Arguments::default(), partition: None };
    let batch = Batch {
        job: JobId::new(1, 2),
        component: ComponentId::of(b""),
        function: "f".to_owned(),
        store: "mem://x/".to_owned(),
        limits: Limits::default(),
        grants: Grants::default(),
        task_count: tasks,
        reuse: false,
        depth: 0,
        payer: Default::default(),
        tasks: (0..tasks).map(task).collect(),
    };
    let invoked = runtime.invoke(Arc::new(batch), Cancel::default(), Arc::new(Nobody));
    let invoked = tokio::time::timeout(Duration::from_secs(60), invoked);
    invoked.await.expect("it comes to something")
}

fn frame(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.write(&mut bytes).unwrap();
    bytes
}

fn done() -> Says {
    (200, "samara-streams: 1", frame(&Frame::Done))
}

#[tokio::test]
async fn what_a_full_host_refuses_goes_to_the_one_beside_it_at_once() {
    // The full one has more slots, and so most room by what this driver knows.
    let full = Fake::start(&HostInfo::new("1", 8), |_| (503, "retry-after: 30", Vec::new()));
    let free = Fake::start(&HostInfo::new("1", 2), |_| done());
    let (runtime, clock) = driver(&[&full, &free]);
    runtime.ready().await.unwrap();
    let first = tokio::time::timeout(Duration::from_secs(5), invoke(&runtime, 1));
    first.await.expect("it waits for nothing").unwrap();
    for _ in 0..5 {
        invoke(&runtime, 1).await.unwrap();
    }
    assert_eq!((full.sent(), free.sent()), (1, 6), "it is not asked again so soon");
    *clock.0.lock().unwrap() += Duration::from_secs(60);
    invoke(&runtime, 1).await.unwrap();
    assert_eq!(full.sent(), 2, "it may have room again");
}

#[tokio::test]
async fn a_batch_comes_again_where_there_is_no_other_host() {
    let busy = |number| if number == 0 { (503, "retry-after: 0", Vec::new()) } else { done() };
    let host = Fake::start(&HostInfo::new("1", 2), busy);
    let (runtime, _) = driver(&[&host]);
    runtime.ready().await.unwrap();
    invoke(&runtime, 1).await.unwrap();
    assert_eq!(host.sent(), 2);
}

#[tokio::test]
async fn a_host_that_says_itself_that_a_batch_failed_is_not_left_alone() {
    let failed =
        |kind| move |_| (200, "x-a: b", frame(&Frame::Failed(Error::new(kind, "told so"))));
    let mut info = HostInfo::new("1", 8);
    info.streams = false;
    for kind in [ErrorKind::HandedBack, ErrorKind::Lost, ErrorKind::Internal] {
        let first = Fake::start(&info, failed(kind));
        let other = Fake::start(&HostInfo::new("1", 1), |_| done());
        let (runtime, _) = driver(&[&first, &other]);
        runtime.ready().await.unwrap();
        for _ in 0..3 {
            assert_eq!(invoke(&runtime, 1).await.unwrap_err().kind, kind);
        }
        assert_eq!((first.sent(), other.sent()), (3, 0), "{kind:?}");
    }
    // One that streams may be about to end: it has a moment to be gone.
    let first = Fake::start(&HostInfo::new("1", 8), failed(ErrorKind::HandedBack));
    let other = Fake::start(&HostInfo::new("1", 1), |_| done());
    let (runtime, clock) = driver(&[&first, &other]);
    runtime.ready().await.unwrap();
    assert_eq!(invoke(&runtime, 1).await.unwrap_err().kind, ErrorKind::HandedBack);
    invoke(&runtime, 1).await.unwrap();
    *clock.0.lock().unwrap() += Duration::from_millis(101);
    assert_eq!(invoke(&runtime, 1).await.unwrap_err().kind, ErrorKind::HandedBack);
    assert_eq!((first.sent(), other.sent()), (2, 1));
    // What breaks off is another matter.
    let first = Fake::start(&info, |_| (200, "x-a: b", frame(&Frame::Alive)));
    let other = Fake::start(&HostInfo::new("1", 1), |_| done());
    let (runtime, _) = driver(&[&first, &other]);
    runtime.ready().await.unwrap();
    assert_eq!(invoke(&runtime, 1).await.unwrap_err().kind, ErrorKind::Lost);
    invoke(&runtime, 1).await.unwrap();
    assert_eq!((first.sent(), other.sent()), (1, 1));
}

#[tokio::test]
async fn a_job_does_not_begin_where_nobody_has_been_for_long() {
    // Batches are never answered well.
    let host = Fake::start(&HostInfo::new("1", 2), |_| (500, "x-a: b", Vec::new()));
    let (runtime, clock) = driver(&[&host]);
    runtime.ready().await.unwrap();
    runtime.ready().await.unwrap();
    assert_eq!(host.asked(), 1, "it was there");
    invoke(&runtime, 1).await.unwrap_err();
    runtime.ready().await.unwrap();
    assert_eq!(host.asked(), 2, "is it there?");
    runtime.ready().await.unwrap();
    assert_eq!(host.asked(), 2, "it was");
    host.gone.store(true, Ordering::SeqCst);
    runtime.ready().await.expect("nobody knows yet");
    invoke(&runtime, 1).await.unwrap_err();
    runtime.ready().await.expect("batches wait for one that is started again");
    *clock.0.lock().unwrap() += PATIENCE;
    let error = runtime.ready().await.unwrap_err();
    assert!(error.message.contains(&host.address), "{error}");
    host.gone.store(false, Ordering::SeqCst);
    runtime.ready().await.expect("it is back");
}

#[tokio::test]
async fn batches_are_given_up_at_once_where_no_host_was_reached_for_long() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let clock = Arc::new(Hand(Mutex::new(Duration::from_secs(100))));
    let context = Context { clock: Arc::clone(&clock) as _, ..Context::default() };
    let runtime = open(&format!("http://{address}"), &context).unwrap();
    let given_up = async |batches| {
        for _ in 0..batches {
            let given_up = tokio::time::timeout(Duration::from_secs(20), invoke(&runtime, 1));
            let error = given_up.await.expect("it is not waited for").unwrap_err();
            assert!(error.message.contains("cannot be reached"), "{error}");
        }
    };
    let time_passes = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        *clock.0.lock().unwrap() += GONE;
    };
    // The first waits for a host that is started again. The others would, one after the other.
    tokio::join!(given_up(1), time_passes);
    given_up(20).await;
}

#[test]
fn a_token_that_no_header_carries_is_named() {
    let context = Context { token: Some("a token\n".to_owned()), ..Context::default() };
    let error = open("http://127.0.0.1:1", &context).unwrap_err();
    assert!(
        error.message.contains("SAMARA_TOKEN") && !error.message.contains("a token"),
        "{error}"
    );
}

#[tokio::test]
async fn a_batch_that_is_too_large_for_a_host_is_handed_back_to_be_cut() {
    let mut info = HostInfo::new("1", 2);
    info.batch_tasks_max = 3;
    let host = Fake::start(&info, |_| (413, "x-a: b", b"3 tasks at most".to_vec()));
    let (runtime, _) = driver(&[&host]);
    runtime.ready().await.unwrap();
    assert_eq!(runtime.capacity().batch_tasks_max, 3);
    let error = invoke(&runtime, 4).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::HandedBack, "{error}");
    assert!(error.message.contains("3 tasks at most"), "{error}");
    assert_eq!((host.sent(), host.asked()), (1, 2), "it is asked again what it is");
    assert_eq!(invoke(&runtime, 1).await.unwrap_err().kind, ErrorKind::Invalid, "nothing to cut");
}
