//! The broker: the connection to it, the stream that messages wait in, and the consumer that hands them
//! to hosts. Whoever comes first makes both; those that are there already are taken as they are.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{
    self, DiscardPolicy, RawMessageErrorKind, RetentionPolicy, StorageType, Stream,
};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event};
use samara_core::{Error, ErrorKind};
use tokio::sync::watch;

use super::config::{Config, SLOTS_MAX};
use super::login::Login;

/// The consumer that all hosts of a stream share.
const CONSUMER: &str = "hosts";

/// How long a message may wait: whoever sent it has given up long before.
const AGE_MAX: Duration = Duration::from_hours(24);

/// Bytes that may wait: two thousand batches of the largest. It is set aside on the broker's disk; a
/// driver that finds it full waits.
const BYTES_MAX: i64 = 256 << 20;

/// Messages that may wait. Drivers send two batches for each slot, so that is a dozen drivers of the
/// largest pool.
const MESSAGES_MAX: i64 = 200_000;

/// How long a message is known by its name, so that one that is sent again counts once: longer than a
/// driver tries to send it.
const KNOWN_FOR: Duration = Duration::from_mins(5);

/// How long a host may say nothing of a message before the broker gives it to another: three of the
/// times that it says something, and well below the 35 s that a driver waits for a sign.
const ACK_WAIT: Duration = Duration::from_secs(15);

/// How often a host says that it is at a message.
#[cfg(feature = "serve")]
pub(super) const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// How often a message is given to hosts at most: far more often than they begin it, see
/// `hand.rs`, and still no batch is handed around for ever by hosts that end before they can say so.
const DELIVERIES_MAX: i64 = 100;

/// How long the broker may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// How often a connection on which nothing comes is tried: after two that are not answered it is made
/// anew.
const PING_EVERY: Duration = Duration::from_secs(10);

/// The longest wait between two tries to connect.
const AGAIN_MAX: Duration = Duration::from_secs(2);

/// A broker, and the queue there.
pub(super) struct Broker {
    pub(super) client: Client,
    jetstream: Context,
    stream: Stream<()>,
    subject: String,
    /// Counts connections.
    pub(super) connected: watch::Receiver<u64>,
    /// What the broker complained of last.
    said: Arc<Mutex<String>>,
}

/// Why a message is not in the queue.
#[derive(Debug)]
pub(super) enum Unsent {
    /// The queue is full: come again.
    Full,
    /// The broker did not answer, or has trouble: come again.
    Unreached(Error),
    /// No repetition would help.
    Never(Error),
}

// === impl Broker ===

impl Broker {
    /// Connects once; from then on the connection is made anew whenever it breaks.
    ///
    /// # Errors
    ///
    /// `Denied` where it lets nobody of that name in; `Invalid` where a file is wrong; `Lost` where it
    /// is not reached.
    pub(super) async fn connect(config: &Config, login: &Login, name: &str) -> Result<Self, Error> {
        let (counter, connected) = watch::channel(0);
        let said = Arc::<Mutex<String>>::default();
        let options = ConnectOptions::new()
            .name(name)
            .connection_timeout(ANSWER_MAX)
            .ping_interval(PING_EVERY)
            .retain_servers_order()
            .ignore_discovered_servers()
            .reconnect_delay_callback(wait)
            .event_callback(hears(counter, Arc::clone(&said)));
        let scheme = if login.has_tls() { "tls" } else { "nats" };
        let servers: Vec<String> =
            config.servers.iter().map(|server| format!("{scheme}://{server}")).collect();
        let options = login.open(options).await?;
        let client = options.connect(servers).await;
        let client = client.map_err(|error| not_connected(&error).context(config))?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(ANSWER_MAX);
        let stream = jetstream
            .get_stream_no_info(&config.stream)
            .await
            .map_err(|error| Error::new(ErrorKind::Invalid, format!("{config}: {error}")))?;
        Ok(Self { client, jetstream, stream, subject: config.subject(), connected, said })
    }

    /// Whether the broker asks who comes.
    #[cfg(feature = "serve")]
    pub(super) fn asks_who(&self) -> bool {
        self.client.server_info().auth_required
    }

    /// Sees to it that stream and consumer are there.
    ///
    /// # Errors
    ///
    /// `Invalid` where there is another one of that name, or the broker keeps none; `Lost` where it
    /// does not answer.
    pub(super) async fn queue(&self, config: &Config) -> Result<Consumer<pull::Config>, Error> {
        let unmade = |error: &(dyn std::error::Error + 'static)| {
            let text = in_full(error);
            // What a broker says for which it is still too early.
            let kind = match text.contains("timed out") || text.contains("temporarily") {
                true => ErrorKind::Lost,
                false => ErrorKind::Invalid,
            };
            let hint = match text.contains("unavailable") || text.contains("no responders") {
                true => "; the broker has to be started with JetStream (`-js`)",
                false => "",
            };
            let text = format!("{config}: the queue is neither there nor made: {text}{hint}");
            self.error(kind, &text)
        };
        let stream = self.jetstream.get_or_create_stream(self.stream_config(config)).await;
        let stream = stream.map_err(|error| unmade(&error))?;
        let found = &stream.cached_info().config;
        if found.retention != RetentionPolicy::WorkQueue || !found.subjects.contains(&self.subject)
        {
            let text = format!(
                "{config}: the stream of that name is no queue of Samara's: it should have the \
                 retention `workqueue` and the subject {}",
                self.subject
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        let consumer = stream.get_or_create_consumer(CONSUMER, consumer_config()).await;
        let consumer = consumer.map_err(|error| unmade(&error))?;
        match consumer.cached_info().config.ack_policy {
            AckPolicy::Explicit => Ok(consumer),
            _ => {
                let text =
                    format!("{config}: the consumer `{CONSUMER}` is not acknowledged one by one");
                Err(Error::new(ErrorKind::Invalid, text))
            }
        }
    }

    fn stream_config(&self, config: &Config) -> stream::Config {
        stream::Config {
            name: config.stream.clone(),
            description: Some("batches of Samara's drivers, for hosts that pull them".to_owned()),
            subjects: vec![self.subject.clone()],
            // What is acknowledged is gone.
            retention: RetentionPolicy::WorkQueue,
            // A driver that sends more is told so, and nobody else's messages go.
            discard: DiscardPolicy::New,
            storage: StorageType::File,
            max_age: AGE_MAX,
            max_bytes: BYTES_MAX,
            max_messages: MESSAGES_MAX,
            duplicate_window: KNOWN_FOR,
            num_replicas: 1,
            ..stream::Config::default()
        }
    }

    /// Puts a message into the queue, once under this name.
    pub(super) async fn send(&self, name: &str, message: Vec<u8>) -> Result<u64, Unsent> {
        let message = PublishMessage::build().payload(message.into()).message_id(name);
        let sent =
            async { self.jetstream.send_publish(self.subject.clone(), message).await?.await };
        let error = match sent.await {
            Ok(taken) => return Ok(taken.sequence),
            Err(error) => error,
        };
        let source = std::error::Error::source(&error);
        let code = source.and_then(|source| source.downcast_ref::<jetstream::Error>());
        let text = format!("the broker does not take a batch: {}", in_full(&error));
        match (error.kind(), code.map(jetstream::Error::error_code)) {
            (PublishErrorKind::MaxPayloadExceeded, _) => {
                Err(Unsent::Never(self.error(ErrorKind::Invalid, &text)))
            }
            (_, Some(ErrorCode::STREAM_STORE_FAILED)) => Err(Unsent::Full),
            _ => Err(Unsent::Unreached(self.error(ErrorKind::Lost, &text))),
        }
    }

    /// Whether a message is still in the queue: waiting, or with a host that has not acknowledged it.
    ///
    /// # Errors
    ///
    /// `Lost` where the broker does not say.
    pub(super) async fn has(&self, sequence: u64) -> Result<bool, Error> {
        match self.stream.get_raw_message(sequence).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(false),
            Err(error) => Err(self.error(ErrorKind::Lost, &in_full(&error))),
        }
    }

    /// Takes a message out of the queue, where it is still there.
    pub(super) async fn remove(&self, sequence: u64) {
        if let Err(error) = self.stream.delete_message(sequence).await {
            tracing::debug!("a message was not removed: {error}");
        }
    }

    /// An error, with what the broker complained of.
    pub(super) fn error(&self, kind: ErrorKind, text: &str) -> Error {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match said.is_empty() {
            true => Error::new(kind, text),
            false => Error::new(kind, format!("{text} (the broker says: {said})")),
        }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("subject", &self.subject).finish_non_exhaustive()
    }
}

fn consumer_config() -> pull::Config {
    pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_deliver: DELIVERIES_MAX,
        // As many as there may be slots: each waits, or has one.
        max_waiting: i64::try_from(SLOTS_MAX).unwrap_or(i64::MAX),
        max_ack_pending: i64::try_from(SLOTS_MAX).unwrap_or(i64::MAX),
        ..pull::Config::default()
    }
}

/// How long to wait before a try to connect.
fn wait(tries: usize) -> Duration {
    let doublings = u32::try_from(tries.saturating_sub(1)).unwrap_or(u32::MAX).min(8);
    match tries {
        0 | 1 => Duration::ZERO,
        _ => (Duration::from_millis(50) * 2_u32.pow(doublings)).min(AGAIN_MAX),
    }
}

/// Counts connections, and keeps what the broker complains of.
fn hears(
    counter: watch::Sender<u64>,
    said: Arc<Mutex<String>>,
) -> impl Fn(Event) -> std::future::Ready<()> {
    move |event| {
        match event {
            Event::Connected => {
                said.lock().unwrap_or_else(PoisonError::into_inner).clear();
                counter.send_modify(|count| *count += 1);
            }
            Event::Disconnected => tracing::warn!("the broker is away, and waited for"),
            Event::ServerError(error) => {
                let text = error.to_string();
                tracing::warn!("the broker says: {text}");
                *said.lock().unwrap_or_else(PoisonError::into_inner) = text;
            }
            event => tracing::debug!("{event}"),
        }
        std::future::ready(())
    }
}

/// Why there is no connection.
fn not_connected(error: &ConnectError) -> Error {
    let text = in_full(error);
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => Error::new(
            ErrorKind::Denied,
            "the broker does not let this user in; NATS_USER and NATS_PASSWORD, NATS_TOKEN or \
             NATS_CREDS say who it is",
        ),
        _ if text.contains("certificate") => Error::new(
            ErrorKind::Invalid,
            format!(
                "{text}; NATS_CA names who signed the broker's, NATS_CERT and NATS_KEY one's own"
            ),
        ),
        ConnectErrorKind::ServerParse | ConnectErrorKind::Tls => {
            Error::new(ErrorKind::Invalid, text)
        }
        _ => Error::new(ErrorKind::Lost, format!("the broker is not reached: {text}")),
    }
}

/// An error with what it came from.
pub(super) fn in_full(error: &(dyn std::error::Error + 'static)) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(&format!(": {more}"));
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_is_away_is_tried_soon_and_then_less_often() {
        let waits: Vec<u128> = (0..9).map(|tries| wait(tries).as_millis()).collect();
        assert_eq!(waits, [0, 0, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(wait(usize::MAX), AGAIN_MAX);
    }

    #[test]
    #[cfg(feature = "serve")]
    fn a_host_speaks_often_enough_that_its_message_stays_with_it() {
        assert!(PROGRESS_EVERY * 3 <= ACK_WAIT);
    }
}
