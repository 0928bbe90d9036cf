//! Batches that become one array: those of a job that come within a moment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use samara_core::{Error, ErrorKind};
use tokio::sync::oneshot;

use super::states::Name;
use super::submit::{Member, Objects, Submitter};
use super::watch::Watch;

/// How often it is looked for further batches; when none came since the last look, they go.
pub(super) const GATHER: Duration = Duration::from_millis(100);

/// How often it is looked at most: somebody waits for the first.
const GATHERS_MAX: u32 = 10;

/// Indexes of an array at most: what Slurm's `MaxArraySize` allows where its operator sets no other.
const INDEXES_MAX: usize = 1000;

/// Bytes of an array's batches, which are held in memory until they are in the store. One that is
/// longer goes alone.
const ARRAY_BYTES_MAX: usize = 64 << 20;

/// Batches on their way to Slurm.
#[derive(Debug)]
pub(super) struct Gathering {
    pub(super) submitter: Submitter,
    pub(super) watch: Arc<Watch>,
    /// By the URL below which what belongs to a job's batches lies.
    jobs: Mutex<BTreeMap<String, Vec<Waiting>>>,
}

/// A batch that waits.
struct Waiting {
    member: Member,
    told: oneshot::Sender<Result<Place, Error>>,
}

/// The index that a batch became. Dropping it has nobody wait for it.
#[derive(Debug)]
pub(super) struct Place {
    name: Name,
    watch: Arc<Watch>,
    lost: oneshot::Receiver<Error>,
    _objects: Arc<Objects>,
}

// === impl Gathering ===

impl Gathering {
    pub(super) fn new(submitter: Submitter, watch: Arc<Watch>) -> Arc<Self> {
        Arc::new(Self { submitter, watch, jobs: Mutex::default() })
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Waiting>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a batch is in Slurm's queue.
    ///
    /// # Errors
    ///
    /// What the store says, and what Slurm does.
    pub(super) async fn join(
        self: &Arc<Self>,
        calls: &str,
        to: &str,
        body: Bytes,
    ) -> Result<Place, Error> {
        let (told, hears) = oneshot::channel();
        let waiting = Waiting { member: Member { to: to.to_owned(), body }, told };
        {
            let mut jobs = self.jobs();
            let is_first = !jobs.contains_key(calls);
            jobs.entry(calls.to_owned()).or_default().push(waiting);
            if is_first {
                let (this, calls) = (Arc::clone(self), calls.to_owned());
                tokio::spawn(async move { this.gather(&calls).await });
            }
        }
        let gone = || Err(Error::new(ErrorKind::Lost, "what hands batches to Slurm ended"));
        hears.await.unwrap_or_else(|_| gone())
    }

    async fn gather(self: Arc<Self>, calls: &str) {
        loop {
            let (mut before, mut looks) = (0, 0);
            loop {
                tokio::time::sleep(GATHER).await;
                looks += 1;
                let now = self.jobs().get(calls).map_or(0, Vec::len);
                if now == before || now >= INDEXES_MAX || looks >= GATHERS_MAX {
                    break;
                }
                before = now;
            }
            let Some(array) = self.take(calls) else { return };
            let (this, calls) = (Arc::clone(&self), calls.to_owned());
            tokio::spawn(async move { this.hand_over(&calls, array).await });
        }
    }

    /// Takes an array's batches out, without those that nobody waits for; none where there are none.
    fn take(&self, calls: &str) -> Option<Vec<Waiting>> {
        let mut jobs = self.jobs();
        let waiting = jobs.get_mut(calls)?;
        waiting.retain(|waiting| !waiting.told.is_closed());
        if waiting.is_empty() {
            jobs.remove(calls);
            return None;
        }
        let mut bytes = 0;
        let fits = |waiting: &&Waiting| {
            bytes += waiting.member.body.len();
            bytes <= ARRAY_BYTES_MAX
        };
        let count = waiting.iter().take(INDEXES_MAX).take_while(fits).count().max(1);
        Some(waiting.drain(..count).collect())
    }

    async fn hand_over(&self, calls: &str, array: Vec<Waiting>) {
        let (members, told): (Vec<Member>, Vec<_>) =
            array.into_iter().map(|waiting| (waiting.member, waiting.told)).unzip();
        let (id, objects) = match self.submitter.submit(calls, &members).await {
            Ok(submitted) => submitted,
            Err(error) => {
                // Nobody waits for what was cancelled.
                told.into_iter().for_each(|told| drop(told.send(Err(error.clone()))));
                return;
            }
        };
        tracing::debug!("Slurm's job {id} has {} indexes", members.len());
        let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
        let lost = self.watch.add(id, count).into_iter();
        for ((index, told), lost) in (0..count).zip(told).zip(lost) {
            let (watch, objects) = (Arc::clone(&self.watch), Arc::clone(&objects));
            let place = Place { name: (id, index), watch, lost, _objects: objects };
            // It was cancelled meanwhile.
            if let Err(Ok(place)) = told.send(Ok(place)) {
                place.cancel();
            }
        }
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Waiting").field(&self.member.to).finish()
    }
}

// === impl Place ===

impl Place {
    /// Waits until it is known that no answer comes, and why.
    pub(super) async fn lost(&mut self) -> Error {
        match (&mut self.lost).await {
            Ok(error) => error,
            Err(_) => Error::new(ErrorKind::Internal, "nobody watches Slurm's jobs any more"),
        }
    }

    /// Takes it out of the queue, where it has not begun.
    pub(super) fn cancel(&self) {
        self.watch.cancel(self.name);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.watch.forget(self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::config::Config;
    use crate::testing::{Hand, Shelf};

    fn gathering(
        bytes: usize,
        count: usize,
    ) -> (Arc<Gathering>, Vec<oneshot::Receiver<Result<Place, Error>>>) {
        let submitter =
            Submitter::new(Config::default(), &crate::Context::default(), Arc::<Shelf>::default());
        let gathering = Gathering::new(submitter, Watch::new(Arc::new(Hand::default()), None));
        let mut all = Vec::new();
        for n in 0..count {
            let (told, hears) = oneshot::channel();
            let member = Member { to: format!("s/{n}/"), body: vec![0; bytes].into() };
            gathering.jobs().entry("s/".to_owned()).or_default().push(Waiting { member, told });
            all.push(hears);
        }
        (gathering, all)
    }

    #[test]
    fn an_array_has_as_many_batches_as_slurm_and_memory_take() {
        let lengths = |bytes, count| {
            let (gathering, _all) = gathering(bytes, count);
            let taken = std::iter::from_fn(|| gathering.take("s/").map(|array| array.len()));
            let taken: Vec<usize> = taken.collect();
            assert!(gathering.jobs().is_empty());
            taken
        };
        assert_eq!(lengths(10, 2001), [1000, 1000, 1]);
        assert_eq!(lengths(30 << 20, 3), [2, 1]);
        assert_eq!(lengths(ARRAY_BYTES_MAX + 1, 2), [1, 1], "what is too long goes alone");
    }

    #[test]
    fn what_nobody_waits_for_is_not_handed_over() {
        let (gathering, mut all) = gathering(1, 3);
        drop(all.remove(1));
        let taken = gathering.take("s/").unwrap();
        let names: Vec<&str> = taken.iter().map(|waiting| waiting.member.to.as_str()).collect();
        assert_eq!(names, ["s/0/", "s/2/"]);
    }
}
