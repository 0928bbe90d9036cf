//! Reading: `read` and `stat` of OpenDAL.

use std::ops::Range;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use opendal_core::raw::oio::ReadStreamDyn;
use opendal_core::raw::{OpRead, OpStat};
use opendal_core::{BytesRange, ErrorKind};

use super::transport::{Answer, noted};
use super::{DalStore, Identity, Layout, error};
use crate::digest::{self, Sum};
use crate::{Attributes, Error, GetOptions, Metadata, Object, Result};

/// How often an object is opened that changes meanwhile.
const OPENED_MAX: usize = 4;

/// The longest range that is asked for: more than any object has, and no overflow with its begin.
const LENGTH_MAX: u64 = 1 << 62;

pub(super) async fn get(store: &DalStore, key: &str, options: GetOptions) -> Result<Object> {
    if options.range.as_ref().is_some_and(Range::is_empty) {
        return empty(store, key, &options).await;
    }
    match store.plan().layout {
        Layout::Tree => watched(store, key, &options).await,
        _ => match open(store, key, &options).await? {
            None => empty(store, key, &options).await,
            Some(opened) if !opened.said.etag.is_empty() => object(store, key, opened, &options),
            Some(opened) => {
                // Some emulators serve nobody else while a body is on its way.
                drop(opened);
                described(store, key, &options).await
            }
        },
    }
}

/// Opens an object of a server that does not say which version it sends, as emulators do: it has
/// at least the size that was said before.
async fn described(store: &DalStore, key: &str, options: &GetOptions) -> Result<Object> {
    for _ in 0..OPENED_MAX {
        let (metadata, _) = head(store, key).await?;
        match open(store, key, options).await? {
            None => return empty(store, key, options).await,
            Some(opened) if opened.said.size == metadata.size => {
                return object(store, key, Opened { said: metadata, ..opened }, options);
            }
            Some(opened) => drop(opened),
        }
    }
    changed(store, key)
}

/// Opens an object whose server looks at a file before it opens it: the object was the same before
/// and after, or is opened once more.
async fn watched(store: &DalStore, key: &str, options: &GetOptions) -> Result<Object> {
    let mut before = head(store, key).await?.0;
    for _ in 0..OPENED_MAX {
        let opened = open(store, key, options).await?;
        let after = head(store, key).await?.0;
        let Some(opened) = opened else { return empty(store, key, options).await };
        let etag = &opened.said.etag;
        if before.etag == after.etag && (etag.is_empty() || *etag == after.etag) {
            return object(store, key, Opened { said: after, ..opened }, options);
        }
        before = after;
    }
    changed(store, key)
}

fn changed<T>(store: &DalStore, key: &str) -> Result<T> {
    let reason = "the object changed each time that it was opened";
    Err(Error::Precondition { location: store.url(key), reason })
}

/// An object as a server answers.
struct Opened {
    /// What is said of it, with an empty etag where that is not said.
    said: Metadata,
    stream: Box<dyn ReadStreamDyn>,
    /// That of all of it, where all of it comes.
    sum: Option<Sum>,
    attributes: Option<Attributes>,
}

/// Starts to read. Nothing where the range lies past the end.
async fn open(store: &DalStore, key: &str, options: &GetOptions) -> Result<Option<Opened>> {
    let asked = options.range.as_ref().map_or_else(BytesRange::default, |range| {
        BytesRange::new(range.start, Some((range.end - range.start).min(LENGTH_MAX)))
    });
    let reader = store.service().read_dyn(store.context(), key, OpRead::new());
    let _turn = store.turn().await;
    match noted(async { reader?.open_dyn(asked).await }).await {
        (Ok((said, stream)), answer) => {
            let nothing = Metadata { size: 0, etag: String::new(), modified_ms: None };
            let content_type = said.metadata().and_then(|said| said.content_type());
            let attributes = attributes(store, content_type, answer.user);
            let said = said.metadata().map(|said| metadata(store, said, said.content_length()));
            let said = said.unwrap_or(nothing);
            Ok(Some(Opened { said, stream, sum: answer.sum, attributes }))
        }
        (Err(error), answer)
            if answer.status == Some(416) || error.kind() == ErrorKind::RangeNotSatisfied =>
        {
            Ok(None)
        }
        // Some servers say so in a range that is none.
        (Err(error), Answer { status: Some(206), .. }) => {
            let (metadata, _) = head(store, key).await?;
            match options.range_within(metadata.size).is_empty() {
                true => Ok(None),
                false => Err(error::of(&store.url(key), &error, Answer::default())),
            }
        }
        (Err(error), answer) => Err(error::of(&store.url(key), &error, answer)),
    }
}

fn object(
    store: &DalStore,
    key: &str,
    Opened { said: metadata, stream, sum, attributes }: Opened,
    options: &GetOptions,
) -> Result<Object> {
    if options.if_match.as_ref().is_some_and(|etag| *etag != metadata.etag) {
        return Err(Error::another_version(store.url(key)));
    }
    let range = options.range_within(metadata.size);
    let length = range.end - range.start;
    let body = match length {
        0 => stream::empty().boxed(),
        _ => body(store.url(key), stream, length),
    };
    let body = match sum.filter(|_| length == metadata.size) {
        Some(sum) => digest::checked(store.url(key), sum, body),
        None => body,
    };
    Ok(Object { attributes, ..Object::new(metadata, range, body) })
}

/// What an answer to a read says of the object: nothing where the service may keep more than that.
fn attributes(
    store: &DalStore,
    content_type: Option<&str>,
    user: Option<Vec<(String, String)>>,
) -> Option<Attributes> {
    let Some((_, ours)) = store.plan().attributes else { return Some(Attributes::default()) };
    let user = user?.into_iter().map(|(name, value)| (ours(&name), value)).collect();
    Some(Attributes { content_type: content_type.map(str::to_owned), user })
}

/// Nothing of an object, which must be there nonetheless.
async fn empty(store: &DalStore, key: &str, options: &GetOptions) -> Result<Object> {
    let (metadata, _) = head(store, key).await?;
    if options.if_match.as_ref().is_some_and(|etag| *etag != metadata.etag) {
        return Err(Error::another_version(store.url(key)));
    }
    let range = options.range_within(metadata.size);
    Ok(Object::new(metadata, range.start..range.start, stream::empty().boxed()))
}

pub(super) async fn head(store: &DalStore, key: &str) -> Result<(Metadata, Attributes)> {
    let said = stat(store, key).await?;
    if said.is_dir() {
        return Err(Error::not_found(store.url(key)));
    }
    let mut attributes = Attributes::default();
    if let Some((_, ours)) = store.plan().attributes {
        attributes.content_type = said.content_type().map(str::to_owned);
        if let Some(user) = said.user_metadata() {
            let user = user.into_iter();
            attributes.user = user.map(|(name, value)| (ours(name), value.to_owned())).collect();
        }
    }
    Ok((metadata(store, &said, said.content_length()), attributes))
}

pub(super) async fn stat(store: &DalStore, key: &str) -> Result<opendal_core::Metadata> {
    let asked = store.service().stat_dyn(store.context(), key, OpStat::new());
    match store.ask(key, asked).await {
        Ok(said) => Ok(said.into_metadata()),
        Err(Error::Generic { .. }) if is_below_a_file(store, key).await? => {
            Err(Error::not_found(store.url(key)))
        }
        Err(error) => Err(error),
    }
}

/// Whether a key lies below an object, of which servers of files say all kinds of things.
pub(super) async fn is_below_a_file(store: &DalStore, key: &str) -> Result<bool> {
    let mut rest = key;
    while store.plan().layout == Layout::Tree
        && let Some((above, _)) = rest.rsplit_once('/')
    {
        rest = above;
        let asked = store.service().stat_dyn(store.context(), above, OpStat::new());
        match store.ask(above, asked).await {
            Ok(said) => return Ok(!said.into_metadata().is_dir()),
            Err(error) if error.retry() => return Err(error),
            Err(_) => {}
        }
    }
    Ok(false)
}

/// What the answers of all operations say. The etag is empty where the answer has none.
pub(super) fn metadata(store: &DalStore, said: &opendal_core::Metadata, size: u64) -> Metadata {
    let modified = said.last_modified().map(std::time::SystemTime::from);
    let since = modified.and_then(|modified| modified.duration_since(UNIX_EPOCH).ok());
    let modified_ms = since.and_then(|since| u64::try_from(since.as_millis()).ok());
    let etag = match store.plan().identity {
        Identity::Etag => said.etag().map(unquoted).unwrap_or_default(),
        Identity::Version => said.version().unwrap_or_default().to_owned(),
        #[cfg(any(feature = "sftp", feature = "hdfs"))]
        Identity::SizeAndTime => {
            modified_ms.map_or_else(String::new, |modified| format!("{size:x}-{modified:x}"))
        }
    };
    Metadata { size, etag, modified_ms }
}

/// Etags travel in quotes, which are no part of them; whether one is weak may change with time.
fn unquoted(etag: &str) -> String {
    etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"').to_owned()
}

fn body(
    location: String,
    stream: Box<dyn ReadStreamDyn>,
    length: u64,
) -> BoxStream<'static, Result<Bytes>> {
    stream::unfold((Some(stream), location, length), |(stream, location, left)| {
        async move {
            let mut stream = stream.filter(|_| left > 0)?;
            match stream.read_dyn().await {
                Ok(part) if part.is_empty() => None,
                Ok(part) => {
                    let mut part = part.to_bytes();
                    part.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                    let left = left - part.len() as u64;
                    Some((Ok(part), (Some(stream), location, left)))
                }
                Err(error) => {
                    let error = match error::of(&location, &error, Answer::default()) {
                        // What was there a moment ago broke off.
                        Error::Generic { location, source, .. } => {
                            Error::unavailable(location, source)
                        }
                        error => error,
                    };
                    Some((Err(error), (None, location, 0)))
                }
            }
        }
        .boxed()
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_are_what_stands_in_quotes() {
        assert_eq!(unquoted("\"a-2\""), "a-2");
        assert_eq!(unquoted("W/\"a\""), "a");
        assert_eq!(unquoted("0x8D"), "0x8D");
    }
}
