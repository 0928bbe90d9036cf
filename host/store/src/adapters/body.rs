//! A body that goes on where it ended, in the same version of the object.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::retry::{Patience, Request};
use crate::{Error, GetOptions, Operation, Result, Store};

/// Where the rest of a body comes from.
pub(super) struct Source {
    pub(super) store: Arc<dyn Store>,
    pub(super) patience: Arc<Patience>,
    pub(super) key: String,
    pub(super) location: String,
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
}

/// `body`, which holds `range` of the version `etag`, and what is needed to complete it.
pub(super) fn resumed(
    source: Source,
    etag: &str,
    range: Range<u64>,
    body: BoxStream<'static, Result<Bytes>>,
) -> BoxStream<'static, Result<Bytes>> {
    let etag = etag.to_owned();
    let state =
        State { source, etag, rest: range, fruitless: 0, is_again: false, body: Some(body) };
    stream::try_unfold(state, State::next).boxed()
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

    /// The next part, from a new request where there is none under way.
    async fn part(&mut self) -> Result<Bytes> {
        let mut body = match self.body.take() {
            Some(body) => body,
            None => {
                self.is_again = true;
                self.source.again(&self.etag, &self.rest).await?
            }
        };
        let stall = self.source.patience.policy.stall;
        let unavailable = |reason: String| Error::unavailable(&self.source.location, reason);
        match tokio::time::timeout(stall, body.try_next()).await {
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
            Err(_) => Err(unavailable(format!("nothing came for {stall:?}"))),
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
