//! A guess of where the first row of CSV begins at or after a cut, from the bytes there alone.
//!
//! In a file that keeps to RFC 4180, a quote after an ordinary byte is within a quoted field, and so
//! is an ordinary byte after a quote. The first of either decides whether the cut is within one.
//! The reader before the cut makes the same guess from the same bytes, and knows the truth: see
//! `docs/decisions/0013-csv-cuts.md`.

use memchr::memchr2;
use samara_core::CsvOptions;

/// Bytes in which something has to decide; past them a cut counts as outside quotes. Every reader
/// reads so much past its range of a file without quotes, and a quoted field without a quote in it
/// that is longer can make a cut impossible.
pub(super) const UNDECIDED_BYTES_MAX: u64 = 256 << 10;

/// Takes the bytes from one before a cut on, and guesses.
#[derive(Debug)]
pub(super) struct Speculation {
    options: CsvOptions,
    /// The first byte that counts, one before the cut: a row begins at the cut if it ends one.
    from: u64,
    /// The next byte to take.
    position: u64,
    undecided_max: u64,
    /// The byte before `position`, if it was taken.
    before: Option<u8>,
    /// Whether the quotes so far are odd in number.
    odd: bool,
    /// Where the first row begins if `from` is outside quotes, and if it is inside.
    starts: [Option<u64>; 2],
    /// Whether `from` is inside quotes.
    inside: Option<bool>,
}

// === impl Speculation ===

impl Speculation {
    /// About the cut at `cut`, which is not at the object's start.
    pub(super) fn new(options: CsvOptions, cut: u64) -> Self {
        let from = cut.saturating_sub(1);
        Self {
            options,
            from,
            position: from,
            undecided_max: UNDECIDED_BYTES_MAX,
            before: None,
            odd: false,
            starts: [None; 2],
            inside: None,
        }
    }

    /// Where the first row begins at or after the cut, as soon as that can be said.
    pub(super) fn answer(&self) -> Option<u64> {
        self.inside.and_then(|inside| self.starts[usize::from(inside)])
    }

    /// The earliest that the answer can be: what lies before is of no use.
    pub(super) fn earliest(&self) -> u64 {
        let start = |inside: bool| self.starts[usize::from(inside)].unwrap_or(self.position);
        match self.inside {
            Some(inside) => start(inside),
            None => start(false).min(start(true)),
        }
    }

    /// Takes the bytes at `at`; those that were taken, or are before the cut, do not count.
    pub(super) fn take(&mut self, bytes: &[u8], at: u64) {
        let skip = usize::try_from(self.position.saturating_sub(at)).unwrap_or(usize::MAX);
        let Some(mut bytes) = bytes.get(skip..) else { return };
        if self.inside.is_none() {
            let left = self.undecided_end().saturating_sub(self.position);
            let left = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            let (undecided, rest) = bytes.split_at(left);
            self.walk(undecided);
            if self.position >= self.undecided_end() {
                self.inside.get_or_insert(false);
            }
            bytes = rest;
        }
        self.walk(bytes);
    }

    /// From here on a cut counts as outside quotes.
    fn undecided_end(&self) -> u64 {
        self.from.saturating_add(self.undecided_max)
    }

    /// Says that the object has `size` bytes and all were taken.
    pub(super) fn end(&mut self, size: u64) {
        // No file ends inside quotes.
        self.inside.get_or_insert(self.odd);
        for start in &mut self.starts {
            start.get_or_insert(size);
        }
    }

    fn walk(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() && self.answer().is_none() {
            self.decide_after(bytes[at]);
            let Some(next) = memchr2(self.options.quote, b'\n', &bytes[at..]) else {
                break;
            };
            let found = at + next;
            let before = found.checked_sub(1).map(|before| bytes[before]).or(self.before);
            match bytes[found] {
                b'\n' => {
                    let start = self.position + found as u64 + 1;
                    self.starts[usize::from(self.odd)].get_or_insert(start);
                }
                _ => {
                    self.decide_before(before);
                    self.odd = !self.odd;
                }
            }
            self.before = Some(bytes[found]);
            at = found + 1;
        }
        self.before = bytes.last().copied().or(self.before);
        self.position += bytes.len() as u64;
    }

    /// A quote comes after `before`.
    fn decide_before(&mut self, before: Option<u8>) {
        if before.is_some_and(|byte| self.is_ordinary(byte)) {
            // It is inside, and as many quotes ago as there were, so was `from`.
            self.inside.get_or_insert(!self.odd);
        }
    }

    /// `next` comes after `self.before`.
    fn decide_after(&mut self, next: u8) {
        if self.before == Some(self.options.quote) && self.is_ordinary(next) {
            self.inside.get_or_insert(!self.odd);
        }
    }

    /// Neither a quote nor what may stand beside a quoted field.
    fn is_ordinary(&self, byte: u8) -> bool {
        let CsvOptions { delimiter, quote, .. } = self.options;
        ![delimiter, quote, b'\r', b'\n'].contains(&byte)
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests {
    use super::*;

    /// The guess for each cut, made from pieces of one byte and from all at once.
    fn guesses(text: &str, undecided_max: u64) -> Vec<u64> {
        let guess = |cut: usize, step: usize| {
            let mut speculation = Speculation::new(CsvOptions::new(), cut as u64);
            speculation.undecided_max = undecided_max;
            for (index, piece) in text.as_bytes().chunks(step).enumerate() {
                speculation.take(piece, (index * step) as u64);
            }
            speculation.end(text.len() as u64);
            speculation.answer().unwrap()
        };
        let guess = |cut| {
            assert_eq!(guess(cut, 1), guess(cut, text.len()), "{text:?} at {cut}");
            guess(cut, 3)
        };
        (1..text.len()).map(guess).collect()
    }

    #[test]
    fn cuts_of_well_formed_text_are_guessed_right() {
        for text in [
            "a,b\n1,2\n",
            "\"a\nb\",\"c\"\"d\n\"\n\"e\",f\n",
            "\"\"\"\n\"\"\",x\ny\n",
            "\"say \"\"\n\"\"\"\r\n\"x\"\r\n",
            "a\n\",\"\",\n,\"\nb\n",
        ] {
            // The `csv` crate says that a row begins within the end of the one before.
            let past_ends = |at: u64| {
                let rest = text.as_bytes()[at as usize..].iter();
                at + rest.take_while(|byte| b"\r\n".contains(byte)).count() as u64
            };
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .from_reader(text.as_bytes());
            let rows = reader.byte_records();
            let mut starts: Vec<u64> =
                rows.map(|row| past_ends(row.unwrap().position().unwrap().byte())).collect();
            starts.push(text.len() as u64);
            for (cut, guess) in (1..).zip(guesses(text, UNDECIDED_BYTES_MAX)) {
                let truth = starts.iter().find(|start| **start >= cut).unwrap();
                assert_eq!(guess, *truth, "{text:?} at {cut}");
            }
        }
    }

    #[test]
    fn what_nothing_decides_in_time_counts_as_outside() {
        let text = "\"aaaa\naaaaaaaaaaaaaaaa\nb\"\n";
        assert_eq!(guesses(text, 100)[2], text.len() as u64);
        assert_eq!(guesses(text, 5)[2], 6);
    }
}
