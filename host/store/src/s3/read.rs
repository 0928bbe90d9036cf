//! Reading: `GetObject` and `HeadObject`.

use std::ops::Range;

use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ChecksumMode, ChecksumType};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};

use super::{S3Store, error};
use crate::{Attributes, Checksum, Crc, Error, GetOptions, Metadata, Object, Result, window};

pub(super) async fn get(store: &S3Store, key: &str, options: GetOptions) -> Result<Object> {
    let location = store.url(key);
    let asked = options.range.clone();
    if asked.as_ref().is_some_and(Range::is_empty) {
        return empty(store, key, &options).await;
    }
    let mut get = store.client().await?.get_object().bucket(store.bucket()).key(key);
    if let Some(range) = &asked {
        get = get.range(header(range));
    }
    if let Some(etag) = &options.if_match {
        get = get.if_match(quoted(etag));
    }
    let output = match get.send().await {
        Ok(output) => output,
        // The range lies past the end.
        Err(error) if error::status(&error) == Some(416) => {
            return empty(store, key, &options).await;
        }
        Err(error) => return Err(error::of(&location, &error)),
    };
    let length = output.content_length().and_then(|length| u64::try_from(length).ok());
    let Some(length) = length else {
        return Err(Error::generic(location, "the answer does not say how long it is"));
    };
    let sent = output.content_range().and_then(content_range);
    let size = sent.as_ref().map_or(length, |(_, size)| *size);
    let metadata = metadata(size, output.e_tag(), output.last_modified());
    // Some stores ignore the condition.
    if options.if_match.as_ref().is_some_and(|etag| *etag != metadata.etag) {
        return Err(Error::another_version(location));
    }
    let range = options.range_within(size);
    let from = sent.map_or(0, |(from, _)| from);
    if range.start < from || from + length < range.end {
        return Err(Error::generic(location, "the answer is not the range that was asked for"));
    }
    let attributes =
        Some(attributes(output.content_type(), output.metadata().into_iter().flatten()));
    let mut body = stream_of(location, output.body);
    let ignores_ranges = from != range.start || length != range.end - range.start;
    if ignores_ranges {
        body = window::of(body, range.start - from..range.end - from);
    }
    Ok(Object { attributes, ignores_ranges, ..Object::new(metadata, range, body) })
}

/// Nothing of an object, which must be there nonetheless.
async fn empty(store: &S3Store, key: &str, options: &GetOptions) -> Result<Object> {
    let (metadata, _) = head(store, key).await?;
    if options.if_match.as_ref().is_some_and(|etag| *etag != metadata.etag) {
        return Err(Error::another_version(store.url(key)));
    }
    let range = options.range_within(metadata.size);
    Ok(Object::new(metadata, range.start..range.start, stream::empty().boxed()))
}

pub(super) async fn head(store: &S3Store, key: &str) -> Result<(Metadata, Attributes)> {
    let head = store.client().await?.head_object().bucket(store.bucket()).key(key);
    let output = head.send().await.map_err(|error| error::of(&store.url(key), &error))?;
    let size = output.content_length().and_then(|size| u64::try_from(size).ok());
    let size = size.unwrap_or_default();
    let attributes = attributes(output.content_type(), output.metadata().into_iter().flatten());
    Ok((metadata(size, output.e_tag(), output.last_modified()), attributes))
}

/// The checksum of all of an object. Of one that came in parts there may be one of the checksums of
/// those, which some stores do not tell from the other.
pub(super) async fn checksum(
    store: &S3Store,
    key: &str,
    version: &Metadata,
) -> Result<Option<Checksum>> {
    let head = store.client().await?.head_object().bucket(store.bucket()).key(key);
    let head = head.checksum_mode(ChecksumMode::Enabled);
    let output = head.send().await.map_err(|error| error::of(&store.url(key), &error))?;
    let is_of_all = match output.checksum_type() {
        Some(said) => *said == ChecksumType::FullObject,
        None => !version.etag.contains('-'),
    };
    if !is_of_all || unquoted(output.e_tag().unwrap_or_default()) != version.etag {
        return Ok(None);
    }
    let said = [
        (Crc::Crc64, output.checksum_crc64_nvme()),
        (Crc::Crc32c, output.checksum_crc32_c()),
        (Crc::Crc32, output.checksum_crc32()),
    ];
    Ok(said.into_iter().find_map(|(crc, said)| crc.of_base64(said?)))
}

/// What an answer says of an object.
fn attributes<'a>(
    content_type: Option<&str>,
    user: impl Iterator<Item = (&'a String, &'a String)>,
) -> Attributes {
    Attributes {
        content_type: content_type.map(str::to_owned),
        user: user.map(|(name, value)| (name.clone(), value.clone())).collect(),
    }
}

/// What the answers of all operations say, in the same way: HTTP's dates have whole seconds, those
/// of listings more.
pub(super) fn metadata(size: u64, etag: Option<&str>, modified: Option<&DateTime>) -> Metadata {
    let modified = modified.and_then(|modified| u64::try_from(modified.secs()).ok());
    Metadata {
        size,
        etag: unquoted(etag.unwrap_or_default()),
        modified_ms: modified.map(|seconds| seconds * 1000),
    }
}

/// Etags travel in quotes, which are no part of them.
pub(super) fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

pub(super) fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// RFC 9110, 14.1.2: both ends are part of the range.
pub(super) fn header(range: &Range<u64>) -> String {
    format!("bytes={}-{}", range.start, range.end - 1)
}

/// Where the body of a `Content-Range: bytes 5-9/20` begins, and the object's size.
fn content_range(header: &str) -> Option<(u64, u64)> {
    let (range, size) = header.strip_prefix("bytes ")?.split_once('/')?;
    let (from, _) = range.split_once('-')?;
    Some((from.parse().ok()?, size.parse().ok()?))
}

fn stream_of(location: String, body: ByteStream) -> BoxStream<'static, Result<Bytes>> {
    stream::unfold((body, location), |(mut body, location)| async move {
        loop {
            match body.next().await? {
                Ok(part) if part.is_empty() => {}
                Ok(part) => return Some((Ok(part), (body, location))),
                Err(error) => {
                    let error = broken(&location, error);
                    return Some((Err(error), (ByteStream::default(), location)));
                }
            }
        }
    })
    .boxed()
}

/// Why a body ends before its end, or with other bytes than were written.
fn broken(location: &str, error: aws_sdk_s3::primitives::ByteStreamError) -> Error {
    let text = error::chain(&error);
    // The SDK does not let its own kind of error be seen from outside.
    match text.contains("checksum mismatch") {
        true => Error::checksum(location, text),
        false => Error::unavailable(location, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_as_headers() {
        assert_eq!(header(&(0..1)), "bytes=0-0");
        assert_eq!(header(&(5..u64::MAX)), format!("bytes=5-{}", u64::MAX - 1));
        assert_eq!(content_range("bytes 5-9/20"), Some((5, 20)));
        assert_eq!(content_range("bytes */20"), None);
        assert_eq!(content_range("bytes 5-9/*"), None);
        assert_eq!(unquoted(&quoted("a-2")), "a-2");
    }
}
