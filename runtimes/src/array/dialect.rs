//! By what each platform says the index. All begin at 0.

use std::time::Duration;

use futures::FutureExt;

use super::serve::{check, serve};
use crate::host::{Defaults, Surroundings, Variables};
use crate::push::CANCEL_GRACE;

/// What a worker that ends needs beside the rest: to hear of it, and to write down what goes back.
const LEAVING: Duration = Duration::from_secs(3);

/// How a platform speaks to its workers.
pub(super) struct Dialect {
    /// The variable with the index.
    pub(super) index: &'static str,
}

/// Slurm ("sbatch", job arrays).
static SLURM: Dialect = Dialect { index: "SLURM_ARRAY_TASK_ID" };

/// Kubernetes ("Jobs", completion mode `Indexed`).
static KUBERNETES: Dialect = Dialect { index: "JOB_COMPLETION_INDEX" };

/// AWS Batch ("Array jobs").
static AWS_BATCH: Dialect = Dialect { index: "AWS_BATCH_JOB_ARRAY_INDEX" };

/// Cloud Run jobs ("Container runtime contract").
static CLOUD_RUN: Dialect = Dialect { index: "CLOUD_RUN_TASK_INDEX" };

/// The grace where a platform kills so many seconds after its signal.
const fn killed_after(seconds: u64) -> Duration {
    Duration::from_secs(seconds).saturating_sub(CANCEL_GRACE.saturating_add(LEAVING))
}

/// Workers of arrays run on what others listen on: AWS Batch's are containers of ECS. So these come
/// before those.
pub(crate) const SURROUNDINGS: &[Surroundings] = &[
    Surroundings {
        name: "slurm",
        doc: "a job array of Slurm: an index in SLURM_ARRAY_TASK_ID",
        told_by: Some(SLURM.index),
        // Slurm's own, `KillWait`, where its operator sets no other.
        grace: killed_after(30),
        defaults: of_slurm,
        check: |planned| check(planned, &SLURM),
        serve: |host| serve(host, &SLURM).boxed(),
        embed: None,
    },
    Surroundings {
        name: "kubernetes-job",
        doc: "an indexed Job of Kubernetes: an index in JOB_COMPLETION_INDEX",
        told_by: Some(KUBERNETES.index),
        // A pod's `terminationGracePeriodSeconds`.
        grace: killed_after(30),
        defaults: |_| Defaults::default(),
        check: |planned| check(planned, &KUBERNETES),
        serve: |host| serve(host, &KUBERNETES).boxed(),
        embed: None,
    },
    Surroundings {
        name: "aws-batch",
        doc: "an array job of AWS Batch: an index in AWS_BATCH_JOB_ARRAY_INDEX",
        told_by: Some(AWS_BATCH.index),
        // ECS's `stopTimeout`.
        grace: killed_after(30),
        defaults: |_| Defaults::default(),
        check: |planned| check(planned, &AWS_BATCH),
        serve: |host| serve(host, &AWS_BATCH).boxed(),
        embed: None,
    },
    Surroundings {
        name: "cloud-run-job",
        doc: "a job of Cloud Run: an index in CLOUD_RUN_TASK_INDEX",
        told_by: Some(CLOUD_RUN.index),
        grace: killed_after(10),
        defaults: |_| Defaults::default(),
        check: |planned| check(planned, &CLOUD_RUN),
        serve: |host| serve(host, &CLOUD_RUN).boxed(),
        embed: None,
    },
];

/// The processors that Slurm gives the worker.
fn of_slurm(variables: &Variables) -> Defaults {
    let slots = variables.get("SLURM_CPUS_ON_NODE").and_then(|said| said.parse().ok());
    Defaults { slots: slots.filter(|slots| *slots > 0), ..Defaults::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::detect;

    fn said(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, said)| ((*name).to_owned(), (*said).to_owned())).collect()
    }

    #[test]
    fn a_worker_finds_out_whose_it_is() {
        for (name, variable) in [
            ("slurm", "SLURM_ARRAY_TASK_ID"),
            ("kubernetes-job", "JOB_COMPLETION_INDEX"),
            ("aws-batch", "AWS_BATCH_JOB_ARRAY_INDEX"),
            ("cloud-run-job", "CLOUD_RUN_TASK_INDEX"),
        ] {
            let on_ecs = ("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4");
            assert_eq!(detect(&said(&[(variable, "3"), on_ecs])).name, name);
        }
    }

    #[test]
    fn a_worker_has_the_processors_that_slurm_gives_it() {
        assert_eq!(of_slurm(&said(&[("SLURM_CPUS_ON_NODE", "4")])).slots, Some(4));
        assert_eq!(of_slurm(&said(&[("SLURM_CPUS_ON_NODE", "0")])).slots, None);
    }

    #[test]
    fn what_is_undone_goes_back_before_a_platform_kills() {
        for place in SURROUNDINGS {
            assert!(place.grace >= Duration::from_secs(5), "{place:?}");
        }
    }
}
