//! How much memory of its own a tenant's process may have.
//!
//! Address space cannot be bounded: instances reserve it by the terabyte, and never have most of it.
//! What can be written to and is nobody else's can be (`RLIMIT_DATA`), and that is all that tasks and
//! the process's own heap are made of. The engine counts what tasks take before they have it; so this
//! bound is met by what is not counted: a leak, or a hole.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};

use rustix::process::Resource;
use samara_core::link::Protection;
use samara_core::{Limits, units};

use crate::compile::child::lower;

/// Instances for each slot: tasks wait for nested ones, and those for theirs.
pub(super) const INSTANCES_EACH: usize = 4;

/// What the process holds for whatever it does: components and compiled code on their way, stacks of
/// threads that wait for files and servers, and what the allocator keeps.
const OWN_BYTES: u64 = 512 << 20;

/// What it holds for each slot: four batches of 32 MiB that wait, as they came and taken apart.
const SLOT_BYTES: u64 = 256 << 20;

/// Memories for each slot that stay as large as they were once their tasks have ended: one for the next
/// task, and one that goes back at this moment.
const KEPT_EACH: u64 = 2;

/// Copies of an output, and of what one call into the host passes.
const COPIES: u64 = 2;

/// Rounds what is said of sizes.
const MIB: u64 = 1 << 20;

/// What the kernel counts of this process: opened before it gives up the right to.
#[derive(Debug)]
pub(super) struct Meter(io::Result<File>);

/// How many instances there may be at the same moment, nested ones among them.
pub(super) fn instances(slots: usize) -> u32 {
    // More than the engine has by itself only where there are more slots.
    let wanted = slots.saturating_mul(INSTANCES_EACH).min(64).max(slots.saturating_add(1));
    u32::try_from(wanted).unwrap_or(u32::MAX)
}

/// Bytes of its own that a process may have beyond those with which it begins: what its tenant's tasks
/// may have, what places of tasks keep that have ended, and what is held for them meanwhile.
pub(super) fn of(limits: &Limits, quota: u64, slots: usize) -> u64 {
    let each = limits.memory_bytes.min(quota);
    let nested = u64::from(samara_core::nested::DEPTH_MAX);
    let tasks = each.saturating_mul(u64::from(instances(slots)) + nested).min(quota);
    let copied = limits.output_bytes.saturating_add(limits.host_call_bytes).saturating_mul(COPIES);
    let held = limits.buffer_bytes.saturating_add(copied).saturating_add(SLOT_BYTES);
    let kept = each.saturating_mul(KEPT_EACH);
    let slots = kept.saturating_add(held).saturating_mul(slots as u64);
    tasks.saturating_add(slots).saturating_add(OWN_BYTES)
}

// === impl Meter ===

impl Meter {
    pub(super) fn open() -> Self {
        Self(File::open("/proc/self/status"))
    }

    /// Has the kernel refuse this process more than so many bytes beyond those that it has now.
    pub(super) fn bound(self, more: u64) -> Protection {
        const NAME: &str = "memory";
        match self.try_bound(more) {
            Ok(now) => {
                let (more, now) = (units::size(more / MIB * MIB), units::size(now / MIB * MIB));
                let text = format!(
                    "the engine counts what tasks have, and the kernel refuses this process more \
                     than {more} beyond the {now} that it begins with"
                );
                Protection::there(NAME, text)
            }
            Err(error) => Protection::missing(
                NAME,
                format!(
                    "the engine counts what tasks have, but the kernel bounds nothing: {error}"
                ),
            ),
        }
    }

    fn try_bound(self, more: u64) -> io::Result<u64> {
        let now = data_bytes(self.0?)?;
        let most = now.saturating_add(more);
        lower(Resource::Data, most, most)?;
        Ok(now)
    }
}

/// Bytes that this process can write to and shares with nobody.
fn data_bytes(mut status: File) -> io::Result<u64> {
    let mut text = String::new();
    status.rewind()?;
    status.read_to_string(&mut text)?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmData:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let kib = kib.ok_or_else(|| io::Error::other("/proc/self/status says nothing of it"))?;
    Ok(kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_bound_is_what_a_tenants_tasks_may_have_and_what_is_held_for_them() {
        let mut limits = Limits::default();
        let held = (256 + 2 * (64 + 64) + 256) << 20;
        // Four for each slot and eight that are kept for nested ones, and what two slots keep.
        let wanted = (8 + 8 + 4) * GIB + 2 * held + OWN_BYTES;
        assert_eq!(of(&limits, u64::MAX, 2), wanted);
        // A quota is of all tasks together, but not of what their places keep.
        assert_eq!(of(&limits, GIB, 2), 5 * GIB + 2 * held + OWN_BYTES);
        limits.memory_bytes = 64 << 20;
        assert_eq!(of(&limits, GIB, 2), GIB + (256 << 20) + 2 * held + OWN_BYTES);
        limits.buffer_bytes = 0;
        assert_eq!(of(&limits, GIB, 2), GIB + (256 << 20) + 2 * (held - (256 << 20)) + OWN_BYTES);
        assert_eq!(of(&limits, u64::MAX, usize::MAX), u64::MAX);
    }

    #[test]
    fn instances_are_enough_for_all_slots() {
        let all = [1, 2, 16, 63, 64, 1000].map(instances);
        assert_eq!(all, [4, 8, 64, 64, 65, 1001]);
    }

    #[test]
    fn what_the_kernel_counts_is_read() {
        let before = data_bytes(Meter::open().0.unwrap()).unwrap();
        let more = vec![1_u8; 100 << 20];
        let after = data_bytes(Meter::open().0.unwrap()).unwrap();
        assert!(after >= before + more.len() as u64, "{before} before, {after} after");
    }
}
