//! Listing by pages. Where a service lists from its first key only, or in directories, a listing
//! that is not at its end is kept for the page that follows.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opendal_core::options;
use tokio::time::Instant;

use super::walk::{self, Child, Span, Walk};
use super::{DalStore, Layout};
use crate::adapters::now;
use crate::{Directory, Entry, Error, ListOptions, Page, Result, directory};

/// Keys of a page unless the caller asks for fewer.
const PAGE_MAX: usize = 1_000;

/// Listings that are kept.
const KEPT_MAX: usize = 16;

/// How long one is kept: what it has read ahead grows old.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// Listings that are not at their end.
#[derive(Default)]
pub(super) struct Listers(Mutex<VecDeque<Kept>>);

struct Kept {
    span: Span,
    rest: Rest,
    since: Instant,
}

/// What follows a page.
enum Rest {
    Keys { walk: Box<Walk>, first: Entry },
    Children(std::vec::IntoIter<Child>),
}

// === impl Listers ===

impl Listers {
    /// Drops all listings: what is written from now on, the next one must show.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn keep(&self, span: Span, rest: Rest) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(Kept { span, rest, since: now() });
    }

    fn take(&self, span: &Span, is_wanted: fn(&Rest) -> bool) -> Option<Rest> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| kept.since.elapsed() < KEPT_FOR);
        let at = kept.iter().position(|kept| kept.span == *span && is_wanted(&kept.rest))?;
        Some(kept.remove(at)?.rest)
    }
}

pub(super) async fn page(store: &DalStore, prefix: &str, options: &ListOptions) -> Result<Page> {
    let limit = options.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let span = span(prefix, options);
    let mut entries = Vec::new();
    let kept = store.0.listers.take(&span, |rest| matches!(rest, Rest::Keys { .. }));
    let mut walk = match kept {
        Some(Rest::Keys { walk, first }) => {
            entries.push(first);
            walk
        }
        _ => match Walk::open(store, span.clone(), limit).await {
            Err(Error::NotFound { sought: "an object", .. }) => return Ok(Page::default()),
            walk => Box::new(walk?),
        },
    };
    let (began, at_most) = (now(), store.0.patience.policy().answer / 2);
    loop {
        let entry = match walk.next(store).await {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(Page { entries, next: None }),
            // A page may be many requests, one for each directory. Where one of them fails, those
            // before it are not asked again.
            Err(error) if error.retry() && !entries.is_empty() => {
                let next = entries.last().map(|last| last.key.clone());
                return Ok(Page { entries, next });
            }
            Err(error) => return Err(error),
        };
        if entries.is_empty() || entries.len() < limit && began.elapsed() < at_most {
            entries.push(entry);
            continue;
        }
        let next = entries.last().map(|last| last.key.clone());
        if store.plan().layout != Layout::Sorted {
            let after = next.clone().unwrap_or_default();
            store.0.listers.keep(Span { after, ..span }, Rest::Keys { walk, first: entry });
        }
        return Ok(Page { entries, next });
    }
}

pub(super) async fn directory(
    store: &DalStore,
    prefix: &str,
    options: &ListOptions,
) -> Result<Directory> {
    let limit = options.limit.unwrap_or(PAGE_MAX).max(1);
    let span = span(prefix, &ListOptions { slashes: None, ..options.clone() });
    let kept = store.0.listers.take(&span, |rest| matches!(rest, Rest::Children(_)));
    let mut children = match kept {
        Some(Rest::Children(children)) => children,
        _ => match gathered(store, &span).await? {
            Some(children) => children.into_iter(),
            None => return directory::by_jumps(store, prefix, options.clone()).await,
        },
    };
    let mut page = Directory::default();
    let mut last = None;
    for child in children.by_ref().take(limit) {
        match child.entry {
            Some(entry) => {
                last = Some(entry.key.clone());
                page.entries.push(entry);
            }
            None => {
                last = Some(format!("{}{}", child.key, char::MAX));
                page.directories.push(child.key);
            }
        }
    }
    if children.len() > 0 {
        let after = last.clone().unwrap_or_default();
        store.0.listers.keep(Span { after, ..span }, Rest::Children(children));
        page.next = last;
    }
    Ok(page)
}

/// All that lies directly below a prefix, in order; none where that is too much to hold.
async fn gathered(store: &DalStore, span: &Span) -> Result<Option<Vec<Child>>> {
    let mut children = match store.plan().layout {
        Layout::Tree => {
            let parent = span.prefix.rfind('/').map_or("", |slash| &span.prefix[..=slash]);
            walk::children(store, parent).await?
        }
        _ => match delimited(store, &span.prefix).await? {
            Some(children) => children,
            None => return Ok(None),
        },
    };
    children.retain(|child| {
        child.key.starts_with(&span.prefix)
            && child.key.len() > span.prefix.len()
            && child.key > span.after
            && (child.entry.is_some() || !span.after.starts_with(&child.key))
    });
    Ok(Some(walk::sorted(children)))
}

async fn delimited(store: &DalStore, prefix: &str) -> Result<Option<Vec<Child>>> {
    let mut lister = walk::lister(store, prefix, options::ListOptions::default()).await?;
    let mut children = Vec::new();
    while let Some(found) = store.ask(prefix, lister.next_dyn()).await? {
        if children.len() >= walk::DIRECTORY_ENTRIES_MAX {
            return Ok(None);
        }
        let key = found.path().to_owned();
        // A name that ends with `/` may be both a beginning and an object without content.
        let entry = (!key.ends_with('/')).then(|| walk::entry_of(store, &found));
        children.push(Child { key, entry });
    }
    let mut children = walk::sorted(children);
    children.dedup_by(|one, other| one.key == other.key);
    Ok(Some(children))
}

fn span(prefix: &str, options: &ListOptions) -> Span {
    Span {
        prefix: prefix.to_owned(),
        after: options.after.clone().unwrap_or_default(),
        slashes: options.slashes.unwrap_or(usize::MAX),
    }
}
