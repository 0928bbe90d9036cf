//! What unit tests of several rooms need: a clock that is set by hand, and a store that can be away.

#[cfg(any(feature = "http", feature = "mail", feature = "serve"))]
pub(crate) use self::hand::Hand;
#[cfg(any(feature = "mail", feature = "serve"))]
pub(crate) use self::shelf::Shelf;

#[cfg(any(feature = "http", feature = "mail", feature = "serve"))]
mod hand {
    use std::sync::Mutex;
    use std::time::Duration;

    use samara_core::Clock;

    /// A clock that stands still unless it is set.
    #[derive(Debug, Default)]
    pub(crate) struct Hand(pub(crate) Mutex<Duration>);

    impl Clock for Hand {
        fn unix(&self) -> Duration {
            self.monotonic()
        }

        fn monotonic(&self) -> Duration {
            *self.0.lock().unwrap()
        }
    }
}

#[cfg(any(feature = "mail", feature = "serve"))]
mod shelf {
    use std::collections::BTreeMap;
    use std::ops::Range;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use bytes::Bytes;
    use samara_core::{Depot, Error, ErrorKind};

    /// A store in memory.
    #[derive(Debug, Default)]
    pub(crate) struct Shelf {
        pub(crate) objects: Mutex<BTreeMap<String, Bytes>>,
        /// Requests that fail before others do not.
        pub(crate) failures: Mutex<u32>,
    }

    // === impl Shelf ===

    impl Shelf {
        /// One that is away for so many requests.
        #[cfg(feature = "serve")]
        pub(crate) fn away(failures: u32) -> Self {
            Self { failures: Mutex::new(failures), ..Self::default() }
        }

        fn is_there(&self) -> Result<(), Error> {
            let mut failures = self.failures.lock().unwrap();
            match *failures {
                0 => Ok(()),
                _ => {
                    *failures -= 1;
                    Err(Error::new(ErrorKind::Store, "the store is away"))
                }
            }
        }
    }

    #[async_trait]
    impl Depot for Shelf {
        async fn get(&self, url: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, Error> {
            self.is_there()?;
            let found = self.objects.lock().unwrap().get(url).cloned();
            Ok(found.map(|bytes| match range {
                Some(range) => {
                    let end = |at: u64| usize::try_from(at).unwrap().min(bytes.len());
                    bytes.slice(end(range.start)..end(range.end))
                }
                None => bytes,
            }))
        }

        async fn put(&self, url: &str, bytes: Bytes) -> Result<(), Error> {
            self.is_there()?;
            self.objects.lock().unwrap().insert(url.to_owned(), bytes);
            Ok(())
        }

        async fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
            self.is_there()?;
            let objects = self.objects.lock().unwrap();
            Ok(objects.keys().filter(|url| url.starts_with(prefix)).cloned().collect())
        }

        async fn remove(&self, urls: &[String]) -> Result<(), Error> {
            self.is_there()?;
            self.objects.lock().unwrap().retain(|url, _| !urls.contains(url));
            Ok(())
        }
    }
}
