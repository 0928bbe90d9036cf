//! What the tasks of a batch share: made once, so that a task costs one more reference and no more.

use std::sync::{Arc, Weak};

use samara_core::{Access, Batch, Cancel, Grant, Grants, JobStarter, Waits, layout};
use samara_store::{Location, Locator};

/// What the tasks of a batch share.
#[derive(Debug)]
pub struct Job {
    batch: Arc<Batch>,
    locator: Arc<Locator>,
    cancel: Cancel,
    grants: Grants,
    /// URL below which the job's tasks may create objects that go with it.
    objects: String,
    /// The same for objects that stay.
    kept: String,
    /// Where every URL's object lies, for programs with a storage of their own.
    private: Option<Location>,
    jobs: Option<Weak<dyn JobStarter>>,
    waits: Arc<dyn Waits>,
}

// === impl Job ===

impl Job {
    /// The job of `batch`, whose own tasks are not looked at. Objects are opened through `locator`;
    /// `cancel` ends running tasks.
    pub fn new(batch: &Arc<Batch>, locator: &Arc<Locator>, cancel: &Cancel) -> Self {
        let root = root(&batch.store, locator);
        let below = |key: String| if root.is_empty() { String::new() } else { root.clone() + &key };
        let objects = below(layout::objects(&batch.job));
        let kept = below(layout::kept(&batch.job));
        let mut grants = batch.grants.clone();
        if !root.is_empty() {
            let grant = |prefix: &str, access| Grant { prefix: prefix.to_owned(), access };
            grants.objects.extend([
                grant(&objects, Access::ReadWrite),
                grant(&kept, Access::ReadWrite),
                grant(&format!("{root}{}", layout::OBJECTS), Access::Read),
                grant(&format!("{root}{}", layout::KEPT), Access::Read),
            ]);
        }
        Self {
            batch: Arc::clone(batch),
            locator: Arc::clone(locator),
            cancel: cancel.clone(),
            grants,
            objects,
            kept,
            private: None,
            jobs: None,
            waits: Arc::new(()),
        }
    }

    /// Lets its tasks start jobs through `jobs`, and `waits` know when they wait for them.
    #[must_use]
    pub fn with_nested(
        mut self,
        jobs: Option<Weak<dyn JobStarter>>,
        waits: &Arc<dyn Waits>,
    ) -> Self {
        self.jobs = jobs;
        self.waits = Arc::clone(waits);
        self
    }

    /// Makes every URL that its tasks name an object of one store, below `location`: storage that
    /// needs no grants because nobody else's objects are there.
    #[must_use]
    pub fn with_private_storage(mut self, location: Location) -> Self {
        self.private = Some(location);
        self
    }

    /// Function, limits and grants of the tasks.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    pub(crate) fn locator(&self) -> &Arc<Locator> {
        &self.locator
    }

    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    pub(crate) fn private(&self) -> Option<&Location> {
        self.private.as_ref()
    }

    /// Those of the batch, and those that every job has on its own store.
    pub(crate) fn grants(&self) -> &Grants {
        &self.grants
    }

    pub(crate) fn objects(&self) -> &str {
        &self.objects
    }

    pub(crate) fn kept(&self) -> &str {
        &self.kept
    }

    pub(crate) fn waits(&self) -> &Arc<dyn Waits> {
        &self.waits
    }

    pub(crate) fn jobs(&self) -> Option<Arc<dyn JobStarter>> {
        self.jobs.as_ref()?.upgrade()
    }
}

/// The job's store as guests name it, with a `/` at its end; empty where there is none.
fn root(store: &str, locator: &Locator) -> String {
    match locator.canonical(store) {
        Ok(url) if url.ends_with('/') => url,
        Ok(url) => url + "/",
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use samara_core::{ComponentId, JobId, Limits};

    use super::*;

    fn job(store: &str) -> Job {
        let batch = Batch {
            job: JobId::new(0, 7),
            component: ComponentId::of(b""),
            function: String::new(),
            store: store.to_owned(),
            limits: Limits::default(),
            grants: Grants::default(),
            task_count: 0,
            reuse: false,
            depth: 0,
            payer: Default::default(),
            tasks: Vec::new(),
        };
        Job::new(&Arc::new(batch), &Arc::default(), &Cancel::default())
    }

    #[test]
    fn a_job_may_write_its_own_objects_and_read_those_of_others() {
        for store in ["mem://s", "mem://s/", "MEM://s/below", "file:///data/"] {
            let job = job(store);
            let root = root(store, &Locator::default());
            let (own, id) = (&job.grants, "00000000000000000000000007");
            let url = |key: &str| format!("{root}{key}");
            assert_eq!(job.objects(), url(&format!("objects/{id}/")));
            for kind in ["objects", "kept"] {
                assert!(own.allow(&url(&format!("{kind}/{id}/0/a")), Access::ReadWrite), "{store}");
                assert!(own.allow(&url(&format!("{kind}/other/0/a")), Access::Read), "{store}");
                let other = url(&format!("{kind}/other/0/a"));
                assert!(!own.allow(&other, Access::ReadWrite), "{store}");
                let out = url(&format!("{kind}/../jobs/{id}/outputs/0"));
                assert!(!own.allow(&out, Access::Read), "{store}");
            }
            assert!(!own.allow(&url(&format!("jobs/{id}/manifest.json")), Access::Read), "{store}");
        }
    }

    #[test]
    fn without_a_store_nothing_is_granted() {
        let job = job("");
        assert_eq!((&job.grants, job.objects(), job.kept()), (&Grants::default(), "", ""));
    }
}
