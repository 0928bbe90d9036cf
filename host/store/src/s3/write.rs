//! Writing in one piece, copying, removing.

use std::sync::Arc;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{Delete, MetadataDirective, ObjectIdentifier};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use futures::{FutureExt, TryStreamExt};

use super::upload::{self, Upload};
use super::{S3Store, conditions, error, read};
use crate::key::encoded;
use crate::{
    Error, GetOptions, Guard, Metadata, Operation, PutMode, PutOptions, Request, Result, Store,
    Writer, transfer,
};

/// From this size on an object goes up in parts, side by side; each is tried again by itself.
const PARTS_FROM: usize = 64 << 20;

/// What one request may copy; above it an object is copied in parts.
const COPY_MAX: u64 = 5 << 30;

/// Keys of one `DeleteObjects`.
const DELETES_MAX: usize = 1_000;

/// Removals on their way at once where the store refuses to remove many together.
const DELETES_AT_ONCE: usize = 16;

pub(super) async fn put(
    store: &S3Store,
    key: &str,
    body: Bytes,
    options: PutOptions,
) -> Result<Metadata> {
    if options.mode != PutMode::Overwrite {
        conditions::require(store, key, &options.mode, Operation::Put).await?;
    } else if body.len() >= PARTS_FROM {
        let mut upload = Upload::new(store.clone(), key, options);
        let written = upload.write(body).await;
        return transfer::finished(Box::new(upload), written).await;
    }
    put_object(store, key, body, &options).await
}

/// One `PutObject`.
pub(super) async fn put_object(
    store: &S3Store,
    key: &str,
    body: Bytes,
    options: &PutOptions,
) -> Result<Metadata> {
    let size = body.len() as u64;
    let mut put = store.client().await?.put_object().bucket(store.bucket()).key(key);
    match &options.mode {
        PutMode::Overwrite => {}
        PutMode::IfAbsent => put = put.if_none_match("*"),
        PutMode::IfMatch(etag) => put = put.if_match(conditions::etag(store, key, etag).await?),
    }
    for (name, value) in &options.attributes.user {
        put = put.metadata(name, value);
    }
    put = put.set_content_type(options.attributes.content_type.clone());
    let output = put.body(body.into()).send().await;
    let output = output.map_err(|error| refused(store, key, &options.mode, &error))?;
    match output.e_tag() {
        Some(etag) => Ok(read::metadata(size, Some(etag), None)),
        None => Ok(read::head(store, key).await?.0),
    }
}

/// The error of a write.
pub(super) fn refused<E>(
    store: &S3Store,
    key: &str,
    mode: &PutMode,
    error: &SdkError<E, HttpResponse>,
) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let location = store.url(key);
    let is_missing_key = error::code(error) == Some("NoSuchKey");
    match (error::status(error), mode) {
        (Some(412), PutMode::IfAbsent) => Error::AlreadyExists { location },
        // There is no version that it could be.
        (Some(404), PutMode::IfMatch(_)) if is_missing_key => Error::another_version(location),
        _ => error::of(&location, error),
    }
}

pub(super) async fn delete(store: &S3Store, key: &str) -> Result<()> {
    let delete = store.client().await?.delete_object().bucket(store.bucket()).key(key);
    match delete.send().await {
        Ok(_) => Ok(()),
        Err(error) if is_missing(&error) => Ok(()),
        Err(error) => Err(error::of(&store.url(key), &error)),
    }
}

/// Whether the object is not there. S3 says nothing then; those that speak its language say this, some
/// without a code.
fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    match (error::status(error), error::code(error)) {
        (_, Some("NoSuchKey")) => true,
        (Some(404), Some(code)) => code == "NotFound",
        (Some(404), None) => true,
        _ => false,
    }
}

pub(super) async fn delete_many(store: &S3Store, keys: &[String]) -> Result<()> {
    for keys in keys.chunks(DELETES_MAX) {
        let object = |key: &String| ObjectIdentifier::builder().key(key).build();
        let invalid = |error| Error::generic(store.to_string(), error);
        let objects = keys.iter().map(object).collect::<Result<Vec<_>, _>>().map_err(invalid)?;
        let delete = Delete::builder().set_objects(Some(objects)).quiet(true);
        let delete = delete.build().map_err(invalid)?;
        let request = store.client().await?.delete_objects().bucket(store.bucket());
        let output = match request.delete(delete).send().await {
            Ok(output) => output,
            // Some stores want a checksum that the SDK does not send any more.
            Err(error) if matches!(error::status(&error), Some(400 | 501)) => {
                one_by_one(store, keys).await?;
                continue;
            }
            Err(error) => return Err(error::of(&store.to_string(), &error)),
        };
        let failed = output.errors().iter().filter(|error| error.code() != Some("NoSuchKey"));
        let mut failed = failed.map(|failed| {
            let location = store.url(failed.key().unwrap_or_default());
            let [code, message] = [failed.code(), failed.message()].map(Option::unwrap_or_default);
            error::of_key(location, code, message)
        });
        // All are asked for again where one may pass; one that will not says so at once.
        if let Some(first) = failed.next() {
            let lasting = if first.retry() { failed.find(|error| !error.retry()) } else { None };
            return Err(lasting.unwrap_or(first));
        }
    }
    Ok(())
}

async fn one_by_one(store: &S3Store, keys: &[String]) -> Result<()> {
    let removals = stream::iter(keys.to_vec()).map(|key| {
        let store = store.clone();
        async move { delete(&store, &key).await }
    });
    removals.buffer_unordered(DELETES_AT_ONCE).try_collect().await
}

/// Copies an object, perhaps from another bucket of the same store.
pub(super) async fn copy(
    (other, from): (&S3Store, &str),
    (store, to): (&S3Store, &str),
    options: PutOptions,
) -> Result<Metadata> {
    let (patience, location) = (&other.0.patience, other.url(from));
    let time = patience.policy().answer;
    let asked = Request { operation: Operation::Head, location: &location, time };
    let (source, attributes) = patience.request(asked, || read::head(other, from).boxed()).await?;
    // S3 refuses a copy that changes nothing.
    if (other.bucket(), from) == (store.bucket(), to) && options == PutOptions::default() {
        return Ok(source);
    }
    let named = format!("{}/{}", encoded(other.bucket()), encoded(from));
    if options.mode != PutMode::Overwrite || source.size > COPY_MAX {
        let options = match options.attributes == crate::Attributes::default() {
            true => PutOptions { attributes, ..options },
            false => options,
        };
        if options.mode == PutMode::Overwrite {
            return upload::copy(store, (&named, &source), to, options).await;
        }
        let if_match = GetOptions::default().if_match(source.etag);
        // A body that stalls or breaks off goes on where it ended.
        let guarded = Guard::new(Arc::new(other.clone()), Arc::clone(patience));
        let body = guarded.get(from, if_match).await?.body;
        return transfer::poured(body, store.writer(to, options).await?).await;
    }
    let mut copy = store.client().await?.copy_object().bucket(store.bucket()).key(to);
    copy = copy.copy_source(named);
    if options.attributes != crate::Attributes::default() {
        copy = copy.metadata_directive(MetadataDirective::Replace);
        copy = copy.set_content_type(options.attributes.content_type);
        copy = copy.set_metadata(Some(options.attributes.user.into_iter().collect()));
    }
    let output = copy.send().await.map_err(|error| error::of(&store.url(to), &error))?;
    let result = output.copy_object_result();
    match result.and_then(|result| Some((result.e_tag()?, result.last_modified()))) {
        Some((etag, modified)) => Ok(read::metadata(source.size, Some(etag), modified)),
        None => Ok(read::head(store, to).await?.0),
    }
}
