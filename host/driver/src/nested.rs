//! Jobs that tasks start.

use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use samara_core::{Batch, Error, ErrorKind, JobId, JobStarter, Nested, StartedJob};

use crate::executor::{Executor, Inner, Known};
use crate::feed::Feed;
use crate::inputs::{Chunk, Plan, Source};
use crate::job::{Completed, Encoded, Job};

/// Starts jobs for the tasks of an executor.
#[derive(Debug)]
pub(crate) struct Starter(pub(crate) Weak<Inner>);

/// A nested job, whose results its parent takes as they come.
#[derive(Debug)]
struct Started {
    id: JobId,
    results: Completed<Encoded>,
}

impl JobStarter for Starter {
    fn start(&self, nested: Nested<'_>) -> Result<Box<dyn StartedJob>, Error> {
        let gone = || Error::new(ErrorKind::Cancelled, "the executor is gone");
        let executor = Executor::of_arc(self.0.upgrade().ok_or_else(gone)?);
        let Plan(Source::Ready(chunk)) = Plan::values(nested.arguments) else {
            return Err(Error::new(ErrorKind::Internal, "values are not ready"));
        };
        let id = executor.job_id().map_err(|error| {
            Error::new(ErrorKind::Internal, error.to_string()).context("naming a nested job")
        })?;
        let template = Batch {
            job: id,
            component: nested.parent.component,
            function: nested.function.to_owned(),
            store: nested.parent.store.clone(),
            limits: nested.parent.limits,
            grants: nested.parent.grants.clone(),
            task_count: chunk.len() as u64,
            reuse: false,
            depth: nested.parent.depth + 1,
            payer: nested.parent.payer.clone(),
            tasks: Vec::new(),
        };
        let known =
            Known { expected: Some(chunk.len()), partitions: None, cancel: nested.cancel.child() };
        Ok(Box::new(started(&executor, template, &chunk, known)))
    }
}

fn started(executor: &Executor, template: Batch, chunk: &Chunk, known: Known) -> Started {
    let id = template.job;
    let mut options = executor.options().clone();
    options.progress = false;
    let shared = executor.begin(template, options, Feed::ready(chunk), known).spawn();
    Started { id, results: Job::new(shared).as_completed() }
}

impl StartedJob for Started {
    fn id(&self) -> JobId {
        self.id
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(u64, Result<Bytes, String>)>> {
        Pin::new(&mut self.results).poll_next(cx).map(|next| {
            next.map(|(index, result)| {
                let result = result.map(|Encoded(bytes)| bytes).map_err(|error| error.in_full());
                (index as u64, result)
            })
        })
    }

    fn cancel(&mut self) {
        self.results.cancel();
    }
}
