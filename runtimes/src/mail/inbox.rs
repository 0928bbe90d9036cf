//! Frames that come by way of the store: parts of answers, written by hosts as they go.
//!
//! One task lists the parts of all batches that are waited for, however many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use samara_core::{Clock, Depot, Error, ErrorKind};
use tokio::sync::mpsc;

/// How often it is looked for parts, where some came; it gets rarer while none do.
const LOOK_FIRST: Duration = Duration::from_millis(50);

/// How rare it gets.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// How long a host may say nothing in between: it says every ten seconds that it lives.
const SILENCE_MAX: Duration = Duration::from_secs(35);

/// How long no host at all may be heard of before batches that did not begin count as lost. A platform
/// keeps them back while too many hosts run, which is no fault of theirs.
const START_MAX: Duration = Duration::from_mins(2);

/// Parts that are read side by side: ten thousand hosts write a thousand in each second.
const READS: usize = 64;

/// Parts of one answer: `URL` is its name, and each run of the batch numbers its own.
#[derive(Debug)]
pub(crate) struct Part {
    /// Which run wrote it: a platform may start a batch twice.
    pub(crate) run: String,
    pub(crate) bytes: Bytes,
}

/// Looks for parts.
pub(crate) struct Inbox {
    depot: Arc<dyn Depot>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<String, Waiting>,
    is_looking: bool,
    /// When any host was heard of last.
    last_news: Duration,
}

struct Waiting {
    /// The URL below which the job's parts lie.
    calls: String,
    sender: mpsc::UnboundedSender<Result<Part, Error>>,
    seen: BTreeSet<String>,
    begins: Begins,
    last_sign: Option<Duration>,
}

/// How it is known that a batch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    /// By its first part alone: it was queued then.
    Queued(Duration),
    /// Its driver knows in another way what becomes of it, however long the platform has others
    /// before it.
    Waited,
}

/// Parts of one answer as they come. Dropping it removes them from the store.
pub(crate) struct Parts {
    inbox: Arc<Inbox>,
    to: String,
    receiver: mpsc::UnboundedReceiver<Result<Part, Error>>,
}

// === impl Inbox ===

impl Inbox {
    pub(crate) fn new(depot: Arc<dyn Depot>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { depot, clock, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the parts of the answer of a batch that was queued. It is named `to`, and lies below
    /// `calls`.
    pub(crate) fn watch_queued(self: &Arc<Self>, calls: &str, to: &str) -> Parts {
        self.watch(calls, to, Begins::Queued(self.clock.monotonic()))
    }

    /// The same for a batch of which is heard in another way too.
    pub(crate) fn watch_waited(self: &Arc<Self>, calls: &str, to: &str) -> Parts {
        self.watch(calls, to, Begins::Waited)
    }

    /// A host was heard of in another way.
    pub(crate) fn heard(&self) {
        self.state().last_news = self.clock.monotonic();
    }

    fn watch(self: &Arc<Self>, calls: &str, to: &str, begins: Begins) -> Parts {
        let (sender, receiver) = mpsc::unbounded_channel();
        let calls = calls.to_owned();
        let waiting = Waiting { calls, sender, seen: BTreeSet::new(), begins, last_sign: None };
        let mut state = self.state();
        state.waiting.insert(to.to_owned(), waiting);
        if !std::mem::replace(&mut state.is_looking, true) {
            tokio::spawn(Arc::clone(self).look());
        }
        Parts { inbox: Arc::clone(self), to: to.to_owned(), receiver }
    }

    /// Looks as long as anybody waits.
    async fn look(self: Arc<Self>) {
        let mut wait = LOOK_FIRST;
        loop {
            tokio::time::sleep(wait).await;
            let places: BTreeSet<String> = {
                let mut state = self.state();
                state.is_looking = !state.waiting.is_empty();
                state.waiting.values().map(|waiting| waiting.calls.clone()).collect()
            };
            if places.is_empty() {
                return;
            }
            let mut came = false;
            for calls in places {
                match self.depot.list(&calls).await {
                    Ok(urls) => came |= self.take(urls).await,
                    Err(error) if error.retry == samara_core::Retry::Later => {
                        tracing::warn!("looking for answers: {error}");
                    }
                    Err(error) => self.fail(&calls, &error),
                }
            }
            self.give_up();
            wait = if came { LOOK_FIRST } else { (wait * 5 / 4).min(LOOK_MAX) };
        }
    }

    /// Reads what was not seen yet, in order, and removes it: what long tasks write in minutes would
    /// make each list longer.
    async fn take(&self, urls: Vec<String>) -> bool {
        let now = self.clock.monotonic();
        let new: Vec<(String, String)> = {
            let mut state = self.state();
            let of = |url: String| {
                let to = name_of(&url)?.to_owned();
                let waiting = state.waiting.get_mut(&to)?;
                let is_new = !waiting.seen.contains(&url);
                if is_new {
                    // Whoever has many to read gets to it later.
                    waiting.last_sign = Some(now);
                }
                is_new.then_some((to, url))
            };
            urls.into_iter().filter_map(of).collect()
        };
        let came = !new.is_empty();
        let read = |(to, url): (String, String)| async move {
            let read = self.depot.get(&url, None).await;
            (to, url, read)
        };
        let mut parts = stream::iter(new).map(read).buffered(READS);
        let mut taken: Vec<(String, String)> = Vec::new();
        while let Some((to, url, read)) = parts.next().await {
            match read {
                Ok(Some(bytes)) => {
                    self.arrived(&to, url.clone(), bytes);
                    taken.push((to, url));
                }
                Ok(None) => {}
                // It is read again the next time, and those behind it with it.
                Err(error) => {
                    tracing::warn!("reading an answer: {error}");
                    break;
                }
            }
        }
        self.clear(taken).await;
        came
    }

    /// Removes what was read. What cannot be removed now goes with the batch.
    async fn clear(&self, taken: Vec<(String, String)>) {
        let urls: Vec<String> = taken.iter().map(|(_, url)| url.clone()).collect();
        if urls.is_empty() {
            return;
        }
        if let Err(error) = self.depot.remove(&urls).await {
            tracing::debug!("answers were not removed: {error}");
            return;
        }
        let mut state = self.state();
        for (to, url) in taken {
            if let Some(waiting) = state.waiting.get_mut(&to) {
                waiting.seen.remove(&url);
            }
        }
    }

    fn arrived(&self, to: &str, url: String, bytes: Bytes) {
        let now = self.clock.monotonic();
        let mut state = self.state();
        let Some(waiting) = state.waiting.get_mut(to) else { return };
        let run = url[to.len()..].split('/').next().unwrap_or_default().to_owned();
        waiting.seen.insert(url);
        waiting.last_sign = Some(now);
        // Whoever waited may be gone.
        let _gone = waiting.sender.send(Ok(Part { run, bytes }));
        state.last_news = now;
    }

    /// Tells those whose hosts are silent.
    fn give_up(&self) {
        let now = self.clock.monotonic();
        let state = self.state();
        for waiting in state.waiting.values() {
            let (since, most, what) = match (waiting.last_sign, waiting.begins) {
                (Some(sign), _) => (sign, SILENCE_MAX, "the host fell silent"),
                (None, Begins::Waited) => continue,
                (None, Begins::Queued(since)) => (
                    since.max(state.last_news),
                    START_MAX,
                    "the host did not begin, and none was heard of",
                ),
            };
            if now.saturating_sub(since) >= most {
                let error = Error::new(ErrorKind::Lost, format!("{what} for {most:?}"));
                let _gone = waiting.sender.send(Err(error));
            }
        }
    }

    fn fail(&self, calls: &str, error: &Error) {
        for waiting in self.state().waiting.values().filter(|waiting| waiting.calls == calls) {
            let _gone = waiting.sender.send(Err(error.clone()));
        }
    }
}

/// The name of the answer that an object is a part of: all but the last two parts of its URL, which
/// are the run and the number.
fn name_of(url: &str) -> Option<&str> {
    let (run, _) = url.rsplit_once('/')?;
    let (name, _) = run.rsplit_once('/')?;
    url.get(..=name.len())
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

// === impl Parts ===

impl Parts {
    /// The host says that parts are there: from now on they may not be silent.
    pub(crate) fn are_there(&self) {
        let now = self.inbox.clock.monotonic();
        if let Some(waiting) = self.inbox.state().waiting.get_mut(&self.to) {
            waiting.last_sign.get_or_insert(now);
        }
    }

    /// The next part.
    ///
    /// # Errors
    ///
    /// `Lost` where the host fell silent; what the store says.
    pub(crate) async fn next(&mut self) -> Result<Part, Error> {
        let gone = || Err(Error::new(ErrorKind::Internal, "nobody looks for answers any more"));
        self.receiver.recv().await.unwrap_or_else(gone)
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let Some(waiting) = self.inbox.state().waiting.remove(&self.to) else { return };
        let seen: Vec<String> = waiting.seen.into_iter().collect();
        if seen.is_empty() {
            return;
        }
        let depot = Arc::clone(&self.inbox.depot);
        // What is left behind goes with the job.
        tokio::spawn(async move {
            if let Err(error) = depot.remove(&seen).await {
                tracing::debug!("answers were not removed: {error}");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Hand, Shelf};

    #[tokio::test]
    async fn who_is_kept_waiting_by_others_is_not_lost() {
        let clock = Arc::new(Hand::default());
        let inbox = Inbox::new(Arc::<Shelf>::default(), Arc::clone(&clock) as _);
        let (mut queued, mut waited) =
            (inbox.watch_queued("s/", "s/1/"), inbox.watch_waited("s/", "s/2/"));
        let mut after = |seconds: u64| {
            *clock.0.lock().unwrap() += Duration::from_secs(seconds);
            inbox.give_up();
            let lost = |parts: &mut Parts| matches!(parts.receiver.try_recv(), Ok(Err(_)));
            (lost(&mut queued), lost(&mut waited))
        };
        assert_eq!(after(119), (false, false));
        // Another host is at work.
        inbox.heard();
        assert_eq!(after(119), (false, false));
        // Nobody is; but who hears of it otherwise waits for the platform.
        assert_eq!(after(1), (true, false));
        assert_eq!(after(100_000), (true, false));
    }

    #[tokio::test]
    async fn a_host_that_falls_silent_is_lost() {
        let clock = Arc::new(Hand::default());
        let inbox = Inbox::new(Arc::<Shelf>::default(), Arc::clone(&clock) as _);
        let mut parts = inbox.watch_waited("s/", "s/1/");
        parts.are_there();
        *clock.0.lock().unwrap() += SILENCE_MAX;
        inbox.give_up();
        assert_eq!(parts.next().await.unwrap_err().kind, ErrorKind::Lost);
    }

    #[tokio::test]
    async fn what_was_read_is_removed_while_more_comes() {
        let shelf = Arc::new(Shelf::default());
        let clock = Arc::new(Hand::default());
        let inbox = Inbox::new(Arc::clone(&shelf) as Arc<dyn Depot>, clock as _);
        let mut parts = inbox.watch_waited("s/", "s/1/");
        for number in 0..3_u8 {
            let url = format!("s/1/run/{number:06}");
            shelf.objects.lock().unwrap().insert(url.clone(), vec![number].into());
            assert!(inbox.take(vec![url]).await);
            assert_eq!(parts.next().await.unwrap().bytes[..], [number]);
            assert!(shelf.objects.lock().unwrap().is_empty(), "{number}");
        }
        assert!(inbox.state().waiting["s/1/"].seen.is_empty());
    }

    #[test]
    fn parts_are_named_after_their_answers() {
        assert_eq!(name_of("s3://b/jobs/1/calls/7/run/000001"), Some("s3://b/jobs/1/calls/7/"));
        assert_eq!(name_of("x"), None);
    }
}
