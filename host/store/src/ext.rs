//! Sugar over [`Store`], the same for every store, so that stores cannot differ in it.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use crate::{Entry, Error, GetOptions, ListOptions, Result, Store, transfer};

/// Ranges of one object on their way at once.
const RANGES_AT_ONCE: usize = 8;

/// Convenience methods of every [`Store`].
#[async_trait]
pub trait StoreExt: Store {
    /// Reads a whole object into memory. Its size is the object's: ask `head` before, where the
    /// object is not one's own.
    ///
    /// # Errors
    ///
    /// Like [`Store::get`].
    async fn read(&self, key: &str) -> Result<Bytes> {
        self.get(key, GetOptions::default()).await?.bytes().await
    }

    /// Reads a range of an object; fewer bytes where the object ends earlier, none past its end.
    ///
    /// # Errors
    ///
    /// Like [`Store::get`]; `Precondition` where the object's etag is not `if_match`.
    async fn read_range(
        &self,
        key: &str,
        range: Range<u64>,
        if_match: Option<&str>,
    ) -> Result<Bytes> {
        let if_match = if_match.map(str::to_owned);
        let options = GetOptions { range: Some(range), if_match, sums: None };
        self.get(key, options).await?.bytes().await
    }

    /// Reads several ranges of one version of an object: near ones in one request, far ones side by
    /// side. Each as [`read_range`](Self::read_range) would give it.
    ///
    /// # Errors
    ///
    /// As for `read_range`.
    async fn read_ranges(
        &self,
        key: &str,
        ranges: &[Range<u64>],
        if_match: Option<&str>,
    ) -> Result<Vec<Bytes>> {
        let Some((first, rest)) = transfer::together(ranges)
            .split_first()
            .map(|(first, rest)| (first.clone(), rest.to_vec()))
        else {
            return Ok(Vec::new());
        };
        let mut found = vec![Bytes::new(); ranges.len()];
        let mut take = |(all, numbers): (Range<u64>, Vec<usize>), bytes: &Bytes| {
            for n in numbers {
                found[n] = transfer::part(bytes, all.start, &ranges[n]);
            }
        };
        // The first says which version it is, and the others must be of the same.
        let if_match = if_match.map(str::to_owned);
        let options = GetOptions { range: Some(first.0.clone()), if_match, sums: None };
        let object = self.get(key, options).await?;
        let etag = object.metadata.etag.clone();
        take(first, &object.bytes().await?);
        let reads = stream::iter(rest).map(|(all, numbers)| {
            let etag = etag.clone();
            async move {
                let bytes = self.read_range(key, all.clone(), Some(&etag)).await?;
                Ok::<_, Error>(((all, numbers), bytes))
            }
        });
        let mut reads = reads.buffer_unordered(RANGES_AT_ONCE).boxed();
        while let Some((group, bytes)) = reads.try_next().await? {
            take(group, &bytes);
        }
        drop(reads);
        Ok(found)
    }

    /// Whether an object exists under this key.
    ///
    /// # Errors
    ///
    /// Like [`Store::head`], but for `NotFound`.
    async fn exists(&self, key: &str) -> Result<bool> {
        match self.head(key).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lists all objects whose key starts with `prefix`, page after page.
    fn list_all<'a>(&'a self, prefix: &'a str) -> BoxStream<'a, Result<Entry>> {
        self.list_from(prefix, ListOptions::default())
    }

    /// Lists all objects that `options` admit, page after page of at most `options.limit` each.
    fn list_from<'a>(
        &'a self,
        prefix: &'a str,
        options: ListOptions,
    ) -> BoxStream<'a, Result<Entry>> {
        stream::try_unfold(Some(options), move |options| async move {
            let Some(options) = options else { return Ok::<_, Error>(None) };
            let page = self.list(prefix, options.clone()).await?;
            let rest = page.next.map(|next| options.after(next));
            Ok(Some((stream::iter(page.entries.into_iter().map(Ok)), rest)))
        })
        .try_flatten()
        .boxed()
    }
}

impl<S: Store + ?Sized> StoreExt for S {}
