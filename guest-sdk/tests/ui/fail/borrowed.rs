//! Arguments and outputs that are not the task's own.

use std::collections::BTreeMap;
use std::path::Path;

use samara_guest::{Partition, function};

#[function]
fn of_text(text: &str) -> usize {
    text.len()
}

#[function]
fn of_bytes(bytes: &[u8], numbers: &mut [u64], path: &Path) -> usize {
    bytes.len() + numbers.len() + path.as_os_str().len()
}

#[function]
fn of_partition(text: &Partition) -> u64 {
    text.length()
}

#[function]
fn nested(counts: BTreeMap<String, Vec<&u64>>) -> usize {
    counts.len()
}

#[function]
fn returned() -> &'static str {
    "text"
}

fn main() {}
