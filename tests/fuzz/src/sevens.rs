//! In the place of an engine: a runtime that answers every task with a number.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use samara_core::{
    Batch, Cancel, Capacity, Error, Observer, Outcome, Output, Reach, Report, Reports, Runtime,
    Stats, Task,
};

/// Answers every task with 7.
#[derive(Debug)]
pub(crate) struct Sevens;

impl fmt::Display for Sevens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fuzz:")
    }
}

#[async_trait]
impl Runtime for Sevens {
    fn capacity(&self) -> Capacity {
        Capacity::new(2, 1000)
    }

    fn reach(&self) -> Reach {
        Reach::Process
    }

    async fn invoke(
        &self,
        batch: Arc<Batch>,
        _: Cancel,
        observer: Arc<dyn Observer>,
    ) -> Result<(), Error> {
        observer.started();
        let report = |task: &Task| Report {
            index: task.index,
            attempt: task.attempt,
            outcome: Outcome::Success(Output::Inline(Bytes::from_static(&[7]))),
            log: Vec::new(),
            log_dropped: 0,
            stats: Stats::default(),
        };
        observer.ended(Reports::Each(batch.tasks.iter().map(report).collect()));
        Ok(())
    }
}
