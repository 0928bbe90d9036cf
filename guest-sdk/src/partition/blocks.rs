//! Whole lines, many at a time: the layer under lines and records.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Deref;

use memchr::{memchr, memrchr};

use super::{Error, Partition, to_u64};

/// The byte-order mark as UTF-8 writes it.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Bytes of a partition in pieces that end where a line does.
#[derive(Debug)]
pub(super) struct Aligned {
    partition: Partition,
    /// The start of a line whose end has not been seen.
    carry: Vec<u8>,
}

/// The iterator that [`Partition::blocks`] returns.
#[derive(Debug)]
pub struct Blocks {
    aligned: Aligned,
    /// Bytes of the partition before the next block.
    position: u64,
    /// What comes after the block that was given last: a mistake in the text behind it.
    failure: Option<Error>,
    ended: bool,
}

/// Whole lines of UTF-8 text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Block(String);

/// The iterator that [`Block::lines`] returns.
#[derive(Clone, Debug)]
pub struct BlockLines<'a>(&'a str);

// === impl Aligned ===

impl Aligned {
    pub(super) fn new(partition: Partition) -> Self {
        Self { partition, carry: Vec::new() }
    }

    #[cfg(feature = "json")]
    pub(super) fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The next whole lines, none at the end. The last line may lack its `\n`.
    ///
    /// The host aligns what it gives unless a line is longer than a chunk, so a piece is passed on
    /// as it is in all but rare cases.
    pub(super) fn next_lines(&mut self) -> Result<Option<Vec<u8>>, Error> {
        while let Some(mut piece) = self.partition.next_piece()? {
            if self.carry.is_empty() && piece.ends_with(b"\n") {
                return Ok(Some(piece));
            }
            let Some(last) = memrchr(b'\n', &piece) else {
                self.carry.append(&mut piece);
                continue;
            };
            let begun = piece.split_off(last + 1);
            let mut lines = std::mem::replace(&mut self.carry, begun);
            lines.append(&mut piece);
            return Ok(Some(lines));
        }
        Ok(Some(std::mem::take(&mut self.carry)).filter(|last| !last.is_empty()))
    }
}

// === impl Blocks ===

impl Blocks {
    pub(super) fn new(partition: Partition) -> Self {
        let position = partition.position();
        Self { aligned: Aligned::new(partition), position, failure: None, ended: false }
    }

    fn next_block(&mut self) -> Result<Option<String>, Error> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let Some(bytes) = self.aligned.next_lines()? else { return Ok(None) };
        let start = self.position;
        self.position += to_u64(bytes.len());
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => self.split_at_mistake(start, error)?,
        };
        Ok(Some(if start == 0 { self.without_mark(text) } else { text }))
    }

    /// Keeps the mistake for later and gives the whole lines before it.
    #[cold]
    fn split_at_mistake(
        &mut self,
        start: u64,
        error: std::string::FromUtf8Error,
    ) -> Result<String, Error> {
        let valid = error.utf8_error().valid_up_to();
        let failure = Error::invalid_utf8(start + to_u64(valid), self.aligned.partition.describe());
        let mut bytes = error.into_bytes();
        match memrchr(b'\n', &bytes[..valid]) {
            Some(last) => bytes.truncate(last + 1),
            None => return Err(failure),
        }
        self.failure = Some(failure);
        Ok(String::from_utf8(bytes).expect("a prefix of what was found valid is valid"))
    }

    fn without_mark(&self, mut text: String) -> String {
        if text.starts_with(BYTE_ORDER_MARK) && self.aligned.partition.offset() == 0 {
            text.drain(..BYTE_ORDER_MARK.len());
        }
        text
    }
}

impl Iterator for Blocks {
    type Item = Result<Block, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_block();
        self.ended = !matches!(next, Ok(Some(_)));
        next.map(|text| text.map(Block)).transpose()
    }
}

impl FusedIterator for Blocks {}

// === impl Block ===

impl Block {
    /// The lines, without the `\n` or `\r\n` that ends them.
    #[inline]
    pub fn lines(&self) -> BlockLines<'_> {
        BlockLines(&self.0)
    }

    /// The text, without a copy.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl Deref for Block {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Block {
    fn as_ref(&self) -> &str {
        self
    }
}

impl From<Block> for String {
    fn from(block: Block) -> Self {
        block.0
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({} bytes)", self.0.len())
    }
}

impl<'a> Iterator for BlockLines<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let (line, next) = first_line(self.0.as_bytes());
        let text = &self.0[..line];
        self.0 = &self.0[next..];
        Some(text)
    }
}

impl FusedIterator for BlockLines<'_> {}

/// Where the first line of some bytes ends without its `\n` or `\r\n`, and where the next begins.
#[inline]
pub(super) fn first_line(bytes: &[u8]) -> (usize, usize) {
    match memchr(b'\n', bytes) {
        Some(end) if end > 0 && bytes[end - 1] == b'\r' => (end - 1, end + 1),
        Some(end) => (end, end + 1),
        None => (bytes.len(), bytes.len()),
    }
}
