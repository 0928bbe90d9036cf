//! All the ways in which a task can end.

use std::fmt;
use std::hint::black_box;

use samara_guest::{Bytes, Context, Result, bail, function, task};

/// How much the functions that exhaust memory take at a time, in the larger of the two steps.
const LARGE_STEP_BYTES: usize = 4 << 20;

/// The smaller step: less than a page, so that the allocator's own data grows with it.
const SMALL_STEP_BYTES: usize = 512;

/// Size of a page of memory, of which one byte must be written to make it real.
const PAGE_BYTES: usize = 4096;

/// An error of a function's own, with a cause.
#[derive(Debug)]
pub struct NotANumber(std::num::ParseIntError);

impl fmt::Display for NotANumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a number")
    }
}

impl std::error::Error for NotANumber {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Fails with an error, its cause and the cause's cause.
#[function]
pub fn fails() -> Result<u64> {
    "twelve".parse::<u64>().context("cannot read the number").context("cannot count")
}

/// Fails with an error of its own type.
#[function]
pub fn fails_typed(text: String) -> Result<u64, NotANumber> {
    text.parse().map_err(NotANumber)
}

/// Fails where the number is odd, else returns it.
#[function]
pub fn fails_if_odd(n: u64) -> Result<u64> {
    if !n.is_multiple_of(2) {
        bail!("{n} is odd");
    }
    Ok(n)
}

/// Fails unless this is at least the attempt of the given number; returns the attempt's.
#[function]
pub fn fails_before_attempt(attempt: u32) -> Result<u32> {
    let current = task::current().attempt;
    if current < attempt {
        bail!("attempt {current} is before {attempt}");
    }
    Ok(current)
}

/// Sleeps for some milliseconds in the first attempt of a task, and not in later ones; returns the
/// attempt's number.
#[function]
pub fn sleeps_at_first(ms: u64) -> u32 {
    let attempt = task::current().attempt;
    if attempt == 0 {
        std::thread::sleep(std::time::Duration::from_millis(ms));
    }
    attempt
}

/// Panics with a message.
#[function]
pub fn panics(message: String) -> u64 {
    panic!("{message}")
}

/// Panics where the number is odd, else returns it.
#[function]
pub fn panics_if_odd(n: u64) -> u64 {
    assert!(n.is_multiple_of(2), "{n} is odd");
    n
}

/// Panics for want of an element.
#[function]
pub fn indexes(length: usize, index: usize) -> u8 {
    vec![0; length][index]
}

/// Traps without a panic. Natively it panics.
#[function]
pub fn traps() -> u64 {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_family = "wasm"))]
    unreachable!("stands for a trap");
}

/// Exits the process, of which there is none.
#[function]
#[expect(clippy::exit, reason = "that is what it is for")]
pub fn exits(code: i32) -> u64 {
    std::process::exit(code)
}

/// Aborts.
#[function]
pub fn aborts() -> u64 {
    std::process::abort()
}

/// Calls itself `depth` times, each with a kilobyte on the stack, of which Rust makes one MiB.
///
/// That stack lies at the bottom of the memory, so its overflow is an access below address 0.
#[function]
pub fn recurses(depth: u64) -> u64 {
    let frame = black_box([depth; 128]);
    if depth == 0 { 0 } else { recurses(depth - 1) + 1 + black_box(frame)[0] - depth }
}

/// Computes for as many rounds, and calls nothing meanwhile.
#[function]
pub fn computes(rounds: u64) -> u64 {
    (0..rounds).fold(0, |sum, round| black_box(sum ^ round))
}

/// Takes this much memory, and keeps it for so many milliseconds.
#[function]
pub fn holds(bytes: usize, ms: u64) -> usize {
    let held = touched(bytes);
    std::thread::sleep(std::time::Duration::from_millis(ms));
    black_box(held).len()
}

/// Never returns, and calls nothing meanwhile.
#[function]
pub fn loops() -> u64 {
    let mut n = 0_u64;
    while black_box(n) < u64::MAX {
        n = black_box(n.wrapping_add(2)) & !1;
    }
    n
}

/// Takes memory in large steps, until it is stopped.
#[function]
pub fn allocates_without_end() -> u64 {
    let mut held = Vec::new();
    loop {
        held.push(touched(LARGE_STEP_BYTES));
        black_box(&held);
    }
}

/// Takes memory in small steps, until it is stopped.
#[function]
pub fn allocates_bit_by_bit() -> u64 {
    let mut held = Vec::new();
    loop {
        held.push(black_box(Box::new([1_u8; SMALL_STEP_BYTES])));
        black_box(&held);
    }
}

/// Takes this much memory at once, writes to all of it, and gives it back.
#[function]
pub fn allocates(bytes: usize) -> usize {
    black_box(touched(bytes)).len()
}

fn touched(bytes: usize) -> Vec<u8> {
    let mut memory = vec![0; bytes];
    for page in memory.chunks_mut(PAGE_BYTES) {
        page[0] = 1;
    }
    black_box(memory)
}

/// Returns this many bytes.
#[function]
pub fn output_of(bytes: usize) -> Bytes {
    vec![b'x'; bytes].into()
}

/// Returns so many bytes, all of which are the attempt's number as a digit.
#[function]
pub fn output_of_attempt(bytes: usize) -> Bytes {
    let digit = (b'0'..=b'9').cycle().nth(task::current().attempt as usize);
    vec![digit.unwrap_or_default(); bytes].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_their_chain() {
        let messages: Vec<String> = fails().unwrap_err().chain().map(ToString::to_string).collect();
        assert_eq!(
            messages,
            ["cannot count", "cannot read the number", "invalid digit found in string"]
        );
    }

    #[test]
    fn an_error_type_can_be_the_functions_own() {
        assert_eq!(fails_typed("7".to_owned()).unwrap(), 7);
        assert_eq!(fails_typed("x".to_owned()).unwrap_err().to_string(), "not a number");
    }

    #[test]
    fn only_the_first_attempt_is_slow() {
        use samara_guest::{task, testing};
        testing::set_task(task::Identity { job: "j".to_owned(), index: 0, attempt: 3 });
        assert_eq!(sleeps_at_first(u64::MAX), 3);
        assert_eq!(fails_before_attempt(3).unwrap(), 3);
        assert!(fails_before_attempt(4).is_err());
    }

    #[test]
    fn recursion_counts_its_depth() {
        assert_eq!(recurses(10), 10);
    }

    #[test]
    fn allocations_and_outputs_have_their_size() {
        assert_eq!((allocates(10_000), output_of(3).len()), (10_000, 3));
    }
}
