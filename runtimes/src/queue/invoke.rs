//! The driver's side: puts batches into the queue, and waits for their answers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use samara_core::{
    Batch, Cancel, Capacity, Clock, Depot, Error, ErrorKind, Observer, Reach, Runtime, wire,
};
use tokio::sync::OnceCell;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::broker::{Broker, Unsent};
use super::config::Config;
use super::login::Login;
use super::message::{MESSAGE_BYTES_MAX, Message};
use super::pool::{LOOK_EVERY, Pool};
use crate::Context;
use crate::jitter::jitter;
use crate::mail::{
    Call, Inbox, Names, Parts, Runs, Source, Ticket, below, cancelled, hash_of, wanted,
};

/// Slots where nothing is said, and no host has said yet what it has: what keeps a few machines busy.
const SLOTS: usize = 16;

/// What a batch of tiny tasks should take: it costs a message, and three requests to the store.
const BATCH_TIME: Duration = Duration::from_millis(100);

/// Bytes of a batch at most, where it has several tasks: what a host reads of the store at once.
const BATCH_BYTES_MAX: u64 = 4 << 20;

/// How long the broker may be out of reach before a batch is given up. It is less than the time that a
/// message is known by its name.
const PATIENCE: Duration = Duration::from_mins(1);

/// The wait where it is.
const UNREACHED_WAIT: Duration = Duration::from_secs(1);

/// The first wait where the queue is full; doubles with each further refusal.
const FULL_FIRST: Duration = Duration::from_millis(100);

/// The longest such wait.
const FULL_MAX: Duration = Duration::from_secs(5);

/// A queue that hosts pull from.
pub(crate) struct Queue {
    config: Config,
    login: Login,
    slots: Option<usize>,
    ticket: Option<Ticket>,
    by_store: Option<ByStore>,
    clock: Arc<dyn Clock>,
    pool: OnceCell<Pool>,
    /// Whether it was said that nobody is there.
    is_alone: AtomicBool,
    names: Names,
}

/// What goes by way of the store.
struct ByStore {
    depot: Arc<dyn Depot>,
    inbox: Arc<Inbox>,
}

/// A batch on its way.
struct Sending<'a> {
    name: String,
    message: Vec<u8>,
    /// The URL of its own answer.
    to: String,
    cancel: &'a Cancel,
    observer: Arc<dyn Observer>,
}

pub(crate) fn open(url: &str, context: &Context) -> Result<Arc<dyn Runtime>, Error> {
    let config = Config::parse(url)?;
    let login = Login::read(&config, &context.variables)?;
    let by_store = context.depot.as_ref().map(|depot| ByStore {
        depot: Arc::clone(depot),
        inbox: Inbox::new(Arc::clone(depot), Arc::clone(&context.clock)),
    });
    Ok(Arc::new(Queue {
        slots: config.slots.or(context.slots),
        config,
        login,
        ticket: context.token.clone().map(Ticket),
        by_store,
        clock: Arc::clone(&context.clock),
        pool: OnceCell::new(),
        is_alone: AtomicBool::new(false),
        names: Names::default(),
    }))
}

// === impl Queue ===

impl Queue {
    async fn pool(&self) -> Result<&Pool, Error> {
        // What connects takes tens of kilobytes.
        self.pool.get_or_try_init(|| Box::pin(self.connect())).await
    }

    /// Connects, however long the broker takes to start.
    async fn connect(&self) -> Result<Pool, Error> {
        if !self.config.is_here() && self.ticket.is_some() && !self.login.has_tls() {
            tracing::warn!(
                "{self} is on another machine, and no TLS is asked for: tickets can be read on \
                 their way, unless the broker asks for it; `?tls=true` does"
            );
        }
        let begun = self.clock.monotonic();
        loop {
            let connected = async {
                let broker = Broker::connect(&self.config, &self.login, "samara").await?;
                Pool::open(broker, &self.config, Arc::clone(&self.clock)).await
            };
            match connected.await {
                Err(error) if error.kind == ErrorKind::Lost => {
                    if self.clock.monotonic().saturating_sub(begun) >= PATIENCE {
                        return Err(error);
                    }
                    tracing::debug!("{error}");
                    sleep(UNREACHED_WAIT.mul_f64(jitter())).await;
                }
                connected => return connected,
            }
        }
    }

    /// A name that no other batch has.
    fn name(&self) -> String {
        self.names.next()
    }

    /// The message of a batch; and the URL of the batch, where it is not in it.
    async fn message(
        &self,
        by: &ByStore,
        to: &str,
        body: Bytes,
        most: usize,
    ) -> Result<(Vec<u8>, Option<String>), Error> {
        let message = |batch| {
            let call = Call { batch, to: Some(to.to_owned()) };
            Message::new(self.ticket.clone(), call).to_json()
        };
        if body.len() < most {
            let inline = message(Source::inline(&body));
            if inline.len() <= most {
                return Ok((inline, None));
            }
        }
        let (url, range) = (format!("{to}batch"), 0..body.len() as u64);
        // Who can only write to the store puts nothing in its place.
        let hash = Some(hash_of(&body));
        by.depot.put(&url, body).await?;
        Ok((message(Source::Stored { url: url.clone(), range, hash }), Some(url)))
    }

    /// Puts a message into the queue, however full it is.
    async fn send(&self, pool: &Pool, sending: &Sending<'_>) -> Result<u64, Error> {
        let (mut refusals, mut unreached) = (0, None);
        loop {
            let wait = match pool.broker.send(&sending.name, sending.message.clone()).await {
                Ok(sequence) => return Ok(sequence),
                Err(Unsent::Never(error)) => return Err(error),
                Err(Unsent::Full) => {
                    if pool.look().await.is_ok_and(|hosts| hosts == 0) {
                        pool.is_served()?;
                    }
                    let wait = FULL_FIRST * 2_u32.saturating_pow(refusals);
                    refusals = (refusals + 1).min(16);
                    unreached = None;
                    wait.min(FULL_MAX)
                }
                Err(Unsent::Unreached(error)) => {
                    let now = self.clock.monotonic();
                    if now.saturating_sub(*unreached.get_or_insert(now)) >= PATIENCE {
                        return Err(error);
                    }
                    tracing::debug!("{error}");
                    // A broker that lost its disk has no queue any more.
                    drop(pool.broker.queue(&self.config).await);
                    UNREACHED_WAIT
                }
            };
            wanted(sending.cancel, sleep(wait.mul_f64(jitter()))).await?;
        }
    }

    /// Hands on the parts of an answer, until its end or there is none to come.
    async fn read(
        &self,
        pool: &Pool,
        sending: &Sending<'_>,
        (sequence, parts): (u64, &mut Parts),
    ) -> Result<(), Error> {
        let mut runs = Runs::new(Arc::clone(&sending.observer));
        let mut watch = pool.watch(sequence);
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.reset();
        loop {
            let checked = tokio::select! {
                biased;
                part = parts.next() => match part {
                    Ok(part) => {
                        pool.begun(&mut watch);
                        if let Some(ended) = runs.push(part) {
                            return ended;
                        }
                        continue;
                    }
                    // A host fell silent. The broker gives its batch to another one, and knows
                    // whether it did.
                    Err(error) if error.kind == ErrorKind::Lost => continue,
                    Err(error) => Err(error),
                },
                _ = looks.tick() => pool.check(&mut watch).await,
                () = cancelled(sending.cancel) => {
                    Err(Error::new(ErrorKind::Cancelled, "the job was cancelled"))
                }
            };
            if let Err(error) = checked {
                // Whoever has it is told, and nobody else begins.
                self.take_back(pool, sending, sequence).await;
                return Err(error);
            }
        }
    }

    /// Nobody waits for a batch any more.
    async fn take_back(&self, pool: &Pool, sending: &Sending<'_>, sequence: u64) {
        pool.broker.remove(sequence).await;
        let Some(by) = &self.by_store else { return };
        if let Err(error) = by.depot.put(&format!("{}cancel", sending.to), Bytes::new()).await {
            tracing::debug!("a host was not told to stop: {error}");
        }
    }
}

#[async_trait]
impl Runtime for Queue {
    fn capacity(&self) -> Capacity {
        let pool = self.pool.get();
        let slots = self.slots.or_else(|| pool?.slots()).unwrap_or(SLOTS);
        let tasks_max = pool.map_or(usize::MAX, Pool::tasks_max);
        Capacity::new(slots, tasks_max)
            .with_batch_time(BATCH_TIME)
            .with_batch_bytes_max(BATCH_BYTES_MAX)
    }

    fn reach(&self) -> Reach {
        Reach::Network
    }

    async fn ready(&self) -> Result<(), Error> {
        let hosts = self.pool().await?.look().await?;
        if hosts == 0 && !self.is_alone.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "nobody serves {self} for now; hosts are started with SAMARA_HOST_QUEUE={self}"
            );
        }
        if hosts > 0 {
            self.is_alone.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn invoke(
        &self,
        batch: Arc<Batch>,
        cancel: Cancel,
        observer: Arc<dyn Observer>,
    ) -> Result<(), Error> {
        let by = self.by_store.as_ref().ok_or_else(|| {
            let text = format!("{self}: answers come by way of a store that its hosts reach too");
            Error::new(ErrorKind::Invalid, text)
        })?;
        let pool = wanted(&cancel, self.pool()).await??;
        let body = wire::encode_batch(&batch)?;
        let (name, calls) = (self.name(), below(&batch));
        let to = format!("{calls}{name}/");
        let most = MESSAGE_BYTES_MAX.min(pool.broker.client.server_info().max_payload);
        let (message, stored) = self.message(by, &to, body, most).await?;
        let mut parts = by.inbox.watch_waited(&calls, &to);
        let sending = Sending { name, message, to, cancel: &cancel, observer };
        let came = match self.send(pool, &sending).await {
            Ok(sequence) => self.read(pool, &sending, (sequence, &mut parts)).await,
            Err(error) => Err(error),
        };
        if let Some(url) = stored
            && let Err(error) = by.depot.remove(&[url]).await
        {
            tracing::debug!("a batch was not removed: {error}");
        }
        came
    }
}

/// Without what opens it.
impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("config", &self.config)
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}
