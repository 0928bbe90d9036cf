//! Combining a job's values in a tree, as they come.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use samara_core::Task;
use samara_wit::value::ArgumentWriter;
use tokio::sync::{mpsc, oneshot};

use crate::executor::{Executor, Submission};
use crate::job::Shared;
use crate::{Component, Error, Summary, TaskError, Value};

/// Values that one task combines. More make the tree flatter and its tasks longer; fewer let more
/// of them run beside the maps.
const FAN_IN: usize = 8;

/// A submitted job whose values are combined to one.
///
/// Dropping it cancels what has not ended.
pub struct MapReduce<T> {
    started: Started,
    value: PhantomData<fn() -> T>,
}

/// A map-reduce on its way, whatever its type.
pub(crate) struct Started {
    map: Arc<Shared>,
    reduce: Arc<Shared>,
    value: oneshot::Receiver<Combined>,
    /// The value once `wait` has seen it.
    waited: Option<Result<Combined, oneshot::error::RecvError>>,
}

/// The combined value, encoded; none without inputs.
type Combined = Result<Option<Bytes>, TaskError>;

/// The shape of the tree: groups of [`FAN_IN`] neighbours, level by level.
#[derive(Debug)]
struct Tree {
    /// Values of each level; the maps' first, one last.
    levels: Vec<Vec<Option<Bytes>>>,
    /// The groups of each level, but for the last.
    groups: Vec<Vec<Group>>,
    /// Level and index at which each task's value belongs.
    places: Vec<(usize, usize)>,
}

/// Neighbours that become one value of the next level.
#[derive(Debug)]
struct Group {
    lacking: usize,
    /// The task that combines them; a value alone goes up as it is.
    task: Option<usize>,
}

// === impl MapReduce ===

impl<T: Value> MapReduce<T> {
    pub(crate) fn new(started: Started) -> Self {
        Self { started, value: PhantomData }
    }

    /// Waits for the combined value; none where the job has no inputs.
    ///
    /// # Errors
    ///
    /// The first error of a task: without its value there is none of the job's.
    pub async fn value(self) -> Result<Option<T>, Error> {
        let Started { map: _map, reduce, value, waited } = self.started;
        let combined = match waited {
            Some(combined) => combined,
            None => value.await,
        };
        let bytes = match combined {
            Ok(result) => result?,
            Err(_) => return Err(Error::Invalid("the executor was dropped".to_owned())),
        };
        let decode = |bytes| {
            T::decode(bytes).map_err(|error| {
                let last = reduce.ledger.len().saturating_sub(1);
                Error::from(reduce.output_error(last, &error))
            })
        };
        bytes.map(decode).transpose()
    }

    /// The maps in numbers, as far as they have come.
    pub fn summary(&self) -> Summary {
        self.started.map.summary.get()
    }

    /// The combining tasks in numbers, as far as they have come.
    pub fn reduce_summary(&self) -> Summary {
        self.started.reduce.summary.get()
    }

    /// Waits until the value is there, or an error, and keeps it for [`value`](Self::value).
    pub async fn wait(&mut self) {
        // Not the ledgers: after an error, combining tasks that were never submitted never end.
        if self.started.waited.is_none() {
            self.started.waited = Some((&mut self.started.value).await);
        }
    }

    /// Stops what has not ended.
    pub fn cancel(&self) {
        self.started.map.cancel.cancel();
        self.started.reduce.cancel.cancel();
    }
}

impl<T> fmt::Debug for MapReduce<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapReduce")
            .field("map", &self.started.map.id)
            .field("reduce", &self.started.reduce.id)
            .finish_non_exhaustive()
    }
}

/// Submits the combining job, and feeds it with the values of `map` as they come.
pub(crate) async fn start(
    executor: &Executor,
    component: &Component,
    function: &str,
    map: Arc<Shared>,
) -> Result<Started, Error> {
    let tree = Tree::new(map.ledger.len());
    let submission = executor.submit(component, function, tree.tasks(), Vec::new()).await?;
    let Submission { shared: reduce, dispatch } = submission;
    let (feed, fed) = mpsc::unbounded_channel();
    let (done, value) = oneshot::channel();
    tokio::spawn(dispatch.run(VecDeque::new(), fed));
    let combine = combine(tree, Arc::clone(&map), Arc::clone(&reduce), feed, done);
    tokio::spawn(combine);
    Ok(Started { map, reduce, value, waited: None })
}

/// Moves values up the tree until one is left, or nobody wants it.
async fn combine(
    mut tree: Tree,
    map: Arc<Shared>,
    reduce: Arc<Shared>,
    feed: mpsc::UnboundedSender<Task>,
    mut done: oneshot::Sender<Combined>,
) {
    let result = loop {
        if let Some(value) = tree.root() {
            break Ok(value);
        }
        let next = poll_fn(|context| {
            if done.poll_closed(context).is_ready() {
                return Poll::Ready(None);
            }
            let map = map.ledger.poll_next(context.waker());
            if let Poll::Ready(Some((index, result))) = map {
                return Poll::Ready(Some((0, index, result)));
            }
            match reduce.ledger.poll_next(context.waker()) {
                Poll::Ready(Some((task, result))) => {
                    let (level, index) = tree.places[task];
                    Poll::Ready(Some((level, index, result)))
                }
                // Without combining tasks this ledger is at its end from the start.
                Poll::Ready(None) if map.is_pending() => Poll::Pending,
                end => end.map(|_| None),
            }
        });
        let Some((level, index, result)) = next.await else { break Ok(None) };
        match result {
            Ok(value) => tree.put(level, index, value, &feed),
            Err(error) => break Err(error),
        }
    };
    map.cancel.cancel();
    reduce.cancel.cancel();
    let _nobody_waits = done.send(result);
}

// === impl Tree ===

impl Tree {
    fn new(values: usize) -> Self {
        let mut tree = Self { levels: Vec::new(), groups: Vec::new(), places: Vec::new() };
        let mut width = values;
        loop {
            tree.levels.push(vec![None; width]);
            if width <= 1 {
                return tree;
            }
            let next_level = tree.levels.len();
            let groups = (0..width.div_ceil(FAN_IN)).map(|group| {
                let lacking = FAN_IN.min(width - group * FAN_IN);
                let task = (lacking > 1).then_some(tree.places.len());
                tree.places.extend(task.map(|_| (next_level, group)));
                Group { lacking, task }
            });
            let groups: Vec<Group> = groups.collect();
            width = groups.len();
            tree.groups.push(groups);
        }
    }

    /// Number of combining tasks.
    fn tasks(&self) -> usize {
        self.places.len()
    }

    /// The value at the top, once it is there. Without inputs: no value.
    fn root(&mut self) -> Option<Option<Bytes>> {
        match self.levels.last_mut()?.first_mut() {
            Some(value) => value.take().map(Some),
            None => Some(None),
        }
    }

    /// Enters a value; where it completes a group, submits the task that combines it.
    fn put(
        &mut self,
        level: usize,
        index: usize,
        value: Bytes,
        feed: &mpsc::UnboundedSender<Task>,
    ) {
        self.levels[level][index] = Some(value);
        let number = index / FAN_IN;
        let Some(group) = self.groups.get_mut(level).map(|groups| &mut groups[number]) else {
            return;
        };
        group.lacking -= 1;
        if group.lacking > 0 {
            return;
        }
        let task = group.task;
        let start = number * FAN_IN;
        let end = (start + FAN_IN).min(self.levels[level].len());
        let values = self.levels[level][start..end].iter_mut().filter_map(Option::take);
        let mut values: Vec<Bytes> = values.collect();
        match task {
            // The dispatcher is gone only where nobody waits any more.
            Some(task) => drop(feed.send(combining(task as u64, &values))),
            None => {
                let alone = values.pop().expect("a group has a value");
                self.put(level + 1, number, alone, feed);
            }
        }
    }
}

fn combining(index: u64, values: &[Bytes]) -> Task {
    let mut writer = ArgumentWriter::new(values.len() as u64);
    values.iter().for_each(|value| writer.push_encoded(value));
    Task { index, attempt: 0, arguments: writer.finish().into(), partition: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Combines numbers by writing their group down, so that the tree's shape can be read.
    fn run(count: usize, order: impl Fn(usize) -> usize) -> (String, usize) {
        let mut tree = Tree::new(count);
        let (feed, mut fed) = mpsc::unbounded_channel();
        for position in 0..count {
            let index = order(position);
            tree.put(0, index, Bytes::from(format!("{index}")), &feed);
        }
        let mut tasks = 0;
        while let Ok(task) = fed.try_recv() {
            tasks += 1;
            let (level, index) = tree.places[usize::try_from(task.index).unwrap()];
            tree.put(level, index, Bytes::from(format!("({level}.{index})")), &feed);
        }
        let root = tree.root().expect("complete").unwrap_or_default();
        (String::from_utf8(root.to_vec()).unwrap(), tasks)
    }

    #[test]
    fn every_number_of_values_comes_to_one() {
        for count in 2..600 {
            let (root, tasks) = run(count, |position| position);
            let levels = Tree::new(count).levels.len();
            assert_eq!(root, format!("({}.0)", levels - 1), "{count} values");
            assert!(tasks >= (count - 1).div_ceil(FAN_IN - 1) && tasks < count, "{count}: {tasks}");
        }
    }

    #[test]
    fn no_value_and_one_value_need_no_task() {
        assert_eq!(run(0, |position| position), (String::new(), 0));
        assert_eq!(run(1, |position| position), ("0".to_owned(), 0));
    }

    #[test]
    fn the_shape_does_not_depend_on_the_order() {
        for count in [9, 64, 65, 100] {
            assert_eq!(run(count, |p| p), run(count, |p| count - 1 - p));
        }
    }
}
