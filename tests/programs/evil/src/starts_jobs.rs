//! Starts jobs that start jobs.

use samara_guest::{function, jobs};

use crate::Loot;

/// Starts a job of itself, and another.
#[function]
pub fn multiplies(depth: u64) -> Loot {
    let started = jobs::map(crate::starts_jobs::multiplies, [depth + 1, depth + 1]);
    started.and_then(jobs::Job::values).into()
}
