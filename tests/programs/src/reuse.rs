//! Tasks that may share an instance.

use std::sync::atomic::{AtomicU64, Ordering};

use samara_guest::{Bytes, Result, bail, function, task};

/// How often a function of this instance was called.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// Adds one: as little as a task can do.
#[function]
pub fn adds_one(n: u64) -> u64 {
    n.wrapping_add(1)
}

/// Returns the task's number and how many tasks its instance had before.
#[function]
pub fn number_and_calls_before(_: u64) -> (u64, u64) {
    (task::current().index, CALLS.fetch_add(1, Ordering::Relaxed))
}

/// Does what its argument says: 13 is an error, 14 a panic, 15 an endless loop; anything else
/// comes back, with the calls that its instance had before.
#[function]
pub fn does_as_told(n: u64) -> Result<(u64, u64)> {
    match n {
        13 => bail!("told to fail"),
        14 => panic!("told to panic"),
        15 => loop {
            std::hint::black_box(n);
        },
        _ => Ok((n, CALLS.fetch_add(1, Ordering::Relaxed))),
    }
}

/// Returns so many bytes, and logs how many.
#[function]
pub fn returns_bytes(size: usize) -> Bytes {
    task::info!("{size} bytes");
    vec![7; size].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn natively_they_are_plain_functions() {
        assert_eq!(adds_one(1), 2);
        assert_eq!(number_and_calls_before(0).0, 0);
        assert_eq!(does_as_told(1).unwrap().0, 1);
        assert!(does_as_told(13).is_err());
        assert_eq!(returns_bytes(3).len(), 3);
    }
}
