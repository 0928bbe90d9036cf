//! One tenant's process, as the host sees it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use samara_core::link::{self, FromWorker, Protection, Question, ToWorker};
use samara_core::wire::{self, Frame};
use samara_core::{Account, Batch, Cancel, Clock, Error, ErrorKind, Observer, Share, Usage};
use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::stream::{Incoming, send_all};
use super::{Exit, Launch, Orders};

/// How often it is looked whether a batch is still wanted.
const CANCEL_POLL: Duration = Duration::from_millis(20);

/// Secrets that a process may ask for at the same moment: one for each task that begins, and far more
/// than there are.
const ASKED_MAX: usize = 1024;

/// How long a process may take to say that it is ready, on a machine that is busy.
const START_MAX: Duration = Duration::from_secs(10);

/// A process that takes batches.
pub(super) struct Worker {
    pub(super) orders: Arc<Orders>,
    /// Since when it takes them.
    pub(super) since: Duration,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Told when it is to end.
    end: Notify,
}

/// A worker's link.
pub(super) struct Talk {
    incoming: Incoming,
    sending: JoinHandle<()>,
}

/// A batch's place at a worker; dropping it gives it back.
pub(super) struct Place {
    worker: Arc<Worker>,
    /// Told when it is given back.
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    /// None once the process is not spoken to any more.
    outgoing: Option<mpsc::UnboundedSender<Bytes>>,
    batches: BTreeMap<u64, Under>,
    next: u64,
    /// Batches that are under way here, or about to be.
    taken: usize,
    /// Since when there are none, by the host's clock.
    idle_since: Duration,
    /// Whether it gets no further batch.
    retired: bool,
    /// Looks in a row at which it had said nothing although it had batches.
    silent: u32,
    /// Tasks that may compute at the same moment, as it was told last.
    allotted: Option<usize>,
    /// Who pays for what its tasks use.
    account: Option<Arc<dyn Account>>,
    /// Processor time that was paid for.
    paid: Duration,
    /// Questions that have no answer yet, and whether one of them is for compiled code.
    asked: usize,
    compiles: bool,
}

/// A batch under way.
struct Under {
    observer: Arc<dyn Observer>,
    done: oneshot::Sender<Result<(), Error>>,
}

/// How it came that a process is not spoken to any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// The host wanted it.
    Wanted,
    /// It ended, or made no sense.
    Unwanted(String),
}

// === impl Worker ===

impl Worker {
    /// Tells a process what it is to be like, and waits until it says what it is.
    pub(super) async fn greet(
        stream: UnixStream,
        orders: Arc<Orders>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Arc<Self>, Talk, Vec<Protection>), Error> {
        let stream = Arc::new(stream);
        let (sender, outgoing) = mpsc::unbounded_channel();
        let _always_taken = sender.send(link::encode(&orders.first)?);
        let sending = tokio::spawn(send_all(Arc::clone(&stream), outgoing));
        let mut talk = Talk { incoming: Incoming::new(stream), sending };
        let lost = |why: &str| Error::new(ErrorKind::Lost, why);
        let protections = match timeout(START_MAX, talk.incoming.next()).await {
            Ok(Ok(Some(FromWorker::Ready(protections)))) => protections,
            Ok(Ok(Some(FromWorker::Unfit(error)))) => return Err(error),
            Ok(Ok(Some(_))) => return Err(lost("it does not say what it is")),
            Ok(Ok(None)) => return Err(lost("it ended before it was ready")),
            Ok(Err(why)) => return Err(lost(&why)),
            Err(_) => return Err(lost(&format!("it said nothing for {START_MAX:?}"))),
        };
        let since = clock.monotonic();
        let state = State { outgoing: Some(sender), idle_since: since, ..State::default() };
        let (state, end) = (Mutex::new(state), Notify::new());
        Ok((Arc::new(Self { orders, since, clock, state, end }), talk, protections))
    }

    pub(super) fn tenant(&self) -> &str {
        &self.orders.tenant
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a batch, unless it takes no more.
    pub(super) fn place(self: &Arc<Self>, changed: &Arc<Notify>) -> Option<Place> {
        let mut state = self.state();
        if state.retired || state.outgoing.is_none() {
            return None;
        }
        state.taken += 1;
        Some(Place { worker: Arc::clone(self), changed: Arc::clone(changed) })
    }

    /// Gives it no further batch, and ends it once it has none.
    pub(super) fn retire(&self) {
        let mut state = self.state();
        state.retired = true;
        if state.taken == 0 {
            self.end.notify_one();
        }
    }

    /// Ends it, whatever it does.
    pub(super) fn end(&self) {
        self.state().retired = true;
        self.end.notify_one();
    }

    /// How long it has had no batches; none while it has some.
    pub(super) fn idle(&self) -> Option<Duration> {
        let state = self.state();
        (state.taken == 0).then(|| self.clock.monotonic().saturating_sub(state.idle_since))
    }

    /// Slots that it wants: one for each of its batches, and one for a while after the last of them.
    pub(super) fn wanted(&self, for_a_while: Duration) -> usize {
        let idle = self.idle();
        let lingers = idle.is_some_and(|idle| idle < for_a_while);
        self.state().taken.max(usize::from(lingers))
    }

    /// Tells it how many tasks may compute at the same moment, unless it knows.
    pub(super) fn allot(&self, slots: usize) {
        let mut state = self.state();
        if state.allotted.replace(slots) == Some(slots) {
            return;
        }
        drop(state);
        // One that has ended needs to know nothing.
        drop(self.say(&ToWorker::Allot(slots)));
    }

    /// At how many looks in a row it had said nothing although it had batches, with this one.
    pub(super) fn silence(&self) -> u32 {
        let mut state = self.state();
        state.silent = if state.batches.is_empty() { 0 } else { state.silent + 1 };
        state.silent
    }

    /// Runs a batch there.
    async fn run(
        &self,
        batch: &Batch,
        cancel: &Cancel,
        observer: Arc<dyn Observer>,
    ) -> Result<(), Error> {
        let lost = || self.lost("it has ended");
        let account = batch.payer.account().ok_or_else(nobody_pays)?;
        let share = Share { tasks_max: account.tasks_max(), memory_max: account.memory_max() };
        let encoded = wire::encode_batch(batch)?;
        let (done, mut ended) = oneshot::channel();
        let number = {
            let mut state = self.state();
            let number = state.next;
            state.next += 1;
            state.account = Some(Arc::clone(account));
            state.batches.insert(number, Under { observer, done });
            number
        };
        if let Err(error) = self.say(&ToWorker::Begin { number, share, batch: encoded }) {
            self.state().batches.remove(&number);
            return Err(error);
        }
        let mut wanted = true;
        loop {
            match timeout(CANCEL_POLL, &mut ended).await {
                Ok(result) => return result.unwrap_or_else(|_| Err(lost())),
                Err(_) if wanted && cancel.is_cancelled() => {
                    wanted = false;
                    // Its tasks say that they were cancelled; what they used has to be known.
                    self.say(&ToWorker::Cancel(number))?;
                }
                Err(_) => {}
            }
        }
    }

    fn say(&self, message: &ToWorker) -> Result<(), Error> {
        let message = link::encode(message)?;
        let state = self.state();
        let sent = state.outgoing.as_ref().map(|outgoing| outgoing.send(message));
        sent.and_then(Result::ok).ok_or_else(|| self.lost("it has ended"))
    }

    pub(super) fn lost(&self, why: &str) -> Error {
        let text = format!("the process of tenant `{}` was lost: {why}", self.tenant());
        Error::new(ErrorKind::Lost, text)
    }

    /// Listens to the process until one of both does not want to any more.
    pub(super) async fn listen(
        self: &Arc<Self>,
        mut talk: Talk,
        launch: &Arc<dyn Launch>,
    ) -> Closed {
        let closed = loop {
            let message = tokio::select! {
                biased;
                () = self.end.notified() => break Closed::Wanted,
                message = talk.incoming.next() => message,
            };
            let heard = match message {
                Ok(Some(message)) => self.hear(message, launch),
                Ok(None) => Err("it closed its link".to_owned()),
                Err(why) => Err(why),
            };
            if let Err(why) = heard {
                break Closed::Unwanted(why);
            }
        };
        self.state().outgoing = None;
        closed
    }

    /// Takes what the process says, or says why that makes no sense.
    fn hear(self: &Arc<Self>, message: FromWorker, launch: &Arc<dyn Launch>) -> Result<(), String> {
        self.state().silent = 0;
        match message {
            FromWorker::Frame { number, frame } => self.frame(number, frame),
            FromWorker::Used(usage) => {
                self.used(usage);
                Ok(())
            }
            FromWorker::Ask { number, question } => self.asked(number, question, launch),
            FromWorker::Alive => Ok(()),
            FromWorker::Ready(_) | FromWorker::Unfit(_) => Err("it began twice".to_owned()),
        }
    }

    fn frame(&self, number: u64, frame: Frame) -> Result<(), String> {
        let unknown = || format!("it speaks of a batch {number} that it does not have");
        let result = match frame {
            Frame::Started | Frame::Ended(_) => {
                let observer = {
                    let state = self.state();
                    Arc::clone(&state.batches.get(&number).ok_or_else(unknown)?.observer)
                };
                match frame {
                    Frame::Ended(reports) => observer.ended(reports),
                    _ => observer.started(),
                }
                return Ok(());
            }
            Frame::Done => Ok(()),
            Frame::Failed(error) => Err(error),
            _ => return Err("it sent a frame that is not known".to_owned()),
        };
        let under = self.state().batches.remove(&number).ok_or_else(unknown)?;
        let _nobody_waits = under.done.send(result);
        Ok(())
    }

    fn used(&self, usage: Usage) {
        let mut state = self.state();
        state.paid = state.paid.saturating_add(usage.cpu);
        let account = state.account.clone();
        drop(state);
        if let Some(account) = account {
            account.spent(usage);
            if !account.may_begin() {
                // One that has ended begins nothing.
                drop(self.say(&ToWorker::UsedUp));
            }
        }
    }

    /// Finds the answer to a question, on a thread of its own.
    fn asked(
        self: &Arc<Self>,
        number: u64,
        question: Question,
        launch: &Arc<dyn Launch>,
    ) -> Result<(), String> {
        let compiles = matches!(question, Question::Compile(_));
        {
            let mut state = self.state();
            if state.asked >= ASKED_MAX || (compiles && state.compiles) {
                return Err("it asks for more at the same moment than it may".to_owned());
            }
            state.asked += 1;
            state.compiles |= compiles;
        }
        let (worker, launch) = (Arc::clone(self), Arc::clone(launch));
        tokio::task::spawn_blocking(move || {
            let answer = launch.answer(worker.tenant(), question);
            {
                let mut state = worker.state();
                state.asked -= 1;
                state.compiles &= !compiles;
            }
            let said = worker.say(&ToWorker::Answer { number, answer });
            // Who has gone needs no answer.
            drop(said.inspect_err(|error| tracing::debug!("no answer was given: {error}")));
        });
        Ok(())
    }

    /// Gives up what is under way. Processor time that was not paid for is, where the process ended
    /// by itself: what it was used for, nobody knows any more.
    pub(super) fn ended(&self, closed: &Closed, exit: &Exit) {
        let mut state = self.state();
        let batches = std::mem::take(&mut state.batches);
        let unpaid = exit.cpu.unwrap_or_default().saturating_sub(state.paid);
        let account = state.account.clone();
        drop(state);
        let why = match closed {
            Closed::Wanted => "it was ended".to_owned(),
            Closed::Unwanted(why) => {
                if let Some(account) = account {
                    account.spent(Usage { cpu: unpaid, bytes: 0 });
                }
                format!("{why} ({})", exit.status)
            }
        };
        for under in batches.into_values() {
            let _nobody_waits = under.done.send(Err(self.lost(&why)));
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("tenant", &self.tenant()).finish_non_exhaustive()
    }
}

pub(super) fn nobody_pays() -> Error {
    Error::new(ErrorKind::Internal, "the batch is no tenant's: a defect of Samara's")
}

// === impl Talk ===

impl Drop for Talk {
    fn drop(&mut self) {
        // What is not sent nobody would read.
        self.sending.abort();
    }
}

// === impl Place ===

impl Place {
    /// Runs a batch in it.
    pub(super) async fn run(
        self,
        batch: &Batch,
        cancel: &Cancel,
        observer: Arc<dyn Observer>,
    ) -> Result<(), Error> {
        self.worker.run(batch, cancel, observer).await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.worker.state();
        state.taken -= 1;
        state.idle_since = self.worker.clock.monotonic();
        if state.retired && state.taken == 0 {
            self.worker.end.notify_one();
        }
        drop(state);
        self.changed.notify_waiters();
    }
}
