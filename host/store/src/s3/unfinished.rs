//! Uploads in parts that have begun and not ended.

use super::{S3Store, error};
use crate::{Result, Unfinished};

/// The first page of them: a thousand.
pub(super) async fn list(store: &S3Store, prefix: &str) -> Result<Vec<Unfinished>> {
    // Keys as they are: asked to encode them Ceph does, and does not say so, while others do not.
    let list = store.client().await?.list_multipart_uploads().bucket(store.bucket());
    let output = list.prefix(prefix).send().await;
    let output = output.map_err(|error| error::of(&store.url(prefix), &error))?;
    let unfinished = |upload: &aws_sdk_s3::types::MultipartUpload| {
        let since_ms = upload.initiated().and_then(|at| u64::try_from(at.to_millis().ok()?).ok());
        let (key, id) = (upload.key()?.to_owned(), upload.upload_id()?.to_owned());
        // Some servers take no notice of the prefix.
        key.starts_with(prefix).then_some(Unfinished { key, id, since_ms })
    };
    Ok(output.uploads().iter().filter_map(unfinished).collect())
}

/// Removes the parts of one. One that is gone is fine.
pub(super) async fn discard(store: &S3Store, key: &str, id: &str) -> Result<()> {
    let abort = store.client().await?.abort_multipart_upload();
    match abort.bucket(store.bucket()).key(key).upload_id(id).send().await {
        Ok(_) => Ok(()),
        Err(error) if error::status(&error) == Some(404) => Ok(()),
        Err(error) => Err(error::of(&store.url(key), &error)),
    }
}
