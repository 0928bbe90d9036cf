//! Uploads in parts that have begun and not ended.

use samara_store::Unfinished as Stored;

use super::{Result, Storage};

/// An object whose writing in parts has begun and not ended: what [`Storage::unfinished`] finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// URL that the object would have.
    pub url: String,
    /// What the store calls it: of one URL there may be several.
    pub id: String,
    /// When it was begun: milliseconds since the Unix epoch, where the store says.
    pub since_ms: Option<u64>,
}

impl Storage {
    /// Objects whose URL begins with `prefix` and whose writing in parts has begun and not ended:
    /// somebody writes them now, or died while writing. Stores keep such parts, and have them paid
    /// for. The first thousand, by URL; only `s3:` has them, the others remove them by themselves.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>> {
        let at = self.locator.open(prefix)?;
        let root = at.store.to_string();
        let found = self.run(async move { at.store.unfinished(&at.key).await }).await?;
        let of =
            |Stored { key, id, since_ms }| Unfinished { url: root.clone() + &key, id, since_ms };
        Ok(found.into_iter().map(of).collect())
    }

    /// Removes the parts of an object that was not finished. Whoever still writes it fails. One that
    /// has ended by now is fine.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`](super::Error::Unsupported) where the store has no such thing.
    pub async fn discard(&self, unfinished: &Unfinished) -> Result<()> {
        let Unfinished { url, id, since_ms } = unfinished.clone();
        let at = self.locator.open(&url)?;
        let stored = Stored { key: at.key.clone(), id, since_ms };
        self.run(async move { at.store.discard(&stored).await }).await
    }
}
