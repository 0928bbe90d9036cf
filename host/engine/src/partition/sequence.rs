//! Records that end with more than one byte.
//!
//! Ends are found as `str::split` finds them: from the left, none overlapping the one before. A
//! terminator whose beginning is also its end, such as `\n\n`, makes that depend on what came
//! before: in a run of five newlines the ends are at two and four, and a reader that starts at the
//! second would find others. So a reader looks back for a place that no possible end straddles. Any
//! scan passes it in the same state, and so agrees from there on.

use memchr::memmem::{self, Finder};

/// Finds one terminator.
#[derive(Debug)]
pub(super) struct Sequence {
    finder: Finder<'static>,
    /// For each number of bytes matched, less one: how many would be if the next does not fit.
    fallback: Vec<usize>,
    /// Bytes of the terminator that were passed last.
    matched: usize,
}

// === impl Sequence ===

impl Sequence {
    pub(super) fn new(terminator: &[u8]) -> Self {
        let fallback = (1..=terminator.len()).map(|length| border(&terminator[..length])).collect();
        Self { finder: Finder::new(terminator).into_owned(), fallback, matched: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.terminator().len()
    }

    /// Whether two ends can overlap.
    pub(super) fn overlaps(&self) -> bool {
        self.fallback.last().is_some_and(|border| *border > 0)
    }

    pub(super) fn cut(&self, window: &[u8], stop: usize) -> Option<usize> {
        let (mut matched, mut from, mut last) = (self.matched, 0, None);
        while matched > 0 && from < window.len() {
            matched = self.step(matched, window[from]);
            from += 1;
            if matched == self.len() {
                (matched, last) = (0, Some(from));
            }
        }
        if last.is_some_and(|end| end >= stop) {
            return last;
        }
        for at in self.finder.find_iter(&window[from..]) {
            let end = from + at + self.len();
            last = Some(end);
            if end >= stop {
                break;
            }
        }
        last
    }

    pub(super) fn pass(&mut self, bytes: &[u8]) {
        // No end is in what is passed, so what is matched lies within its last bytes.
        let mut last = bytes;
        if bytes.len() >= self.len() {
            self.matched = 0;
            last = &bytes[bytes.len() + 1 - self.len()..];
        }
        for byte in last {
            self.matched = self.step(self.matched, *byte) % self.len();
        }
    }

    pub(super) fn reset(&mut self) {
        self.matched = 0;
    }

    /// The last place in `window` that no possible end straddles; none where the window's beginning
    /// may be straddled by one that begins before it.
    pub(super) fn settled(&self, window: &[u8], is_start: bool) -> Option<usize> {
        let length = self.len();
        let mut place = window.len().checked_sub(length)?;
        loop {
            if place + 1 < length && !is_start {
                return None;
            }
            let from = (place + 1).saturating_sub(length);
            match memmem::find(&window[from..place + length - 1], self.terminator()) {
                None => return Some(place),
                Some(at) => place = from + at,
            }
        }
    }

    /// Matched bytes after one more.
    fn step(&self, mut matched: usize, byte: u8) -> usize {
        loop {
            match self.terminator().get(matched) {
                Some(next) if *next == byte => return matched + 1,
                _ if matched == 0 => return 0,
                _ => matched = self.fallback[matched - 1],
            }
        }
    }

    fn terminator(&self) -> &[u8] {
        self.finder.needle()
    }
}

/// Length of the longest beginning that is also the end, and not all of it.
fn border(bytes: &[u8]) -> usize {
    (0..bytes.len()).rev().find(|&length| bytes.ends_with(&bytes[..length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminators_that_overlap_themselves_are_known() {
        for (terminator, overlaps) in
            [("\r\n", false), ("\n\n", true), ("aba", true), ("abc", false), ("\n--\n", true)]
        {
            assert_eq!(Sequence::new(terminator.as_bytes()).overlaps(), overlaps, "{terminator:?}");
        }
    }

    #[test]
    fn an_end_is_found_wherever_windows_are_cut() {
        for (terminator, text, end) in
            [("abab", "xaabab", 6), ("\n\n", "a\n\n\n", 3), ("aab", "aaab", 4)]
        {
            for cut in 0..text.len() {
                let (first, second) = text.as_bytes().split_at(cut);
                let mut sequence = Sequence::new(terminator.as_bytes());
                if sequence.cut(first, usize::MAX).is_some() {
                    continue;
                }
                sequence.pass(first);
                assert_eq!(sequence.cut(second, 0), Some(end - cut), "{text:?} at {cut}");
            }
        }
    }

    #[test]
    fn a_place_that_no_end_straddles_is_found_or_not() {
        let sequence = Sequence::new(b"\n\n");
        assert_eq!(sequence.settled(b"xx\n\n\nx", false), Some(2));
        assert_eq!(sequence.settled(b"xx\n\n\nxy", false), Some(5));
        assert_eq!(sequence.settled(b"\n\n\n\n\n", false), None);
        assert_eq!(sequence.settled(b"\n\n\n\n\n", true), Some(0));
    }
}
