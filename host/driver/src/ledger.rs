//! Where a job's results arrive and are waited for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use samara_core::Output;
use tokio::sync::Notify;

use crate::TaskError;

/// A task's output, or why there is none.
pub(crate) type TaskResult = Result<Output, TaskError>;

/// Slots that are kept and freed together.
const PAGE: usize = 1024;

/// Results that may wait for a stream's reader before the job stops taking inputs: enough that a
/// reader who pauses holds nobody up, little enough that they do not fill the memory.
const UNTAKEN_MAX: usize = 16 << 10;

/// Results of one job by task. Those that were taken take no room, so that a job whose results are
/// streamed may have any number of tasks.
#[derive(Debug)]
pub(crate) struct Ledger {
    inner: Mutex<Inner>,
    /// Told when a stream's reader took results.
    pub(crate) room: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    pages: BTreeMap<usize, Page>,
    /// Pages all of whose results were taken.
    gone: BTreeSet<usize>,
    /// Tasks in the order in which they ended, until a stream takes them.
    ended: VecDeque<usize>,
    /// Tasks that were entered so far.
    tasks: usize,
    /// Tasks that the inputs say there will be.
    expected: Option<usize>,
    /// Whether no further task comes.
    closed: bool,
    done: usize,
    failed: usize,
    taken: usize,
    streamed: bool,
    /// Woken by the end of one task.
    single: BTreeMap<usize, Waker>,
    /// Woken by each end.
    any: Vec<Waker>,
}

#[derive(Debug)]
struct Page {
    slots: Box<[Slot]>,
    taken: usize,
}

#[derive(Debug, Default)]
enum Slot {
    #[default]
    Waiting,
    Done(TaskResult),
    Taken,
}

/// How far a job has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Tasks entered so far, or as many as the inputs say there will be.
    pub(crate) tasks: usize,
    /// Whether `tasks` is all there will be.
    pub(crate) known: bool,
    pub(crate) done: usize,
    pub(crate) failed: usize,
}

// === impl Ledger ===

impl Ledger {
    /// A ledger for as many tasks as the inputs say, if they do.
    pub(crate) fn new(expected: Option<usize>) -> Self {
        let inner = Inner { expected, ..Inner::default() };
        Self { inner: Mutex::new(inner), room: Notify::new() }
    }

    /// Enters tasks up to number `tasks`.
    pub(crate) fn extend(&self, tasks: usize) {
        let mut inner = self.lock();
        inner.tasks = inner.tasks.max(tasks);
    }

    /// No further task comes.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.expected = None;
        let wake = std::mem::take(&mut inner.any);
        let single = std::mem::take(&mut inner.single);
        drop(inner);
        wake.into_iter().chain(single.into_values()).for_each(Waker::wake);
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts()
    }

    /// Whether every task has ended and none comes.
    pub(crate) fn is_complete(&self) -> bool {
        self.lock().is_complete()
    }

    /// Whether a task has not ended.
    pub(crate) fn is_waiting(&self, index: usize) -> bool {
        let inner = self.lock();
        !inner.gone.contains(&(index / PAGE))
            && match inner.pages.get(&(index / PAGE)) {
                Some(page) => matches!(page.slots[index % PAGE], Slot::Waiting),
                None => true,
            }
    }

    /// Records results. The first of a task counts; a task may run twice.
    pub(crate) fn end(&self, results: impl IntoIterator<Item = (usize, TaskResult)>) {
        let mut wake = Vec::new();
        let mut inner = self.lock();
        let done = inner.done;
        for (index, result) in results {
            inner.tasks = inner.tasks.max(index + 1);
            let failed = usize::from(result.is_err());
            let Some(slot @ Slot::Waiting) = inner.slot(index) else { continue };
            *slot = Slot::Done(result);
            inner.ended.push_back(index);
            inner.done += 1;
            inner.failed += failed;
            if !inner.single.is_empty() {
                wake.extend(inner.single.remove(&index));
            }
        }
        if inner.done > done {
            wake.append(&mut inner.any);
        }
        drop(inner);
        wake.into_iter().for_each(Waker::wake);
    }

    /// Takes one task's result.
    pub(crate) fn poll_one(&self, index: usize, waker: &Waker) -> Poll<Option<TaskResult>> {
        let mut inner = self.lock();
        if inner.closed && index >= inner.tasks {
            return Poll::Ready(None);
        }
        match inner.slot(index) {
            Some(Slot::Waiting) => {
                inner.single.insert(index, waker.clone());
                drop(inner);
                // It may be among those that wait for a reader.
                self.room.notify_one();
                Poll::Pending
            }
            Some(Slot::Done(_)) => Poll::Ready(inner.take(index)),
            Some(Slot::Taken) | None => Poll::Ready(None),
        }
    }

    /// Takes the results of up to `max` tasks that ended next; none when all were taken.
    pub(crate) fn poll_next(
        &self,
        waker: &Waker,
        max: usize,
    ) -> Poll<Option<Vec<(usize, TaskResult)>>> {
        let mut inner = self.lock();
        let mut results = Vec::new();
        while results.len() < max {
            let Some(index) = inner.ended.pop_front() else { break };
            results.extend(inner.take(index).map(|result| (index, result)));
        }
        if !results.is_empty() {
            let streamed = inner.streamed;
            drop(inner);
            if streamed {
                self.room.notify_one();
            }
            return Poll::Ready(Some(results));
        }
        if inner.is_complete() {
            return Poll::Ready(None);
        }
        register(&mut inner.any, waker);
        Poll::Pending
    }

    /// Waits until `enough` of the counts.
    pub(crate) fn poll_until(
        &self,
        waker: &Waker,
        enough: impl FnOnce(&Counts, bool) -> bool,
    ) -> Poll<Counts> {
        let mut inner = self.lock();
        let counts = inner.counts();
        if enough(&counts, inner.is_complete()) {
            return Poll::Ready(counts);
        }
        register(&mut inner.any, waker);
        Poll::Pending
    }

    /// Takes a result that is there.
    pub(crate) fn take(&self, index: usize) -> Option<TaskResult> {
        self.lock().take(index)
    }

    /// From now on results are taken as they come: the job waits for its reader.
    pub(crate) fn stream(&self) {
        self.lock().streamed = true;
    }

    /// Whether the job may take more inputs. A reader who waits for one task must not wait for
    /// itself.
    pub(crate) fn has_room(&self) -> bool {
        let inner = self.lock();
        !inner.streamed || inner.done - inner.taken < UNTAKEN_MAX || !inner.single.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Inner ===

impl Inner {
    fn counts(&self) -> Counts {
        Counts {
            tasks: self.tasks.max(self.expected.unwrap_or(0)),
            known: self.closed || self.expected.is_some(),
            done: self.done,
            failed: self.failed,
        }
    }

    fn is_complete(&self) -> bool {
        self.closed && self.done >= self.tasks
    }

    /// A task's slot; none where its page's results were all taken.
    fn slot(&mut self, index: usize) -> Option<&mut Slot> {
        let number = index / PAGE;
        if self.gone.contains(&number) {
            return None;
        }
        let page = self.pages.entry(number).or_insert_with(Page::new);
        Some(&mut page.slots[index % PAGE])
    }

    /// Takes a result that is there; leaves a waiting slot alone.
    fn take(&mut self, index: usize) -> Option<TaskResult> {
        let number = index / PAGE;
        let page = self.pages.get_mut(&number)?;
        let slot = &mut page.slots[index % PAGE];
        if !matches!(slot, Slot::Done(_)) {
            return None;
        }
        let Slot::Done(result) = std::mem::replace(slot, Slot::Taken) else { return None };
        self.taken += 1;
        page.taken += 1;
        if page.taken == PAGE {
            self.pages.remove(&number);
            self.gone.insert(number);
        }
        Some(result)
    }
}

// === impl Page ===

impl Page {
    fn new() -> Self {
        Self { slots: std::iter::repeat_with(Slot::default).take(PAGE).collect(), taken: 0 }
    }
}

/// Keeps one waker per waiter, however often it looks.
fn register(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|known| known.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn ready<T>(poll: Poll<T>) -> T {
        match poll {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("still pending"),
        }
    }

    fn closed(tasks: usize) -> Ledger {
        let ledger = Ledger::new(Some(tasks));
        ledger.extend(tasks);
        ledger.close();
        ledger
    }

    fn output(text: &'static str) -> TaskResult {
        Ok(Output::Inline(Bytes::from_static(text.as_bytes())))
    }

    fn next(ledger: &Ledger) -> Option<usize> {
        ready(ledger.poll_next(Waker::noop(), 1)).map(|results| results[0].0)
    }

    #[test]
    fn results_come_in_the_order_of_their_ends() {
        let ledger = closed(3);
        [2, 0, 1].into_iter().for_each(|index| ledger.end([(index, output(""))]));
        let order = [next(&ledger), next(&ledger), next(&ledger), next(&ledger)];
        assert_eq!(order, [Some(2), Some(0), Some(1), None]);
    }

    #[test]
    fn the_first_result_of_a_task_counts() {
        let ledger = closed(1);
        ledger.end([(0, output("first")), (0, output("second"))]);
        assert_eq!(ledger.counts().done, 1);
        assert_eq!(ledger.take(0).unwrap().unwrap(), output("first").unwrap());
        assert!(ledger.take(0).is_none());
        ledger.end([(0, output("third"))]);
        assert!(ledger.take(0).is_none() && ledger.counts().done == 1);
    }

    #[test]
    fn a_result_is_taken_once_whichever_way() {
        let ledger = closed(2);
        assert!(ledger.poll_one(0, Waker::noop()).is_pending());
        ledger.end([(0, output(""))]);
        assert!(ready(ledger.poll_one(0, Waker::noop())).is_some());
        assert!(ready(ledger.poll_one(0, Waker::noop())).is_none());
        assert!(ledger.poll_next(Waker::noop(), 9).is_pending(), "task 0 was taken, 1 is running");
        let all = |_: &Counts, complete| complete;
        assert!(ledger.poll_until(Waker::noop(), all).is_pending());
        ledger.end([(1, output(""))]);
        assert_eq!(ready(ledger.poll_until(Waker::noop(), all)).done, 2);
    }

    #[test]
    fn results_that_were_taken_take_no_room() {
        let ledger = Ledger::new(None);
        for index in 0..5 * PAGE {
            ledger.end([(index, output(""))]);
            assert_eq!(next(&ledger), Some(index));
        }
        assert!(ledger.lock().pages.is_empty());
        assert!(ready(ledger.poll_one(7, Waker::noop())).is_none());
        assert!(!ledger.is_waiting(7) && ledger.is_waiting(5 * PAGE));
        ledger.close();
        assert_eq!(next(&ledger), None);
    }

    #[test]
    fn a_stream_that_is_not_read_holds_the_job() {
        let ledger = Ledger::new(None);
        let many = || (0..UNTAKEN_MAX).map(|index| (index, output("")));
        ledger.end(many());
        assert!(ledger.has_room(), "nobody streams");
        ledger.stream();
        assert!(!ledger.has_room());
        assert!(ledger.poll_one(UNTAKEN_MAX + 1, Waker::noop()).is_pending());
        assert!(ledger.has_room(), "somebody waits for a task to come");
        ledger.end([(UNTAKEN_MAX + 1, output(""))]);
        assert!(!ledger.has_room());
        next(&ledger);
        next(&ledger);
        assert!(ledger.has_room());
    }

    #[test]
    fn a_task_that_will_never_be_is_not_waited_for() {
        let ledger = Ledger::new(None);
        ledger.extend(2);
        assert!(ledger.poll_one(5, Waker::noop()).is_pending());
        ledger.close();
        assert!(ready(ledger.poll_one(5, Waker::noop())).is_none());
    }
}
