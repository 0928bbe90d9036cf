//! The host, as a tenant's process sees it: batches come from there, and questions go there.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as blocking};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use samara_core::link::{self, FromWorker, Messages, Question, ToWorker};
use samara_core::wire::{self, Frame};
use samara_core::{
    Account, Allowance, Cancel, Error, ErrorKind, Observer, Payer, Reports, Runtime, Secret,
    Secrets, Share, Usage,
};
use serde::Serialize;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::stream::{Incoming, send_all};

/// How often a process says that it is alive while batches are under way.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// Bytes that the host says at first: settings, which have some thousand.
const FIRST_BYTES_MAX: usize = 16 << 20;

/// The link to the host, before and while it is spoken through.
pub struct Line {
    outgoing: mpsc::UnboundedSender<Bytes>,
    questions: Mutex<Questions>,
    /// Held while compiled code is waited for: a process asks for one at a time.
    compiling: Mutex<()>,
}

/// What is to be sent once the link is served.
#[derive(Debug)]
pub struct Outgoing(mpsc::UnboundedReceiver<Bytes>);

#[derive(Default)]
struct Questions {
    next: u64,
    open: BTreeMap<u64, blocking::SyncSender<Result<Bytes, Error>>>,
}

/// What a process runs batches with.
struct Inside {
    line: Arc<Line>,
    runtime: Arc<dyn Runtime>,
    purse: Arc<Purse>,
    batches: Mutex<BTreeMap<u64, Cancel>>,
}

/// The tenant's account, as far as its process has to know it: the host keeps the books.
struct Purse {
    tenant: String,
    line: Arc<Line>,
    /// All of the tenant's tasks are in this process, so its sum is the tenant's.
    allowance: Allowance,
    /// Whether the host said that a quota is used up, and sent nothing since.
    used_up: AtomicBool,
}

/// Tells the host of one batch.
struct Telling {
    line: Arc<Line>,
    number: u64,
}

// === impl Line ===

impl Line {
    /// A link that is served later.
    pub fn new() -> (Arc<Self>, Outgoing) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (questions, compiling) = Default::default();
        (Arc::new(Self { outgoing: sender, questions, compiling }), Outgoing(receiver))
    }

    /// What the host says first, before anything else is done. Blocks.
    ///
    /// # Errors
    ///
    /// Where nothing comes, or what comes is damaged.
    pub fn first(mut stream: &StdUnixStream) -> Result<Bytes, Error> {
        let broken = |error: std::io::Error| {
            Error::new(ErrorKind::Lost, format!("the host said nothing: {error}"))
        };
        let mut prefix = [0; 4];
        stream.read_exact(&mut prefix).map_err(broken)?;
        let length = u32::from_be_bytes(prefix) as usize;
        if length > FIRST_BYTES_MAX {
            let text =
                format!("the host says {length} bytes at first, and may say {FIRST_BYTES_MAX}");
            return Err(Error::new(ErrorKind::Lost, text));
        }
        let mut first = vec![0; length];
        stream.read_exact(&mut first).map_err(broken)?;
        let mut messages = Messages::default();
        messages.push(&prefix);
        messages.push(&first);
        let whole = messages.next_message()?;
        whole.ok_or_else(|| Error::new(ErrorKind::Lost, "what the host says at first is cut"))
    }

    /// Says something before the link is served: what this process is. Blocks.
    ///
    /// # Errors
    ///
    /// Where nobody reads it.
    pub fn say_now(mut stream: &StdUnixStream, message: &FromWorker) -> Result<(), Error> {
        stream.write_all(&link::encode(message)?).map_err(|error| {
            Error::new(ErrorKind::Lost, format!("the host does not listen: {error}"))
        })
    }

    /// Asks the host, and waits for the answer. Blocks.
    ///
    /// # Errors
    ///
    /// What the host says, or that it is gone.
    pub fn ask(&self, question: Question) -> Result<Bytes, Error> {
        let _one_at_a_time = match question {
            Question::Compile(_) => {
                Some(self.compiling.lock().unwrap_or_else(PoisonError::into_inner))
            }
            Question::Secret(_) => None,
        };
        let (sender, answer) = blocking::sync_channel(1);
        let number = {
            let mut questions = self.questions();
            questions.next += 1;
            let number = questions.next;
            questions.open.insert(number, sender);
            number
        };
        self.say(&FromWorker::Ask { number, question });
        let gone = || Error::new(ErrorKind::Lost, "the host does not answer any more");
        answer.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Serves the link until the host closes it: nothing is left to do then, and nobody to do it for.
    ///
    /// # Errors
    ///
    /// Where what the host says makes no sense.
    pub async fn serve(
        self: Arc<Self>,
        stream: StdUnixStream,
        outgoing: Outgoing,
        (tenant, runtime): (&str, Arc<dyn Runtime>),
    ) -> Result<(), Error> {
        let broken = |error: std::io::Error| {
            Error::new(ErrorKind::Lost, format!("the link cannot be used: {error}"))
        };
        stream.set_nonblocking(true).map_err(broken)?;
        let stream = Arc::new(UnixStream::from_std(stream).map_err(broken)?);
        tokio::spawn(send_all(Arc::clone(&stream), outgoing.0));
        let purse = Arc::new(Purse::new(tenant, &self));
        let batches = Mutex::default();
        let inside = Arc::new(Inside { line: self, runtime, purse, batches });
        tokio::spawn(Arc::clone(&inside).live());
        let mut incoming = Incoming::new(stream);
        loop {
            match incoming.next().await {
                Ok(Some(message)) => inside.hear(message),
                Ok(None) => return Ok(()),
                Err(why) => return Err(Error::new(ErrorKind::Lost, why)),
            }
        }
    }

    pub(super) fn say(&self, message: &impl Serialize) {
        match link::encode(message) {
            // Where nobody sends it, this process is about to end.
            Ok(message) => drop(self.outgoing.send(message)),
            Err(error) => tracing::error!("{error}"),
        }
    }

    fn questions(&self) -> MutexGuard<'_, Questions> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A process has the secrets of its tenant alone, each when a task needs it.
impl Secrets for Line {
    fn secret(&self, _: &str, name: &str) -> Option<Secret> {
        let value = self.ask(Question::Secret(name.to_owned())).ok()?;
        Some(String::from_utf8(value.into()).ok()?.into())
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

// === impl Inside ===

impl Inside {
    fn hear(self: &Arc<Self>, message: ToWorker) {
        match message {
            ToWorker::Begin { number, share, batch } => {
                self.purse.allowance.set(share);
                // The host let it in.
                self.purse.used_up.store(false, Ordering::Relaxed);
                let cancel = Cancel::default();
                self.batches().insert(number, cancel.clone());
                tokio::spawn(Arc::clone(self).run(number, batch, cancel));
            }
            ToWorker::Cancel(number) => {
                if let Some(cancel) = self.batches().get(&number) {
                    cancel.cancel();
                }
            }
            ToWorker::UsedUp => self.purse.used_up.store(true, Ordering::Relaxed),
            ToWorker::Allot(slots) => self.runtime.allot(slots),
            ToWorker::Answer { number, answer } => {
                let asked = self.line.questions().open.remove(&number);
                if let Some(asked) = asked {
                    let _nobody_waits = asked.send(answer);
                }
            }
        }
    }

    async fn run(self: Arc<Self>, number: u64, batch: Bytes, cancel: Cancel) {
        let telling = Arc::new(Telling { line: Arc::clone(&self.line), number });
        let observer = Arc::clone(&telling) as Arc<dyn Observer>;
        let invoke = async {
            let mut batch = wire::decode_batch(&batch)?;
            batch.payer = Payer::from(Arc::clone(&self.purse) as Arc<dyn Account>);
            self.runtime.invoke(Arc::new(batch), cancel, observer).await
        };
        let last = match AssertUnwindSafe(invoke).catch_unwind().await {
            Ok(Ok(())) => Frame::Done,
            Ok(Err(error)) => Frame::Failed(error),
            Err(_) => {
                let text = "a tenant's process panicked over the batch: a defect of Samara's";
                Frame::Failed(Error::new(ErrorKind::Lost, text))
            }
        };
        self.batches().remove(&number);
        telling.tell(last);
    }

    /// Says that the process is alive, while somebody waits for it.
    async fn live(self: Arc<Self>) {
        let mut ticks = interval(ALIVE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !self.batches().is_empty() {
                self.line.say(&FromWorker::Alive);
            }
        }
    }

    fn batches(&self) -> MutexGuard<'_, BTreeMap<u64, Cancel>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Purse ===

impl Purse {
    fn new(tenant: &str, line: &Arc<Line>) -> Self {
        Self {
            tenant: tenant.to_owned(),
            line: Arc::clone(line),
            allowance: Allowance::new(Share { tasks_max: usize::MAX, memory_max: u64::MAX }),
            used_up: AtomicBool::new(false),
        }
    }
}

impl Account for Purse {
    fn tenant(&self) -> &str {
        &self.tenant
    }

    fn tasks_max(&self) -> usize {
        self.allowance.share().tasks_max
    }

    fn memory_max(&self) -> u64 {
        self.allowance.share().memory_max
    }

    fn take_memory(&self, bytes: u64) -> bool {
        self.allowance.take_memory(bytes)
    }

    fn give_back_memory(&self, bytes: u64) {
        self.allowance.give_back_memory(bytes);
    }

    fn spent(&self, usage: Usage) {
        self.line.say(&FromWorker::Used(usage));
    }

    fn may_begin(&self) -> bool {
        !self.used_up.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Purse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Purse").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

// === impl Telling ===

impl Telling {
    fn tell(&self, frame: Frame) {
        self.line.say(&FromWorker::Frame { number: self.number, frame });
    }
}

impl Observer for Telling {
    fn started(&self) {
        self.tell(Frame::Started);
    }

    fn ended(&self, reports: Reports) {
        self.tell(Frame::Ended(reports));
    }
}
