//! The part of the input that a task was given, and the ways to read it.
//!
//! All ways take the partition by value, so that nothing is read twice by mistake. Reading a header
//! first is what [`BufRead`] is for: `read_line` borrows the partition, `lines` then takes the rest.
//!
//! | what the function does | what reads it | cost beside the bytes themselves |
//! |---|---|---|
//! | lines, kept or passed on | [`Partition::lines`] | a reference count per line |
//! | lines, looked at and dropped | [`Partition::for_each_line`], [`Partition::blocks`] | none per line |
//! | lines that need not be UTF-8 | [`Partition::records`] | a reference count per line |
//! | records that end otherwise | [`Partition::records_ended_by`] | a reference count per record |
//! | records of a fixed size | [`Partition::fixed_records`], [`Partition::fixed_arrays`] | a reference count per record |
//! | rows of CSV | [`Partition::csv`], [`Partition::csv_rows`] | what the `csv` crate takes |
//! | one JSON value per line | [`Partition::json_lines`] | what `serde_json` takes |
//! | bytes in any division | [`Partition::chunks`], [`BufRead::fill_buf`] | none |
//! | all bytes at once | [`Partition::bytes`] | one copy, and the memory |

mod blocks;
mod error;
#[cfg(feature = "json")]
mod json;
mod lines;
#[cfg(feature = "csv")]
mod table;
mod terminated;

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead, Read};

use self::blocks::Aligned;
pub use self::blocks::{Block, BlockLines, Blocks};
pub use self::error::{Error, ErrorKind};
#[cfg(feature = "json")]
pub use self::json::JsonLines;
pub use self::lines::{Line, Lines, Record, Records};
#[cfg(feature = "csv")]
pub use self::table::{Csv, CsvRows};
pub use self::terminated::{FixedArrays, FixedRecords, TerminatedRecords};
use crate::host;

/// How many bytes are asked of the host at a time.
///
/// One copy of this size is in memory at a time, two where records straddle chunks. Crossing the
/// boundary costs well under a microsecond and a mebibyte takes some 50 µs to copy, so larger
/// chunks would gain nothing, and smaller ones leave the processor's cache no better used.
const CHUNK_BYTES: u32 = 1 << 20;

/// The part of the input that the task was given.
///
/// In a component its bytes are pulled from the host while the function runs, so that a partition
/// may be larger than memory. In a test it is made from a string:
///
/// ```
/// use samara_guest::Partition;
///
/// let text = Partition::from("one\ntwo\r\nthree");
/// let lines: Vec<String> = text.lines().map(|line| Ok(line?.into())).collect::<Result<_, samara_guest::partition::Error>>()?;
/// assert_eq!(lines, ["one", "two", "three"]);
/// # Ok::<(), samara_guest::Error>(())
/// ```
pub struct Partition {
    source: Source,
    description: OnceCell<Description>,
    /// The piece that `BufRead` hands out, and how much of it was consumed.
    piece: Vec<u8>,
    consumed: usize,
    /// Bytes of earlier pieces.
    before: u64,
    ended: bool,
}

/// Where a partition's bytes come from.
enum Source {
    Host,
    Held(VecDeque<Vec<u8>>),
}

/// Where a partition lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// URL of the object that the partition is a part of.
    pub object: Option<String>,
    /// First byte of the range within the object, before it was aligned to records.
    pub offset: u64,
    /// Length of the range in bytes, before it was aligned to records.
    pub length: u64,
    /// Number of this partition within the job, from 0.
    pub index: u64,
    /// Number of partitions in the job.
    pub count: u64,
    /// Size of the whole object in bytes.
    pub object_size: u64,
}

/// Bytes of a partition: owned, divided as the host gave them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Chunk(Vec<u8>);

/// The iterator that [`Partition::chunks`] returns.
#[derive(Debug)]
pub struct Chunks(Partition);

// === impl Partition ===

impl Partition {
    /// The partition of the task that is being run.
    pub(crate) fn of_the_task() -> Self {
        Self::new(Source::Host, OnceCell::new())
    }

    /// A partition of these pieces, which need not end where records do.
    pub(crate) fn held(
        description: Description,
        pieces: impl IntoIterator<Item = Vec<u8>>,
    ) -> Self {
        Self::new(Source::Held(pieces.into_iter().collect()), OnceCell::from(description))
    }

    fn new(source: Source, description: OnceCell<Description>) -> Self {
        Self { source, description, piece: Vec::new(), consumed: 0, before: 0, ended: false }
    }

    /// Where the partition lies.
    pub fn describe(&self) -> &Description {
        self.description.get_or_init(host::describe)
    }

    /// URL of the object that the partition is a part of.
    pub fn object(&self) -> Option<&str> {
        self.describe().object.as_deref()
    }

    /// Number of this partition within the job, from 0.
    pub fn index(&self) -> u64 {
        self.describe().index
    }

    /// Number of partitions in the job.
    pub fn count(&self) -> u64 {
        self.describe().count
    }

    /// First byte of the range within the object, before it was aligned to records.
    pub fn offset(&self) -> u64 {
        self.describe().offset
    }

    /// Length of the range in bytes, before it was aligned to records.
    ///
    /// What is read can be shorter or longer by up to a record at either end.
    pub fn length(&self) -> u64 {
        self.describe().length
    }

    /// Reads all bytes.
    ///
    /// # Errors
    ///
    /// Where the host cannot read the object.
    ///
    /// ```
    /// # use samara_guest::Partition;
    /// assert_eq!(Partition::from("a\r\nb").bytes()?, b"a\r\nb");
    /// # Ok::<(), samara_guest::Error>(())
    /// ```
    pub fn bytes(mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = self.next_piece()?.unwrap_or_default();
        while let Some(piece) = self.next_piece()? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Reads the bytes in pieces of at most some MiB, which may end anywhere.
    ///
    /// ```
    /// # use samara_guest::Partition;
    /// let mut sum = 0;
    /// for chunk in Partition::from(vec![1, 2, 3]).chunks() {
    ///     sum += chunk?.iter().copied().map(u64::from).sum::<u64>();
    /// }
    /// assert_eq!(sum, 6);
    /// # Ok::<(), samara_guest::Error>(())
    /// ```
    pub fn chunks(self) -> Chunks {
        Chunks(self)
    }

    /// Reads UTF-8 text in blocks of whole lines.
    ///
    /// Nothing is paid per line here: the quickest way through text. A byte-order mark at the start
    /// of the object is left out. A line that is longer than a chunk is joined, so it has to fit in
    /// memory.
    ///
    /// ```
    /// # use samara_guest::Partition;
    /// let mut longest = 0;
    /// for block in Partition::from("to be\nor not\n").blocks() {
    ///     let block = block?;
    ///     longest = block.lines().map(str::len).fold(longest, usize::max);
    /// }
    /// assert_eq!(longest, 6);
    /// # Ok::<(), samara_guest::Error>(())
    /// ```
    pub fn blocks(self) -> Blocks {
        Blocks::new(self)
    }

    /// Reads UTF-8 text line by line.
    ///
    /// A line ends with `\n` or `\r\n`, which is left out; the last one may lack it. A `\r` anywhere
    /// else belongs to the line. A byte-order mark at the start of the object is left out.
    ///
    /// The first line that is not UTF-8 comes as an error, after all lines before it, and ends the
    /// iteration.
    ///
    /// ```
    /// # use samara_guest::Partition;
    /// for line in Partition::from("k1 v1\nk2 v2\n").lines() {
    ///     let line = line?;
    ///     assert_eq!(line.split(' ').count(), 2);
    /// }
    /// # Ok::<(), samara_guest::Error>(())
    /// ```
    pub fn lines(self) -> Lines {
        Lines::new(self.blocks())
    }

    /// Calls `look` with every line, as [`lines`](Self::lines) would give them.
    ///
    /// # Errors
    ///
    /// The first error of the host or of `look`.
    ///
    /// ```
    /// # use samara_guest::Partition;
    /// let mut numbers = Vec::new();
    /// Partition::from("1\n2\n").for_each_line(|line| {
    ///     numbers.push(line.parse::<u8>()?);
    ///     Ok(())
    /// })?;
    /// assert_eq!(numbers, [1, 2]);
    /// # Ok::<(), samara_guest::Error>(())
    /// ```
    pub fn for_each_line(
        self,
        mut look: impl FnMut(&str) -> crate::Result<()>,
    ) -> crate::Result<()> {
        for block in self.blocks() {
            for line in block?.lines() {
                look(line)?;
            }
        }
        Ok(())
    }

    /// Reads bytes line by line, for text that need not be UTF-8.
    ///
    /// Lines end as in [`lines`](Self::lines). Nothing else is left out, no byte-order mark either.
    ///
    /// ```
    /// # use samara_guest::Partition;
    /// let mut records = Partition::from(b"caf\xe9\nbar\n".to_vec()).records();
    /// assert_eq!(&*records.next().expect("two records")?, b"caf\xe9");
    /// # Ok::<(), samara_guest::Error>(())
    /// ```
    pub fn records(self) -> Records {
        Records::new(Aligned::new(self))
    }

    /// The bytes that come next, none at the end.
    fn next_piece(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if self.consumed == self.piece.len() && !self.pull()? {
            return Ok(None);
        }
        let mut piece = std::mem::take(&mut self.piece);
        piece.drain(..self.consumed);
        self.before += to_u64(self.consumed) + to_u64(piece.len());
        self.consumed = 0;
        Ok(Some(piece))
    }

    /// Replaces the consumed piece by the next one; false at the end.
    fn pull(&mut self) -> Result<bool, Error> {
        if self.ended {
            return Ok(false);
        }
        self.before += to_u64(self.piece.len());
        (self.piece, self.consumed) = (Vec::new(), 0);
        let next = match &mut self.source {
            Source::Host => Some(host::read(CHUNK_BYTES)?).filter(|piece| !piece.is_empty()),
            Source::Held(pieces) => {
                std::iter::from_fn(|| pieces.pop_front()).find(|it| !it.is_empty())
            }
        };
        self.ended = next.is_none();
        self.piece = next.unwrap_or_default();
        Ok(!self.ended)
    }

    /// How many bytes were taken from the partition so far.
    fn position(&self) -> u64 {
        self.before + to_u64(self.consumed)
    }
}

/// Sizes in memory are at most 64 bits wide.
fn to_u64(size: usize) -> u64 {
    size as u64
}

impl From<Vec<u8>> for Partition {
    fn from(bytes: Vec<u8>) -> Self {
        let length = to_u64(bytes.len());
        let description =
            Description { length, count: 1, object_size: length, ..Description::default() };
        Self::held(description, [bytes])
    }
}

impl From<&[u8]> for Partition {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl From<String> for Partition {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&str> for Partition {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partition")
            .field("description", &self.describe())
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

impl Read for Partition {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Partition {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.consumed == self.piece.len() {
            self.pull()?;
        }
        Ok(&self.piece[self.consumed..])
    }

    fn consume(&mut self, count: usize) {
        self.consumed = self.piece.len().min(self.consumed + count);
    }
}

// === impl Chunk ===

impl Chunk {
    /// The bytes as a vector, without a copy.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

impl std::ops::Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Chunk> for Vec<u8> {
    fn from(chunk: Chunk) -> Self {
        chunk.0
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} bytes)", self.0.len())
    }
}

impl Iterator for Chunks {
    type Item = Result<Chunk, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next_piece().map(|piece| piece.map(Chunk)).transpose()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// All ways to cut a text into two or three pieces.
    pub(crate) fn cuts(text: &[u8]) -> impl Iterator<Item = Partition> {
        let end = text.len();
        (0..=end).flat_map(move |a| {
            (a..=end).map(move |b| {
                let pieces = [&text[..a], &text[a..b], &text[b..]].map(<[u8]>::to_vec);
                Partition::held(Description::default(), pieces)
            })
        })
    }

    /// What `lines` gives; an error as the text of its kind.
    fn lines(partition: Partition) -> Vec<String> {
        let text = |line: Result<Line, Error>| {
            line.map_or_else(|e| format!("{:?}", e.kind()), |line| line.to_string())
        };
        partition.lines().map(text).collect()
    }

    fn check(text: &[u8], expected: &[&str]) {
        for partition in cuts(text) {
            assert_eq!(lines(partition), expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn lines_are_the_same_wherever_pieces_are_cut() {
        check(b"", &[]);
        check(b"\n", &[""]);
        check(b"\n\n", &["", ""]);
        check(b"a", &["a"]);
        check(b"a\nbc\n", &["a", "bc"]);
        check(b"a\nbc\nd", &["a", "bc", "d"]);
        check("ä€𝄞\n𝄞€ä".as_bytes(), &["ä€𝄞", "𝄞€ä"]);
    }

    #[test]
    fn only_a_return_before_a_newline_is_left_out() {
        check(b"a\r\nb\r\n", &["a", "b"]);
        check(b"a\rb\r\r\nc\r", &["a\rb\r", "c\r"]);
        check(b"\r\n\r", &["", "\r"]);
    }

    #[test]
    fn a_byte_order_mark_is_left_out_at_the_start_of_the_object_alone() {
        check(b"\xef\xbb\xbf", &[]);
        check("\u{feff}a\n\u{feff}b".as_bytes(), &["a", "\u{feff}b"]);
        let later = Description { offset: 9, ..Description::default() };
        let later = Partition::held(later, ["\u{feff}a".into()]);
        assert_eq!(lines(later), ["\u{feff}a"]);
    }

    #[test]
    fn text_that_is_not_utf_8_is_an_error_after_the_lines_before_it() {
        check(b"a\nb\nc\xff\nd\n", &["a", "b", "InvalidUtf8 { at: 5 }"]);
        check(b"\xff", &["InvalidUtf8 { at: 0 }"]);
        check(b"a\n\xe2\x82", &["a", "InvalidUtf8 { at: 2 }"]);
    }

    #[test]
    fn an_error_says_where() {
        let object = Some("s3://b/k".to_owned());
        let description = Description { object, offset: 100, ..Description::default() };
        let mut lines = Partition::held(description, [b"ok\n\xff".to_vec()]).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ok");
        assert_eq!(
            lines.next().unwrap().unwrap_err().to_string(),
            "byte 3 of the partition is not UTF-8 (s3://b/k from byte 100)"
        );
        assert!(lines.next().is_none());
    }

    #[test]
    fn records_are_lines_of_any_bytes() {
        for partition in cuts(b"\xef\xbb\xbf\xff\r\n\n\x00") {
            let records: Vec<Vec<u8>> =
                partition.records().map(|record| record.unwrap().into()).collect();
            assert_eq!(records, [&b"\xef\xbb\xbf\xff"[..], b"", b"\x00"]);
        }
    }

    #[test]
    fn blocks_and_lines_agree() {
        for partition in cuts("one\r\ntwo\n\nthrée".as_bytes()) {
            let mut seen = Vec::new();
            let look = |line: &str| {
                seen.push(line.to_owned());
                Ok(())
            };
            partition.for_each_line(look).unwrap();
            assert_eq!(seen, ["one", "two", "", "thrée"]);
        }
    }

    #[test]
    fn bytes_are_passed_as_they_are() {
        for partition in cuts(b"a\r\nb") {
            assert_eq!(partition.bytes().unwrap(), b"a\r\nb");
        }
        for mut partition in cuts(b"a\r\nb") {
            let mut bytes = Vec::new();
            assert_eq!(partition.read_to_end(&mut bytes).unwrap(), 4);
            assert_eq!(partition.read_to_end(&mut bytes).unwrap(), 0);
            assert_eq!(bytes, b"a\r\nb");
        }
        let chunks = Partition::held(Description::default(), [vec![], vec![1], vec![2, 3], vec![]]);
        let lengths: Vec<usize> = chunks.chunks().map(|chunk| chunk.unwrap().len()).collect();
        assert_eq!(lengths, [1, 2]);
    }

    #[test]
    fn what_was_read_before_is_not_read_again() {
        for mut partition in cuts("\u{feff}name\nä\n\u{feff}ÿ".as_bytes()) {
            let mut header = String::new();
            partition.read_line(&mut header).unwrap();
            assert_eq!(header, "\u{feff}name\n");
            assert_eq!(partition.position(), 8);
            assert_eq!(lines(partition), ["ä", "\u{feff}ÿ"]);
        }
        let mut partition = Partition::from(&b"ab\ncd\n\xff"[..]);
        assert_eq!(partition.fill_buf().unwrap().first(), Some(&b'a'));
        partition.consume(1);
        assert_eq!(lines(partition), ["b", "cd", "InvalidUtf8 { at: 6 }"]);
    }

    #[test]
    fn lines_outlive_their_partition() {
        let kept: Vec<Line> = Partition::from("b\na\n").lines().map(Result::unwrap).collect();
        let mut sorted = kept.clone();
        sorted.sort();
        assert_eq!(sorted, [kept[1].clone(), kept[0].clone()]);
    }

    #[test]
    fn a_partition_of_a_string_describes_itself() {
        let partition = Partition::from("abc");
        let description =
            Description { length: 3, count: 1, object_size: 3, ..Description::default() };
        assert_eq!(partition.describe(), &description);
    }
}
