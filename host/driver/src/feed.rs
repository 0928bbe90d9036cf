//! Where a dispatcher gets its tasks from, as it needs them.

use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use futures::future::poll_fn;
use futures::{Stream, StreamExt};
use samara_core::{Argument, Arguments, Cancel, Output, Task};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::error::Cause;
use crate::inputs::{Chunk, NextChunk};
use crate::job::Shared;
use crate::plan::Partitions;

/// Tasks made of a plan at a time.
const PLANNED: usize = 1024;

/// Chunks of inputs that wait for the dispatcher: one it takes, one is ready, one is made.
const CHUNKS_AHEAD: usize = 2;

/// Some tasks, or what stands in their places.
#[derive(Debug, Default)]
pub(crate) struct Fed {
    pub(crate) tasks: Vec<Task>,
    /// Tasks that cannot be, because of their inputs.
    pub(crate) refused: Vec<(usize, Cause)>,
}

/// A dispatcher's tasks to come.
pub(crate) enum Feed {
    /// No more.
    Ended,
    /// Here already.
    Ready(Fed),
    /// Made when asked for.
    Planned(Arc<Partitions>, usize),
    /// Made elsewhere.
    Channel(mpsc::Receiver<Fed>),
}

// === impl Feed ===

impl Feed {
    pub(crate) fn ready(chunk: &Chunk) -> Self {
        match chunk.is_empty() {
            true => Self::Ended,
            false => Self::Ready(Fed::of(chunk, 0)),
        }
    }

    /// Takes inputs from an iterator on a thread of its own.
    pub(crate) fn iterator(mut next: NextChunk, cancel: Cancel, io: &Handle) -> Self {
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        io.spawn_blocking(move || {
            let mut first = 0;
            loop {
                let chunk = next();
                if chunk.is_empty() || cancel.is_cancelled() {
                    return;
                }
                let fed = Fed::of(&chunk, first);
                first += chunk.len();
                if sender.blocking_send(fed).is_err() {
                    return;
                }
            }
        });
        Self::Channel(receiver)
    }

    /// Takes inputs from a stream.
    pub(crate) fn stream(
        mut chunks: impl Stream<Item = Chunk> + Send + Unpin + 'static,
        io: &Handle,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        io.spawn(async move {
            let mut first = 0;
            loop {
                let chunk = tokio::select! {
                    chunk = chunks.next() => chunk,
                    () = sender.closed() => None,
                };
                let Some(chunk) = chunk else { return };
                let fed = Fed::of(&chunk, first);
                first += chunk.len();
                if sender.send(fed).await.is_err() {
                    return;
                }
            }
        });
        Self::Channel(receiver)
    }

    /// Takes the outputs of another job's tasks as they end, each as the input of the task of the
    /// same number.
    pub(crate) fn outputs(job: Arc<Shared>, further: Vec<Bytes>, io: &Handle) -> Self {
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        io.spawn(async move {
            loop {
                let ended = tokio::select! {
                    ended = poll_fn(|context| job.ledger.poll_next(context.waker(), PLANNED)) => ended,
                    () = sender.closed() => None,
                };
                let Some(ended) = ended else { return };
                let mut fed = Fed::default();
                for (index, result) in ended {
                    match result {
                        Ok(output) => fed.tasks.push(chained(&job, index, output, &further)),
                        Err(error) => {
                            let why = format!("its input failed: {error}");
                            fed.refused.push((index, Cause::Input(why)));
                        }
                    }
                }
                if sender.send(fed).await.is_err() {
                    return;
                }
            }
        });
        Self::Channel(receiver)
    }

    /// The next tasks, if some are there; nothing at the end.
    pub(crate) fn poll_next(&mut self, context: &mut std::task::Context<'_>) -> Poll<Option<Fed>> {
        match self {
            Self::Ended => Poll::Ready(None),
            Self::Ready(fed) => {
                let fed = std::mem::take(fed);
                *self = Self::Ended;
                Poll::Ready(Some(fed))
            }
            Self::Planned(plan, next) => {
                let tasks: Vec<Task> =
                    (*next..plan.len()).take(PLANNED).filter_map(|at| plan.task(at)).collect();
                *next += tasks.len();
                Poll::Ready((!tasks.is_empty()).then_some(Fed { tasks, refused: Vec::new() }))
            }
            Self::Channel(receiver) => receiver.poll_recv(context),
        }
    }

    /// Whether what is to come is known, so that a cancelled job can name each of its tasks.
    pub(crate) fn is_here(&self) -> bool {
        !matches!(self, Self::Channel(_))
    }
}

// === impl Fed ===

impl Fed {
    fn of(chunk: &Chunk, first: usize) -> Self {
        let mut tasks: Vec<Task> = chunk.tasks(first).collect();
        let refused: Vec<(usize, Cause)> = chunk
            .refused
            .iter()
            .map(|(position, why)| (first + position, Cause::Input(why.clone())))
            .collect();
        if !refused.is_empty() {
            let is_refused = |task: &Task| refused.iter().any(|(at, _)| *at as u64 == task.index);
            tasks.retain(|task| !is_refused(task));
        }
        Self { tasks, refused }
    }
}

/// The task whose first argument is another task's output.
fn chained(job: &Shared, index: usize, output: Output, further: &[Bytes]) -> Task {
    let index = index as u64;
    let first = argument(job, index, output);
    let further = further.iter().cloned().map(Argument::Inline);
    let arguments = Arguments::Parts(std::iter::once(first).chain(further).collect());
    Task { index, attempt: 0, arguments, partition: None }
}

/// A task's output as an argument: where it lies in the store, it stays there.
pub(crate) fn argument(job: &Shared, index: u64, output: Output) -> Argument {
    match output {
        Output::Inline(bytes) => Argument::Inline(bytes),
        Output::Stored { size, content } => Argument::Stored { job: job.id, index, size, content },
    }
}
