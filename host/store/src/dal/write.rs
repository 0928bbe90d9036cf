//! Writing in one piece, copying, removing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::{self, StreamExt};
use opendal_core::Buffer;
use opendal_core::options::{DeleteOptions, WriteOptions};
use opendal_core::raw::{OpCopy, OpDelete, OpRename, OpWrite};

#[cfg(feature = "signed")]
use super::At;
use super::staged::WHOLE_BYTES_MAX;
use super::{DalStore, Identity, Layout, Pieces, error, read, transport};
use crate::adapters::{comes_on, random};
use crate::digest::Sum;
use crate::{
    Attributes, Error, GetOptions, Guard, Metadata, Operation, PutMode, PutOptions, Request,
    Result, Store, transfer,
};

/// Parts of an object on their way at once.
const PARTS_AT_ONCE: usize = 4;

/// What the names of objects begin with that are half way up.
pub(super) const STAGE: &str = ".samara-half-";

/// The media type of what has none.
const BYTES: &str = "application/octet-stream";

/// The resolution of times of modification.
pub(super) const RESOLUTION: Duration = Duration::from_secs(1);

/// How often a write is refused because another one makes the same directory at that moment, which
/// servers of files take for a lack of permission.
pub(super) const SAME_DIRECTORY_MAX: usize = 3;

/// Removals on their way at once where the service has no request for many.
const DELETES_AT_ONCE: usize = 8;

/// What is said to OpenDAL of an object that is to be written.
pub(super) fn operation(store: &DalStore, key: &str, options: &PutOptions) -> Result<OpWrite> {
    let mut asked = WriteOptions { concurrent: PARTS_AT_ONCE, ..WriteOptions::default() };
    match &options.mode {
        PutMode::Overwrite => {}
        PutMode::IfAbsent => asked.if_not_exists = true,
        PutMode::IfMatch(etag) if store.plan().identity == Identity::Version => {
            if etag.is_empty() || !etag.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Error::another_version(store.url(key)));
            }
            asked.if_version_match = Some(etag.clone());
        }
        PutMode::IfMatch(etag) => asked.if_match = Some(format!("\"{etag}\"")),
    }
    if let Some((theirs, _)) = store.plan().attributes {
        asked.content_type.clone_from(&options.attributes.content_type);
        let user = options.attributes.user.iter();
        let user = user.map(|(name, value)| (theirs(name), value.clone()));
        asked.user_metadata = Some(user.collect()).filter(|_| !options.attributes.user.is_empty());
    }
    let can = store.service().capability_dyn();
    let invalid =
        |error: opendal_core::Error| error::of(&store.url(key), &error, Default::default());
    Ok(OpWrite::from_options(&can, asked).map_err(invalid)?.0)
}

/// What is said of an object that goes up in pieces.
pub(super) fn operation_in_pieces(
    store: &DalStore,
    key: &str,
    options: &PutOptions,
) -> Result<OpWrite> {
    let operation = operation(store, key, options)?;
    if store.plan().pieces != Pieces::Resumable || operation.is_conditional() {
        return Ok(operation);
    }
    let asked = WriteOptions {
        if_version_not_match: Some(transport::RESUMABLE.to_owned()),
        content_type: operation.content_type().map(str::to_owned),
        user_metadata: operation.user_metadata().map(|user| {
            user.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        }),
        ..WriteOptions::default()
    };
    let can = store.service().capability_dyn();
    let invalid =
        |error: opendal_core::Error| error::of(&store.url(key), &error, Default::default());
    Ok(OpWrite::from_options(&can, asked).map_err(invalid)?.0)
}

/// One object, whatever its size. The condition is known to be kept.
pub(super) async fn put(
    store: &DalStore,
    key: &str,
    body: Bytes,
    options: &PutOptions,
) -> Result<Metadata> {
    if !store.plan().staged {
        return put_directly(store, key, body, options).await;
    }
    let before = match read::head(store, key).await {
        Ok((metadata, _)) => Some(metadata.etag),
        Err(Error::NotFound { .. }) => None,
        Err(error) => return Err(error),
    };
    loop {
        let stage = stage(key);
        let staged = put_directly(store, &stage, body.clone(), options).await;
        let renamed = match staged {
            Ok(_) => {
                let rename = OpRename::new();
                let rename = store.service().rename_dyn(store.context(), &stage, key, rename);
                store.ask(key, rename).await.map(drop)
            }
            Err(error) => Err(error),
        };
        store.0.listers.forget();
        if let Err(error) = renamed {
            if let Err(error) = remove(store, std::slice::from_ref(&stage)).await {
                tracing::debug!(%error, "an object was left half way up");
            }
            return Err(error);
        }
        let (metadata, _) = read::head(store, key).await?;
        if before.as_ref() != Some(&metadata.etag) {
            return Ok(metadata);
        }
        // Another version must be another one for those who know the one before.
        tokio::time::sleep(RESOLUTION).await;
    }
}

/// A name beside that of an object.
pub(super) fn stage(key: &str) -> String {
    format!("{}{STAGE}{:016x}", parent(key), random())
}

/// What an object's name begins with, up to the last `/`.
pub(super) fn parent(key: &str) -> &str {
    key.rfind('/').map_or("", |slash| &key[..=slash])
}

/// One request.
async fn put_directly(
    store: &DalStore,
    key: &str,
    body: Bytes,
    options: &PutOptions,
) -> Result<Metadata> {
    let size = body.len() as u64;
    let mut options = options.clone();
    if body.is_empty() {
        // A request without a body and its type is more than some emulators understand.
        let said = options.attributes.content_type.take();
        options.attributes.content_type = said.or_else(|| Some(BYTES.to_owned()));
    }
    let operation = operation(store, key, &options)?;
    let write = || {
        let (operation, body) = (operation.clone(), body.clone());
        async move {
            let mut writer = store.service().write_dyn(store.context(), key, operation)?;
            writer.write_dyn(Buffer::from(body)).await?;
            writer.close_dyn().await
        }
    };
    let mut written = store.ask(key, write()).await;
    for _ in 0..SAME_DIRECTORY_MAX {
        if store.plan().layout != Layout::Tree
            || !matches!(written, Err(Error::PermissionDenied { .. }))
        {
            break;
        }
        written = store.ask(key, write()).await;
    }
    store.0.listers.forget();
    let written = written.map_err(|error| error::refused(&options.mode, error))?;
    received(store, key, &written, || Sum::md5_of([body])).await?;
    described(store, key, &written, size).await
}

/// Holds the checksum of what the store says that it has received against that of what was sent. An
/// object of other bytes does not stay.
pub(super) async fn received(
    store: &DalStore,
    key: &str,
    written: &opendal_core::Metadata,
    sent: impl FnOnce() -> Sum,
) -> Result<()> {
    let Some(said) = written.content_md5().and_then(Sum::md5_of_base64) else { return Ok(()) };
    let Err(error) = said.check(&sent(), &store.url(key)) else { return Ok(()) };
    let can = store.service().capability_dyn();
    // No other version is removed: another writer may have been there since.
    if can.delete_with_if_match || can.delete_with_if_version_match {
        let remove = async {
            let options =
                DeleteOptions { if_not_changed: Some(written.clone()), ..DeleteOptions::default() };
            let mut deleter = store.service().delete_dyn(store.context())?;
            deleter.delete_dyn(key, OpDelete::from_options(&can, options)?).await?;
            deleter.close_dyn().await
        };
        if let Err(error) = store.ask(key, remove).await {
            tracing::warn!(%error, "an object of other bytes was left");
        }
    }
    Err(error)
}

/// What was written, as its answer or, where that says too little, a further request describes it.
pub(super) async fn described(
    store: &DalStore,
    key: &str,
    written: &opendal_core::Metadata,
    size: u64,
) -> Result<Metadata> {
    let metadata = read::metadata(store, written, size);
    match metadata.etag.is_empty() {
        true => Ok(read::head(store, key).await?.0),
        false => Ok(metadata),
    }
}

pub(super) async fn delete(store: &DalStore, key: &str) -> Result<()> {
    if store.plan().layout == Layout::Tree {
        // What is asked to remove a directory may remove all that is in it.
        match read::stat(store, key).await {
            Ok(said) if said.is_dir() => return Ok(()),
            Ok(_) => {}
            Err(Error::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    let removed = remove(store, std::slice::from_ref(&key.to_owned())).await;
    store.0.listers.forget();
    match removed {
        Err(Error::NotFound { sought: "an object", .. }) => Ok(()),
        removed => removed,
    }
}

pub(super) async fn delete_many(store: &DalStore, keys: &[String]) -> Result<()> {
    let at_once = store.service().capability_dyn().delete_max_size.unwrap_or(1).max(1);
    if at_once > 1 {
        for keys in keys.chunks(at_once) {
            let removed = remove(store, keys).await;
            store.0.listers.forget();
            removed?;
        }
        return Ok(());
    }
    let removals = stream::iter(keys.to_vec()).map(|key| {
        let store = store.clone();
        async move { delete(&store, &key).await }
    });
    removals.buffer_unordered(DELETES_AT_ONCE).try_collect().await
}

pub(super) async fn remove(store: &DalStore, keys: &[String]) -> Result<()> {
    let remove = async {
        let mut deleter = store.service().delete_dyn(store.context())?;
        for key in keys {
            deleter.delete_dyn(key, OpDelete::new()).await?;
        }
        deleter.close_dyn().await
    };
    store.ask(keys.first().map_or("", String::as_str), remove).await
}

pub(super) async fn copy(
    store: &DalStore,
    from: &str,
    to: &str,
    options: PutOptions,
) -> Result<Metadata> {
    let (patience, location) = (&store.0.patience, store.url(from));
    let time = patience.policy().answer;
    let asked = Request { operation: Operation::Head, location: &location, time };
    let head = patience.request(asked, || read::head(store, from));
    let (source, attributes) = head.await?;
    if from == to && options == PutOptions::default() {
        return Ok(source);
    }
    if options == PutOptions::default()
        && let Some(copied) = copy_there(store, (from, &source), to).await?
    {
        return Ok(copied);
    }
    let options = match options.attributes == Attributes::default() {
        true => PutOptions { attributes, ..options },
        false => options,
    };
    // A body that stalls or breaks off goes on where it ended.
    let guarded = Guard::new(Arc::new(store.clone()), Arc::clone(patience));
    let read = guarded.get(from, GetOptions::default().if_match(source.etag));
    let body = read.await?.body;
    transfer::poured(body, store.writer(to, options).await?).await
}

/// Copies without the bytes passing through here; none where the service does not do that.
async fn copy_there(
    store: &DalStore,
    (from, source): (&str, &Metadata),
    to: &str,
) -> Result<Option<Metadata>> {
    #[cfg(feature = "signed")]
    if let Some(beyond) = &store.0.beyond {
        let (of_source, of_copy) = (&*store.url(from), &*store.url(to));
        let at = |(location, key)| At { location, key };
        let copied = beyond.copy(at((of_source, from)), source, at((of_copy, to))).await;
        store.0.listers.forget();
        if copied? {
            return Ok(Some(read::head(store, to).await?.0));
        }
    }
    if !store.plan().copies {
        return Ok(None);
    }
    // Where an object has another name while it is written, so has a copy. What is written in one
    // request replaces another one at once, which a server that moves may not do.
    let is_staged = store.plan().has_stages();
    if is_staged && source.size <= WHOLE_BYTES_MAX as u64 {
        return Ok(None);
    }
    let staged = is_staged.then(|| stage(to));
    let target = staged.as_deref().unwrap_or(to);
    let copy = async {
        let service = store.service();
        let mut copier = service.copy_dyn(store.context(), from, target, OpCopy::new())?;
        while copier.next_dyn().await?.is_some() {
            comes_on();
        }
        copier.close_dyn().await
    };
    let copied = store.ask(to, copy).await;
    store.0.listers.forget();
    let Some(staged) = staged else {
        return described(store, to, &copied?, source.size).await.map(Some);
    };
    let renamed = match copied {
        Ok(_) => {
            let rename = OpRename::new();
            let rename = store.service().rename_dyn(store.context(), &staged, to, rename);
            store.ask(to, rename).await.map(drop)
        }
        Err(error) => Err(error),
    };
    store.0.listers.forget();
    let Err(error) = renamed else { return Ok(Some(read::head(store, to).await?.0)) };
    if let Err(error) = remove(store, std::slice::from_ref(&staged)).await {
        tracing::debug!(%error, "a copy was left half way");
    }
    match error {
        Error::NotFound { .. } | Error::Throttled { .. } => Err(error),
        // Not all servers of files copy or move, or not from behind what stands before them.
        error => {
            tracing::debug!(%error, "the server does not copy: the bytes pass through here");
            Ok(None)
        }
    }
}
