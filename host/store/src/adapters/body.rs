//! A body that goes on where it ended, in the same version of the object.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::now;
use super::retry::{Patience, Request};
use crate::{Error, GetOptions, Operation, Result, Store};

/// Where the rest of a body comes from.
pub(super) struct Source {
    pub(super) store: Arc<dyn Store>,
    pub(super) patience: Arc<Patience>,
    pub(super) key: String,
    pub(super) location: String,
}

/// The slowest that a body may come, in bytes per second. A connection that brings less is of less
/// use than a further request.
const COMES_MIN: u64 = 1 << 10;

/// Parts of the time that a body may stall, by which it is measured: time in which nobody asked for
/// it counts as one of them at most.
const TICKS: u32 = 20;

/// How fast a body comes while it is waited for.
#[derive(Default)]
struct Pace {
    waited: Duration,
    came: u64,
    /// Times that less came than must, one after the other.
    slow: u32,
}

/// A body on its way.
struct State {
    source: Source,
    etag: String,
    /// What is still to come.
    rest: Range<u64>,
    /// Attempts that brought nothing, one after the other.
    fruitless: u32,
    /// Whether the body is that of a further request, which has brought nothing yet.
    is_again: bool,
    body: Option<BoxStream<'static, Result<Bytes>>>,
    pace: Pace,
}

/// `body`, which holds `range` of the version `etag`, and what is needed to complete it.
pub(super) fn resumed(
    source: Source,
    etag: &str,
    range: Range<u64>,
    body: BoxStream<'static, Result<Bytes>>,
) -> BoxStream<'static, Result<Bytes>> {
    let etag = etag.to_owned();
    let state = State {
        source,
        etag,
        rest: range,
        fruitless: 0,
        is_again: false,
        body: Some(body),
        pace: Pace::default(),
    };
    stream::try_unfold(state, State::next).boxed()
}

// === impl Pace ===

impl Pace {
    /// Notes that something came; what to say where it was too little for long.
    fn came(&mut self, bytes: usize, stall: Duration) -> Option<String> {
        self.came += bytes as u64;
        if self.waited < stall {
            return None;
        }
        let (waited, came) = self.begin();
        if came as f64 >= COMES_MIN as f64 * waited.as_secs_f64() {
            self.slow = 0;
            return None;
        }
        self.slow += 1;
        Some(format!("no more than {came} bytes came in {waited:?}"))
    }

    /// What comes next, or for how long nothing did.
    async fn next(
        &mut self,
        body: &mut BoxStream<'static, Result<Bytes>>,
        stall: Duration,
    ) -> Result<Result<Option<Bytes>>, Duration> {
        let (tick, mut ticks) = (stall / TICKS, 0);
        while ticks < TICKS {
            let begin = now();
            match tokio::time::timeout(tick, body.try_next()).await {
                // What lies before what was asked for comes.
                Ok(Ok(Some(part))) if part.is_empty() => {
                    self.begin();
                    ticks = 0;
                }
                Ok(next) => {
                    self.waited += begin.elapsed().min(tick);
                    return Ok(next);
                }
                Err(_) => {
                    self.waited += tick;
                    ticks += 1;
                }
            }
        }
        Err(stall)
    }

    /// Measures from now on; how long it was before, and what came.
    fn begin(&mut self) -> (Duration, u64) {
        (std::mem::take(&mut self.waited), std::mem::take(&mut self.came))
    }
}

// === impl State ===

impl State {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        while !self.rest.is_empty() {
            let error = match self.part().await {
                Ok(part) => {
                    self.rest.start += part.len() as u64;
                    self.fruitless = 0;
                    if std::mem::take(&mut self.is_again) {
                        self.source.patience.earn();
                    }
                    self.keep_pace(part.len()).await?;
                    return Ok(Some((part, self)));
                }
                Err(error) => error.during(Operation::Get),
            };
            // What was handed on cannot be taken back.
            if matches!(error, Error::Checksum { .. }) {
                return Err(error);
            }
            self.fruitless += 1;
            self.body = None;
            let patience = &self.source.patience;
            let Some(wait) = patience.wait(&error, self.fruitless) else { return Err(error) };
            tracing::debug!(%error, at = self.rest.start, ?wait, "goes on where it ended");
            tokio::time::sleep(wait).await;
        }
        Ok(None)
    }

    /// Gives up a connection that brings too little.
    async fn keep_pace(&mut self, bytes: usize) -> Result<()> {
        let patience = &self.source.patience;
        let Some(reason) = self.pace.came(bytes, patience.policy.stall) else { return Ok(()) };
        if self.rest.is_empty() {
            return Ok(());
        }
        let error = Error::unavailable(&self.source.location, reason).during(Operation::Get);
        let Some(wait) = patience.wait(&error, self.pace.slow) else { return Err(error) };
        tracing::debug!(%error, at = self.rest.start, ?wait, "goes on where it was");
        self.body = None;
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// The next part, from a new request where there is none under way.
    async fn part(&mut self) -> Result<Bytes> {
        let mut body = match self.body.take() {
            Some(body) => body,
            None => {
                self.is_again = true;
                self.pace.begin();
                self.source.again(&self.etag, &self.rest).await?
            }
        };
        let unavailable = |reason: String| Error::unavailable(&self.source.location, reason);
        match self.pace.next(&mut body, self.source.patience.policy.stall).await {
            Ok(Ok(Some(part))) => {
                let left = self.rest.end - self.rest.start;
                match (part.len() as u64).cmp(&left) {
                    Ordering::Less => self.body = Some(body),
                    Ordering::Equal => self.source.ended(body).await?,
                    Ordering::Greater => {
                        return Err(unavailable(format!("the body is longer than {left} bytes")));
                    }
                }
                Ok(part)
            }
            Ok(Ok(None)) => Err(unavailable(format!(
                "the body ended at byte {} of {}",
                self.rest.start, self.rest.end
            ))),
            Ok(Err(error)) => Err(error),
            Err(stall) => Err(unavailable(format!("nothing came for {stall:?}"))),
        }
    }
}

// === impl Source ===

impl Source {
    async fn again(
        &self,
        etag: &str,
        rest: &Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let (operation, location) = (Operation::Get, self.location.as_str());
        let asked = Request { operation, location, time: self.patience.policy.stall };
        let options = GetOptions::default().range(rest.clone()).if_match(etag);
        Ok(self.patience.once(asked, self.store.get(&self.key, options)).await?.body)
    }

    /// What a body says after its last byte: whether the checksum of all of them is right. Where
    /// the connection fails only then, all has come.
    async fn ended(&self, mut body: BoxStream<'static, Result<Bytes>>) -> Result<()> {
        match tokio::time::timeout(self.patience.policy.stall, body.try_next()).await {
            Ok(Err(error)) if !error.retry() || matches!(error, Error::Checksum { .. }) => {
                Err(error)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemStore, Policy, PutOptions};

    fn paused<F: Future>(test: F) -> F::Output {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(test)
    }

    /// A body of `0123456789`, of which these parts and then this end come first.
    async fn read(
        patience: &Arc<Patience>,
        parts: &[&'static str],
        end: Option<Error>,
    ) -> Result<Bytes> {
        let store = Arc::new(MemStore::default());
        let written = store.put("a", "0123456789".into(), PutOptions::default()).await.unwrap();
        let location = "mem://x/a".to_owned();
        let source =
            Source { store, patience: Arc::clone(patience), key: "a".to_owned(), location };
        let parts: Vec<_> = parts.iter().map(|part| Ok(Bytes::from(*part))).collect();
        let body = stream::iter(parts.into_iter().chain(end.map(Err))).boxed();
        let body = resumed(source, &written.etag, 0..10, body);
        Ok(body.try_collect::<Vec<Bytes>>().await?.concat().into())
    }

    #[test]
    fn what_a_body_says_after_its_last_byte_is_heard() {
        paused(async {
            let patience = Patience::new(Policy::REMOTE);
            let wrong = Error::checksum("mem://x/a", "it is another one");
            let error = read(&patience, &["01234", "56789"], Some(wrong)).await.unwrap_err();
            assert!(error.to_string().ends_with("the checksum does not match (get)"), "{error}");
            assert!(error.retry(), "all of it may be read again");
            assert_eq!(patience.counts().total(), 0, "what was handed on cannot be taken back");
            // A connection that fails once all has come is no matter.
            let reset = Error::unavailable("mem://x/a", "reset");
            assert_eq!(read(&patience, &["0123456789"], Some(reset)).await.unwrap(), "0123456789");
            assert_eq!(patience.counts().total(), 0);
            // Before that it is, and what is still to come is asked for again.
            let reset = Error::unavailable("mem://x/a", "reset");
            assert_eq!(read(&patience, &["01234"], Some(reset)).await.unwrap(), "0123456789");
            assert_eq!(patience.counts().total(), 1);
        });
    }

    /// A body of so many pieces of so many bytes, one for each wait, of which the version is the one in the store; what
    /// was asked of the store for it, and how long it took.
    async fn trickled(
        (pieces, size): (usize, usize),
        wait: Duration,
        reader_waits: Duration,
    ) -> (u64, Duration) {
        let patience = Patience::new(Policy::REMOTE);
        let all: Bytes = (0..pieces * size).map(|n| n.to_le_bytes()[0]).collect();
        let store = Arc::new(MemStore::default());
        let written = store.put("a", all.clone(), PutOptions::default()).await.unwrap();
        let location = "mem://x/a".to_owned();
        let source =
            Source { store, patience: Arc::clone(&patience), key: "a".to_owned(), location };
        let end = all.len() as u64;
        let pieces = stream::iter(0..pieces).then({
            let all = all.clone();
            move |n| {
                let piece = all.slice(n * size..(n + 1) * size);
                async move {
                    tokio::time::sleep(wait).await;
                    Ok(piece)
                }
            }
        });
        let begin = now();
        let mut body = resumed(source, &written.etag, 0..end, pieces.boxed());
        let mut read = Vec::new();
        loop {
            // It is asked for once, and then left alone.
            if !reader_waits.is_zero() {
                let next = tokio::time::timeout(Duration::from_millis(1), body.try_next()).await;
                tokio::time::sleep(reader_waits).await;
                match next {
                    Ok(Ok(Some(part))) => read.extend_from_slice(&part),
                    Ok(Ok(None)) => break,
                    Ok(Err(error)) => panic!("{error:?}"),
                    Err(_) => {}
                }
                continue;
            }
            match body.try_next().await.unwrap() {
                Some(part) => read.extend_from_slice(&part),
                None => break,
            }
        }
        assert_eq!(read, all);
        (patience.counts().total(), begin.elapsed())
    }

    #[test]
    fn a_body_that_trickles_is_cut_and_goes_on_where_it_was() {
        paused(async {
            // Some bytes in the time that it may stall.
            let (requests, took) = trickled((100, 1), Duration::from_secs(5), Duration::ZERO).await;
            assert_eq!(requests, 1);
            assert!(took < Duration::from_secs(30), "{took:?}");
            // It is slow, and not too slow.
            let (requests, _) =
                trickled((600, 150), Duration::from_millis(100), Duration::ZERO).await;
            assert_eq!(requests, 0);
            // Whoever reads is slow.
            let minute = Duration::from_mins(1);
            assert_eq!(trickled((60, 8 << 10), Duration::from_millis(500), minute).await.0, 0);
        });
    }

    /// A connection like that is not replaced for ever.
    #[test]
    fn bodies_that_trickle_again_and_again_are_given_up() {
        let mut pace = Pace::default();
        let stall = Policy::REMOTE.stall;
        for slow in 1..4 {
            pace.waited = stall;
            assert!(pace.came(9, stall).is_some_and(|said| said.contains("9 bytes came in 20s")));
            assert_eq!(pace.slow, slow);
        }
        pace.waited = stall;
        assert_eq!((pace.came(20 << 10, stall), pace.slow), (None, 0));
        let patience = Patience::new(Policy::REMOTE);
        let error = Error::unavailable("mem://x/a", "slow");
        assert!(patience.wait(&error, Policy::REMOTE.attempts).is_none());
    }

    #[test]
    fn bodies_that_go_on_earn_back_what_that_costs() {
        paused(async {
            let patience = Patience::new(Policy { budget: 10, ..Policy::REMOTE });
            for n in 0..100 {
                let reset = Error::unavailable("mem://x/a", "reset");
                let read = read(&patience, &["01234"], Some(reset)).await;
                // Ten at first, and one more for each five that went well.
                assert_eq!(read.is_ok(), n < 12, "{n}: {read:?}");
            }
        });
    }
}
