//! A batch, and where its answer goes.

use std::ops::Range;
#[cfg(feature = "serve")]
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
#[cfg(feature = "serve")]
use samara_core::Depot;
#[cfg(feature = "mail")]
use samara_core::{Batch, layout};
use samara_core::{ComponentId, Error, ErrorKind};
use serde::{Deserialize, Serialize};

#[cfg(feature = "serve")]
use crate::push::REQUEST_BYTES_MAX;

/// A tenant's ticket, which is not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Ticket(pub(crate) String);

/// A batch, and where its frames go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) batch: Source,
    /// The URL that parts of the answer are named after, where it cannot go as a whole.
    pub(crate) to: Option<String>,
}

/// Where the bytes of a batch are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Source {
    /// Here, as base64.
    Inline(String),
    /// In an object.
    Stored {
        url: String,
        range: Range<u64>,
        /// What the bytes have to be, where others may write to the store.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hash: Option<String>,
    },
}

/// The URL below which lies what belongs to the batches of a batch's job.
#[cfg(feature = "mail")]
pub(crate) fn below(batch: &Batch) -> String {
    let slash = if batch.store.ends_with('/') { "" } else { "/" };
    format!("{}{slash}{}", batch.store, layout::calls(&batch.job))
}

// === impl Ticket ===

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

// === impl Call ===

#[cfg(feature = "serve")]
impl Call {
    /// The objects that it is about.
    pub(crate) fn places(&self) -> impl Iterator<Item = &String> {
        let stored = match &self.batch {
            Source::Stored { url, .. } => Some(url),
            Source::Inline(_) => None,
        };
        stored.into_iter().chain(&self.to)
    }

    /// Whether its answer has a place. Names are put together of that and what comes after it: without
    /// the `/` they would lie beside what was granted, and not below.
    pub(crate) fn has_place(&self) -> bool {
        self.to.as_deref().is_some_and(|to| to.ends_with('/'))
    }
}

// === impl Source ===

impl Source {
    #[cfg(feature = "mail")]
    pub(crate) fn inline(bytes: &[u8]) -> Self {
        Self::Inline(encode(bytes))
    }

    /// The bytes of the batch.
    ///
    /// # Errors
    ///
    /// `Invalid` where they are none, or more than a batch has; what the store says; `Lost` where the
    /// object is gone; `Denied` where it is another by now.
    #[cfg(feature = "serve")]
    pub(crate) async fn bytes(&self, depot: &Arc<dyn Depot>) -> Result<Bytes, Error> {
        match self {
            Self::Inline(text) => decode(text),
            Self::Stored { url, range, hash } => {
                if range.end.saturating_sub(range.start) > REQUEST_BYTES_MAX {
                    let text = format!("a batch has {REQUEST_BYTES_MAX} bytes at most");
                    return Err(Error::new(ErrorKind::Invalid, text));
                }
                let found = depot.get(url, Some(range.clone())).await?;
                let found = found.ok_or_else(|| {
                    Error::new(ErrorKind::Lost, format!("the batch was removed from {url}"))
                })?;
                let is_other = |hash: &String| hash_of(&found) != *hash;
                match hash.as_ref().is_some_and(is_other) {
                    false => Ok(found),
                    true => {
                        let text = format!("the batch in {url} was changed: its hash does not fit");
                        Err(Error::new(ErrorKind::Denied, text))
                    }
                }
            }
        }
    }
}

/// The hash of an object, as whoever names one in a message or a manifest writes it.
pub(crate) fn hash_of(bytes: &[u8]) -> String {
    ComponentId::of(bytes).to_string()
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn decode(text: &str) -> Result<Bytes, Error> {
    STANDARD.decode(text).map(Bytes::from).map_err(|error| {
        Error::new(ErrorKind::Invalid, format!("the payload holds no base64: {error}"))
    })
}

#[cfg(all(test, feature = "mail", feature = "serve"))]
mod tests {
    use samara_core::wire::Frame;
    use samara_core::{Observer, Reports, Retry};

    use super::*;
    use crate::mail::Told;

    /// Told of a batch.
    struct Nobody;

    impl Observer for Nobody {
        fn ended(&self, _: Reports) {}
    }

    #[tokio::test]
    async fn a_batch_that_the_store_does_not_give_for_now_is_to_be_sent_again() {
        let depot: Arc<dyn Depot> = Arc::new(crate::testing::Shelf::away(1));
        let stored = Source::Stored { url: "s3://b/k".to_owned(), range: 0..5, hash: None };
        let error = stored.bytes(&depot).await.unwrap_err();
        // As a host says it.
        let frame = crate::push::encoded(&Frame::Failed(error.clone()));
        let told = Told::new(Arc::new(Nobody)).push(&frame);
        assert_eq!(told, Some(Err(error.clone())));
        assert_eq!((error.kind, error.retry), (ErrorKind::Store, Retry::Later));
    }

    #[tokio::test]
    async fn no_more_of_an_object_is_read_than_a_batch_has() {
        let depot: Arc<dyn Depot> = Arc::new(crate::testing::Shelf::away(1));
        for range in [0..REQUEST_BYTES_MAX + 1, 0..u64::MAX, 7..u64::MAX] {
            let stored = Source::Stored { url: "s3://b/k".to_owned(), range, hash: None };
            let error = stored.bytes(&depot).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid, "the store is not asked: {error}");
        }
    }

    #[tokio::test]
    async fn a_batch_that_another_took_the_place_of_is_refused() {
        let shelf = Arc::new(crate::testing::Shelf::default());
        let put = |text: &'static str| {
            shelf.objects.lock().unwrap().insert("s/k".to_owned(), Bytes::from(text));
        };
        let hash = Some(ComponentId::of(b"cd").to_string());
        let stored = Source::Stored { url: "s/k".to_owned(), range: 2..4, hash };
        let depot = Arc::clone(&shelf) as Arc<dyn Depot>;
        put("abcdef");
        assert_eq!(stored.bytes(&depot).await.unwrap(), "cd");
        put("abXdef");
        assert_eq!(stored.bytes(&depot).await.unwrap_err().kind, ErrorKind::Denied);
    }
}
