//! Stores as what runtimes keep their objects in.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use samara_core::{Depot, ErrorKind, Retry};

use crate::{Error, Locator, PutOptions, StoreExt};

#[async_trait]
impl Depot for Locator {
    async fn get(
        &self,
        url: &str,
        range: Option<Range<u64>>,
    ) -> Result<Option<Bytes>, samara_core::Error> {
        let location = self.open(url).map_err(|error| failed(&error))?;
        let read = match range {
            Some(range) => location.store.read_range(&location.key, range, None).await,
            None => location.store.read(&location.key).await,
        };
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn put(&self, url: &str, bytes: Bytes) -> Result<(), samara_core::Error> {
        let location = self.open(url).map_err(|error| failed(&error))?;
        let put = location.store.put(&location.key, bytes, PutOptions::default()).await;
        put.map(drop).map_err(|error| failed(&error))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, samara_core::Error> {
        let location = self.open(prefix).map_err(|error| failed(&error))?;
        let entries = location.store.list_all(&location.key);
        let url = |key: String| format!("{}{key}", location.store);
        let urls: Result<Vec<String>, Error> =
            entries.map_ok(|entry| url(entry.key)).try_collect().await;
        urls.map_err(|error| failed(&error))
    }

    async fn remove(&self, urls: &[String]) -> Result<(), samara_core::Error> {
        let Some(first) = urls.first() else { return Ok(()) };
        let first = self.open(first).map_err(|error| failed(&error))?;
        let root = first.store.to_string();
        let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
        for url in urls {
            match url.strip_prefix(&root) {
                Some(key) => here.push(key.to_owned()),
                None => elsewhere.push(url.clone()),
            }
        }
        first.store.delete_many(&here).await.map_err(|error| failed(&error))?;
        Box::pin(self.remove(&elsewhere)).await
    }
}

/// What a runtime has to know of a store's failure.
fn failed(error: &Error) -> samara_core::Error {
    let retry = if error.retry() { Retry::Later } else { Retry::Never };
    samara_core::Error::new(ErrorKind::Store, error.in_full()).with_retry(retry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::tests::block_on;

    #[test]
    fn what_is_put_is_listed_got_and_removed() {
        let depot = Locator::default();
        block_on(async {
            let url = |name: &str| format!("mem://samara-depot/a/{name}");
            assert_eq!(depot.get(&url("1"), None).await.unwrap(), None);
            for name in ["2", "1"] {
                depot.put(&url(name), Bytes::from_static(b"0123")).await.unwrap();
            }
            assert_eq!(depot.list(&url("")).await.unwrap(), [url("1"), url("2")]);
            assert_eq!(depot.get(&url("1"), Some(1..3)).await.unwrap().unwrap(), "12");
            depot.remove(&[url("1"), url("2"), url("3")]).await.unwrap();
            assert_eq!(depot.list(&url("")).await.unwrap(), Vec::<String>::new());
            assert_eq!(
                depot.put("nothing://x", Bytes::new()).await.unwrap_err().kind,
                ErrorKind::Store
            );
        });
    }
}
