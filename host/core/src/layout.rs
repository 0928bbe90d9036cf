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

/// Key of a task's output that has the hash of its content in its name, where the store does not
/// keep put-if-absent; else of its only one.
pub fn stored_output(job: &JobId, index: u64, content: Option<&str>) -> String {
    let only = output(job, index);
    content.map_or_else(|| only.clone(), |content| format!("{only}.{content}"))
}

/// Below this, every job has what belongs to it alone, under its id.
pub const JOBS: &str = "jobs/";

/// Key prefix of everything that belongs to one job alone.
pub fn job(job: &JobId) -> String {
    format!("{JOBS}{job}/")
}

/// Key prefix of a job's event log, whose parts are numbered.
pub fn events(job: &JobId) -> String {
    format!("jobs/{job}/events/")
}

/// Key of one part of a job's event log: JSON lines.
pub fn event_part(job: &JobId, part: u64) -> String {
    format!("{}{part:08}.jsonl", events(job))
}

/// Key of one part of a job's results: what its tasks came to, for other processes.
pub fn result_part(job: &JobId, part: u64) -> String {
    format!("{}{part:08}.cbor", results(job))
}

/// Key prefix of a job's results.
pub fn results(job: &JobId) -> String {
    format!("jobs/{job}/results/")
}

/// Key prefix of what a runtime keeps of a job's batches while they are under way.
pub fn calls(job: &JobId) -> String {
    format!("jobs/{job}/calls/")
}

/// Key of the summary that is written when a job has ended.
pub fn end(job: &JobId) -> String {
    format!("jobs/{job}/end.json")
}

/// Key of the object that asks a job's driver, wherever it is, to cancel it.
pub fn cancel(job: &JobId) -> String {
    format!("jobs/{job}/cancel")
}

/// Key prefix of the objects that a job's tasks made and that go with it. All below
/// [`OBJECTS`], so that one grant lets later jobs of the same store read them.
pub fn objects(job: &JobId) -> String {
    format!("{OBJECTS}{job}/")
}

/// Key prefix of the objects that tasks made.
pub const OBJECTS: &str = "objects/";

/// Key prefix of the objects that a job's tasks made and that stay when the job is removed. All
/// below [`KEPT`].
pub fn kept(job: &JobId) -> String {
    format!("{KEPT}{job}/")
}

/// Key prefix of the objects that tasks made to stay.
pub const KEPT: &str = "kept/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_stable() {
        let job = JobId::new(0, 7);
        assert_eq!(manifest(&job), "jobs/00000000000000000000000007/manifest.json");
        assert_eq!(output(&job, 12), "jobs/00000000000000000000000007/outputs/0000000012");
        assert_eq!(objects(&job), "objects/00000000000000000000000007/");
        assert_eq!(kept(&job), "kept/00000000000000000000000007/");
        let id = ComponentId::of(b"");
        assert_eq!(component(&id), format!("components/{}.wasm", id.hex()));
    }
}
