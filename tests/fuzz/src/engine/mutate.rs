//! Changes copies of inputs: bits, bytes, numbers at their limits, pieces left out, doubled, moved
//! and spliced, words that the target knows.

use super::Target;
use super::corpus::Corpus;

/// Changes on top of each other, at most.
const CHANGES_MAX: usize = 6;

/// Bytes of a piece that is left out, doubled or moved, mostly.
const PIECE: usize = 16;

/// Numbers as texts, in the place of other numbers.
const NUMBERS: [&str; 14] = [
    "0",
    "1",
    "-1",
    "00",
    "255",
    "65536",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e309",
    "0.5",
    "99999999999999999999999999999999999999999",
];

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

// === impl Random ===

impl Random {
    /// The numbers that follow from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound as u64).unwrap_or(0)
    }

    /// One of these.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn byte(&mut self) -> u8 {
        self.number().to_le_bytes()[0]
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }
}

/// An input that was not there before: mostly a changed copy of one that was.
pub(super) fn changed(random: &mut Random, corpus: &Corpus, target: &Target) -> Vec<u8> {
    if random.below(40) == 0 {
        // Out of nothing: what no copy leads to.
        let length = random.below(1 + target.bytes_max.min(256));
        return random.bytes(length);
    }
    let mut bytes = corpus.any(random).to_vec();
    for _ in 0..=random.below(CHANGES_MAX) {
        change(random, corpus, target, &mut bytes);
    }
    bytes.truncate(target.bytes_max);
    bytes
}

fn change(random: &mut Random, corpus: &Corpus, target: &Target, bytes: &mut Vec<u8>) {
    let (from, to) = piece(random, bytes.len());
    match random.below(14) {
        0 | 1 if !bytes.is_empty() => {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
        2 if !bytes.is_empty() => {
            let at = random.below(bytes.len());
            let any = random.byte();
            bytes[at] = random.one(&[0, 1, 0x7f, 0x80, 0xff, b'/', b'.', b'"', any]);
        }
        3 => drop(bytes.drain(from..to)),
        4 => bytes.truncate(from),
        5 => {
            let copy = bytes[from..to].to_vec();
            let at = random.below(bytes.len() + 1);
            bytes.splice(at..at, copy);
        }
        6 => {
            let moved: Vec<u8> = bytes.drain(from..to).collect();
            let at = random.below(bytes.len() + 1);
            bytes.splice(at..at, moved);
        }
        7 => {
            let count = 1 + random.below(4);
            let new = random.bytes(count);
            bytes.splice(from..from, new);
        }
        8 => number(random, bytes),
        9 => digits(random, bytes),
        10 | 11 if !target.words.is_empty() => {
            let word = random.one(target.words).as_bytes().to_vec();
            let end = if random.below(2) == 0 { from } else { to };
            bytes.splice(from..end, word);
        }
        _ => {
            let (other_from, other_to) = {
                let other = corpus.any(random);
                let (one, two) = (random.below(other.len() + 1), random.below(other.len() + 1));
                (one.min(two), one.max(two))
            };
            // Another one again: where both are to be cut is chosen apart.
            let other = corpus.any(random);
            let cut = other_from.min(other.len())..other_to.min(other.len());
            bytes.splice(from..to, other[cut].to_vec());
        }
    }
}

/// A piece of so many bytes: mostly a short one.
fn piece(random: &mut Random, length: usize) -> (usize, usize) {
    let from = random.below(length + 1);
    let longest = match random.below(4) {
        0 => length,
        _ => PIECE,
    };
    (from, (from + random.below(longest + 1)).min(length))
}

/// A number at its limits over some bytes, from either end.
fn number(random: &mut Random, bytes: &mut [u8]) {
    let width = random.one(&[2, 4, 8]);
    if bytes.len() < width {
        return;
    }
    let at = random.below(bytes.len() - width + 1);
    let near = random.below(5) as u64;
    let number = match random.below(4) {
        0 => near,
        1 => u64::MAX - near,
        2 => (u64::MAX >> 1).wrapping_add(near),
        _ => (bytes.len() as u64).wrapping_add(near).wrapping_sub(2),
    };
    let little = number.to_le_bytes();
    let mut new = little[..width].to_vec();
    if random.below(2) == 0 {
        new.reverse();
    }
    bytes[at..at + width].copy_from_slice(&new);
}

/// Another number in the place of one that is written in digits.
fn digits(random: &mut Random, bytes: &mut Vec<u8>) {
    let starts: Vec<usize> = (0..bytes.len())
        .filter(|&at| bytes[at].is_ascii_digit() && (at == 0 || !bytes[at - 1].is_ascii_digit()))
        .collect();
    if starts.is_empty() {
        return;
    }
    let from = random.one(&starts);
    let length = bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let new = random.one(&NUMBERS).as_bytes().to_vec();
    bytes.splice(from..from + length, new);
}
