//! The driver's side: what is known of the hosts that pull from the queue, and of a message in it.
//!
//! Hosts answer when they are asked who is there, and the broker knows which messages it still has. So
//! no batch is given up while somebody may still run it, and none is waited for that nobody has.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as Slot, PoisonError};
use std::time::Duration;

use async_nats::jetstream::consumer::{Consumer, pull};
use futures::StreamExt;
use samara_core::wire::{self, HostInfo};
use samara_core::{Clock, Error, ErrorKind, Retry};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::broker::{Broker, in_full};
use super::config::Config;
use super::message::hosts_subject;

/// How often hosts and broker are asked at most.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long what they said is good enough to begin a job with.
const FRESH: Duration = Duration::from_secs(30);

/// How long hosts are waited for that are asked who is there.
const GATHER: Duration = Duration::from_millis(500);

/// The same where some have answered, and no more do.
const QUIET: Duration = Duration::from_millis(100);

/// Hosts whose answers are taken: what the queue has places for.
const HOSTS_MAX: usize = super::config::SLOTS_MAX;

/// How long no host at all may be heard of, by the broker or by the store, before batches are given up:
/// machines of a pool take minutes to start.
const UNSERVED_MAX: Duration = Duration::from_mins(5);

/// How long the end of an answer may take to be seen in the store, once its message is acknowledged.
const GONE_MAX: Duration = Duration::from_secs(10);

/// How long a host may write nothing to the store, before the broker is asked whether it is still at
/// it: it writes every ten seconds.
const SILENCE: Duration = Duration::from_secs(12);

/// How long the broker may be away, with no word from any host by way of the store.
const AWAY_MAX: Duration = Duration::from_mins(2);

/// What is said where a host may not answer.
const REFUSED: &str = "a host took the batch out of the queue, and may not answer: it asks for \
                       tickets, and this driver's is missing, not good, or not for this job's store; \
                       the host's audit log says why";

/// The queue, and who is there.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) broker: Broker,
    config: Config,
    consumer: Consumer<pull::Config>,
    clock: Arc<dyn Clock>,
    seen: Mutex<Option<(Duration, Seen)>>,
    /// When any host was heard of last.
    news: Slot<Duration>,
    slots: AtomicUsize,
    tasks_max: AtomicUsize,
}

/// What hosts and broker said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    hosts: usize,
    /// The number of the last message that was given to a host.
    delivered: u64,
    /// Whether the broker will give, or waits for, any message.
    is_busy: bool,
}

/// What is known of one message.
#[derive(Debug)]
pub(super) struct Watch {
    sequence: u64,
    /// Which connection it was sent on.
    connection: u64,
    /// When its host was heard of last, or it was sent.
    sign: Duration,
    has_begun: bool,
    gone: Option<Duration>,
    stuck: Option<Duration>,
    away: Option<Duration>,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Somebody may still run it.
    Waits,
    /// Nobody will; it may be sent again.
    Lost(&'static str),
    /// A host took it, and may not say why it does not run it.
    Refused,
}

// === impl Pool ===

impl Pool {
    pub(super) async fn open(
        broker: Broker,
        config: &Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let consumer = broker.queue(config).await?;
        let now = clock.monotonic();
        Ok(Self {
            broker,
            config: config.clone(),
            consumer,
            clock,
            seen: Mutex::default(),
            news: Slot::new(now),
            slots: AtomicUsize::new(0),
            tasks_max: AtomicUsize::new(usize::MAX),
        })
    }

    /// Slots of all hosts that answered; none before any did.
    pub(super) fn slots(&self) -> Option<usize> {
        Some(self.slots.load(Ordering::Relaxed)).filter(|slots| *slots > 0)
    }

    /// Tasks that each of them takes together.
    pub(super) fn tasks_max(&self) -> usize {
        self.tasks_max.load(Ordering::Relaxed)
    }

    /// A host was heard of by way of the store.
    pub(super) fn heard(&self) {
        let now = self.clock.monotonic();
        *self.news.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// How long no host was heard of.
    fn silence(&self) -> Duration {
        let news = *self.news.lock().unwrap_or_else(PoisonError::into_inner);
        self.clock.monotonic().saturating_sub(news)
    }

    /// Asks hosts and broker, unless some were there a moment ago. Says how many hosts there are.
    ///
    /// # Errors
    ///
    /// `Lost` where the broker does not answer; `Invalid` where the hosts there are too old.
    pub(super) async fn look(&self) -> Result<usize, Error> {
        let most = if self.slots().is_some() { FRESH } else { Duration::ZERO };
        self.see(most).await.map(|seen| seen.hosts)
    }

    /// What hosts and broker said no longer ago than that.
    async fn see(&self, most: Duration) -> Result<Seen, Error> {
        let mut last = self.seen.lock().await;
        let now = self.clock.monotonic();
        if let Some((at, seen)) = *last
            && now.saturating_sub(at) < most
        {
            return Ok(seen);
        }
        let info = self.consumer.get_info().await.map_err(|error| {
            let text = format!("the broker does not tell of the queue: {}", in_full(&error));
            self.broker.error(ErrorKind::Lost, &text)
        })?;
        let hosts = self.gather().await?;
        if !hosts.is_empty() {
            self.heard();
            let slots = hosts.iter().map(|host| host.slots).fold(0, usize::saturating_add);
            self.slots.store(slots, Ordering::Relaxed);
            let least = hosts.iter().map(|host| host.batch_tasks_max).min();
            self.tasks_max.store(least.unwrap_or(usize::MAX).max(1), Ordering::Relaxed);
        }
        let seen = Seen {
            hosts: hosts.len(),
            delivered: info.delivered.stream_sequence,
            is_busy: info.num_pending > 0 || info.num_ack_pending > 0,
        };
        *last = Some((self.clock.monotonic(), seen));
        Ok(seen)
    }

    /// Asks who is there, and waits a moment for those who are.
    async fn gather(&self) -> Result<Vec<HostInfo>, Error> {
        let client = &self.broker.client;
        let failed = |error: String| self.broker.error(ErrorKind::Lost, &error);
        let inbox = client.new_inbox();
        let mut answers =
            client.subscribe(inbox.clone()).await.map_err(|error| failed(error.to_string()))?;
        let question =
            client.publish_with_reply(hosts_subject(&self.config), inbox, bytes::Bytes::new());
        question.await.map_err(|error| failed(error.to_string()))?;
        let (mut hosts, mut others) = (Vec::new(), None);
        let mut patience = GATHER;
        while let Ok(Some(answer)) = timeout(patience, answers.next()).await {
            // Nobody is there.
            if answer.status.is_some() {
                break;
            }
            let info = wire::decode_info(&answer.payload);
            match info.and_then(|info| info.speaks("a host").map(|()| info)) {
                Ok(info) if info.draining => {}
                Ok(info) => hosts.push(info),
                Err(error) => others = Some(error),
            }
            patience = QUIET;
            if hosts.len() >= HOSTS_MAX {
                break;
            }
        }
        match others {
            Some(error) if hosts.is_empty() => Err(error),
            _ => Ok(hosts),
        }
    }

    /// What is known of a message that was just sent.
    pub(super) fn watch(&self, sequence: u64) -> Watch {
        Watch {
            sequence,
            connection: *self.broker.connected.borrow(),
            sign: self.clock.monotonic(),
            has_begun: false,
            gone: None,
            stuck: None,
            away: None,
        }
    }

    /// Its host was heard of.
    pub(super) fn begun(&self, watch: &mut Watch) {
        self.heard();
        watch.sign = self.clock.monotonic();
        watch.has_begun = true;
        (watch.gone, watch.stuck) = (None, None);
    }

    /// Why nothing is to be waited for any more, where that is so.
    ///
    /// # Errors
    ///
    /// That.
    pub(super) async fn check(&self, watch: &mut Watch) -> Result<(), Error> {
        let silent = self.clock.monotonic().saturating_sub(watch.sign);
        if watch.has_begun && silent < SILENCE {
            return Ok(());
        }
        let found = match self.see(LOOK_EVERY / 2).await {
            Ok(seen) if watch.sequence > seen.delivered => Ok((seen, true)),
            Ok(seen) => self.broker.has(watch.sequence).await.map(|has| (seen, has)),
            Err(error) => Err(error),
        };
        let now = self.clock.monotonic();
        match found {
            Ok((seen, has)) => {
                let is_new = *self.broker.connected.borrow() != watch.connection;
                match watch.judge(seen, (has, is_new), now) {
                    Verdict::Waits if seen.hosts == 0 => self.is_served(),
                    Verdict::Waits => Ok(()),
                    Verdict::Lost(why) => Err(self.error(ErrorKind::Lost, why)),
                    Verdict::Refused => Err(self.error(ErrorKind::Denied, REFUSED)),
                }
            }
            Err(error) if error.kind != ErrorKind::Lost => Err(error),
            Err(error) => {
                let since = *watch.away.get_or_insert(now);
                let is_over = now.saturating_sub(since) >= AWAY_MAX && self.silence() >= AWAY_MAX;
                if is_over { Err(error) } else { Ok(()) }
            }
        }
    }

    /// Gives up where nobody was heard of for long.
    ///
    /// # Errors
    ///
    /// That.
    pub(super) fn is_served(&self) -> Result<(), Error> {
        if self.silence() < UNSERVED_MAX {
            return Ok(());
        }
        let text = format!(
            "nobody serves this queue: no host was heard of for {UNSERVED_MAX:?}; hosts are started \
             with SAMARA_HOST_QUEUE={}",
            self.config
        );
        Err(self.error(ErrorKind::Lost, &text).with_retry(Retry::Never))
    }

    fn error(&self, kind: ErrorKind, text: &str) -> Error {
        Error::new(kind, format!("{}: {text}", self.config))
    }
}

// === impl Watch ===

impl Watch {
    /// What became of the message, by what hosts and broker said; the broker `has` it or not, and the
    /// connection is a new one or the one that it was sent on.
    fn judge(&mut self, seen: Seen, (has, is_new): (bool, bool), now: Duration) -> Verdict {
        let is_long = |since: &mut Option<Duration>| {
            now.saturating_sub(*since.get_or_insert(now)) >= GONE_MAX
        };
        self.away = None;
        if !has {
            return match is_long(&mut self.gone) {
                false => Verdict::Waits,
                true if self.has_begun || is_new => {
                    Verdict::Lost("the batch is out of the queue, and its answer has no end")
                }
                true => Verdict::Refused,
            };
        }
        self.gone = None;
        if self.sequence > seen.delivered || seen.is_busy {
            self.stuck = None;
            return Verdict::Waits;
        }
        match is_long(&mut self.stuck) {
            false => Verdict::Waits,
            true => Verdict::Lost(
                "hosts were given the batch, and none lived to its end; the broker gives it to no \
                 other",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> Watch {
        let sign = Duration::ZERO;
        let (gone, stuck, away) = (None, None, None);
        Watch { sequence: 7, connection: 1, sign, has_begun: false, gone, stuck, away }
    }

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_batch_waits_as_long_as_somebody_may_run_it() {
        let mut watch = watch();
        let busy = |delivered| Seen { hosts: 1, delivered, is_busy: true };
        let idle = |delivered| Seen { is_busy: false, ..busy(delivered) };
        // It was given to nobody, or to somebody who is at it.
        for (seen, hour) in [(busy(6), 1), (idle(6), 2), (busy(7), 3), (busy(9), 4)] {
            assert_eq!(watch.judge(seen, (true, false), after(hour * 3600)), Verdict::Waits);
        }
        // It was given often enough, and the broker has nothing more to give.
        assert_eq!(watch.judge(idle(9), (true, false), after(20_000)), Verdict::Waits);
        let verdict = watch.judge(idle(9), (true, false), after(20_010));
        assert!(matches!(verdict, Verdict::Lost(why) if why.contains("none lived")), "{verdict:?}");
    }

    #[test]
    fn a_batch_that_is_gone_without_an_answer_was_refused_or_is_lost() {
        let seen = Seen { hosts: 1, delivered: 9, is_busy: false };
        let gone = |mut watch: Watch, is_new| {
            // The end of its answer may take a moment to be seen.
            assert_eq!(watch.judge(seen, (false, is_new), after(5)), Verdict::Waits);
            assert_eq!(watch.judge(seen, (false, is_new), after(10)), Verdict::Waits);
            watch.judge(seen, (false, is_new), after(15))
        };
        assert_eq!(gone(watch(), false), Verdict::Refused);
        // A broker that came again may have lost it.
        assert!(matches!(gone(watch(), true), Verdict::Lost(_)));
        assert!(matches!(gone(Watch { has_begun: true, ..watch() }, false), Verdict::Lost(_)));
    }
}
