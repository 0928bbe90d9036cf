//! Reading: `GET` with and without ranges, `HEAD`.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    LAST_MODIFIED,
};
use reqwest::{Method, Response, StatusCode};

use super::answer::{check, unanswered};
use super::redirect::Asked;
use super::{COUNTED_BYTES_MAX, HttpStore};
use crate::{Attributes, Error, GetOptions, Metadata, Object, Result, window};

/// What an answer is about.
pub(crate) struct Described {
    /// Its size is that of the whole object, where it is known.
    pub(crate) metadata: Metadata,
    pub(crate) size: Option<u64>,
    pub(crate) content_type: Option<String>,
    /// The part of the object that the answer has, where it has one and says which.
    pub(crate) sent: Option<Range<u64>>,
}

pub(super) async fn get(store: &HttpStore, key: &str, options: GetOptions) -> Result<Object> {
    let location = store.shown(key);
    if options.range.as_ref().is_some_and(Range::is_empty) {
        return empty(store, key, &options).await;
    }
    let response = send(store, key, options.range.as_ref()).await?;
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        return empty(store, key, &options).await;
    }
    let response = check(&location, response).await?;
    let said = described(&location, &response)?;
    let content_type = said.content_type.clone();
    let mut object = match said.size {
        None => counted(&location, response, said.metadata, &options).await?,
        Some(_) => asked(&location, said, body_of(location.clone(), response), &options)?,
    };
    object.attributes = Some(Attributes { content_type, ..Attributes::default() });
    Ok(object)
}

/// The object that was asked for, from an answer that has it.
pub(crate) fn asked(
    location: &str,
    said: Described,
    body: BoxStream<'static, Result<Bytes>>,
    options: &GetOptions,
) -> Result<Object> {
    let Described { metadata, sent, .. } = said;
    if options.if_match.as_ref().is_some_and(|etag| *etag != metadata.etag) {
        return Err(Error::another_version(location));
    }
    let range = options.range_within(metadata.size);
    let sent = sent.unwrap_or(0..metadata.size);
    if !range.is_empty() && (range.start < sent.start || sent.end < range.end) {
        return Err(Error::generic(location, "the answer is not the range that was asked for"));
    }
    if range.is_empty() {
        return Ok(Object::new(metadata, range, stream::empty().boxed()));
    }
    let body = match sent == range {
        true => body,
        false => window::of(body, range.start - sent.start..range.end - sent.start),
    };
    let ignores_ranges = sent.start < range.start || range.end < sent.end;
    Ok(Object { ignores_ranges, ..Object::new(metadata, range, body) })
}

/// Nothing of an object, which must be there nonetheless.
async fn empty(store: &HttpStore, key: &str, options: &GetOptions) -> Result<Object> {
    let (metadata, _) = head(store, key).await?;
    if options.if_match.as_ref().is_some_and(|etag| *etag != metadata.etag) {
        return Err(Error::another_version(store.shown(key)));
    }
    let range = options.range_within(metadata.size);
    Ok(Object::new(metadata, range.start..range.start, stream::empty().boxed()))
}

/// An object whose length is not said: it is counted.
async fn counted(
    location: &str,
    mut response: Response,
    mut metadata: Metadata,
    options: &GetOptions,
) -> Result<Object> {
    let mut bytes = BytesMut::new();
    while let Some(part) = response.chunk().await.map_err(|e| unanswered(location, e))? {
        if bytes.len() + part.len() > COUNTED_BYTES_MAX {
            let reason = "the server does not say how long it is, and it is too long to be counted \
                          in memory; copy it to another store";
            return Err(Error::generic(location, reason));
        }
        bytes.extend_from_slice(&part);
    }
    metadata.size = bytes.len() as u64;
    metadata.etag = metadata.etag.replace(UNKNOWN, &format!("{:x}", metadata.size));
    let body = stream::iter(Some(Ok(bytes.freeze())).filter(|_| metadata.size > 0)).boxed();
    let said = Described { metadata, size: None, content_type: None, sent: None };
    asked(location, said, body, options)
}

/// Size and etag, and the media type.
pub(super) async fn head(store: &HttpStore, key: &str) -> Result<(Metadata, Option<String>)> {
    let (location, url) = (store.shown(key), store.url(key)?);
    let asked = Asked { method: Method::HEAD, url, range: None, location: &location };
    let head = store.clients.send(asked).await?;
    if head.status().is_success() {
        let said = described(&location, &head)?;
        // Some answer 0 because they send nothing.
        if said.size.is_some_and(|size| size > 0) {
            return Ok((said.metadata, said.content_type));
        }
    } else if !matches!(head.status().as_u16(), 400 | 403 | 405 | 501) {
        // Of the others some know no HEAD, and URLs that are signed for GET refuse it.
        check(&location, head).await?;
    }
    let response = send(store, key, Some(&(0..1))).await?;
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        // Nothing has no first byte.
        let mut said = described(&location, &response)?;
        said.metadata.size = 0;
        said.metadata.etag = said.metadata.etag.replace(UNKNOWN, "0");
        return Ok((said.metadata, said.content_type));
    }
    let response = check(&location, response).await?;
    let said = described(&location, &response)?;
    if said.size.is_some() {
        return Ok((said.metadata, said.content_type));
    }
    let whole = counted(&location, response, said.metadata, &GetOptions::default()).await?;
    Ok((whole.metadata, said.content_type))
}

async fn send(store: &HttpStore, key: &str, range: Option<&Range<u64>>) -> Result<Response> {
    let (location, url) = (store.shown(key), store.url(key)?);
    let range = range.map(range_header);
    store.clients.send(Asked { method: Method::GET, url, range, location: &location }).await
}

/// RFC 9110, 14.1.2: both ends are part of the range.
pub(crate) fn range_header(range: &Range<u64>) -> String {
    format!("bytes={}-{}", range.start, range.end - 1)
}

/// Stands in etags for a size that is not known yet.
const UNKNOWN: &str = "unknown";

/// What the headers of an answer say.
pub(crate) fn described(location: &str, response: &Response) -> Result<Described> {
    let headers = response.headers();
    let length = text(headers, &CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let is_encoded = text(headers, &CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    let length: Option<u64> = length.filter(|_| !is_encoded);
    let sent = text(headers, &CONTENT_RANGE).and_then(content_range);
    let (size, sent) = match (response.status(), sent) {
        (StatusCode::PARTIAL_CONTENT, Some((sent, size))) => {
            if length.is_some_and(|length| length != sent.end - sent.start) {
                let reason = "the lengths of the range that the answer says do not agree";
                return Err(Error::generic(location, reason));
            }
            (Some(size), Some(sent))
        }
        (StatusCode::PARTIAL_CONTENT, None) => {
            let reason = "the answer is a range, and does not say of what";
            return Err(Error::generic(location, reason));
        }
        (StatusCode::OK, _) => (length, length.map(|length| 0..length)),
        (StatusCode::RANGE_NOT_SATISFIABLE, _) => (None, None),
        (status, _) => {
            let reason = format!("an answer of status {status} is no object");
            return Err(Error::generic(location, reason));
        }
    };
    let modified = text(headers, &LAST_MODIFIED).and_then(seconds);
    let etag = text(headers, &ETAG).map(unquoted).filter(|etag| !etag.is_empty());
    let etag = etag.map_or_else(|| etag_of(size, modified), str::to_owned);
    let modified_ms = modified.map(|seconds| seconds * 1000);
    let metadata = Metadata { size: size.unwrap_or_default(), etag, modified_ms };
    let content_type = text(headers, &CONTENT_TYPE).map(str::to_owned);
    Ok(Described { metadata, size, content_type, sent })
}

fn etag_of(size: Option<u64>, modified: Option<u64>) -> String {
    let size = size.map_or_else(|| UNKNOWN.to_owned(), |size| format!("{size:x}"));
    modified.map_or_else(|| size.clone(), |modified| format!("{size}-{modified:x}"))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Etags travel in quotes, which are no part of them.
pub(super) fn unquoted(etag: &str) -> &str {
    etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"')
}

/// The range of a `Content-Range: bytes 5-9/20`, and the object's size.
pub(super) fn content_range(header: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = header.strip_prefix("bytes ")?.split_once('/')?;
    let (from, to) = range.split_once('-')?;
    let (from, to, size) = (from.parse().ok()?, to.parse::<u64>().ok()?, size.parse().ok()?);
    (from <= to && to < size).then_some((from..to + 1, size))
}

/// RFC 9110, 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT` in seconds since the Unix epoch.
pub(super) fn seconds(date: &str) -> Option<u64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut parts = date.split_once(", ")?.1.split(' ');
    let day: u64 = parts.next()?.parse().ok()?;
    let month = MONTHS.find(parts.next().filter(|month| month.len() == 3)?)? as u64 / 3 + 1;
    let year: u64 = parts.next()?.parse().ok().filter(|year| (1970..10_000).contains(year))?;
    let time = parts.next()?.split(':').map(|part| part.parse::<u64>().ok());
    let [hours, minutes, seconds] = time.collect::<Option<Vec<_>>>()?.try_into().ok()?;
    Some((days(year, month, day)? * 24 + hours) * 3600 + minutes * 60 + seconds)
}

/// Days since the Unix epoch of a day in the calendar.
pub(crate) fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    // Since 0000-03-01, with leap days at the end of years.
    let (year, month) =
        if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    days.checked_sub(719_469)
}

/// The bytes of an answer, none of the pieces empty.
pub(crate) fn body_of(location: String, response: Response) -> BoxStream<'static, Result<Bytes>> {
    stream::unfold((Some(response), location), |(response, location)| async move {
        let mut response = response?;
        loop {
            match response.chunk().await {
                Ok(None) => return None,
                Ok(Some(part)) if part.is_empty() => {}
                Ok(Some(part)) => return Some((Ok(part), (Some(response), location))),
                Err(error) => {
                    let error = unanswered(&location, error);
                    return Some((Err(error), (None, location)));
                }
            }
        }
    })
    .boxed()
}
