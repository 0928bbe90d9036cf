//! The driver's side: which host gets which batch.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use http::HeaderValue;
use rustls::ClientConfig;
use samara_core::{
    Batch, Cancel, Capacity, Clock, Error, ErrorKind, Observer, Reach, Runtime, wire,
};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::config::Config;
use super::door::Door;
use super::endpoint::{Endpoint, Keys, Sending, State, Unsent, cancelled};
use super::tls::{of_drivers, when_needed};
use crate::Context;
use crate::jitter::jitter;
use crate::rate::Rate;

/// How long a host may take to answer a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Batches on their way to a host per slot, where they are quick: one runs, one waits beside it.
const BATCHES_PER_SLOT: usize = 2;

/// What a batch of tiny tasks should take: a request costs some 0.3 ms, and far more over a network
/// that is far.
const BATCH_TIME: Duration = Duration::from_millis(50);

/// How long no host at all may answer before a batch is given up: a host that is started anew is
/// back by then.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How long no host at all may be reached before none is expected any more: as long as a task has
/// by itself with the four attempts of a default. From then on batches are given up at once, so that
/// a job of many tasks comes to its end too.
pub(super) const GONE: Duration = Duration::from_secs(120);

/// How long no host at all is reached before that is said: some are started again at once.
const SAID_AFTER: Duration = Duration::from_secs(3);

/// How often it is looked for a host that takes a batch, while none does.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What of a platform's time for a request is not a task's: the host hands back what is not done
/// before the platform ends it.
const ENDING: Duration = Duration::from_secs(2);

/// How long a job waits for further hosts to say what they are, once one has.
const TOGETHER: Duration = Duration::from_millis(200);

/// Slots of a host that has not said how many it has.
const SLOTS_UNKNOWN: usize = 1;

/// Hosts that take batches.
#[derive(Debug)]
pub(crate) struct Hosts {
    name: String,
    reach: Reach,
    endpoints: Vec<Arc<Endpoint>>,
    /// Tasks at the same moment, where a platform starts hosts as they are needed.
    slots: Option<usize>,
    clock: Arc<dyn Clock>,
    /// Told when a host has room again.
    room: Arc<Notify>,
    /// Whether it was said that no host is reached.
    said: AtomicBool,
    rate: Rate,
}

pub(crate) fn open(url: &str, context: &Context) -> Result<Arc<dyn Runtime>, Error> {
    let config = Config::parse(url)?;
    let is_encrypted = config.hosts.iter().any(|host| host.starts_with("https:"));
    let tls = match is_encrypted {
        true => of_drivers(context)?,
        false => when_needed()?,
    };
    let client = client(tls, None)?;
    if context.token.as_deref().is_some_and(|token| HeaderValue::from_str(token).is_err()) {
        let text = "the setting `token` (SAMARA_TOKEN) has a character that travels in no header: is \
                    there a line end in it?";
        return Err(Error::new(ErrorKind::Invalid, text));
    }
    let keys = Keys {
        token: context.token.as_deref().map(Arc::from),
        door: Door::of(config.door.as_deref(), context)?,
    };
    let endpoints = config.hosts.into_iter().map(|host| {
        let name = host.clone();
        Arc::new(Endpoint::new(client.clone(), host, name, keys.clone()))
    });
    let endpoints = endpoints.collect();
    let slots = config.slots.or(context.slots);
    let name = url.split('?').next().unwrap_or(url).to_owned();
    let hosts = Hosts::new(name, Reach::Network, endpoints, slots, Arc::clone(&context.clock));
    let rate = Rate::new(config.rate, Arc::clone(&context.clock));
    Ok(Arc::new(Hosts { rate, ..hosts }))
}

/// A client of its own, that speaks TLS like this; for a Unix socket where there is one.
pub(crate) fn client(tls: ClientConfig, socket: Option<&Path>) -> Result<reqwest::Client, Error> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(CONNECT_MAX)
        .tcp_nodelay(true)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("samara/", env!("CARGO_PKG_VERSION")));
    if let Some(socket) = socket {
        builder = builder.unix_socket(socket);
    }
    builder.build().map_err(|error| {
        Error::new(ErrorKind::Internal, format!("no HTTP client could be made: {error}"))
    })
}

// === impl Hosts ===

impl Hosts {
    pub(crate) fn new(
        name: String,
        reach: Reach,
        endpoints: Vec<Arc<Endpoint>>,
        slots: Option<usize>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let rate = Rate::new(None, Arc::clone(&clock));
        let said = AtomicBool::new(false);
        Self { name, reach, endpoints, slots, clock, room: Arc::default(), said, rate }
    }

    /// Waits for every host to say what it is.
    pub(crate) async fn all_ready(&self) -> Result<(), Error> {
        let unknown = self.endpoints.iter().filter(|endpoint| endpoint.state().info.is_none());
        let asked = join_all(unknown.map(|endpoint| endpoint.ask())).await;
        asked.into_iter().try_for_each(|asked| asked.map(drop))
    }

    /// The host with the most room, that is not left alone for now. One that said itself that it has
    /// enough comes after all others: others' batches take room there, too.
    fn pick(&self) -> Option<Place> {
        self.pick_of(|refuses| !refuses).or_else(|| self.pick_of(|refuses| refuses))
    }

    /// The same of those that are wanted by whether they have enough.
    fn pick_of(&self, is_wanted: impl Fn(bool) -> bool) -> Option<Place> {
        let now = self.clock.monotonic();
        let mut best: Option<(usize, &Arc<Endpoint>)> = None;
        let any_known = self.endpoints.iter().any(|endpoint| {
            let state = endpoint.state();
            state.info.is_some() && state.ejected_until <= now
        });
        for endpoint in &self.endpoints {
            let state = endpoint.state();
            let slots = self.slots_of(&state);
            let room = if state.quick { slots.saturating_mul(BATCHES_PER_SLOT) } else { slots };
            let left = room.saturating_sub(state.in_flight);
            // How to speak with the others is not known yet.
            if any_known && state.info.is_none() || !is_wanted(state.refused_until > now) {
                continue;
            }
            if state.ejected_until <= now && left > 0 && best.is_none_or(|(most, _)| left > most) {
                best = Some((left, endpoint));
            }
        }
        best.map(|(_, endpoint)| Place::take(endpoint, &self.room))
    }

    /// Tasks that a host runs at the same moment, as far as this driver is concerned.
    fn slots_of(&self, state: &State) -> usize {
        let asked = self.slots.map(|slots| slots.div_ceil(self.endpoints.len()));
        let said = || state.info.as_ref().map_or(SLOTS_UNKNOWN, |info| info.slots);
        asked.unwrap_or_else(said).max(1)
    }

    /// A place at a host other than this one that would begin with a batch at once. It is taken
    /// before the old one is left, so that no batch that came later gets ahead.
    fn better_place(&self, than: &Endpoint) -> Option<Place> {
        let now = self.clock.monotonic();
        let others = self.endpoints.iter().filter(|endpoint| !std::ptr::eq(&***endpoint, than));
        let is_free = |endpoint: &&Arc<Endpoint>| {
            let state = endpoint.state();
            let is_left_alone = state.ejected_until.max(state.refused_until) > now;
            !is_left_alone && state.in_flight < self.slots_of(&state)
        };
        let free = others.into_iter().find(is_free)?;
        Some(Place::take(free, &self.room))
    }

    /// Waits as long as a host wanted that has enough, and no longer than until another one is free:
    /// a place there.
    async fn elsewhere(&self, cancel: &Cancel, wait: Duration) -> Result<Option<Place>, Error> {
        let mut left = wait;
        loop {
            if let Some(place) = self.pick_of(|refuses| !refuses) {
                return Ok(Some(place));
            }
            if left.is_zero() {
                return Ok(None);
            }
            let part = left.min(LOOK_AGAIN);
            pause(cancel, part).await?;
            left -= part;
        }
    }

    /// For how long no host at all was reached, and why the last one was not.
    fn unreached(&self) -> Option<(Duration, Error)> {
        let since = self.endpoints.iter().map(|endpoint| endpoint.unreached_since());
        let since: Vec<(Duration, Error)> = since.collect::<Option<_>>()?;
        let (since, error) = since.into_iter().max_by_key(|(since, _)| *since)?;
        Some((self.clock.monotonic().saturating_sub(since), error))
    }

    /// Why no host is expected any more, where none is.
    fn gone(&self) -> Option<Error> {
        let (time, error) = self.unreached()?;
        if time >= SAID_AFTER && !self.said.swap(true, Ordering::Relaxed) {
            let name = &self.name;
            tracing::warn!("tasks wait for {name}, at most {GONE:?} in all: {error}");
        }
        (time >= GONE).then_some(error)
    }

    /// Asks all hosts what they are, until one has answered and the others had a moment. What is
    /// wrong with the others is said where one has; else it is the error.
    async fn ask(&self) -> Result<(), Error> {
        let goes_on = Arc::new(AtomicBool::new(false));
        let asked = self.endpoints.iter().map(|endpoint| asked(endpoint, &goes_on));
        let mut asked: FuturesUnordered<_> = asked.collect();
        let (mut failed, mut late) = (Vec::new(), None);
        loop {
            let asked = async {
                match late {
                    // One is enough to begin; the others have a moment to be there from the start.
                    Some(()) => tokio::time::timeout(TOGETHER, asked.next()).await.ok().flatten(),
                    None => asked.next().await,
                }
            };
            match asked.await {
                Some(Ok(Ok(()))) => late = Some(()),
                Some(Ok(Err(error))) => failed.push(error),
                Some(Err(_)) => {}
                None if late.is_some() => {
                    goes_on.store(true, Ordering::Relaxed);
                    failed.iter().for_each(|error| tracing::warn!("{error}"));
                    return Ok(());
                }
                None => break,
            }
        }
        let mut failed = failed.into_iter();
        let first = failed.next();
        failed.for_each(|error| tracing::warn!("{error}"));
        Err(first.unwrap_or_else(|| {
            Error::new(ErrorKind::Lost, format!("{}: there is no host", self.name))
        }))
    }

    /// Takes note of what became of a batch at a host, and says what becomes of it next.
    fn judge(
        &self,
        endpoint: &Endpoint,
        sent: Result<(), Unsent>,
        failing_since: &mut Option<Duration>,
    ) -> Result<Next, Error> {
        let now = self.clock.monotonic();
        let Err(unsent) = sent else {
            endpoint.answers();
            self.said.store(false, Ordering::Relaxed);
            return Ok(Next::Done);
        };
        match unsent {
            Unsent::Better => Ok(Next::Again),
            // It is there, and has enough: the batch goes elsewhere or waits, and is not lost.
            Unsent::Refused(wait) => {
                *failing_since = None;
                let wait = wait.mul_f64(jitter());
                endpoint.refuses(now.saturating_add(wait));
                Ok(Next::Elsewhere(wait))
            }
            Unsent::Unreached(error) => {
                endpoint.eject_unreached(now, &error);
                let since = *failing_since.get_or_insert(now);
                if now.saturating_sub(since) >= PATIENCE || self.gone().is_some() {
                    return Err(error);
                }
                tracing::debug!("{error}");
                Ok(Next::Again)
            }
            // Others may be right. None of this passes by itself, so it is not waited for.
            Unsent::Untrusted(error) => {
                endpoint.eject(now);
                if self.endpoints.iter().all(|endpoint| endpoint.state().untrusted) {
                    return Err(error);
                }
                tracing::warn!("{error}");
                Ok(Next::Again)
            }
            Unsent::Lost(error) => {
                endpoint.eject(now);
                Err(error)
            }
            Unsent::Failed(error) => {
                endpoint.failed(now, &error);
                Err(error)
            }
            Unsent::TooMuch(error) | Unsent::Never(error) => Err(error),
        }
    }

    async fn place(&self, cancel: &Cancel) -> Result<Place, Error> {
        loop {
            if let Some(place) = self.pick() {
                return Ok(place);
            }
            if cancel.is_cancelled() {
                return Err(cancelled());
            }
            if let Some(error) = self.gone() {
                return Err(error);
            }
            // Also looked at now and then: a host may come back from being left alone.
            let _either = tokio::time::timeout(LOOK_AGAIN, self.room.notified()).await;
        }
    }
}

#[async_trait]
impl Runtime for Hosts {
    fn capacity(&self) -> Capacity {
        let (mut slots, mut tasks_max, mut bytes_max) = (0_usize, usize::MAX, u64::MAX);
        let (mut time_max, mut memory_max) = (None, None);
        for endpoint in &self.endpoints {
            let Some(info) = endpoint.state().info.clone() else { continue };
            slots = slots.saturating_add(info.slots);
            tasks_max = tasks_max.min(info.batch_tasks_max);
            bytes_max = bytes_max.min(info.batch_bytes_max);
            time_max = [time_max, info.time_max].into_iter().flatten().min();
            memory_max = [memory_max, info.task_memory_max].into_iter().flatten().min();
        }
        let slots = self.slots.unwrap_or(slots).max(1);
        Capacity::new(slots, tasks_max)
            .with_batch_time(BATCH_TIME)
            .with_batch_bytes_max(bytes_max)
            .with_task_time_max(time_max.map(|time: Duration| time - ENDING.min(time / 2)))
            .with_task_memory_max(memory_max)
            .with_batches_per_second(self.rate.per_second())
    }

    fn reach(&self) -> Reach {
        self.reach
    }

    /// One host that is known, and was there the last time, is enough. Where none was, all are asked: a
    /// job does not begin where nobody has been for long.
    async fn ready(&self) -> Result<(), Error> {
        let is_known = |endpoint: &&Arc<Endpoint>| endpoint.state().info.is_some();
        let (known, unknown): (Vec<_>, Vec<_>) = self.endpoints.iter().partition(is_known);
        if known.iter().any(|endpoint| endpoint.failing_since().is_none()) {
            let goes_on = Arc::new(AtomicBool::new(true));
            unknown.into_iter().for_each(|endpoint| drop(asked(endpoint, &goes_on)));
            return Ok(());
        }
        let asked = self.ask().await;
        // One that is just started again is waited for by the batches themselves.
        let now = self.clock.monotonic();
        let is_new = |since: Duration| now.saturating_sub(since) < PATIENCE;
        match known.iter().any(|endpoint| endpoint.failing_since().is_some_and(is_new)) {
            true => Ok(()),
            false => asked,
        }
    }

    async fn invoke(
        &self,
        batch: Arc<Batch>,
        cancel: Cancel,
        observer: Arc<dyn Observer>,
    ) -> Result<(), Error> {
        let body = wire::encode_batch(&batch)?;
        let mut failing_since = None;
        let better: Mutex<Option<Place>> = Mutex::default();
        let taken = || better.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            pause(&cancel, self.rate.turn()).await?;
            let place = taken().take();
            let place = match place {
                Some(place) => place,
                None => self.place(&cancel).await?,
            };
            let endpoint = Arc::clone(&place.0);
            let take_better = || {
                let place = self.better_place(&endpoint);
                let is_there = place.is_some();
                *taken() = place;
                is_there
            };
            let sending = Sending {
                body: body.clone(),
                cancel: &cancel,
                observer: &*observer,
                take_better: &take_better,
                clock: &*self.clock,
            };
            let sent = endpoint.send(&sending).await;
            drop(place);
            if let Err(Unsent::TooMuch(error)) = &sent
                && batch.tasks.len() > 1
            {
                // Nothing was done, and what comes is cut by what the host says now.
                return Err(Error::new(ErrorKind::HandedBack, error.message.clone()));
            }
            match self.judge(&endpoint, sent, &mut failing_since)? {
                Next::Done => return Ok(()),
                Next::Again => {}
                Next::Elsewhere(wait) => {
                    let elsewhere = self.elsewhere(&cancel, wait).await?;
                    *taken() = elsewhere;
                }
            }
        }
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Asks a host what it is. That goes on behind the job's back: those that answer late take part from
/// then on, and of those that do not it is said, where the job goes on without them.
fn asked(endpoint: &Arc<Endpoint>, goes_on: &Arc<AtomicBool>) -> JoinHandle<Result<(), Error>> {
    let (endpoint, goes_on) = (Arc::clone(endpoint), Arc::clone(goes_on));
    tokio::spawn(async move {
        let asked = endpoint.ask().await;
        if let Err(error) = &asked
            && goes_on.load(Ordering::Relaxed)
        {
            tracing::warn!("{error}");
        }
        asked.map(|_| endpoint.answers())
    })
}

/// What becomes of a batch that was sent.
enum Next {
    Done,
    /// It is sent again.
    Again,
    /// The same, and not within this time where there is no other host.
    Elsewhere(Duration),
}

/// A batch's place at a host; dropping it gives it back.
struct Place(Arc<Endpoint>, Arc<Notify>);

// === impl Place ===

impl Place {
    fn take(endpoint: &Arc<Endpoint>, room: &Arc<Notify>) -> Self {
        endpoint.state().in_flight += 1;
        Self(Arc::clone(endpoint), Arc::clone(room))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
        self.1.notify_one();
    }
}

/// Waits, unless the batch is not wanted any more.
async fn pause(cancel: &Cancel, time: Duration) -> Result<(), Error> {
    let mut left = time;
    loop {
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        if left.is_zero() {
            return Ok(());
        }
        let part = left.min(LOOK_AGAIN);
        tokio::time::sleep(part).await;
        left -= part;
    }
}
