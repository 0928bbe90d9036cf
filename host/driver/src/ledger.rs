//! Where a job's results arrive and are waited for.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;

use crate::TaskError;

/// A task's encoded output, or why there is none.
pub(crate) type TaskResult = Result<Bytes, TaskError>;

/// Results of one job by task.
#[derive(Debug)]
pub(crate) struct Ledger(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    slots: Vec<Slot>,
    /// Tasks in the order in which they ended, until a stream takes them.
    ended: VecDeque<usize>,
    left: usize,
    /// Woken by each end.
    any: Vec<Waker>,
    /// Woken by the last.
    all: Vec<Waker>,
}

#[derive(Debug)]
enum Slot {
    Waiting(Option<Waker>),
    Done(TaskResult),
    Taken,
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn new(tasks: usize) -> Self {
        let slots = std::iter::repeat_with(|| Slot::Waiting(None)).take(tasks).collect();
        let (any, all) = (Vec::new(), Vec::new());
        Self(Mutex::new(Inner { slots, ended: VecDeque::new(), left: tasks, any, all }))
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().slots.len()
    }

    /// Tasks that have not ended.
    pub(crate) fn left(&self) -> usize {
        self.lock().left
    }

    /// Records a task's result. The first one counts; a task may run twice.
    pub(crate) fn end(&self, index: usize, result: TaskResult) {
        let mut inner = self.lock();
        let Some(slot @ Slot::Waiting(_)) = inner.slots.get_mut(index) else { return };
        let Slot::Waiting(waker) = std::mem::replace(slot, Slot::Done(result)) else { return };
        inner.ended.push_back(index);
        inner.left -= 1;
        let mut wake: Vec<Waker> = std::mem::take(&mut inner.any);
        wake.extend(waker);
        if inner.left == 0 {
            wake.append(&mut inner.all);
        }
        drop(inner);
        wake.into_iter().for_each(Waker::wake);
    }

    /// Takes one task's result.
    pub(crate) fn poll_one(&self, index: usize, waker: &Waker) -> Poll<Option<TaskResult>> {
        let mut inner = self.lock();
        match inner.slots.get_mut(index) {
            Some(Slot::Waiting(waiting)) => {
                *waiting = Some(waker.clone());
                Poll::Pending
            }
            Some(slot) => Poll::Ready(slot.take()),
            None => Poll::Ready(None),
        }
    }

    /// Takes the result of the task that ended next; none when all were taken.
    pub(crate) fn poll_next(&self, waker: &Waker) -> Poll<Option<(usize, TaskResult)>> {
        let mut inner = self.lock();
        while let Some(index) = inner.ended.pop_front() {
            if let Some(result) = inner.slots[index].take() {
                return Poll::Ready(Some((index, result)));
            }
        }
        if inner.left == 0 {
            return Poll::Ready(None);
        }
        register(&mut inner.any, waker);
        Poll::Pending
    }

    /// Waits for the last task.
    pub(crate) fn poll_all(&self, waker: &Waker) -> Poll<()> {
        let mut inner = self.lock();
        if inner.left == 0 {
            return Poll::Ready(());
        }
        register(&mut inner.all, waker);
        Poll::Pending
    }

    /// Takes a result that is there.
    pub(crate) fn take(&self, index: usize) -> Option<TaskResult> {
        self.lock().slots.get_mut(index).and_then(Slot::take)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps one waker per waiter, however often it looks.
fn register(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|known| known.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}

// === impl Slot ===

impl Slot {
    /// Takes a result that is there; leaves a waiting slot alone.
    fn take(&mut self) -> Option<TaskResult> {
        match std::mem::replace(self, Self::Taken) {
            Self::Done(result) => Some(result),
            waiting @ Self::Waiting(_) => {
                *self = waiting;
                None
            }
            Self::Taken => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready<T>(poll: Poll<T>) -> T {
        match poll {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("still pending"),
        }
    }

    #[test]
    fn results_come_in_the_order_of_their_ends() {
        let ledger = Ledger::new(3);
        for index in [2, 0, 1] {
            ledger.end(index, Ok(Bytes::from(vec![u8::try_from(index).unwrap()])));
        }
        let next = || ready(ledger.poll_next(Waker::noop())).map(|(index, _)| index);
        assert_eq!([next(), next(), next(), next()], [Some(2), Some(0), Some(1), None]);
    }

    #[test]
    fn the_first_result_of_a_task_counts() {
        let ledger = Ledger::new(1);
        ledger.end(0, Ok(Bytes::from_static(b"first")));
        ledger.end(0, Ok(Bytes::from_static(b"second")));
        assert_eq!(ledger.left(), 0);
        assert_eq!(ledger.take(0).unwrap().unwrap(), "first");
        assert!(ledger.take(0).is_none());
    }

    #[test]
    fn a_result_is_taken_once_whichever_way() {
        let ledger = Ledger::new(2);
        assert!(ledger.poll_one(0, Waker::noop()).is_pending());
        ledger.end(0, Ok(Bytes::new()));
        assert!(ready(ledger.poll_one(0, Waker::noop())).is_some());
        assert!(ledger.poll_next(Waker::noop()).is_pending(), "task 0 was taken, 1 is running");
        assert!(ledger.poll_all(Waker::noop()).is_pending());
        ledger.end(1, Ok(Bytes::new()));
        ready(ledger.poll_all(Waker::noop()));
    }
}
