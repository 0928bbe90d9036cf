//! The driver's side: sends batches to functions.

use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use samara_core::wire::HostInfo;
use samara_core::{
    Batch, Cancel, Capacity, Depot, Error, ErrorKind, Observer, Reach, Runtime, wire,
};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::config::Config;
use super::door::Door;
use super::event::{Ask, PARTS_FROM, PAYLOAD_BYTES_MAX, Reply, is_not_started};
use super::wave::{Group, Start, Waves};
use crate::Context;
use crate::mail::{
    Call, Inbox, Part, Parts, Runs, Source, Ticket, Told, below, cancelled, decode, wanted,
};
use crate::rate::Rate;

/// Functions at the same moment where nothing is said: what AWS grants a new account in a region.
const SLOTS: usize = 1000;

/// Batches that the driver sends by itself at the same moment, each on a connection of its own.
/// What comes beyond is started by functions.
const DIRECT_MAX: usize = 128;

/// What a batch of tiny tasks should take: an invocation costs some milliseconds, and AWS bills
/// whole ones.
const BATCH_TIME: Duration = Duration::from_millis(100);

/// What of a function's time is not a task's: it has to say what was done before it is ended.
const ENDING: Duration = Duration::from_secs(5);

/// Functions of AWS Lambda.
#[derive(Debug)]
pub(crate) struct Lambda {
    url: String,
    door: Arc<Door>,
    slots: usize,
    /// Places of functions.
    places: Semaphore,
    /// Places on connections.
    direct: Semaphore,
    info: Mutex<Option<HostInfo>>,
    by_store: Option<ByStore>,
    /// Whether functions can start others, as far as is known.
    spreads: AtomicBool,
    rate: Rate,
}

/// What goes by way of the store.
#[derive(Debug)]
struct ByStore {
    depot: Arc<dyn Depot>,
    inbox: Arc<Inbox>,
    waves: Arc<Waves>,
}

/// A batch on its way.
struct Sending<'a> {
    body: Bytes,
    /// The URL below which what belongs to its job's batches lies.
    calls: String,
    /// The URL of its own answer.
    to: String,
    cancel: &'a Cancel,
    observer: Arc<dyn Observer>,
}

pub(crate) fn open(url: &str, context: &Context) -> Result<Arc<dyn Runtime>, Error> {
    let config = Config::parse(url)?;
    let slots = config.slots.or(context.slots).unwrap_or(SLOTS);
    let rate = Rate::new(config.rate, Arc::clone(&context.clock));
    let door = Arc::new(Door::new(config, context.token.clone().map(Ticket)));
    let by_store = context.depot.as_ref().map(|depot| ByStore {
        depot: Arc::clone(depot),
        inbox: Inbox::new(Arc::clone(depot), Arc::clone(&context.clock)),
        waves: Waves::new(Arc::clone(&door), Arc::clone(depot)),
    });
    Ok(Arc::new(Lambda {
        rate,
        url: url.split('?').next().unwrap_or(url).to_owned(),
        door,
        slots,
        places: Semaphore::new(slots),
        direct: Semaphore::new(DIRECT_MAX),
        info: Mutex::default(),
        by_store,
        spreads: AtomicBool::new(true),
    }))
}

// === impl Lambda ===

impl Lambda {
    fn info(&self) -> Option<HostInfo> {
        self.info.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a batch in the way that suits how many there are.
    async fn send(&self, sending: &Sending<'_>) -> Result<(), Error> {
        if let Ok(_place) = self.direct.try_acquire() {
            // The others that came with it find their way before the first is signed and sent, which
            // takes its time.
            tokio::task::yield_now().await;
            return self.send_alone(sending).await;
        }
        if let Some(by) = self.by_store.as_ref().filter(|_| self.spreads.load(Ordering::Relaxed)) {
            let places = (sending.calls.as_str(), sending.to.as_str());
            let joined = by.waves.join(&self.direct, places, sending.body.clone());
            return match wanted(sending.cancel, joined).await? {
                Start::Handed(group) => self.await_queued(by, sending, group?.as_ref()).await,
                Start::Alone(_place) => self.send_alone(sending).await,
            };
        }
        let place = wanted(sending.cancel, self.direct.acquire()).await?;
        let _place = place.expect("it is never closed");
        self.send_alone(sending).await
    }

    /// Waits for the frames of a batch that another function starts.
    async fn await_queued(
        &self,
        by: &ByStore,
        sending: &Sending<'_>,
        group: &Group,
    ) -> Result<(), Error> {
        let parts = by.inbox.watch_queued(&sending.calls, &sending.to);
        let came = self.read(sending, pending(), Some(parts)).await;
        group.leave();
        if let Err(error) = &came
            && is_not_started(error)
            && self.spreads.swap(false, Ordering::Relaxed)
        {
            tracing::warn!("functions are started by this driver from now on: {error}");
        }
        came
    }

    /// Invokes a function and waits for it.
    async fn send_alone(&self, sending: &Sending<'_>) -> Result<(), Error> {
        let mut written = None;
        let batch = match (&self.by_store, sending.body.len() as u64) {
            (Some(by), length) if length > PAYLOAD_BYTES_MAX => {
                let url = format!("{}batch", sending.to);
                by.depot.put(&url, sending.body.clone()).await?;
                written = Some((by, url.clone()));
                Source::Stored { url, range: 0..length, hash: None }
            }
            _ => Source::inline(&sending.body),
        };
        let to = self.by_store.as_ref().map(|_| sending.to.clone());
        let ask = Ask::Batch(Call { batch, to });
        // A function begins at once; what it says of it comes with the reply.
        sending.observer.started();
        let came = self.read(sending, self.door.ask(ask), None).await;
        if let Some((by, url)) = written
            && let Err(error) = by.depot.remove(&[url]).await
        {
            tracing::debug!("a batch was not removed: {error}");
        }
        came
    }

    /// Hands on the frames of a batch: from the function's reply, or where it takes long, from the
    /// store.
    async fn read(
        &self,
        sending: &Sending<'_>,
        reply: impl Future<Output = Result<Reply, Error>>,
        mut parts: Option<Parts>,
    ) -> Result<(), Error> {
        let mut runs = Runs::new(Arc::clone(&sending.observer));
        let (mut is_answered, long) = (false, sleep(PARTS_FROM));
        tokio::pin!(reply, long);
        loop {
            tokio::select! {
                replied = &mut reply, if !is_answered => match replied {
                    Ok(Reply::Frames(text)) => {
                        self.by_store.iter().for_each(|by| by.inbox.heard());
                        let mut told = Told::new(Arc::clone(&sending.observer));
                        let text = decode(&text)?;
                        return told.push(&text).unwrap_or_else(|| Err(self.lost("its answer has no end")));
                    }
                    Ok(Reply::Parts) => {
                        is_answered = true;
                        parts = parts.or_else(|| self.watch(sending));
                        parts.iter().for_each(Parts::are_there);
                    }
                    Ok(other) => return Err(self.lost(&format!("it answers {other:?}"))),
                    // The connection broke, and the function goes on.
                    Err(error) if !runs.is_empty() => {
                        tracing::debug!("{error}");
                        is_answered = true;
                    }
                    Err(error) => return Err(error),
                },
                part = next(&mut parts) => {
                    if let Some(ended) = runs.push(part?) {
                        return ended;
                    }
                }
                () = &mut long, if parts.is_none() && self.by_store.is_some() => {
                    parts = self.watch(sending);
                }
                () = cancelled(sending.cancel) => {
                    self.tell_cancelled(sending).await;
                    return Err(Error::new(ErrorKind::Cancelled, "the job was cancelled"));
                }
            }
        }
    }

    fn watch(&self, sending: &Sending<'_>) -> Option<Parts> {
        self.by_store.as_ref().map(|by| by.inbox.watch_waited(&sending.calls, &sending.to))
    }

    /// A function that takes long looks now and then whether it is still wanted.
    async fn tell_cancelled(&self, sending: &Sending<'_>) {
        let Some(by) = &self.by_store else { return };
        let marker = format!("{}cancel", sending.to);
        if let Err(error) = by.depot.put(&marker, Bytes::new()).await {
            tracing::debug!("a function was not told to stop: {error}");
        }
    }

    fn lost(&self, why: &str) -> Error {
        Error::new(ErrorKind::Lost, format!("{}: {why}", self.url))
    }
}

#[async_trait]
impl Runtime for Lambda {
    fn capacity(&self) -> Capacity {
        let info = self.info();
        let tasks_max = info.as_ref().map_or(usize::MAX, |info| info.batch_tasks_max);
        let time_max = info.and_then(|info| info.time_max);
        Capacity::new(self.slots, tasks_max)
            .with_batch_time(BATCH_TIME)
            .with_batch_bytes_max(PAYLOAD_BYTES_MAX)
            .with_task_time_max(time_max.map(|time| time - ENDING.min(time / 2)))
            .with_batches_per_second(self.rate.per_second())
    }

    fn reach(&self) -> Reach {
        Reach::Network
    }

    async fn ready(&self) -> Result<(), Error> {
        if self.info().is_some() {
            return Ok(());
        }
        let info = match self.door.ask(Ask::Host).await? {
            Reply::Host(text) => wire::decode_info(&decode(&text)?)?,
            other => return Err(self.lost(&format!("it answers {other:?}"))),
        };
        info.speaks(&self.url)?;
        *self.info.lock().unwrap_or_else(PoisonError::into_inner) = Some(info);
        Ok(())
    }

    async fn invoke(
        &self,
        batch: Arc<Batch>,
        cancel: Cancel,
        observer: Arc<dyn Observer>,
    ) -> Result<(), Error> {
        let body = wire::encode_batch(&batch)?;
        wanted(&cancel, tokio::time::sleep(self.rate.turn())).await?;
        let place = wanted(&cancel, self.places.acquire()).await?;
        let _place = place.expect("it is never closed");
        let calls = below(&batch);
        let to = format!("{calls}{}/", self.door.name());
        self.send(&Sending { body, calls, to, cancel: &cancel, observer }).await
    }
}

impl fmt::Display for Lambda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// The next part, where parts are looked for.
async fn next(parts: &mut Option<Parts>) -> Result<Part, Error> {
    match parts {
        Some(parts) => parts.next().await,
        None => pending().await,
    }
}
