//! Says more than anybody wants to hear.

use std::io::Write;

use samara_guest::{function, task};

/// Logs one line of so many bytes.
#[function]
pub fn logs_one_line(bytes: usize) {
    task::log(task::Level::Error, &"x".repeat(bytes));
}

/// Logs so many lines without a text.
#[function]
pub fn logs_nothing_often(lines: u64) {
    for _ in 0..lines {
        task::log(task::Level::Info, "");
    }
}

/// Prints without an end of line, and what is no text, on both streams.
#[function]
pub fn prints_without_lines(pieces: u64) {
    let piece = [0xff; 4096];
    for _ in 0..pieces {
        let _printed = std::io::stdout().write_all(&piece);
        let _printed = std::io::stderr().write_all(&piece);
    }
}
