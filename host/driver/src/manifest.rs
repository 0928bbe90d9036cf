//! What was submitted, as the job's store keeps it.

use bytes::Bytes;
use samara_core::{Batch, ComponentId, Grants, JobId, Limits, layout};
use samara_store::{Location, PutOptions, StoreExt};
use serde::{Deserialize, Serialize};

use crate::Error;

/// Tasks of a job at most, as its objects tell of them: as many as the ten digits in a key name. More
/// is damage, and would be counted through.
pub(crate) const TASKS_MAX: u64 = 9_999_999_999;

/// What was submitted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) job: JobId,
    pub(crate) component: ComponentId,
    pub(crate) function: String,
    /// Number of tasks, where the inputs say.
    pub(crate) tasks: Option<u64>,
    pub(crate) runtime: String,
    pub(crate) limits: Limits,
    pub(crate) grants: Grants,
    pub(crate) submitted_unix_ms: u64,
}

// === impl Manifest ===

impl Manifest {
    pub(crate) fn of(batch: &Batch, tasks: Option<u64>, runtime: String, unix_ms: u64) -> Self {
        Self {
            job: batch.job,
            component: batch.component,
            function: batch.function.clone(),
            tasks,
            runtime,
            limits: batch.limits,
            grants: batch.grants.clone(),
            submitted_unix_ms: unix_ms,
        }
    }

    pub(crate) async fn write(&self, store: &Location) -> Result<(), Error> {
        let location = store.join(&layout::manifest(&self.job));
        let bytes = serde_json::to_vec(self).expect("names and numbers are JSON");
        location.store.put(&location.key, Bytes::from(bytes), PutOptions::default()).await?;
        Ok(())
    }

    /// Writes it for a job that nobody can tell of a failure to: it goes on, and is not listed.
    pub(crate) async fn write_late(&self, store: &Location) {
        if let Err(error) = self.write(store).await {
            tracing::warn!(job = %self.job, "writing the job's manifest: {error}");
        }
    }

    /// What was submitted; an error that says so where there is no such job.
    pub(crate) async fn read(job: &JobId, store: &Location) -> Result<Self, Error> {
        let location = store.join(&layout::manifest(job));
        let bytes = location.store.read(&location.key).await?;
        let damaged = |why: &dyn std::fmt::Display| {
            Error::Invalid(format!("{} is damaged: {why}", location.url()))
        };
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| damaged(&error))?;
        match manifest.tasks {
            Some(tasks) if tasks > TASKS_MAX => Err(damaged(&format_args!("{tasks} tasks"))),
            _ => Ok(manifest),
        }
    }
}
