//! Several runtimes in an order: `FIRST or SECOND`. Jobs go to the first that is there.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use async_trait::async_trait;
use samara_core::{Batch, Cancel, Capacity, Error, ErrorKind, Observer, Reach, Runtime};

use crate::Context;

/// What stands between the URLs.
pub(crate) const OR: &str = " or ";

/// Batches that a runtime may lose one after the other before the next one is tried.
const FAILURES_MAX: u32 = 3;

/// Runtimes by preference.
#[derive(Debug)]
struct Fallback {
    url: String,
    runtimes: Vec<Arc<dyn Runtime>>,
    current: AtomicUsize,
    /// Batches that were lost since one was not.
    failures: AtomicU32,
}

pub(crate) fn open(url: &str, context: &Context) -> Result<Arc<dyn Runtime>, Error> {
    let runtimes = url.split(OR).map(|one| crate::open(one.trim(), context));
    let runtimes = runtimes.collect::<Result<Vec<_>, Error>>()?;
    let (current, failures) = (AtomicUsize::new(0), AtomicU32::new(0));
    Ok(Arc::new(Fallback { url: url.to_owned(), runtimes, current, failures }))
}

// === impl Fallback ===

impl Fallback {
    fn current(&self) -> &Arc<dyn Runtime> {
        &self.runtimes[self.current.load(Ordering::Relaxed)]
    }

    /// Goes to the first runtime from `first` on that is there; the last one's error where none is.
    async fn choose(&self, first: usize) -> Result<(), Error> {
        let nobody = Error::new(ErrorKind::Lost, format!("{}: there is no runtime left", self.url));
        let mut last = Err(nobody);
        for (number, runtime) in self.runtimes.iter().enumerate().skip(first) {
            last = runtime.ready().await;
            match &last {
                Ok(()) => {
                    self.current.store(number, Ordering::Relaxed);
                    self.failures.store(0, Ordering::Relaxed);
                    return last;
                }
                Err(error) => tracing::warn!("{runtime} is passed over: {error}"),
            }
        }
        last
    }
}

#[async_trait]
impl Runtime for Fallback {
    fn capacity(&self) -> Capacity {
        self.current().capacity()
    }

    /// The farthest: a job may end anywhere.
    fn reach(&self) -> Reach {
        self.runtimes.iter().map(|runtime| runtime.reach()).max().unwrap_or(Reach::Process)
    }

    /// Each job begins with the first again.
    async fn ready(&self) -> Result<(), Error> {
        self.choose(0).await
    }

    async fn invoke(
        &self,
        batch: Arc<Batch>,
        cancel: Cancel,
        observer: Arc<dyn Observer>,
    ) -> Result<(), Error> {
        let used = self.current.load(Ordering::Relaxed);
        let result = self.runtimes[used].invoke(batch, cancel, observer).await;
        let Err(error) = &result else {
            self.failures.store(0, Ordering::Relaxed);
            return result;
        };
        let is_its_own = !matches!(error.kind, ErrorKind::Cancelled | ErrorKind::HandedBack);
        let is_lost = is_its_own
            && self.current.load(Ordering::Relaxed) == used
            && self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES_MAX;
        if is_lost && self.choose(used + 1).await.is_ok() {
            tracing::warn!("{} lost its batches; {} goes on", self.runtimes[used], self.current());
        }
        result
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// A runtime that is there, or is not, and loses everything, or nothing.
    #[derive(Debug)]
    struct Place {
        name: &'static str,
        is_there: AtomicBool,
        loses: AtomicBool,
    }

    #[async_trait]
    impl Runtime for Place {
        fn capacity(&self) -> Capacity {
            Capacity::new(self.name.len(), 1)
        }

        fn reach(&self) -> Reach {
            if self.name == "far" { Reach::Network } else { Reach::Process }
        }

        async fn ready(&self) -> Result<(), Error> {
            match self.is_there.load(Ordering::Relaxed) {
                true => Ok(()),
                false => Err(Error::new(ErrorKind::Lost, format!("{} is not there", self.name))),
            }
        }

        async fn invoke(
            &self,
            _batch: Arc<Batch>,
            _cancel: Cancel,
            _observer: Arc<dyn Observer>,
        ) -> Result<(), Error> {
            match self.loses.load(Ordering::Relaxed) {
                false => Ok(()),
                true => Err(Error::new(ErrorKind::Lost, "gone")),
            }
        }
    }

    impl fmt::Display for Place {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.name)
        }
    }

    struct Nobody;

    impl Observer for Nobody {
        fn ended(&self, _: samara_core::Reports) {}
    }

    fn batch() -> Arc<Batch> {
        Arc::new(Batch {
            job: samara_core::JobId::new(1, 2),
            component: samara_core::ComponentId::of(b""),
            function: "f".to_owned(),
            store: "mem://x/".to_owned(),
            limits: samara_core::Limits::default(),
            grants: samara_core::Grants::default(),
            task_count: 0,
            reuse: false,
            depth: 0,
            payer: Default::default(),
            tasks: Vec::new(),
        })
    }

    fn places() -> (Arc<Place>, Arc<Place>, Fallback) {
        let place = |name| {
            let (is_there, loses) = (AtomicBool::new(true), AtomicBool::new(false));
            Arc::new(Place { name, is_there, loses })
        };
        let (far, here) = (place("far"), place("here"));
        let runtimes: Vec<Arc<dyn Runtime>> = vec![Arc::clone(&far) as _, Arc::clone(&here) as _];
        let (current, failures) = (AtomicUsize::new(0), AtomicU32::new(0));
        let fallback = Fallback { url: "far or here".to_owned(), runtimes, current, failures };
        (far, here, fallback)
    }

    #[tokio::test]
    async fn jobs_go_to_the_first_runtime_that_is_there() {
        let (far, here, fallback) = places();
        assert_eq!(fallback.reach(), Reach::Network);
        fallback.ready().await.unwrap();
        assert_eq!(fallback.capacity().slots, 3);
        far.is_there.store(false, Ordering::Relaxed);
        fallback.ready().await.unwrap();
        assert_eq!(fallback.capacity().slots, 4);
        here.is_there.store(false, Ordering::Relaxed);
        assert_eq!(fallback.ready().await.unwrap_err().message, "here is not there");
        far.is_there.store(true, Ordering::Relaxed);
        fallback.ready().await.unwrap();
        assert_eq!(fallback.capacity().slots, 3, "the first is tried first, each time");
    }

    #[tokio::test]
    async fn a_runtime_that_loses_all_is_left_in_the_middle_of_a_job() {
        let (far, _here, fallback) = places();
        fallback.ready().await.unwrap();
        far.loses.store(true, Ordering::Relaxed);
        for lost in 0..FAILURES_MAX {
            assert_eq!(fallback.capacity().slots, 3, "{lost}");
            let invoked = fallback.invoke(batch(), Cancel::default(), Arc::new(Nobody)).await;
            assert!(invoked.is_err());
        }
        assert_eq!(fallback.capacity().slots, 4);
        fallback.invoke(batch(), Cancel::default(), Arc::new(Nobody)).await.unwrap();
    }
}
