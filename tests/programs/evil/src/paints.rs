//! Leaves marks wherever they might last: in memory, in the log, in what it prints.

use std::io::Write;

use samara_guest::{function, task};

/// What is painted into logs.
pub const PAINT: &str = "painted by another";

/// Fills memory, logs, prints half a line on both streams, and returns the number of words.
#[function]
pub fn paints_everything(seed: u64) -> usize {
    leave_marks();
    samara_programs::isolation::fill_memory(seed)
}

/// The same, and ends in a trap.
#[function]
pub fn paints_and_traps(seed: u64) -> usize {
    leave_marks();
    let _painted = samara_programs::isolation::fill_memory(seed);
    std::process::abort()
}

fn leave_marks() {
    task::progress(7, 7);
    task::log(task::Level::Info, PAINT);
    let _printed = std::io::stdout().write_all(PAINT.as_bytes());
    let _printed = std::io::stderr().write_all(PAINT.as_bytes());
    let _flushed = std::io::stdout().flush();
}
