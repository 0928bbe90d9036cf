//! Where rows of CSV end, from a place where the state is known.
//!
//! The rules are those of RFC 4180 and, where a file keeps to none, those of the `csv` crate, with
//! which guests read: a quote opens a field at its very beginning and nowhere else, a quote within a
//! quoted field closes it unless it is one of a pair, and what follows the closing quote up to the
//! next delimiter is taken as it is.
//!
//! Rows end at `\n`. A `\r` alone ends one for the `csv` crate, so a field may begin after it; but
//! rows are not cut there.

use memchr::{memchr, memchr2};
use samara_core::CsvOptions;

/// UTF-8's byte-order mark, which may stand before the first row.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Where [`Machine::new`] has to begin for its word on any byte from here on to be right without a
/// guess: past the mark, the first bytes of an object are like any others.
pub(super) const MARK_BYTES: u64 = BYTE_ORDER_MARK.len() as u64;

/// Follows fields and rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine {
    options: CsvOptions,
    state: State,
}

/// What the bytes so far were part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but this much of a byte-order mark.
    Mark(usize),
    /// A field begins.
    Start,
    /// A field without quotes, or what follows a closing quote.
    Plain,
    /// A quoted field.
    Quoted,
    /// A quote within a quoted field: its end, or the first of a pair.
    QuoteInQuoted,
}

// === impl Machine ===

impl Machine {
    /// At the object's first byte.
    pub(super) fn new(options: CsvOptions) -> Self {
        Self { options, state: State::Mark(0) }
    }

    pub(super) fn cut(&self, window: &[u8], stop: usize) -> Option<usize> {
        let mut last = None;
        self.walk(window, |end| {
            last = Some(end);
            end < stop
        });
        last
    }

    pub(super) fn pass(&mut self, bytes: &[u8]) {
        self.state = self.walk(bytes, |_| true);
    }

    pub(super) fn reset(&mut self) {
        self.state = State::Start;
    }

    /// Tells `row_ends` where rows end, until it returns false; the state after the last byte, if
    /// it never does.
    fn walk(&self, window: &[u8], mut row_ends: impl FnMut(usize) -> bool) -> State {
        let quote = self.options.quote;
        let (mut state, mut at) = (self.state, 0);
        while let Some(&byte) = window.get(at) {
            let rest = &window[at..];
            match state {
                State::Mark(length) if byte == BYTE_ORDER_MARK[length] => {
                    at += 1;
                    state = match length + 1 < BYTE_ORDER_MARK.len() {
                        true => State::Mark(length + 1),
                        false => State::Start,
                    };
                }
                State::Mark(0) => state = State::Start,
                State::Mark(_) => state = State::Plain,
                State::Quoted => match memchr(quote, rest) {
                    Some(next) => (at, state) = (at + next + 1, State::QuoteInQuoted),
                    None => return State::Quoted,
                },
                State::QuoteInQuoted if byte == quote => (at, state) = (at + 1, State::Quoted),
                State::QuoteInQuoted => state = State::Plain,
                State::Start if byte == quote => (at, state) = (at + 1, State::Quoted),
                State::Start | State::Plain => {
                    let Some(next) = memchr2(quote, b'\n', rest) else {
                        return self.after(rest[rest.len() - 1]);
                    };
                    let found = at + next;
                    at = found + 1;
                    state = match window[found] {
                        b'\n' if !row_ends(at) => return State::Start,
                        b'\n' => State::Start,
                        _ if next > 0 && self.after(window[found - 1]) == State::Start => {
                            State::Quoted
                        }
                        _ => State::Plain,
                    };
                }
            }
        }
        state
    }

    /// The state after a byte outside quotes that is no quote.
    fn after(&self, byte: u8) -> State {
        match byte == self.options.delimiter || byte == b'\n' || byte == b'\r' {
            true => State::Start,
            false => State::Plain,
        }
    }
}

/// Where the first row that is not blank ends, in the first bytes of an object; none if that takes
/// more of them than there are. Here a `\r` alone is a row's end too, because guests that read the
/// header take it for one.
pub(super) fn header_end(options: CsvOptions, bytes: &[u8], are_all: bool) -> Option<usize> {
    let mark = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let blank = bytes[mark..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
    let start = mark + blank;
    let mut machine = Machine { options, state: State::Start };
    let mut from = start;
    while let Some(return_at) = memchr(b'\r', &bytes[from..]).map(|at| from + at) {
        if let Some(end) = machine.cut(&bytes[from..return_at], 0) {
            return Some(from + end);
        }
        machine.pass(&bytes[from..return_at]);
        if !matches!(machine.state, State::Quoted) {
            return match bytes.get(return_at + 1) {
                Some(b'\n') => Some(return_at + 2),
                None if !are_all => None,
                _ => Some(return_at + 1),
            };
        }
        machine.pass(b"\r");
        from = return_at + 1;
    }
    let end = machine.cut(&bytes[from..], 0).map(|end| from + end);
    end.or_else(|| are_all.then_some(bytes.len()))
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests {
    use super::*;

    fn ends(text: &str) -> Vec<usize> {
        let mut ends = Vec::new();
        Machine::new(CsvOptions::new()).walk(text.as_bytes(), |end| {
            ends.push(end);
            true
        });
        ends
    }

    #[test]
    fn rows_end_where_the_csv_crate_ends_them() {
        for text in [
            "a,b\n1,2\n",
            "\"a\n\",\"b\"\"\n\"\n1,2\n",
            "5\" pipe,\"x\ny\"\nz\n",
            "\"a\" \"\n\",b\nc\n",
            "\"a\"b\"\n\",\"\n\"\n",
            "\u{feff}\"a\nb\"\nc\n",
            "\r\"a\n\"\r\nb\n",
            "\"\",\"\"\n\"\"\n",
        ] {
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .from_reader(text.as_bytes());
            // It says that a row begins within the end of the one before.
            let past_ends = |at: usize| {
                at + text.as_bytes()[at..].iter().take_while(|byte| b"\r\n".contains(byte)).count()
            };
            let starts: Vec<usize> = reader
                .byte_records()
                .map(|row| past_ends(row.unwrap().position().unwrap().byte() as usize))
                .collect();
            // After each end a row begins, or nothing does.
            for end in ends(text).into_iter().map(past_ends) {
                let next = starts.contains(&end) || end == text.len();
                assert!(next, "{text:?}: no row begins at {end}, but at {starts:?}");
            }
            assert!(!ends(text).is_empty(), "{text:?}");
        }
    }

    #[test]
    fn windows_may_be_cut_anywhere() {
        let text = "\u{feff}\"a\"\"\n\",b\n\"\",\"\n\"\"\"\nc\"\n,d\n";
        for cut in 0..=text.len() {
            let mut machine = Machine::new(CsvOptions::new());
            machine.pass(&text.as_bytes()[..cut]);
            let mut whole = Machine::new(CsvOptions::new());
            whole.pass(text.as_bytes());
            machine.pass(&text.as_bytes()[cut..]);
            assert_eq!(machine.state, whole.state, "{cut}");
        }
        assert_eq!(ends(text), [12, 21, 24, 27]);
    }

    #[test]
    fn a_header_is_the_first_row_that_is_not_blank() {
        for (text, end) in [
            ("", Some(0)),
            ("a,b", Some(3)),
            ("a,b\n1,2\n", Some(4)),
            ("a,b\r\n1,2\n", Some(5)),
            ("a,b\r1,2\r", Some(4)),
            ("\n\r\n\na\n1\n", Some(6)),
            ("\u{feff}\na\n1\n", Some(6)),
            ("\"a\r\nb\",c\n1\n", Some(9)),
            ("\"a\"\r\n1\n", Some(5)),
        ] {
            assert_eq!(header_end(CsvOptions::new(), text.as_bytes(), true), end, "{text:?}");
        }
        assert_eq!(header_end(CsvOptions::new(), b"a,b", false), None);
        assert_eq!(header_end(CsvOptions::new(), b"a,b\r", false), None);
        assert_eq!(header_end(CsvOptions::new(), b"\"a\n", false), None);
    }
}
