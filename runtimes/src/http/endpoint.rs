//! One host, as a driver sees it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response};
use samara_core::wire::{self, BATCH_TYPE, Frame, Frames, HostInfo, VERSION};
use samara_core::{Cancel, Clock, Error, ErrorKind, Observer, Retry};

use super::door::Door;
use super::tls::fault;
use super::{BATCHES, BYTES_PER_SECOND, HOST, OURS, TOKEN, text};

/// How long a host may take to say what it is, or that it takes a batch that has arrived.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// How long a host that streams may be silent before it counts as lost: it says every second that
/// it is alive.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// How long a batch may wait at a host before it goes to another that is free: it waits behind
/// one that takes long.
const UNSTARTED_MAX: Duration = Duration::from_millis(100);

/// A host whose batches are done in this time gets the next ones ahead of time.
const QUICK: Duration = Duration::from_millis(250);

/// How often it is looked whether the batch is still wanted.
const CANCEL_POLL: Duration = Duration::from_millis(20);

/// The first wait before a host that failed is tried again; doubles with each further failure.
const EJECTED_FIRST: Duration = Duration::from_millis(100);

/// The longest such wait.
const EJECTED_MAX: Duration = Duration::from_secs(5);

/// What an answer says in words, at most.
const WORDS_MAX: usize = 500;

/// What is said of answers of 5xx that are not the host's own.
const NOT_THE_HOST: &str = "; that is what stands before the host, which says so where the host \
                            ended, or took longer than the platform waits";

/// The longest wait that a host may ask for.
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// One host.
pub(crate) struct Endpoint {
    client: Client,
    /// Without a slash at its end.
    url: String,
    /// How errors name it.
    name: String,
    keys: Keys,
    state: Mutex<State>,
}

/// What lets a driver in.
#[derive(Clone)]
pub(crate) struct Keys {
    /// For the host.
    pub(crate) token: Option<Arc<str>>,
    /// For the platform before it.
    pub(crate) door: Door,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) info: Option<HostInfo>,
    pub(super) in_flight: usize,
    /// Whether the last batch was done within [`QUICK`].
    pub(super) quick: bool,
    /// Failures one after the other.
    failures: u32,
    /// When the first of them was, by the driver's clock.
    failing_since: Option<Duration>,
    /// Since when it was not reached at all, and why. One that is reached and loses a batch is there.
    unreached: Option<(Duration, Error)>,
    /// Whether it was said that a quota keeps batches waiting.
    throttled: bool,
    /// Whether it and this driver could not agree on TLS, the last time that they tried.
    pub(super) untrusted: bool,
    /// Whether what stands before it answered in its place, the last time that a batch was sent: it
    /// may be gone.
    doubtful: bool,
    /// When it may be tried again, by the driver's clock.
    pub(super) ejected_until: Duration,
    /// Until when it has enough, by its own word. It is there: only where another host is free, that
    /// one goes first.
    pub(super) refused_until: Duration,
}

/// A batch on its way, and who is told of it.
pub(super) struct Sending<'a> {
    pub(super) body: Bytes,
    pub(super) cancel: &'a Cancel,
    pub(super) observer: &'a dyn Observer,
    /// Takes a place at a host that would begin with the batch at once, where there is one.
    pub(super) take_better: &'a (dyn Fn() -> bool + Send + Sync),
    pub(super) clock: &'a dyn Clock,
}

/// What an answer to a batch means, by what comes before its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// Frames follow.
    Taken,
    /// The batch did not begin, and is welcome later.
    Refused,
    /// The batch may have begun, and this is not its end.
    Lost,
    /// The same, by the word of what stands before the host: whether that is there is not known.
    Doubtful,
    /// It has to be cut smaller.
    TooMuch,
    /// It never would be another.
    Never,
}

/// Why a batch has no answer.
#[derive(Debug)]
pub(super) enum Unsent {
    /// The batch waited at the host for one that takes long, and another host is free.
    Better,
    /// The host has enough for now.
    Refused(Duration),
    /// The host was not reached: the batch did not begin.
    Unreached(Error),
    /// The host is not whom the driver trusts, or the other way round: the batch did not begin.
    Untrusted(Error),
    /// The host takes no batch of this size.
    TooMuch(Error),
    /// The batch began, and its end is not known.
    Lost(Error),
    /// The host, which is well, said itself that the batch did not come to its end.
    Failed(Error),
    /// No host would take it.
    Never(Error),
}

// === impl Endpoint ===

impl Endpoint {
    pub(crate) fn new(client: Client, url: String, name: String, keys: Keys) -> Self {
        Self { client, url, name, keys, state: Mutex::default() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the host what it is.
    pub(super) async fn ask(&self) -> Result<HostInfo, Error> {
        let request = self.request(self.client.get(format!("{}{HOST}", self.url)));
        let asked = async {
            let response = self.execute(request).await?.map_err(|error| self.unreached(&error))?;
            if response.status() != StatusCode::OK {
                return Err(self.unlike(response).await);
            }
            let is_text = text::is_base64(response.headers());
            let mut bytes = response.bytes().await.map_err(|error| self.unreached(&error))?;
            if is_text {
                bytes = text::decode(&bytes).map_err(|why| self.lost(&why))?.into();
            }
            wire::decode_info(&bytes).map_err(|error| error.context(&self.name))
        };
        let info = tokio::time::timeout(ANSWER_TIME, asked).await.unwrap_or_else(|_| {
            let text = format!("{} does not answer: nothing came for {ANSWER_TIME:?}", self.name);
            Err(Error::new(ErrorKind::Lost, text))
        })?;
        info.speaks(&self.name)?;
        let mut state = self.state();
        (state.info, state.untrusted, state.doubtful) = (Some(info.clone()), false, false);
        drop(state);
        Ok(info)
    }

    /// Sends a batch, and hands on what comes back.
    pub(super) async fn send(&self, sending: &Sending<'_>) -> Result<(), Unsent> {
        let (cancel, body) = (sending.cancel, sending.body.clone());
        if self.state().doubtful {
            self.look(cancel).await?;
        }
        let request = self.request(self.client.post(format!("{}{BATCHES}", self.url)));
        let request = request.header("samara-wire", VERSION);
        let is_text = self.state().info.as_ref().is_some_and(|info| info.text);
        let request = match is_text {
            true => request
                .header(CONTENT_TYPE, text::TEXT_TYPE)
                .header(text::ENCODING, text::BASE64)
                .body(text::encode(&body)),
            false => request.header(CONTENT_TYPE, BATCH_TYPE).body(body),
        };
        let time = answer_time(self.state().info.as_ref(), sending.body.len());
        let sent = wanted(cancel, time, self.execute(request)).await;
        let sent = sent.map_err(|why| match why {
            Unwanted::Cancelled => Unsent::Never(cancelled()),
            Unwanted::Better => Unsent::Better,
            Unwanted::Late => Unsent::Lost(self.lost(&format!("nothing came for {time:?}"))),
        })?;
        let unsigned = |error: Error| match error.retry {
            Retry::Later => Unsent::Unreached(error),
            Retry::Never => Unsent::Never(error),
        };
        let response = match sent.map_err(unsigned)? {
            Ok(response) => response,
            Err(error) => return Err(self.unsent(&error)),
        };
        match Meaning::of(&response) {
            Meaning::Taken => self.read(response, sending).await,
            Meaning::Refused => {
                let wait = again(&response);
                if response.status() == StatusCode::TOO_MANY_REQUESTS {
                    self.throttled(response).await;
                }
                Err(Unsent::Refused(wait))
            }
            Meaning::Lost => Err(Unsent::Lost(self.unlike(response).await)),
            Meaning::Doubtful => {
                self.state().doubtful = true;
                Err(Unsent::Lost(self.unlike(response).await))
            }
            Meaning::TooMuch => {
                let error = self.unlike(response).await;
                // What it said of itself holds no longer.
                if let Ok(Err(error)) = wanted(cancel, ANSWER_TIME, self.ask()).await {
                    tracing::debug!("{error}");
                }
                Err(Unsent::TooMuch(error))
            }
            Meaning::Never => Err(Unsent::Never(self.unlike(response).await)),
        }
    }

    /// Looks whether the host is there. Unlike a batch that may have begun, this costs no attempt,
    /// and so can be repeated for as long as a host takes to be started again.
    async fn look(&self, cancel: &Cancel) -> Result<(), Unsent> {
        let asked = wanted(cancel, Duration::MAX, self.ask()).await;
        let asked = asked.map_err(|_| Unsent::Never(cancelled()))?;
        asked.map(drop).map_err(|error| match error.retry {
            Retry::Later => Unsent::Unreached(error),
            Retry::Never if self.state().untrusted => Unsent::Untrusted(error),
            Retry::Never => Unsent::Never(error),
        })
    }

    /// Hands on the frames of an answer, until the last one.
    async fn read(&self, mut response: Response, sending: &Sending<'_>) -> Result<(), Unsent> {
        let Sending { cancel, observer, take_better, clock, .. } = *sending;
        let streams = response.headers().contains_key("samara-streams");
        let silence = if streams { SILENCE_MAX } else { ANSWER_TIME };
        let mut decoder = text::is_base64(response.headers()).then(text::Decoder::default);
        let (mut frames, mut started, came) = (Frames::default(), None, clock.monotonic());
        loop {
            let is_late = || {
                let waited = clock.monotonic().saturating_sub(came);
                streams && started.is_none() && waited >= UNSTARTED_MAX && take_better()
            };
            let piece = wanted_unless(cancel, silence, is_late, response.chunk()).await;
            let piece = piece.map_err(|why| match why {
                Unwanted::Cancelled => Unsent::Never(cancelled()),
                Unwanted::Better => Unsent::Better,
                Unwanted::Late => Unsent::Lost(self.lost(&format!("nothing came for {silence:?}"))),
            })?;
            let piece = piece.map_err(|error| Unsent::Lost(self.unreached(&error)))?;
            let Some(piece) = piece else {
                return Err(Unsent::Lost(self.lost("its answer broke off")));
            };
            match &mut decoder {
                Some(decoder) => {
                    let bytes =
                        decoder.push(&piece).map_err(|why| Unsent::Lost(self.lost(&why)))?;
                    frames.push(&bytes);
                }
                None => frames.push(&piece),
            }
            while let Some(frame) = frames.next_frame().map_err(Unsent::Lost)? {
                match frame {
                    Frame::Started => {
                        started = Some(clock.monotonic());
                        observer.started();
                    }
                    Frame::Ended(reports) => observer.ended(reports),
                    Frame::Done => {
                        let began = started.unwrap_or(came);
                        self.state().quick = clock.monotonic().saturating_sub(began) <= QUICK;
                        return Ok(());
                    }
                    Frame::Failed(error) => return Err(Unsent::Failed(error.context(&self.name))),
                    Frame::Alive => {}
                    // The version of the format rises with a new kind of frame.
                    _ => return Err(Unsent::Lost(self.lost("it sent a frame that is not known"))),
                }
            }
        }
    }

    fn request(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.keys.token {
            Some(token) => request.header(TOKEN, &**token),
            None => request,
        }
    }

    /// Opens the platform's door, and sends a request.
    async fn execute(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Result<Response>, Error> {
        let mut request = match request.build() {
            Ok(request) => request,
            Err(error) => return Ok(Err(error)),
        };
        let signed = self.keys.door.sign(&mut request).await;
        signed.map_err(|error| error.context(&self.name))?;
        Ok(self.client.execute(request).await)
    }

    /// Takes note that the host answers.
    pub(super) fn answers(&self) {
        let mut state = self.state();
        (state.failures, state.ejected_until) = (0, Duration::ZERO);
        (state.failing_since, state.unreached) = (None, None);
        (state.untrusted, state.throttled) = (false, false);
    }

    /// Takes note that the host has enough until then.
    pub(super) fn refuses(&self, until: Duration) {
        let mut state = self.state();
        state.refused_until = state.refused_until.max(until);
    }

    /// Takes note that the host answered, and what: that a batch failed there is no fault of its own.
    pub(super) fn failed(&self, now: Duration, error: &Error) {
        self.answers();
        let mut state = self.state();
        let streams = state.info.as_ref().is_some_and(|info| info.streams);
        if error.kind == ErrorKind::HandedBack && streams {
            // It may be about to end, and to close its connections.
            state.ejected_until = now.saturating_add(EJECTED_FIRST);
        }
    }

    /// Since when nothing but failures came of it; none where it is well, or not known.
    pub(super) fn failing_since(&self) -> Option<Duration> {
        self.state().failing_since
    }

    /// Since when it was not reached, and why.
    pub(super) fn unreached_since(&self) -> Option<(Duration, Error)> {
        self.state().unreached.clone()
    }

    /// Says once why nothing goes on for now.
    async fn throttled(&self, response: Response) {
        if !std::mem::replace(&mut self.state().throttled, true) {
            let words = words(response).await;
            tracing::warn!("{} has the job wait: {words}", self.name);
        }
    }

    /// Leaves a host alone for a while that was not reached.
    pub(super) fn eject_unreached(&self, now: Duration, why: &Error) {
        let unreached = self.state().unreached.take();
        self.eject(now);
        let since = unreached.map_or(now, |(since, _)| since);
        self.state().unreached = Some((since, why.clone()));
    }

    /// Leaves the host alone for a while.
    pub(super) fn eject(&self, now: Duration) {
        let mut state = self.state();
        let wait = EJECTED_FIRST * 2_u32.saturating_pow(state.failures.min(8));
        state.failures = state.failures.saturating_add(1);
        state.failing_since.get_or_insert(now);
        state.unreached = None;
        state.ejected_until = now + wait.min(EJECTED_MAX);
    }

    fn lost(&self, why: &str) -> Error {
        Error::new(ErrorKind::Lost, format!("{} was lost: {why}", self.name))
    }

    /// Why a batch did not arrive.
    fn unsent(&self, error: &reqwest::Error) -> Unsent {
        match self.untrusted(error) {
            Some(error) => Unsent::Untrusted(error),
            None if error.is_connect() => Unsent::Unreached(self.unreached(error)),
            None => Unsent::Lost(self.unreached(error)),
        }
    }

    /// What TLS came to nothing for, where it was that.
    fn untrusted(&self, error: &reqwest::Error) -> Option<Error> {
        let fault = fault(error, error.is_connect());
        self.state().untrusted = fault.is_some();
        fault.map(|(kind, words)| Error::new(kind, format!("{} {words}", self.name)))
    }

    /// What kept a request from being answered. The URL is not repeated.
    fn unreached(&self, error: &reqwest::Error) -> Error {
        if let Some(error) = self.untrusted(error) {
            return error;
        }
        let mut text = String::new();
        let first = std::error::Error::source(error);
        for cause in std::iter::successors(first, |error| error.source()) {
            text.push_str(": ");
            text.push_str(&cause.to_string());
        }
        let what = if error.is_connect() { "cannot be reached" } else { "was lost" };
        Error::new(ErrorKind::Lost, format!("{} {what}{text}", self.name))
    }

    /// What an answer says that is no answer of a host's.
    async fn unlike(&self, response: Response) -> Error {
        let (status, is_hosts) = (response.status(), is_hosts(&response));
        let words = words(response).await;
        let (kind, way_out) = match status {
            StatusCode::FORBIDDEN if is_hosts => (ErrorKind::Denied, ""),
            StatusCode::UNAUTHORIZED if is_hosts => {
                (ErrorKind::Denied, "; drivers show theirs by the setting `token` (SAMARA_TOKEN)")
            }
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
                (ErrorKind::Denied, self.keys.door.way_out())
            }
            StatusCode::NOT_FOUND => (ErrorKind::Invalid, "; no host of Samara's answers there"),
            StatusCode::ACCEPTED => (ErrorKind::Lost, "; the platform did not wait for the end"),
            StatusCode::REQUEST_TIMEOUT => (ErrorKind::Lost, ""),
            StatusCode::TOO_MANY_REQUESTS => (ErrorKind::Throttled, ""),
            status if status.is_server_error() && !is_hosts => (ErrorKind::Lost, NOT_THE_HOST),
            status if status.is_server_error() => (ErrorKind::Lost, ""),
            _ => (ErrorKind::Invalid, ""),
        };
        Error::new(kind, format!("{} answers {status}: {words}{way_out}", self.name))
    }
}

// === impl Meaning ===

impl Meaning {
    fn of(response: &Response) -> Self {
        let says_when = response.headers().contains_key(RETRY_AFTER);
        Self::of_status(response.status(), is_hosts(response), says_when)
    }

    fn of_status(status: StatusCode, is_hosts: bool, says_when: bool) -> Self {
        match status {
            StatusCode::OK => Self::Taken,
            StatusCode::TOO_MANY_REQUESTS => Self::Refused,
            StatusCode::PAYLOAD_TOO_LARGE if is_hosts => Self::TooMuch,
            // Some platforms say the same of a host that died under a batch, but no time with it.
            StatusCode::SERVICE_UNAVAILABLE if is_hosts || says_when => Self::Refused,
            status if status.is_server_error() && !is_hosts => Self::Doubtful,
            // A gateway that did not wait for the end says that the batch was accepted.
            status if status.is_server_error() || status.is_success() => Self::Lost,
            StatusCode::REQUEST_TIMEOUT => Self::Lost,
            _ => Self::Never,
        }
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Whether it was a host that answered, and not what stands before it.
fn is_hosts(response: &Response) -> bool {
    response.headers().contains_key(OURS)
}

/// The beginning of what an answer says in words.
async fn words(mut response: Response) -> String {
    let mut bytes = Vec::new();
    let read = async {
        while let Ok(Some(piece)) = response.chunk().await
            && bytes.len() < 4 * WORDS_MAX
        {
            bytes.extend_from_slice(&piece);
        }
    };
    let _what_came_is_enough = tokio::time::timeout(ANSWER_TIME, read).await;
    // In one line: gateways answer with pages.
    let text = String::from_utf8_lossy(&bytes);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(WORDS_MAX).collect()
}

/// Why something is not waited for any longer.
enum Unwanted {
    Cancelled,
    Better,
    Late,
}

/// Waits, but no longer than `time`, and not for what nobody wants any more.
async fn wanted<F: Future>(
    cancel: &Cancel,
    time: Duration,
    future: F,
) -> Result<F::Output, Unwanted> {
    wanted_unless(cancel, time, || false, future).await
}

/// The same, and not where something better is to be had.
async fn wanted_unless<F: Future>(
    cancel: &Cancel,
    time: Duration,
    better: impl Fn() -> bool,
    future: F,
) -> Result<F::Output, Unwanted> {
    tokio::pin!(future);
    let mut waited = Duration::ZERO;
    while waited < time {
        if let Ok(output) = tokio::time::timeout(CANCEL_POLL, &mut future).await {
            return Ok(output);
        }
        if cancel.is_cancelled() {
            return Err(Unwanted::Cancelled);
        }
        if better() {
            return Err(Unwanted::Better);
        }
        waited += CANCEL_POLL;
    }
    Err(Unwanted::Late)
}

pub(super) fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the job was cancelled")
}

/// How long until an answer to a batch of so many bytes begins: at once where it comes piece by piece,
/// and else once all is done, for which the platform waits no longer than it says.
fn answer_time(info: Option<&HostInfo>, bytes: usize) -> Duration {
    let arrival = Duration::from_secs(bytes as u64 / BYTES_PER_SECOND);
    let first = match info {
        Some(info) if info.streams => Some(Duration::ZERO),
        Some(info) => info.time_max,
        None => None,
    };
    first.map_or(Duration::MAX, |first| first.saturating_add(ANSWER_TIME + arrival))
}

/// When to come again: `Retry-After` in seconds.
fn again(response: &Response) -> Duration {
    let said =
        response.headers().get(RETRY_AFTER).and_then(|said| said.to_str().ok()?.parse().ok());
    said.map_or(Duration::from_secs(1), Duration::from_secs).min(AGAIN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_begun_is_not_sent_again_for_nothing() {
        let of = |status: u16, is_hosts, says_when| {
            Meaning::of_status(StatusCode::from_u16(status).unwrap(), is_hosts, says_when)
        };
        // A host's own word.
        for (status, meaning) in [
            (200, Meaning::Taken),
            (503, Meaning::Refused),
            (429, Meaning::Refused),
            (500, Meaning::Lost),
            (408, Meaning::Lost),
            (401, Meaning::Never),
            (400, Meaning::Never),
            (413, Meaning::TooMuch),
        ] {
            assert_eq!(of(status, true, false), meaning, "{status}");
        }
        // What stands before it does not know what became of the batch.
        for status in [500, 502, 503, 504, 520, 599] {
            assert_eq!(of(status, false, false), Meaning::Doubtful, "{status}");
        }
        assert_eq!(of(504, false, true), Meaning::Doubtful);
        assert_eq!(of(202, false, false), Meaning::Lost);
        // Unless it asks to come again.
        assert_eq!(of(503, false, true), Meaning::Refused);
        assert_eq!(of(429, false, false), Meaning::Refused);
        assert_eq!(of(403, false, false), Meaning::Never);
        assert_eq!(of(413, false, false), Meaning::Never);
    }

    #[test]
    fn an_answer_is_waited_for_no_longer_than_its_platform_waits() {
        let mut info = HostInfo::new("1", 1);
        let of = |info: &HostInfo, bytes| answer_time(Some(info), bytes);
        assert_eq!(of(&info, 10), ANSWER_TIME);
        assert_eq!(of(&info, 5_000_000), ANSWER_TIME + Duration::from_secs(10));
        info.streams = false;
        assert_eq!(of(&info, 10), Duration::MAX, "nobody says how long a task may take");
        info.time_max = Some(Duration::from_secs(230));
        assert_eq!(of(&info, 500_000), Duration::from_secs(230 + 10 + 1));
        info.time_max = Some(Duration::MAX);
        assert_eq!(of(&info, 10), Duration::MAX);
        assert_eq!(answer_time(None, 10), Duration::MAX);
    }
}
