//! Many batches that are started together: the driver hands a few functions a list each, and they
//! start the others.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use samara_core::{Depot, Error, ErrorKind};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use super::door::Door;
use super::event::Ask;
use crate::mail::{Call, Source};

/// How often it is looked for further ones.
const GATHER: Duration = Duration::from_millis(10);

/// Where there are enough for a tree, more are gathered until none came for so many looks: the
/// dispatcher hands them over one after the other, while it sends those before them, and has other
/// things to do on a machine that is busy.
const QUIET: u32 = 3;

/// How often it is looked for further ones at most.
const GATHERS_MAX: u32 = 50;

/// From so many batches on that find no connection they are started as a tree: fewer are sent as
/// quickly by the driver, once others have ended.
const TREE_FROM: usize = 64;

/// How long those others may take. Beyond that fewer are started as a tree too: each has a function's
/// place, and all connections may be taken by functions that go on for minutes.
const FEW_MAX: Duration = Duration::from_secs(1);

/// Batches that one function starts: it takes a tenth of a second or so.
const MEMBERS_MIN: usize = 16;
const MEMBERS_MAX: usize = 256;

/// Bytes of the batches that one function starts, which lie in one object.
pub(super) const GROUP_BYTES_MAX: usize = 32 << 20;

/// Batches that wait to be started.
#[derive(Debug)]
pub(super) struct Waves {
    door: Arc<Door>,
    depot: Arc<dyn Depot>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By the URL below which what belongs to a job's batches lies.
    jobs: BTreeMap<String, Wave>,
    /// The next batch's number.
    next: u64,
}

/// Those of one job.
#[derive(Debug, Default)]
struct Wave {
    batches: Vec<Waiting>,
    /// Who gathers them, by the number of the first batch.
    gatherer: u64,
}

/// A batch that waits.
#[derive(Debug)]
struct Waiting {
    number: u64,
    /// The URL of its own answer.
    to: String,
    body: Bytes,
    told: oneshot::Sender<Handed>,
}

/// How a batch starts.
pub(super) enum Start<'a> {
    /// Its driver sends it by itself, on this connection.
    Alone(SemaphorePermit<'a>),
    Handed(Handed),
}

/// What became of a batch that a function is to start: what it lies in, where it was handed over.
pub(super) type Handed = Result<Arc<Group>, Error>;

/// Batches that lie in one object, which is removed with the last of them.
#[derive(Debug)]
pub(super) struct Group {
    depot: Arc<dyn Depot>,
    url: String,
    left: AtomicUsize,
}

// === impl Waves ===

impl Waves {
    pub(super) fn new(door: Arc<Door>, depot: Arc<dyn Depot>) -> Arc<Self> {
        Arc::new(Self { door, depot, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place on a connection, or for as many others as make a tree: whichever is there
    /// first.
    pub(super) async fn join<'a>(
        self: &Arc<Self>,
        direct: &'a Semaphore,
        (calls, to): (&str, &str),
        body: Bytes,
    ) -> Start<'a> {
        let (told, mut hears) = oneshot::channel();
        let number = self.push(calls, |number| Waiting { number, to: to.to_owned(), body, told });
        // Who is not waited for any more is not started either.
        let place = Place { waves: self, calls, number };
        tokio::select! {
            biased;
            handed = &mut hears => Start::Handed(handed.unwrap_or_else(|_| Err(unheard()))),
            free = direct.acquire() => match free {
                Ok(free) if place.leave() => Start::Alone(free),
                free => {
                    // Another's connection, while this one is handed over.
                    drop(free);
                    Start::Handed(hears.await.unwrap_or_else(|_| Err(unheard())))
                }
            },
        }
    }

    fn push(self: &Arc<Self>, calls: &str, waiting: impl FnOnce(u64) -> Waiting) -> u64 {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        let wave = state.jobs.entry(calls.to_owned()).or_default();
        wave.batches.push(waiting(number));
        if wave.batches.len() == 1 && wave.gatherer == 0 {
            wave.gatherer = number + 1;
            let (this, calls) = (Arc::clone(self), calls.to_owned());
            tokio::spawn(async move { this.gather(calls, number + 1).await });
        }
        number
    }

    /// How many wait; none where another gathers them by now.
    fn waiting(&self, calls: &str, gatherer: u64) -> usize {
        let state = self.state();
        let wave = state.jobs.get(calls).filter(|wave| wave.gatherer == gatherer);
        wave.map_or(0, |wave| wave.batches.len())
    }

    /// Waits until no more come, and starts those that are there: at once where they are enough,
    /// after a while where they are few.
    async fn gather(self: Arc<Self>, calls: String, gatherer: u64) {
        let (mut gathered, mut quiet, mut looks) = (0, 0, 0);
        loop {
            tokio::time::sleep(GATHER).await;
            let now = self.waiting(&calls, gatherer);
            if now == 0 {
                return;
            }
            (quiet, looks) = (if now > gathered { 0 } else { quiet + 1 }, looks + 1);
            gathered = now;
            let is_over = match now >= TREE_FROM {
                true => quiet >= QUIET || looks >= GATHERS_MAX,
                false => GATHER * looks >= FEW_MAX,
            };
            if is_over {
                break;
            }
        }
        let wave = {
            let mut state = self.state();
            let is_ours = state.jobs.get(&calls).is_some_and(|wave| wave.gatherer == gatherer);
            if !is_ours {
                return;
            }
            state.jobs.remove(&calls).unwrap_or_default()
        };
        for group in groups(wave.batches) {
            let (this, calls) = (Arc::clone(&self), calls.clone());
            tokio::spawn(async move { hand_over(&this.door, &this.depot, &calls, group).await });
        }
    }
}

/// A batch's place among those that wait.
struct Place<'a> {
    waves: &'a Waves,
    calls: &'a str,
    number: u64,
}

// === impl Place ===

impl Place<'_> {
    /// Takes the batch out, and says whether it was still there.
    fn leave(&self) -> bool {
        let mut state = self.waves.state();
        let Some(wave) = state.jobs.get_mut(self.calls) else { return false };
        let Ok(at) = wave.batches.binary_search_by_key(&self.number, |batch| batch.number) else {
            return false;
        };
        wave.batches.remove(at);
        if wave.batches.is_empty() {
            state.jobs.remove(self.calls);
        }
        true
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

fn unheard() -> Error {
    Error::new(ErrorKind::Lost, "what starts batches ended")
}

/// About as many groups as members in each, so that no one starts many more than another.
fn groups(batches: Vec<Waiting>) -> Vec<Vec<Waiting>> {
    let members = batches.len().isqrt().clamp(MEMBERS_MIN, MEMBERS_MAX);
    let (mut groups, mut bytes): (Vec<Vec<Waiting>>, usize) = (Vec::new(), 0);
    for batch in batches {
        bytes += batch.body.len();
        match groups.last_mut() {
            Some(last) if last.len() < members && bytes <= GROUP_BYTES_MAX => last.push(batch),
            _ => {
                bytes = batch.body.len();
                groups.push(vec![batch]);
            }
        }
    }
    groups
}

/// Writes the batches of a group, and starts the function that starts the others.
async fn hand_over(door: &Door, depot: &Arc<dyn Depot>, calls: &str, group: Vec<Waiting>) {
    let url = format!("{calls}group-{}", door.name());
    let (mut bytes, mut members) = (BytesMut::new(), Vec::new());
    for batch in &group {
        let start = bytes.len() as u64;
        bytes.extend_from_slice(&batch.body);
        let range = start..bytes.len() as u64;
        let batch_of = Source::Stored { url: url.clone(), range, hash: None };
        members.push(Call { batch: batch_of, to: Some(batch.to.clone()) });
    }
    let object = Arc::new(Group {
        depot: Arc::clone(depot),
        url: url.clone(),
        left: AtomicUsize::new(group.len()),
    });
    let handed = async {
        depot.put(&url, bytes.freeze()).await?;
        door.queue(Ask::Wave(members)).await
    };
    let handed = handed.await;
    for batch in group {
        let told = handed.as_ref().map(|()| Arc::clone(&object)).map_err(Error::clone);
        // Nobody waits for what was cancelled.
        drop(batch.told.send(told));
    }
}

// === impl Group ===

impl Group {
    /// One of its batches has ended.
    pub(super) fn leave(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) > 1 {
            return;
        }
        let (depot, url) = (Arc::clone(&self.depot), self.url.clone());
        // What is left behind goes with the job.
        tokio::spawn(async move {
            if let Err(error) = depot.remove(&[url]).await {
                tracing::debug!("batches were not removed: {error}");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::super::config::Config;
    use super::*;

    fn waiting(count: usize, bytes: usize) -> Vec<Waiting> {
        let one = |number| {
            let (told, _) = oneshot::channel();
            Waiting { number, to: String::new(), body: vec![0; bytes].into(), told }
        };
        (0..count as u64).map(one).collect()
    }

    /// A depot that takes nothing.
    #[derive(Debug)]
    struct Full;

    #[async_trait::async_trait]
    impl Depot for Full {
        async fn get(&self, _: &str, _: Option<Range<u64>>) -> Result<Option<Bytes>, Error> {
            unreachable!("nothing is read")
        }

        async fn put(&self, _: &str, _: Bytes) -> Result<(), Error> {
            Err(Error::new(ErrorKind::Store, "not here"))
        }

        async fn list(&self, _: &str) -> Result<Vec<String>, Error> {
            unreachable!("nothing is listed")
        }

        async fn remove(&self, _: &[String]) -> Result<(), Error> {
            unreachable!("nothing is removed")
        }
    }

    fn waves() -> Arc<Waves> {
        let config = Config::parse("lambda://f?region=eu-west-1").unwrap();
        Waves::new(Arc::new(Door::new(config, None)), Arc::new(Full))
    }

    #[tokio::test]
    async fn few_wait_for_connections_and_nothing_stays_of_them() {
        let (waves, direct) = (waves(), Semaphore::new(0));
        let join = |to| waves.join(&direct, ("job/", to), Bytes::new());
        let (mut first, mut second) = (Box::pin(join("1")), Box::pin(join("2")));
        assert!(
            futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending()
        );
        let waiting = || waves.state().jobs["job/"].batches.len();
        assert_eq!(waiting(), 2);
        direct.add_permits(1);
        assert!(matches!(first.await, Start::Alone(_)));
        assert_eq!(waiting(), 1);
        drop(second);
        assert!(waves.state().jobs.is_empty(), "who is cancelled goes");
    }

    #[tokio::test(start_paused = true)]
    async fn from_enough_on_they_are_handed_over_however_slowly_they_come() {
        let (waves, direct) = (waves(), Semaphore::new(0));
        let mut all = Vec::new();
        for _ in 0..TREE_FROM {
            let mut batch = Box::pin(waves.join(&direct, ("job/", ""), Bytes::new()));
            assert!(futures::poll!(&mut batch).is_pending());
            all.push(batch);
            tokio::time::sleep(GATHER).await;
        }
        for batch in all {
            // The depot takes nothing, which is told to all.
            assert!(
                matches!(batch.await, Start::Handed(Err(error)) if error.kind == ErrorKind::Store)
            );
        }
        assert!(waves.state().jobs.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn few_are_handed_over_where_no_connection_is_free_for_a_while() {
        let (waves, direct) = (waves(), Semaphore::new(0));
        let join = |to| waves.join(&direct, ("job/", to), Bytes::new());
        let (mut gone, mut first, mut second) =
            (Box::pin(join("0")), Box::pin(join("1")), Box::pin(join("2")));
        assert!(futures::poll!(&mut gone).is_pending());
        // Whose gatherer finds nobody, and leaves those that come later to another.
        drop(gone);
        assert!(
            futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending()
        );
        tokio::time::sleep(FEW_MAX / 2).await;
        assert!(futures::poll!(&mut first).is_pending());
        for batch in [first, second] {
            assert!(
                matches!(batch.await, Start::Handed(Err(error)) if error.kind == ErrorKind::Store)
            );
        }
        assert!(waves.state().jobs.is_empty());
    }

    #[test]
    fn a_tree_is_about_as_wide_as_its_groups_are_long() {
        let lengths = |count, bytes| -> Vec<usize> {
            groups(waiting(count, bytes)).iter().map(Vec::len).collect()
        };
        assert_eq!(lengths(10_000, 10), [100; 100]);
        assert_eq!(lengths(100, 10), [16, 16, 16, 16, 16, 16, 4]);
        // What one function reads is bounded.
        assert_eq!(lengths(8, 10 << 20), [3, 3, 2]);
    }
}
