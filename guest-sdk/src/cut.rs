//! Partitions of some bytes, aligned as the host aligns them.
//!
//! Plain and slow on purpose: it looks at the whole input byte by byte, and so is what the host's
//! readers, which do not, are held against.

use crate::Partition;
use crate::partition::Description;

/// What bytes are a sequence of: the kinds that a job's objects may have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Records {
    /// Lines that end in `\n`.
    Lines,
    /// Records that end with these bytes.
    Terminated(Vec<u8>),
    /// Rows of CSV.
    Csv {
        /// What stands between fields.
        delimiter: u8,
        /// What stands around fields.
        quote: u8,
        /// Whether the first row is a header.
        header: bool,
    },
    /// One JSON value per line.
    JsonLines,
    /// Records of this many bytes.
    Fixed(usize),
    /// Bytes.
    Bytes,
}

// === impl Records ===

impl Records {
    /// CSV with commas, double quotes and a header.
    pub fn csv() -> Self {
        Self::Csv { delimiter: b',', quote: b'"', header: true }
    }

    /// Where records begin, and the size of what belongs to no partition because all begin with it.
    fn starts(&self, bytes: &[u8]) -> (Vec<usize>, usize) {
        match self {
            Self::Lines | Self::JsonLines => (ended_by(bytes, b"\n"), 0),
            Self::Terminated(terminator) => (ended_by(bytes, terminator), 0),
            Self::Csv { delimiter, quote, header } => {
                let (rows, first) = rows(bytes, *delimiter, *quote);
                match header {
                    false => (rows, 0),
                    true => {
                        let after = rows.into_iter().filter(|start| *start > first);
                        (std::iter::once(first).chain(after).collect(), first)
                    }
                }
            }
            Self::Fixed(size) => {
                assert!(
                    bytes.len().is_multiple_of(*size),
                    "{} bytes are not a whole number of records of {size} bytes",
                    bytes.len()
                );
                ((0..bytes.len()).step_by(*size).collect(), 0)
            }
            Self::Bytes => ((0..bytes.len()).collect(), 0),
        }
    }
}

/// Cuts bytes at `offsets` into partitions of whole records, each of which is in the partition in
/// which it begins: what the host gives to tasks whose objects are cut there.
///
/// The host cuts without reading what is before a cut. Where a file of CSV keeps not to RFC 4180, it
/// may refuse with an error what is cut here.
///
/// # Panics
///
/// Where `offsets` are not in order or not within the bytes, and for records of no bytes.
///
/// ```
/// use samara_guest::testing::{self, Records};
///
/// let text = "a,b\n\"1\n2\",3\n4,5\n";
/// let parts = testing::cut(text, &Records::csv(), &[6, 13]);
/// let rows = parts.into_iter().map(|part| part.csv().count());
/// assert_eq!(rows.collect::<Vec<_>>(), [1, 1, 0]);
/// ```
pub fn cut(bytes: impl AsRef<[u8]>, records: &Records, offsets: &[u64]) -> Vec<Partition> {
    let bytes = bytes.as_ref();
    let size = bytes.len() as u64;
    let (starts, header) = records.starts(bytes);
    let bounds: Vec<u64> =
        std::iter::once(0).chain(offsets.iter().copied()).chain([size]).collect();
    assert!(bounds.is_sorted(), "cuts at {offsets:?} of {size} bytes: not in order, or outside");
    let begin = |at: u64| match at {
        0 => header,
        _ => starts.iter().copied().find(|start| *start as u64 >= at).unwrap_or(bytes.len()),
    };
    let count = bounds.len() as u64 - 1;
    let parts = (0..).zip(bounds.windows(2)).map(|(index, bound)| {
        let end = if index + 1 == count { bytes.len() } else { begin(bound[1]) };
        let own = &bytes[begin(bound[0]).min(end)..end];
        let description = Description {
            object: None,
            offset: bound[0],
            length: bound[1] - bound[0],
            index,
            count,
            object_size: size,
        };
        Partition::held(description, [[&bytes[..header], own].concat()])
    });
    parts.collect()
}

fn ended_by(bytes: &[u8], terminator: &[u8]) -> Vec<usize> {
    assert!(!terminator.is_empty(), "records cannot end with no bytes");
    let (mut starts, mut at) = (vec![0], 0);
    while at < bytes.len() {
        match bytes[at..].starts_with(terminator) {
            true => {
                at += terminator.len();
                starts.push(at);
            }
            false => at += 1,
        }
    }
    starts
}

/// Where rows begin that are cut at, and where the first that is not blank ends.
fn rows(bytes: &[u8], delimiter: u8, quote: u8) -> (Vec<usize>, usize) {
    let mark = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let (mut starts, mut first_end) = (vec![0], None);
    let (mut quoted, mut field_begins, mut row_is_blank) = (false, true, true);
    let mut at = mark;
    while at < bytes.len() {
        let byte = bytes[at];
        at += 1;
        if quoted {
            match byte == quote && bytes.get(at) == Some(&quote) {
                true => at += 1,
                false => quoted = byte != quote,
            }
            continue;
        }
        if byte == quote && field_begins {
            (quoted, field_begins, row_is_blank) = (true, false, false);
            continue;
        }
        let row_ends = byte == b'\n' || byte == b'\r';
        field_begins = byte == delimiter || row_ends;
        if byte == b'\n' {
            starts.push(at);
        }
        if row_ends && !row_is_blank {
            let both = byte == b'\r' && bytes.get(at) == Some(&b'\n');
            first_end.get_or_insert_with(|| at + usize::from(both));
        }
        row_is_blank = row_ends;
    }
    (starts, first_end.unwrap_or(bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str, records: &Records, offsets: &[u64]) -> Vec<String> {
        let parts = cut(text, records, offsets).into_iter();
        parts.map(|part| String::from_utf8(part.bytes().unwrap()).unwrap()).collect()
    }

    #[test]
    fn each_record_is_in_the_partition_in_which_it_begins() {
        assert_eq!(parts("a\nbc\nd", &Records::Lines, &[1, 2, 3]), ["a\n", "", "bc\n", "d"]);
        let semicolons = Records::Terminated(b";;".to_vec());
        assert_eq!(parts("a;;;b;;", &semicolons, &[3, 4]), ["a;;", ";b;;", ""]);
        assert_eq!(parts("aabbcc", &Records::Fixed(2), &[1, 3]), ["aa", "bb", "cc"]);
        assert_eq!(parts("abc", &Records::Bytes, &[1]), ["a", "bc"]);
        assert_eq!(parts("", &Records::Lines, &[]), [""]);
    }

    #[test]
    fn every_partition_begins_with_the_header() {
        let header = Records::csv();
        assert_eq!(parts("h\n1\n2\n", &header, &[1, 4]), ["h\n", "h\n1\n", "h\n2\n"]);
        assert_eq!(parts("\nh\r\n\"\n\"\n2\n", &header, &[5]), ["\nh\r\n\"\n\"\n", "\nh\r\n2\n"]);
        assert_eq!(parts("h", &header, &[]), ["h"]);
        let none = Records::Csv { delimiter: b';', quote: b'\'', header: false };
        assert_eq!(parts("'\n';a\nb\n", &none, &[2]), ["'\n';a\n", "b\n"]);
    }
}
