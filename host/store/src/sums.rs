//! Checksums of what is read, made while it is read.
//!
//! A store that sends checksums with what it is given goes over all of it once more, and of what was
//! read some MiB ago nothing is left in the processor's caches: SHA-256 takes half as long again then.
//! So a copy asks its writer what it wants to know, and has whoever reads find it out.

use std::fmt;
use std::sync::Arc;

/// Checksums of a piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many bytes they are of.
    pub length: usize,
    /// The CRC-32 of ISO-HDLC, as zip files have it.
    pub crc32: Option<u32>,
    /// The SHA-256.
    pub sha256: Option<[u8; 32]>,
}

/// Checksums in the making.
pub trait Tally: Send {
    /// Goes over the next bytes.
    fn add(&mut self, bytes: &[u8]);

    /// Those of all bytes.
    fn sums(self: Box<Self>) -> Sums;
}

/// Begins checksums that somebody has use for.
#[derive(Clone)]
pub struct Wanted(Arc<dyn Fn() -> Box<dyn Tally> + Send + Sync>);

/// Bytes that are filled in and gone over at a time: they fit into the caches of one core.
const AT_A_TIME: usize = 128 << 10;

// === impl Wanted ===

impl Wanted {
    /// Wants what `begin` begins.
    pub fn new(begin: impl Fn() -> Box<dyn Tally> + Send + Sync + 'static) -> Self {
        Self(Arc::new(begin))
    }

    /// Fills a buffer in pieces, and makes checksums of it. `fill` is told where in the buffer a
    /// piece begins.
    ///
    /// # Errors
    ///
    /// Those of `fill`.
    pub fn fill<E>(
        &self,
        buffer: &mut [u8],
        mut fill: impl FnMut(&mut [u8], usize) -> Result<(), E>,
    ) -> Result<Sums, E> {
        let mut summing = (self.0)();
        for (number, piece) in buffer.chunks_mut(AT_A_TIME).enumerate() {
            fill(piece, number * AT_A_TIME)?;
            summing.add(piece);
        }
        Ok(summing.sums())
    }
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wanted")
    }
}

impl PartialEq for Wanted {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Wanted {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds all bytes up, and counts them.
    #[derive(Default)]
    struct Adding(u32, usize);

    impl Tally for Adding {
        fn add(&mut self, bytes: &[u8]) {
            self.0 += bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
            self.1 += bytes.len();
        }

        fn sums(self: Box<Self>) -> Sums {
            Sums { length: self.1, crc32: Some(self.0), sha256: None }
        }
    }

    #[test]
    fn every_byte_is_filled_in_once_and_counts_once() {
        let wanted = Wanted::new(|| Box::new(Adding::default()));
        for length in [0, 1, AT_A_TIME - 1, AT_A_TIME, AT_A_TIME + 1, 3 * AT_A_TIME + 7] {
            let all: Vec<u8> = (0..length).map(|n| (n % 251).to_le_bytes()[0]).collect();
            let mut buffer = vec![0; length];
            let sums = wanted.fill(&mut buffer, |piece, at| {
                piece.copy_from_slice(&all[at..at + piece.len()]);
                Ok::<_, ()>(())
            });
            let crc32 = Some(all.iter().map(|byte| u32::from(*byte)).sum());
            assert_eq!(sums, Ok(Sums { length, crc32, sha256: None }));
            assert!(buffer == all, "{length}");
        }
        let broken = |_: &mut [u8], at| if at == 0 { Ok(()) } else { Err("broken") };
        assert_eq!(wanted.fill(&mut vec![0; AT_A_TIME + 1], broken), Err("broken"));
    }
}
