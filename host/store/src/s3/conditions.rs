//! Which conditional writes a store keeps: tried out, because some stores ignore the header, some
//! refuse it, and some are wrong where several write at once.
//!
//! The first conditional write of a process writes some objects beside its own and removes them.
//! `conditional_writes` = `trust` or `never` spares a store this.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, future};

use super::{S3Store, error, read, write};
use crate::adapters::random;
use crate::{Conditions, Error, Operation, PutMode, PutOptions, Request, Result};

/// What was found out of a store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) conditions: Conditions,
    /// Whether `IfAbsent` is kept by objects that went up in parts.
    in_parts: bool,
    /// Whether etags of conditions stand in quotes, as RFC 9110 has them.
    quotes: bool,
}

/// Writers of a race for one key.
const RACERS: usize = 8;

/// Races: a store that is wrong mostly lets several win each.
const RACES: usize = 2;

const IF_ABSENT: &str = "it does not keep put-if-absent, which was tried; write without it";
const IF_MATCH: &str = "it does not keep put-if-match, which was tried; write without it";
const IN_PARTS: &str = "it keeps put-if-absent only for objects that go up in one piece, up to \
                        8 MiB; write larger ones with `put`, or without the condition";

/// Refuses what the store does not keep.
pub(super) async fn require(
    store: &S3Store,
    key: &str,
    mode: &PutMode,
    operation: Operation,
) -> Result<()> {
    let Conditions { if_absent, if_match } = kept(store, key).await?.conditions;
    let (is_kept, reason) = match mode {
        PutMode::Overwrite => (true, ""),
        PutMode::IfAbsent => (if_absent, IF_ABSENT),
        PutMode::IfMatch(_) => (if_match, IF_MATCH),
    };
    match is_kept {
        true => Ok(()),
        false => Err(Error::unsupported(store.url(key), operation, reason)),
    }
}

/// Refuses objects in parts where the store keeps no condition on them.
pub(super) async fn require_in_parts(store: &S3Store, key: &str) -> Result<()> {
    match kept(store, key).await?.in_parts {
        true => Ok(()),
        false => Err(Error::unsupported(store.url(key), Operation::Write, IN_PARTS)),
    }
}

/// An etag as the store wants it in conditions.
pub(super) async fn etag(store: &S3Store, key: &str, etag: &str) -> Result<String> {
    let quotes = kept(store, key).await?.quotes;
    Ok(if quotes { read::quoted(etag) } else { etag.to_owned() })
}

/// What the store keeps; found out beside `key`, where we may write if anywhere.
pub(super) async fn kept(store: &S3Store, key: &str) -> Result<Kept> {
    store.0.kept.get_or_try_init(|| find_out(store, key)).await.copied()
}

/// In a box, because what it does makes conditional writes in its turn.
fn find_out<'a>(store: &'a S3Store, key: &'a str) -> BoxFuture<'a, Result<Kept>> {
    ask(store, key).boxed()
}

async fn ask(store: &S3Store, key: &str) -> Result<Kept> {
    let all = |kept| Kept {
        conditions: Conditions { if_absent: kept, if_match: kept },
        in_parts: kept,
        quotes: true,
    };
    match store.0.options.get("conditional_writes") {
        Some("trust") => return Ok(all(true)),
        Some("never") => return Ok(all(false)),
        _ => {}
    }
    let beside = key.rfind('/').map_or("", |slash| &key[..=slash]);
    let probe = Probe { store, prefix: format!("{beside}.samara-probe-{:016x}", random()) };
    let found = probe.run().await;
    let names: Vec<String> = (0..=RACES).map(|n| probe.key(n)).collect();
    if let Err(error) = write::delete_many(store, &names).await {
        tracing::warn!(%error, "what a probe wrote was left behind");
    }
    let found = found?;
    if !found.conditions.if_absent {
        tracing::warn!(%store, "the store keeps no put-if-absent; outputs are named by content");
    }
    Ok(found)
}

/// What was found; nothing where the store does not know the condition.
fn known<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Error::Unsupported { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

struct Probe<'a> {
    store: &'a S3Store,
    prefix: String,
}

impl Probe<'_> {
    fn key(&self, n: usize) -> String {
        format!("{}-{n}", self.prefix)
    }

    async fn run(&self) -> Result<Kept> {
        let mut if_absent = true;
        for race in 0..RACES {
            if_absent = if_absent && known(self.race(race).await)?.unwrap_or(false);
        }
        let (if_match, quotes) = known(self.if_match().await)?.unwrap_or((false, true));
        let in_parts = if_absent && self.patiently(|| self.in_parts().boxed()).await?;
        let conditions = Conditions { if_absent, if_match };
        Ok(Kept { conditions, in_parts, quotes })
    }

    /// Tries again what may pass.
    async fn patiently<'a, T: Send>(
        &'a self,
        attempt_at: impl FnMut() -> BoxFuture<'a, Result<T>> + Send,
    ) -> Result<T> {
        let patience = &self.store.0.patience;
        let location = self.store.url(&self.prefix);
        let time = patience.policy().answer;
        let asked = Request { operation: Operation::Put, location: &location, time };
        patience.request(asked, attempt_at).await
    }

    /// Whether not more than one of several writers succeeds, and none that comes later.
    async fn race(&self, n: usize) -> Result<bool> {
        let racers = (0..RACERS).map(|_| self.put(n, Some("*".to_owned()), None));
        let ended = future::join_all(racers).await;
        // A racer whose answer was lost may have won.
        let mut won = ended.iter().filter(|won| matches!(won, Ok(true))).count();
        while won <= 1 {
            let late = || self.put(n, Some("*".to_owned()), None).boxed();
            match self.patiently(late).await? {
                false => return Ok(true),
                true => won += 1,
            }
        }
        Ok(false)
    }

    /// Whether a wrong etag is refused and the right one taken once, and whether in quotes.
    async fn if_match(&self) -> Result<(bool, bool)> {
        for quotes in [true, false] {
            let written = |etag: &str| if quotes { read::quoted(etag) } else { etag.to_owned() };
            let wrong = written("0123456789abcdef0123456789abcdef");
            let mut won = 0;
            for _ in 0..RACES {
                let right = written(&self.patiently(|| self.version().boxed()).await?);
                let wrong = || self.put(RACES, None, Some(wrong.clone())).boxed();
                if self.patiently(wrong).await? {
                    return Ok((false, true));
                }
                let racers = (0..RACERS).map(|_| self.put(RACES, None, Some(right.clone())));
                let ended = future::join_all(racers).await;
                won = ended.iter().filter(|won| matches!(won, Ok(true))).count();
                // Some stores fail with 500 where several write at once.
                if won > 1 || won == 1 && ended.iter().any(Result::is_err) {
                    return Ok((false, true));
                }
            }
            // A store that takes the etag in one way refuses all of them in the other.
            if won == 1 {
                return Ok((true, quotes));
            }
        }
        Ok((false, true))
    }

    /// Writes an object, and says its version.
    async fn version(&self) -> Result<String> {
        let (key, options) = (self.key(RACES), PutOptions::default());
        let put = write::put_object(self.store, &key, Bytes::from("1"), &options);
        Ok(put.await?.etag)
    }

    /// Whether an object that is there keeps its place before one that comes in parts.
    async fn in_parts(&self) -> Result<bool> {
        let (client, bucket, key) = (self.store.client().await?, self.store.bucket(), self.key(0));
        let failed = |error: aws_sdk_s3::Error| Error::unavailable(self.store.url(&key), error);
        let create = client.create_multipart_upload().bucket(bucket).key(&key);
        let created = create.send().await.map_err(|error| failed(error.into()))?;
        let id = created.upload_id().unwrap_or_default();
        let part = client.upload_part().bucket(bucket).key(&key).upload_id(id).part_number(1);
        let part = part.body(ByteStream::from_static(b"2")).send().await;
        let part = part.map_err(|error| failed(error.into()))?;
        let part =
            CompletedPart::builder().part_number(1).set_e_tag(part.e_tag().map(str::to_owned));
        let parts = CompletedMultipartUpload::builder().parts(part.build()).build();
        let complete = client.complete_multipart_upload().bucket(bucket).key(&key).upload_id(id);
        let complete = complete.multipart_upload(parts).if_none_match("*").send().await;
        let kept = match &complete {
            Ok(_) => return Ok(false),
            Err(error) => error::status(error) == Some(412),
        };
        let abort = client.abort_multipart_upload().bucket(bucket).key(&key).upload_id(id);
        drop(abort.send().await);
        Ok(kept)
    }

    /// Whether a conditional write succeeds; that it is refused is no error.
    async fn put(&self, n: usize, none: Option<String>, same: Option<String>) -> Result<bool> {
        let key = self.key(n);
        let put = self.store.client().await?.put_object().bucket(self.store.bucket()).key(&key);
        let put = put.set_if_none_match(none);
        let put = put.set_if_match(same);
        let body = random().to_le_bytes().to_vec();
        match put.body(body.into()).send().await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error::status(&error), Some(404 | 409 | 412)) => Ok(false),
            // It does not know the condition.
            Err(error) if matches!(error::status(&error), Some(400 | 501)) => {
                Err(Error::unsupported(self.store.url(&key), Operation::Put, IF_ABSENT))
            }
            Err(error) => Err(error::of(&self.store.url(&key), &error)),
        }
    }
}
