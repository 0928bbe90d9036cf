//! Which conditional writes a store keeps: tried out, because some stores ignore the header, some
//! refuse it, and some are wrong where several write at once.
//!
//! The first conditional write of a process writes some objects beside its own and removes them.
//! `conditional_writes` = `trust` or `never` spares a store this.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{S3Store, error, read, write};
use crate::adapters::random;
use crate::probe::{self, Probe, Replaced};
use crate::{Conditions, Error, Metadata, Operation, PutMode, Result};

/// What was found out of a store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) conditions: Conditions,
    /// Whether etags of conditions stand in quotes, as RFC 9110 has them.
    quotes: bool,
}

const IN_PARTS: &str = "it keeps put-if-absent only for objects that go up in one piece, up to \
                        8 MiB; write larger ones with `put`, or without the condition";

/// Refuses what the store does not keep.
pub(super) async fn require(
    store: &S3Store,
    key: &str,
    mode: &PutMode,
    operation: Operation,
) -> Result<()> {
    match mode {
        PutMode::Overwrite => Ok(()),
        _ => {
            let kept = kept(store, key).await?.conditions;
            probe::require(kept, store.url(key), mode, operation)
        }
    }
}

/// Refuses objects in parts where the store keeps no condition on them.
pub(super) async fn require_in_parts(store: &S3Store, key: &str) -> Result<()> {
    match kept(store, key).await?.conditions.if_absent_in_parts {
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
    if let Some(conditions) = probe::said(store.0.options.get(probe::SETTING.name)) {
        return Ok(Kept { conditions, quotes: true });
    }
    let keys = probe::keys(key);
    let found = run(store, &keys).await;
    let removed = write::delete_many(store, &keys).await;
    // Without a bucket there is nothing, and what was found says so.
    if let Err(error) = removed.or_else(|error| match &found {
        Err(Error::NotFound { .. }) => Ok(()),
        _ => Err(error),
    }) {
        tracing::warn!(%error, "what a probe wrote was left behind");
    }
    let found = found?;
    if !found.conditions.if_absent {
        tracing::warn!(%store, "the store keeps no put-if-absent; outputs are named by content");
    }
    Ok(found)
}

async fn run(store: &S3Store, keys: &[String]) -> Result<Kept> {
    let quoted = |key: String, mode: PutMode| put(store, key, mode, true).boxed();
    let bare = |key: String, mode: PutMode| put(store, key, mode, false).boxed();
    let (patience, location) = (&*store.0.patience, store.url(&keys[0]));
    let probe = Probe { keys, put: &quoted, patience, location };
    let if_absent = probe.if_absent().await?;
    // A store that takes the etag in one way refuses all of them in the other.
    let (replaced, quotes) = match probe.if_match().await? {
        Replaced::Never => {
            let probe = Probe { keys, put: &bare, patience, location: probe.location.clone() };
            (probe.if_match().await?, false)
        }
        replaced => (replaced, true),
    };
    let in_parts = if_absent && probe.patiently(|| in_parts(store, &keys[0]).boxed()).await?;
    let if_match = replaced == Replaced::Once;
    let conditions = Conditions { if_absent, if_absent_in_parts: in_parts, if_match };
    Ok(Kept { conditions, quotes })
}

/// Whether an object that is there keeps its place before one that comes in parts.
async fn in_parts(store: &S3Store, key: &str) -> Result<bool> {
    let (client, bucket) = (store.client().await?, store.bucket());
    let failed = |error: aws_sdk_s3::Error| Error::unavailable(store.url(key), error);
    let create = client.create_multipart_upload().bucket(bucket).key(key);
    let created = create.send().await.map_err(|error| failed(error.into()))?;
    let id = created.upload_id().unwrap_or_default();
    let completed = async {
        let part = client.upload_part().bucket(bucket).key(key).upload_id(id).part_number(1);
        let part = part.body(ByteStream::from_static(b"2")).send().await;
        let etag = part.map_err(|error| failed(error.into()))?.e_tag().map(str::to_owned);
        let part = CompletedPart::builder().part_number(1).set_e_tag(etag).build();
        let parts = CompletedMultipartUpload::builder().parts(part).build();
        let complete = client.complete_multipart_upload().bucket(bucket).key(key).upload_id(id);
        Ok(complete.multipart_upload(parts).if_none_match("*").send().await)
    };
    let kept = match completed.await {
        Ok(Ok(_)) => return Ok(false),
        Ok(Err(error)) => Ok(error::status(&error) == Some(412)),
        Err(error) => Err(error),
    };
    let abort = client.abort_multipart_upload().bucket(bucket).key(key).upload_id(id);
    if let Err(error) = abort.send().await {
        let error = error::of(&store.url(key), &error);
        tracing::warn!(%error, "an upload that a probe began was left behind");
    }
    kept
}

/// Bytes that are written in a race for a version. A server that looks at the version first and takes
/// the body then, as Ceph does, is seen to be wrong where the body takes a moment.
const MATCH_BYTES: usize = 16 << 10;

/// Writes a few bytes; none where the condition was refused.
async fn put(
    store: &S3Store,
    key: String,
    mode: PutMode,
    quotes: bool,
) -> Result<Option<Metadata>> {
    let put = store.client().await?.put_object().bucket(store.bucket()).key(&key);
    let is_match = matches!(mode, PutMode::IfMatch(_));
    let put = match mode {
        PutMode::Overwrite => put,
        PutMode::IfAbsent => put.if_none_match("*"),
        PutMode::IfMatch(etag) if quotes => put.if_match(read::quoted(&etag)),
        PutMode::IfMatch(etag) => put.if_match(etag),
    };
    // Each writes something else, so that etags differ.
    let mut body = random().to_le_bytes().to_vec();
    if is_match {
        body.resize(MATCH_BYTES, 0);
    }
    let size = body.len() as u64;
    match put.body(body.into()).send().await {
        Ok(output) => Ok(Some(read::metadata(size, output.e_tag(), None))),
        // Where there is no bucket, that is no answer to the condition.
        Err(error) if error::code(&error) == Some("NoSuchBucket") => {
            Err(error::of(&store.url(&key), &error))
        }
        Err(error) if matches!(error::status(&error), Some(404 | 409 | 412)) => Ok(None),
        // It does not know the condition.
        Err(error) if matches!(error::status(&error), Some(400 | 501)) => Err(Error::unsupported(
            store.url(&key),
            Operation::Put,
            "it does not know the condition",
        )),
        Err(error) => Err(error::of(&store.url(&key), &error)),
    }
}
