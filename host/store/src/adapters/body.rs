//! A body that goes on where it ended, in the same version of the object.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::retry::Patience;
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
    let state = State { source, etag, rest: range, fruitless: 0, body: Some(body) };
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
                    return Ok(Some((part, self)));
                }
                Err(error) => error.during(Operation::Get),
            };
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
        let stall = self.source.patience.policy.stall;
        let part = async {
            let mut body = match self.body.take() {
                Some(body) => body,
                None => self.source.again(&self.etag, &self.rest).await?,
            };
            let part = body.try_next().await?;
            self.body = Some(body);
            Ok(part)
        };
        let unavailable = |reason: String| Error::unavailable(&self.source.location, reason);
        match tokio::time::timeout(stall, part).await {
            Ok(Ok(Some(part))) => {
                let left = self.rest.end - self.rest.start;
                match part.len() as u64 <= left {
                    true => Ok(part),
                    false => Err(unavailable(format!("the body is longer than {left} bytes"))),
                }
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
        self.patience.counts.add(Operation::Get);
        let options = GetOptions::default().range(rest.clone()).if_match(etag);
        Ok(self.store.get(&self.key, options).await?.body)
    }
}
