//! Listing: objects of any number, in the order of their URLs' bytes.

use std::sync::Arc;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use samara_store::{Location, Page, is_trial};

use super::{Error, Found, Pattern, Result, Storage};

/// Which objects to list. The default is all.
///
/// ```
/// use samara::Storage;
/// use samara::blocking::{Wait, iter};
/// use samara::storage::ListOptions;
///
/// # fn main() -> Result<(), samara::Error> {
/// let storage = Storage::new()?;
/// for name in ["a", "b", "b/deep", "c", "d"] {
///     storage.put(&format!("mem://some/{name}"), name).wait()?;
/// }
/// let options = ListOptions::default().after("mem://some/a").slashes(0).limit(2);
/// let some: Vec<_> = iter(storage.list_with("mem://some/", options)?).collect::<Result<_, _>>()?;
/// assert_eq!(some[0].url, "mem://some/b");
/// assert_eq!(some[1].url, "mem://some/c");
/// assert_eq!(some.len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Only objects whose URLs sort after this one, which need not be an object's. What lies before
    /// costs nothing, or little.
    pub after: Option<String>,
    /// At most so many. The store is asked for no more of them.
    pub limit: Option<usize>,
    /// Only URLs with at most so many `/` after the prefix: 0 is what lies directly below it, as of
    /// [`Storage::entries`], but without directories.
    pub slashes: Option<usize>,
}

/// What lies directly below a place: objects, and beginnings that several names share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// An object.
    Object(Found),
    /// Objects lie below this URL, which ends with `/`.
    Directory(String),
}

// === impl ListOptions ===

impl ListOptions {
    /// Lists only what sorts after this URL.
    #[must_use]
    pub fn after(mut self, url: impl Into<String>) -> Self {
        self.after = Some(url.into());
        self
    }

    /// Lists at most so many objects.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Lists only URLs with at most so many `/` after the prefix.
    #[must_use]
    pub fn slashes(mut self, slashes: usize) -> Self {
        self.slashes = Some(slashes);
        self
    }
}

// === impl Entry ===

impl Entry {
    /// Its URL.
    pub fn url(&self) -> &str {
        match self {
            Self::Object(found) => &found.url,
            Self::Directory(url) => url,
        }
    }
}

// === impl Storage ===

impl Storage {
    /// Lists the objects whose URLs begin so, at any depth, by the bytes of their names. It is a
    /// beginning, not a directory: `mem://a/b` has `mem://a/b`, `mem://a/bc` and `mem://a/b/c`.
    ///
    /// Objects that a store is [tried out](samara_store::is_trial) with are not among them.
    ///
    /// # Errors
    ///
    /// `InvalidUrl`, `UnknownScheme`; the stream says what the store says.
    pub fn list(&self, prefix: &str) -> Result<BoxStream<'static, Result<Found>>> {
        self.list_with(prefix, ListOptions::default())
    }

    /// Lists some of the objects whose URLs begin so.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list); `InvalidUrl` where `after` is in another store.
    pub fn list_with(
        &self,
        prefix: &str,
        options: ListOptions,
    ) -> Result<BoxStream<'static, Result<Found>>> {
        let at = self.locator.open(prefix)?;
        let (limit, slashes) = (options.limit, options.slashes);
        let mut asked = samara_store::ListOptions { after: None, limit, slashes };
        if let Some(url) = options.after {
            let after = self.locator.open(&url)?;
            if !Arc::ptr_eq(&after.store, &at.store) {
                let reason = "a listing of another store does not go on there";
                return Err(Error::InvalidUrl { url, reason });
            }
            asked.after = Some(after.key);
        }
        let shown = at.key.clone();
        let all = self.pages(at, asked, move |key| !is_trial(&shown, key));
        Ok(match limit {
            Some(limit) => all.take(limit).boxed(),
            None => all,
        })
    }

    /// The objects that match a URL or path as a pattern, as they are listed: where
    /// [`find`](Self::find) holds all of them, this holds a page. There may be none.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list); `InvalidUrl` for a malformed pattern.
    pub fn matching(&self, pattern: &str) -> Result<BoxStream<'static, Result<Found>>> {
        let mut at = self.locator.open(pattern)?;
        let (parsed, asked) = (Pattern::of(&at)?, at.key);
        at.key = parsed.literal_prefix().to_owned();
        let slashes = parsed.slashes_max();
        let options = samara_store::ListOptions { slashes, ..Default::default() };
        let matches = move |key: &str| parsed.matches(key) && !is_trial(&asked, key);
        Ok(self.pages(at, options, matches))
    }

    /// Page after page.
    fn pages(
        &self,
        at: Location,
        options: samara_store::ListOptions,
        is_wanted: impl Fn(&str) -> bool + Clone + Send + 'static,
    ) -> BoxStream<'static, Result<Found>> {
        let pages = stream::try_unfold((self.clone(), Some(options)), move |(this, options)| {
            let (at, is_wanted) = (at.clone(), is_wanted.clone());
            async move {
                let Some(options) = options else { return Ok::<_, Error>(None) };
                let (asked, root) = (options.clone(), at.store.to_string());
                let page = async move { at.store.list(&at.key, asked).await };
                let Page { entries, next } = this.run(page).await?;
                let rest = next.map(|next| options.after(next));
                let found = entries.into_iter().filter(move |entry| is_wanted(&entry.key));
                let found = found.map(move |entry| {
                    Ok(Found { url: format!("{root}{}", entry.key), metadata: entry.metadata })
                });
                Ok(Some((stream::iter(found), (this, rest))))
            }
        });
        pages.try_flatten().boxed()
    }

    /// Lists what lies directly below a place: its objects, and its directories without their
    /// content. Costs a request per page and per directory.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub fn entries(&self, directory: &str) -> Result<BoxStream<'static, Result<Entry>>> {
        let mut at = self.locator.open(directory)?;
        if !at.key.is_empty() && !at.key.ends_with('/') {
            at.key.push('/');
        }
        let first = Some(samara_store::ListOptions::default());
        let pages = stream::try_unfold((self.clone(), first), move |(this, options)| {
            let at = at.clone();
            async move {
                let Some(options) = options else { return Ok::<_, Error>(None) };
                let (asked, root, below) = (options.clone(), at.store.to_string(), at.key.clone());
                let listed = async move { at.store.list_directory(&at.key, asked).await };
                let page = this.run(listed).await?;
                let rest = page.next.map(|next| options.after(next));
                let shown = page.entries.into_iter().filter(|e| !is_trial(&below, &e.key));
                let objects = shown.map(|entry| {
                    let url = format!("{root}{}", entry.key);
                    Entry::Object(Found { url, metadata: entry.metadata })
                });
                let below =
                    page.directories.iter().map(|key| Entry::Directory(format!("{root}{key}")));
                let mut entries: Vec<Entry> = objects.chain(below).collect();
                entries.sort_by(|one, other| one.url().cmp(other.url()));
                Ok(Some((stream::iter(entries.into_iter().map(Ok)), (this, rest))))
            }
        });
        Ok(pages.try_flatten().boxed())
    }

    /// Finds the objects that a URL, path, directory or pattern stands for: the object of exactly
    /// this name, else the objects that match it as a pattern, else all objects below it.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is nothing; `InvalidUrl` for a malformed pattern, and for one of more
    /// than a million objects.
    pub async fn find(&self, source: &str) -> Result<Vec<Found>> {
        let (locator, source) = (Arc::clone(&self.locator), source.to_owned());
        self.run(async move { locator.discover(&source).await }).await
    }

    /// Lists what other programs put below a place under names that are no URL's here, as
    /// `s3://bucket/a//b` and `s3://bucket/directory/`: no other method shows or takes them, but
    /// [`delete_foreign`](Self::delete_foreign) removes them. Only `s3:` is looked through for them.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub fn list_foreign(&self, prefix: &str) -> Result<BoxStream<'static, Result<String>>> {
        let at = self.locator.open(prefix)?;
        let first = Some(samara_store::ListOptions::default());
        let pages = stream::try_unfold((self.clone(), first), move |(this, options)| {
            let at = at.clone();
            async move {
                let Some(options) = options else { return Ok::<_, Error>(None) };
                let (asked, root) = (options.clone(), at.store.to_string());
                let page = async move { at.store.list_foreign(&at.key, asked).await };
                let Page { entries, next } = this.run(page).await?;
                let rest = next.map(|next| options.after(next));
                let urls = entries.into_iter().map(move |entry| Ok(format!("{root}{}", entry.key)));
                Ok(Some((stream::iter(urls), (this, rest))))
            }
        });
        Ok(pages.try_flatten().boxed())
    }

    /// Removes objects under names of [`list_foreign`](Self::list_foreign).
    ///
    /// # Errors
    ///
    /// The first one; others may be removed. `Unsupported` where the store lists none.
    pub async fn delete_foreign(&self, urls: &[String]) -> Result<()> {
        for (at, names) in self.by_store(urls)? {
            self.run(async move { at.store.delete_foreign(&names).await }).await?;
        }
        Ok(())
    }
}
