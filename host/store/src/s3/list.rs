//! Listing: `ListObjectsV2`.

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::EncodingType;

use super::{S3Store, error, read};
use crate::{Directory, Entry, ListOptions, Page, Result, directory, key};

/// Keys of one answer; a store gives no more.
const PAGE_MAX: usize = 1_000;

pub(super) async fn page(store: &S3Store, prefix: &str, options: &ListOptions) -> Result<Page> {
    let mut after = options.after.clone();
    loop {
        let output = ask(store, (prefix, after.as_deref()), options.limit, false).await?;
        let (mut entries, last) = listed(&output);
        let mut next = last.filter(|_| output.is_truncated() == Some(true));
        if let Some(slashes) = options.slashes {
            let depth = |key: &str| key[prefix.len()..].matches('/').count();
            // On behind a directory that lies too deep, without reading the rest of it.
            next = next.map(|next| match depth(&next) > slashes {
                true => format!("{}{}", above(prefix, &next, slashes), char::MAX),
                false => next,
            });
            entries.retain(|entry| depth(&entry.key) <= slashes);
        }
        // A page may have nothing but the names of directories that some programs make.
        if !entries.is_empty() || next.is_none() {
            return Ok(Page { entries, next });
        }
        after = next;
    }
}

/// What stands under names that are no keys.
pub(super) async fn foreign(store: &S3Store, prefix: &str, after: Option<String>) -> Result<Page> {
    let mut after = after;
    loop {
        let output = ask(store, (prefix, after.as_deref()), None, false).await?;
        let mut entries = all(&output);
        let last = entries.last().map(|entry| entry.key.clone());
        let next = last.filter(|_| output.is_truncated() == Some(true));
        entries.retain(|entry| !key::is_key(&entry.key));
        if !entries.is_empty() || next.is_none() {
            return Ok(Page { entries, next });
        }
        after = next;
    }
}

pub(super) async fn directory(
    store: &S3Store,
    prefix: &str,
    options: &ListOptions,
) -> Result<Directory> {
    let after = options.after.as_deref();
    // Stores differ in whether the key after which they list has its directory listed again.
    let said = after.and_then(|after| directory::of(prefix, after));
    let mut limit = options.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    loop {
        let output = ask(store, (prefix, after), Some(limit), true).await?;
        let (entries, last) = listed(&output);
        let decode = decoder(&output);
        let prefixes = output.common_prefixes().iter().filter_map(|prefix| prefix.prefix());
        let directories: Vec<_> = prefixes
            .map(decode)
            .filter(|found| said.is_none_or(|said| found.as_str() > said))
            .collect();
        let last_directory = directories.last().map(|last| format!("{last}{}", char::MAX));
        let next = last.max(last_directory);
        let more = output.is_truncated() == Some(true);
        // What was said before may fill a page alone; what follows it is in a longer one.
        if more && next.is_none() && limit < PAGE_MAX {
            limit = (2 * limit).min(PAGE_MAX);
            continue;
        }
        return Ok(Directory { entries, directories, next: next.filter(|_| more) });
    }
}

/// The directory of a key at which it is too deep: the first `slashes` ones, and one more.
fn above<'a>(prefix: &str, key: &'a str, slashes: usize) -> &'a str {
    let rest = &key[prefix.len()..];
    let end = rest.match_indices('/').nth(slashes).map_or(rest.len(), |(at, _)| at + 1);
    &key[..prefix.len() + end]
}

async fn ask(
    store: &S3Store,
    (prefix, after): (&str, Option<&str>),
    limit: Option<usize>,
    delimited: bool,
) -> Result<ListObjectsV2Output> {
    let limit = limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let list = store.client().await?.list_objects_v2().bucket(store.bucket());
    // From a name before all that are asked for, Garage comes to none of them.
    let after = after.filter(|after| *after >= prefix && !after.is_empty());
    let list = list
        .prefix(prefix)
        .set_start_after(after.map(str::to_owned))
        .max_keys(i32::try_from(limit).unwrap_or(i32::MAX))
        .set_delimiter(delimited.then(|| "/".to_owned()))
        // XML has no way to write some characters that keys may have.
        .encoding_type(EncodingType::Url);
    list.send().await.map_err(|error| error::of(&store.url(prefix), &error))
}

/// The objects of an answer, and the last name in it, which may be none of them.
fn listed(output: &ListObjectsV2Output) -> (Vec<Entry>, Option<String>) {
    let mut entries = all(output);
    let last = entries.last().map(|entry| entry.key.clone());
    // Names that end with `/` are how some programs make a directory; no key of ours is one.
    entries.retain(|entry| !entry.key.ends_with('/'));
    (entries, last)
}

/// All that an answer has.
fn all(output: &ListObjectsV2Output) -> Vec<Entry> {
    let decode = decoder(output);
    let entry = |object: &aws_sdk_s3::types::Object| {
        let size = object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
        let metadata = read::metadata(size, object.e_tag(), object.last_modified());
        Some(Entry { key: decode(object.key()?), metadata })
    };
    output.contents().iter().filter_map(entry).collect()
}

fn decoder(output: &ListObjectsV2Output) -> fn(&str) -> String {
    match output.encoding_type() {
        Some(EncodingType::Url) => decoded,
        _ => str::to_owned,
    }
}

/// Undoes `application/x-www-form-urlencoded`, in which listings write keys.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        match (first, after.get(..2).and_then(hex)) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_listings_are_decoded() {
        assert_eq!(decoded("a%20b%2Fc%2b+d"), "a b/c+ d");
        assert_eq!(decoded("%e6%97%a5"), "日");
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("%zz%"), "%zz%");
    }

    #[test]
    fn what_is_too_deep_is_passed_over() {
        assert_eq!(above("", "a/b/c", 0), "a/");
        assert_eq!(above("", "a/b/c", 1), "a/b/");
        assert_eq!(above("a/", "a/b/c/d", 0), "a/b/");
    }
}
