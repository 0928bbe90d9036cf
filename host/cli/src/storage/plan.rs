//! What is to be copied to where: listed as it is copied, but for what might undo itself.

use std::collections::BTreeMap;

use anyhow::Result;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt, future};
use samara::Storage;
use samara::storage::{Error, Found};

use super::filter::Filters;
use super::{NO_MATCH, NO_OBJECT, Place, some, stays};
use crate::report::usage;

/// Copies that are known before the first is made, where they cannot undo each other: how many bytes
/// it will be, is mostly known by them.
const AHEAD: usize = 10_000;

/// Copies that are held to see whether they would undo each other, at some 300 bytes each.
const HELD_MAX: usize = 1_000_000;

/// What a person wants copied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) sources: &'a [String],
    pub(super) target: &'a str,
    pub(super) recursive: bool,
    pub(super) filters: &'a Filters,
}

/// A copy to be made.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) size: u64,
    /// The version that was listed.
    pub(super) etag: String,
}

/// Everything that is to be copied.
pub(super) struct Plan {
    /// What is known.
    pub(super) first: Vec<Copy>,
    /// What is listed while that is copied.
    pub(super) rest: BoxStream<'static, Result<Copy, Error>>,
}

/// The objects of a source.
struct Source {
    /// What their URLs begin with, before the names that they keep.
    beginning: String,
    found: BoxStream<'static, Result<Found, Error>>,
    is_one: bool,
}

// === impl Source ===

impl Source {
    async fn of(storage: &Storage, source: &str, recursive: bool) -> Result<Self> {
        Ok(match Place::of(storage, source).await? {
            Place::Object(found) => {
                let beginning = found.url[..=found.url.rfind('/').unwrap_or_default()].to_owned();
                let found = stream::once(future::ready(Ok(found))).boxed();
                Self { beginning, found, is_one: true }
            }
            Place::Pattern(url) => {
                let found = some(storage.matching(source)?, &url, NO_MATCH).await?;
                Self { beginning: literal_directory(&url).to_owned(), found, is_one: false }
            }
            Place::Directory(url) => {
                let found = some(storage.list(&url)?, &url, NO_OBJECT).await?;
                if !recursive {
                    return Err(usage(format!(
                        "{source}: no object is called so, but objects lie below it; to copy all \
                         of them: --recursive"
                    )));
                }
                Self { beginning: url, found, is_one: false }
            }
        })
    }
}

/// Looks at all sources, and at the target, before anything is copied.
pub(super) async fn plan(storage: &Storage, wish: Wish<'_>) -> Result<Plan> {
    let target = storage.url(wish.target)?;
    stays(&target)?;
    let mut sources = Vec::new();
    for source in wish.sources {
        sources.push(Source::of(storage, source, wish.recursive).await?);
    }
    let many = sources.len() > 1 || sources.iter().any(|source| !source.is_one);
    let into = many || is_directory(storage, wish.target).await?;
    let target = if into { format!("{}/", target.trim_end_matches('/')) } else { target };
    // Names of one source differ, and none is in the target.
    let are_apart = matches!(&sources[..], [one] if are_apart(&one.beginning, &target));
    let filters = wish.filters.clone();
    let copies = stream::iter(sources).map(move |source| {
        let Source { beginning, found, .. } = source;
        let (target, filters) = (target.clone(), filters.clone());
        found.try_filter_map(move |found| {
            let name = found.url.strip_prefix(&beginning).unwrap_or(&found.url);
            let to = if into { format!("{target}{name}") } else { target.clone() };
            let Found { metadata, url } = match filters.take(name) {
                true => found,
                false => return future::ready(Ok(None)),
            };
            let copy = Copy { from: url, to, size: metadata.size, etag: metadata.etag };
            future::ready(Ok(Some(copy)))
        })
    });
    let mut rest = copies.flatten().boxed();
    let most = if are_apart { AHEAD } else { HELD_MAX };
    let first: Vec<Copy> = rest.by_ref().take(most).try_collect().await?;
    distinct(&first)?;
    if !are_apart && rest.try_next().await?.is_some() {
        return Err(usage(
            "these are more than a million objects, and some may become the same, or others of \
             them; take the sources one by one, to a place that is not among them",
        ));
    }
    Ok(Plan { first, rest })
}

/// Whether nothing can lie below both.
fn are_apart(one: &str, other: &str) -> bool {
    !one.starts_with(other) && !other.starts_with(one)
}

/// Refuses copies that would undo each other: they are made side by side, in no order.
fn distinct(copies: &[Copy]) -> Result<()> {
    let sources: BTreeMap<&str, &str> =
        copies.iter().map(|copy| (copy.from.as_str(), copy.to.as_str())).collect();
    let mut targets: BTreeMap<&str, &str> = BTreeMap::new();
    for Copy { from, to, .. } in copies {
        if from == to {
            return Err(usage(format!("{from} would be copied onto itself")));
        }
        if let Some(other) = targets.insert(to, from) {
            return Err(usage(format!(
                "{other} and {from} would both become {to}; copy them one by one"
            )));
        }
        if let Some(next) = sources.get(to.as_str()) {
            return Err(usage(format!(
                "{from} would become {to}, which would become {next} itself; take them one by one, \
                 or by way of a place that is not among the sources"
            )));
        }
    }
    Ok(())
}

/// Whether copies go below a place, rather than become it.
async fn is_directory(storage: &Storage, target: &str) -> Result<bool> {
    if target.ends_with('/') || target == "." || target == ".." || target.ends_with("/..") {
        return Ok(true);
    }
    let url = storage.url(target)?;
    // An empty directory of this machine is none to a store, but is one to a person.
    if let Some(path) = url.strip_prefix("file://") {
        return Ok(std::path::Path::new(path).is_dir());
    }
    match storage.head(target).await {
        Ok(_) => Ok(false),
        Err(Error::NotFound { .. }) => {
            Ok(storage.list(&format!("{url}/"))?.try_next().await?.is_some())
        }
        Err(error) => Err(error.into()),
    }
}

/// A pattern up to the last `/` before its first wildcard.
pub(super) fn literal_directory(url: &str) -> &str {
    let end = url.find(['*', '?', '[', '{', '\\']).unwrap_or(url.len());
    let end = url[..end].rfind('/').map_or(0, |slash| slash + 1);
    &url[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_begin_with_the_first_part_of_a_pattern() {
        assert_eq!(literal_directory("file:///a/b/*.txt"), "file:///a/b/");
        assert_eq!(literal_directory("file:///a/b?/c"), "file:///a/");
        assert_eq!(literal_directory("mem://x/*"), "mem://x/");
    }

    #[test]
    fn copies_that_would_undo_each_other_are_refused() {
        let copy = |from: &str, to: &str| Copy {
            from: from.to_owned(),
            to: to.to_owned(),
            size: 0,
            etag: String::new(),
        };
        let error = distinct(&[copy("a/x", "c/x"), copy("b/x", "c/x")]).unwrap_err();
        assert!(error.to_string().contains("a/x and b/x would both become c/x"), "{error}");
        assert!(distinct(&[copy("a", "a")]).is_err());
        let error = distinct(&[copy("b", "c"), copy("a", "b")]).unwrap_err();
        assert!(error.to_string().contains("a would become b, which would become c"), "{error}");
        assert!(distinct(&[copy("a", "b"), copy("b", "a")]).is_err());
        assert!(distinct(&[copy("a", "b"), copy("c", "d")]).is_ok());
    }

    /// Only where they cannot undo each other is it not necessary to know all of them.
    #[test]
    fn places_are_apart_where_neither_has_the_other() {
        assert!(are_apart("s3://b/data/", "s3://b/data-2/"));
        assert!(are_apart("s3://b/", "s3://c/"));
        assert!(!are_apart("s3://b/data/", "s3://b/"));
        assert!(!are_apart("s3://b/data/", "s3://b/data/old/"));
        assert!(!are_apart("s3://b/data/", "s3://b/data/"));
    }

    #[test]
    fn what_is_far_away_is_listed_as_it_is_copied() {
        let (storage, files) = (Storage::new().unwrap(), tempfile::tempdir().unwrap());
        let target = format!("{}/", files.path().display());
        let filters = Filters::default();
        samara::block_on(async {
            let names = (0..AHEAD + 5).map(|n| format!("mem://planned/in/{n:06}"));
            for name in names {
                storage.put(&name, "1").await.unwrap();
            }
            let sources = ["mem://planned/in/".to_owned()];
            let wish =
                |sources| Wish { sources, target: &target, recursive: true, filters: &filters };
            let Plan { first, rest } = plan(&storage, wish(&sources)).await.unwrap();
            assert_eq!(first.len(), AHEAD);
            let rest: Vec<Copy> = rest.try_collect().await.unwrap();
            assert_eq!(rest.len(), 5);
            assert!(rest[4].to.ends_with("/010004") && rest[4].from == "mem://planned/in/010004");
            // Two sources may have the same names.
            let sources = [&sources[..], &["mem://planned/in/000000".to_owned()]].concat();
            let error = plan(&storage, wish(&sources)).await.err().unwrap();
            assert!(error.to_string().contains("would both become"), "{error}");
        });
    }
}
