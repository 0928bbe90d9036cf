//! `samara:function/jobs`: jobs that a task starts and waits for.

use std::future::poll_fn;

use bytes::Bytes;
use samara_core::nested::DEPTH_MAX;
use samara_core::{ErrorKind, Nested, StartedJob, Waiting};
use wasmtime::component::Resource;

use crate::bindings::samara::function::jobs::{Host, HostJob};
use crate::bindings::samara::function::types::Error;
use crate::state::State;

/// A job that a task started. Cancelled when it is dropped, at the latest with the instance.
pub struct Started(Box<dyn StartedJob>);

// === impl Started ===

impl std::fmt::Debug for Started {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Started").field(&self.0.id()).finish()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Host for State {
    fn start(
        &mut self,
        function: String,
        arguments: Vec<Vec<u8>>,
    ) -> wasmtime::Result<Result<Resource<Started>, Error>> {
        self.calls += 1;
        let parent = self.job.batch();
        if parent.depth >= DEPTH_MAX {
            return Ok(Err(Error::LimitExceeded(format!(
                "jobs nest {DEPTH_MAX} deep at most, and this one is as deep"
            ))));
        }
        let Some(jobs) = self.job.jobs() else {
            let text = "this runtime lets no task start jobs; start them from the driver";
            return Ok(Err(Error::Invalid(text.to_owned())));
        };
        let started = jobs.start(Nested {
            parent,
            task: self.task.index,
            cancel: self.job.cancel(),
            function: &function,
            arguments: arguments.into_iter().map(Bytes::from).collect(),
        });
        match started {
            Ok(started) => Ok(Ok(self.table.push(Started(started))?)),
            Err(error) => Ok(Err(guest_error(error))),
        }
    }
}

impl HostJob for State {
    fn id(&mut self, job: Resource<Started>) -> wasmtime::Result<String> {
        self.calls += 1;
        Ok(self.table.get(&job)?.0.id().to_string())
    }

    fn next(
        &mut self,
        job: Resource<Started>,
    ) -> wasmtime::Result<Option<(u64, Result<Vec<u8>, String>)>> {
        self.calls += 1;
        let Started(started) = self.table.get_mut(&job)?;
        let poll = poll_fn(|cx| started.poll_next(cx));
        let next = {
            // The slot is another's meanwhile: with one alone, the job would never begin.
            let _waiting = Waiting::begin(&**self.job.waits());
            self.patience.wait_without_slot(poll).map_err(wasmtime::Error::new)?
        };
        Ok(next.map(|(task, result)| (task, result.map(Vec::from))))
    }

    fn cancel(&mut self, job: Resource<Started>) -> wasmtime::Result<()> {
        self.calls += 1;
        self.table.get_mut(&job)?.0.cancel();
        Ok(())
    }

    fn drop(&mut self, job: Resource<Started>) -> wasmtime::Result<()> {
        let _cancels = self.table.delete(job)?;
        Ok(())
    }
}

fn guest_error(error: samara_core::Error) -> Error {
    let text = error.message;
    match error.kind {
        ErrorKind::Invalid | ErrorKind::Component => Error::Invalid(text),
        ErrorKind::NotFound => Error::NotFound(text),
        ErrorKind::Denied => Error::PermissionDenied(text),
        ErrorKind::Cancelled => Error::Cancelled,
        _ => Error::Unavailable(text),
    }
}
