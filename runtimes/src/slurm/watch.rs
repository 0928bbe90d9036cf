//! What became of indexes that say nothing: Slurm is asked about all of them together, rarely.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use samara_core::{Clock, Error, ErrorKind, Retry};
use tokio::sync::oneshot;

use super::commands::Asked;
use super::states::{End, Name, QUEUE, State, ends, queue};

/// How often Slurm is asked while something changes; it gets rarer while nothing does. Each question
/// has its controller stop for a moment.
const LOOK_FIRST: Duration = Duration::from_secs(2);
const LOOK_MAX: Duration = Duration::from_secs(20);

/// How long the answer of an index that failed may take to be found: it may have said why.
const FAILED_FOR: Duration = Duration::from_secs(4);

/// The same for one that ended well: its answer is in the store.
const COMPLETED_FOR: Duration = Duration::from_secs(40);

/// Looks in a row at which Slurm does not know an index: it forgets what ended, and may not know at
/// once what is new.
const MISSING_MAX: u32 = 3;

/// How often it is said that indexes wait for Slurm.
const SAID_EVERY: Duration = Duration::from_mins(1);

/// Indexes of which nothing is known yet.
pub(super) struct Watch {
    clock: Arc<dyn Clock>,
    log: Option<String>,
    watched: Mutex<Watched>,
    cancelled: Mutex<BTreeSet<Name>>,
}

#[derive(Default)]
struct Watched {
    indexes: BTreeMap<Name, Index>,
    is_looking: bool,
    /// Whether there are new ones.
    is_new: bool,
    /// When it was said last how many wait.
    said: Duration,
}

struct Index {
    lost: Option<oneshot::Sender<Error>>,
    state: State,
    /// Since when it is known to have ended.
    ended: Option<Duration>,
    missing: u32,
}

/// What is to be done after a look.
#[derive(Debug, Default, PartialEq, Eq)]
struct Judged {
    /// Whether anything changed.
    is_news: bool,
    /// Those that failed, or have no answer though they ended; and whether it is known by now that
    /// none comes.
    ended: Vec<(Name, bool)>,
    pending: usize,
}

// === impl Watch ===

impl Watch {
    pub(super) fn new(clock: Arc<dyn Clock>, log: Option<String>) -> Arc<Self> {
        Arc::new(Self { clock, log, watched: Mutex::default(), cancelled: Mutex::default() })
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cancelled(&self) -> MutexGuard<'_, BTreeSet<Name>> {
        self.cancelled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches the indexes of an array; each is told where it is lost.
    pub(super) fn add(self: &Arc<Self>, array: u64, count: u32) -> Vec<oneshot::Receiver<Error>> {
        let mut watched = self.watched();
        let mut add = |index| {
            let (lost, hears) = oneshot::channel();
            let new = Index { lost: Some(lost), state: State::Pending, ended: None, missing: 0 };
            watched.indexes.insert((array, index), new);
            hears
        };
        let hears = (0..count).map(&mut add).collect();
        watched.is_new = true;
        if !std::mem::replace(&mut watched.is_looking, true) {
            tokio::spawn(Arc::clone(self).look());
        }
        hears
    }

    /// Nobody waits for an index any more.
    pub(super) fn forget(&self, name: Name) {
        self.watched().indexes.remove(&name);
    }

    /// Takes an index out of Slurm's queue, or ends it where it began meanwhile.
    pub(super) fn cancel(self: &Arc<Self>, name: Name) {
        let mut cancelled = self.cancelled();
        let is_first = cancelled.is_empty();
        cancelled.insert(name);
        if is_first {
            let this = Arc::clone(self);
            tokio::spawn(async move { this.scancel().await });
        }
    }

    async fn scancel(&self) {
        // Those of one job come together.
        tokio::time::sleep(super::gather::GATHER).await;
        let mut arrays: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for (array, index) in std::mem::take(&mut *self.cancelled()) {
            arrays.entry(array).or_default().push(index.to_string());
        }
        let name =
            |(array, indexes): (u64, Vec<String>)| format!("{array}_[{}]", indexes.join(","));
        let names: Vec<String> = arrays.into_iter().map(name).collect();
        // With `--state=PENDING`, Slurm 22.05 takes out all of an array that waits.
        let mut asked = Asked::new("scancel", &["--quiet"]);
        asked.arguments.extend(names);
        if let Err(error) = asked.answer().await {
            tracing::warn!("batches that were cancelled stay in Slurm's queue: {error}");
        }
    }

    /// Looks as long as anybody waits.
    async fn look(self: Arc<Self>) {
        let mut wait = LOOK_FIRST;
        loop {
            tokio::time::sleep(wait).await;
            {
                let mut watched = self.watched();
                watched.is_looking = !watched.indexes.is_empty();
                if !watched.is_looking {
                    return;
                }
            }
            let states = match Asked::new("squeue", &QUEUE).answer().await {
                Ok(said) => queue(&said),
                // Controllers are away for minutes now and then, and go on where they were.
                Err(error) => {
                    tracing::warn!("what became of batches is not known: {error}");
                    wait = (wait * 3 / 2).min(LOOK_MAX);
                    continue;
                }
            };
            let judged = self.judge(&states);
            self.tell(judged.ended).await;
            self.say(judged.pending);
            wait = if judged.is_news { LOOK_FIRST } else { (wait * 3 / 2).min(LOOK_MAX) };
        }
    }

    fn judge(&self, states: &BTreeMap<Name, State>) -> Judged {
        let now = self.clock.monotonic();
        let mut watched = self.watched();
        let is_new = std::mem::take(&mut watched.is_new);
        let mut judged = Judged { is_news: is_new, ..Judged::default() };
        for (name, index) in &mut watched.indexes {
            let Some(&state) = states.get(name) else {
                index.missing += 1;
                // Soon it is one that is lost, or known.
                judged.is_news = true;
                if index.missing >= MISSING_MAX {
                    judged.ended.push((*name, true));
                }
                continue;
            };
            index.missing = 0;
            judged.is_news |= index.state != state;
            index.state = state;
            let patience = match state {
                State::Pending => {
                    judged.pending += 1;
                    continue;
                }
                State::Active => continue,
                State::Failed => FAILED_FOR,
                State::Completed => COMPLETED_FOR,
            };
            judged.is_news |= state == State::Failed;
            let is_overdue = now.saturating_sub(*index.ended.get_or_insert(now)) >= patience;
            if is_overdue || state == State::Failed {
                judged.ended.push((*name, is_overdue));
            }
        }
        judged
    }

    /// Tells those who wait why nothing comes. A host that did not even begin wrote nothing, and is
    /// not waited for.
    async fn tell(&self, ended: Vec<(Name, bool)>) {
        let mut known: BTreeMap<u64, BTreeMap<u32, End>> = BTreeMap::new();
        for ((array, index), is_overdue) in ended {
            if let std::collections::btree_map::Entry::Vacant(unknown) = known.entry(array) {
                let asked = ["--oneliner", "show", "job", &array.to_string()];
                let said = Asked::new("scontrol", &asked).answer().await;
                unknown.insert(said.map(|said| ends(&said)).unwrap_or_default());
            }
            let error = match known.get(&array).and_then(|ends| ends.get(&index)) {
                Some(end) => end.error((array, index), self.log.as_deref()),
                None if !is_overdue => continue,
                None => {
                    let text =
                        format!("Slurm does not know index {index} of its job {array} any more");
                    Error::new(ErrorKind::Lost, text)
                }
            };
            if !is_overdue && error.retry == Retry::Later {
                continue;
            }
            let mut watched = self.watched();
            let lost = watched.indexes.get_mut(&(array, index)).and_then(|it| it.lost.take());
            // Whoever waited may be gone.
            let _gone = lost.map(|lost| lost.send(error));
            watched.indexes.remove(&(array, index));
        }
    }

    /// Says now and then that batches wait: it may take hours, and is no fault of anybody's.
    fn say(&self, pending: usize) {
        let now = self.clock.monotonic();
        let mut watched = self.watched();
        if pending == 0 {
            watched.said = now;
        } else if now.saturating_sub(watched.said) >= SAID_EVERY {
            watched.said = now;
            tracing::info!("{pending} batches wait in Slurm's queue; `squeue --me` says for what");
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Hand;

    fn states(all: &[(u32, State)]) -> BTreeMap<Name, State> {
        all.iter().map(|(index, state)| ((7, *index), *state)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_index_that_waits_is_not_given_up_and_one_that_failed_is_soon() {
        let clock = Arc::new(Hand::default());
        let watch = Watch::new(Arc::clone(&clock) as _, None);
        let _hears = watch.add(7, 4);
        let after = |seconds: u64, all: &[(u32, State)]| {
            *clock.0.lock().unwrap() += Duration::from_secs(seconds);
            let ended = watch.judge(&states(all)).ended.into_iter();
            ended.filter_map(|(name, is_overdue)| is_overdue.then_some(name)).collect::<Vec<_>>()
        };
        let first =
            [(0, State::Pending), (1, State::Active), (2, State::Failed), (3, State::Completed)];
        assert_eq!(after(100_000, &first), [], "an answer may be on its way");
        assert_eq!(after(5, &first), [(7, 2)]);
        watch.forget((7, 2));
        assert_eq!(after(40, &first), [(7, 3)], "what ended has an answer, or none");
        watch.forget((7, 3));
        assert_eq!(after(100_000, &first), []);
        // Slurm has forgotten one.
        assert_eq!(after(1, &first[1..]), []);
        assert_eq!(after(1, &first[1..]), []);
        assert_eq!(after(1, &first[1..]), [(7, 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_tells_whether_anything_changed() {
        let watch = Watch::new(Arc::new(Hand::default()), None);
        let _hears = watch.add(7, 1);
        let is_news = |state| watch.judge(&states(&[(0, state)])).is_news;
        assert!(is_news(State::Pending), "it is new");
        assert!(!is_news(State::Pending));
        assert!(is_news(State::Active));
        assert!(!is_news(State::Active));
    }
}
