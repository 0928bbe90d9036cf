//! Where a job's objects lie in its store. Keys hold a task's index, never its attempt: a task may
//! run twice, and the first stored output is the one.

use crate::{ComponentId, JobId};

/// Key of a component's bytes.
pub fn component(id: &ComponentId) -> String {
    format!("components/{}.wasm", id.hex())
}

/// Key of a job's manifest: what was submitted.
pub fn manifest(job: &JobId) -> String {
    format!("jobs/{job}/manifest.json")
}

/// Key of a task's output. Ten digits keep the names of four billion tasks in order.
pub fn output(job: &JobId, index: u64) -> String {
    format!("jobs/{job}/outputs/{index:010}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_stable() {
        let job = JobId::new(0, 7);
        assert_eq!(manifest(&job), "jobs/00000000000000000000000007/manifest.json");
        assert_eq!(output(&job, 12), "jobs/00000000000000000000000007/outputs/0000000012");
        let id = ComponentId::of(b"");
        assert_eq!(component(&id), format!("components/{}.wasm", id.hex()));
    }
}
