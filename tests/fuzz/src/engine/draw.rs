//! Choices out of an input's bytes, for targets whose inputs need a shape.
//!
//! The same bytes make the same choices, so whatever changes an input changes the choices, and each
//! input can be taken again. Where no bytes are left, the first choice is taken.

use arbitrary::Unstructured;

/// Numbers at which things change.
const LIMITS: [u64; 24] = [
    0,
    1,
    2,
    3,
    7,
    127,
    128,
    255,
    256,
    4095,
    4096,
    65_535,
    65_536,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
    0x1_0000_0000,
    (1 << 53) + 1,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX - 4096,
    u64::MAX - 1,
    u64::MAX,
];

/// Makes choices.
#[derive(Debug)]
pub struct Draw<'a>(Unstructured<'a>);

// === impl Draw ===

impl<'a> Draw<'a> {
    /// Choices out of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Unstructured::new(bytes))
    }

    /// Whether all bytes were used.
    pub fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    /// A number below `bound`.
    ///
    /// # Panics
    ///
    /// Where the bound is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0.int_in_range(0..=bound - 1).unwrap_or(0)
    }

    /// Either.
    pub fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    /// One of these.
    ///
    /// # Panics
    ///
    /// Where there are none.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// A number, often one at which things change.
    pub fn number(&mut self) -> u64 {
        match self.below(4) {
            0 => self.0.arbitrary().unwrap_or(0),
            1 => self.one(&LIMITS),
            _ => self.below(300) as u64,
        }
    }

    /// A text of some of these words.
    pub fn text(&mut self, words: &[&str], count_max: usize) -> String {
        let count = self.below(count_max + 1);
        (0..count).map(|_| self.one(words)).collect()
    }

    /// So many bytes, or all that are left.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let count = count.min(self.0.len());
        self.0.bytes(count).unwrap_or_default()
    }

    /// Bytes up to the first of these, without it; all where there is none.
    pub fn until(&mut self, end: u8) -> &'a [u8] {
        let rest = self.0.peek_bytes(self.0.len()).unwrap_or_default();
        match rest.iter().position(|byte| *byte == end) {
            Some(at) => {
                let found = self.bytes(at + 1);
                &found[..at]
            }
            None => self.bytes(rest.len()),
        }
    }

    /// All bytes that are left.
    pub fn rest(self) -> &'a [u8] {
        self.0.take_rest()
    }
}
