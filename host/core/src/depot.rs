//! What runtimes keep in the store of a job: what does not fit into a request, or into its answer.

use std::fmt::Debug;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use crate::Error;

/// Objects by URL, as far as runtimes need them. Both sides of a runtime have one.
#[async_trait]
pub trait Depot: Debug + Send + Sync + 'static {
    /// An object, or a range of it; none where there is no such object.
    ///
    /// # Errors
    ///
    /// Where the store failed.
    async fn get(&self, url: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, Error>;

    /// Writes an object, whatever was there.
    ///
    /// # Errors
    ///
    /// Where the store failed.
    async fn put(&self, url: &str, bytes: Bytes) -> Result<(), Error>;

    /// URLs of all objects whose URL begins with `prefix`, in order.
    ///
    /// # Errors
    ///
    /// Where the store failed.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, Error>;

    /// Removes objects; those that are not there are none.
    ///
    /// # Errors
    ///
    /// Where the store failed.
    async fn remove(&self, urls: &[String]) -> Result<(), Error>;
}
