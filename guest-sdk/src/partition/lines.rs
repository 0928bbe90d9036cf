//! One line at a time, as slices that share the block they came from.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::iter::FusedIterator;
use std::ops::{Deref, Range};
use std::rc::Rc;

use super::Error;
use super::blocks::{Aligned, Blocks, first_line};

/// The iterator that [`Partition::lines`](super::Partition::lines) returns.
#[derive(Debug)]
pub struct Lines {
    blocks: Blocks,
    block: Rc<String>,
    position: usize,
}

/// A line of text: a slice that shares its memory with the lines around it.
///
/// A line that is kept keeps its whole block in memory; turn it into a `String` where few of many
/// are kept for long.
#[derive(Clone)]
pub struct Line {
    block: Rc<String>,
    start: usize,
    end: usize,
}

/// The iterator that [`Partition::records`](super::Partition::records) returns.
#[derive(Debug)]
pub struct Records {
    aligned: Aligned,
    block: Rc<Vec<u8>>,
    position: usize,
    ended: bool,
}

/// A line of bytes, or another kind of record: a slice that shares its memory with the records around it.
#[derive(Clone)]
pub struct Record {
    block: Rc<Vec<u8>>,
    start: usize,
    end: usize,
}

// === impl Lines ===

impl Lines {
    pub(super) fn new(blocks: Blocks) -> Self {
        Self { blocks, block: Rc::default(), position: 0 }
    }

    /// Moves on to the next block that is not empty.
    #[cold]
    fn advance(&mut self) -> Option<Result<(), Error>> {
        self.block = Rc::default(); // so that the next block can have the same memory
        self.position = 0;
        loop {
            match self.blocks.next()? {
                Ok(block) if block.is_empty() => {}
                Ok(block) => {
                    self.block = Rc::new(block.into_string());
                    return Some(Ok(()));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Iterator for Lines {
    type Item = Result<Line, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.position == self.block.len()
            && let Err(error) = self.advance()?
        {
            return Some(Err(error));
        }
        let start = self.position;
        let (line, next) = first_line(&self.block.as_bytes()[start..]);
        self.position = start + next;
        Some(Ok(Line { block: Rc::clone(&self.block), start, end: start + line }))
    }
}

impl FusedIterator for Lines {}

// === impl Records ===

impl Records {
    pub(super) fn new(aligned: Aligned) -> Self {
        Self { aligned, block: Rc::default(), position: 0, ended: false }
    }

    #[cold]
    fn advance(&mut self) -> Option<Result<(), Error>> {
        if self.ended {
            return None;
        }
        self.block = Rc::default(); // so that the next block can have the same memory
        self.position = 0;
        let next = self.aligned.next_lines();
        self.ended = !matches!(next, Ok(Some(_)));
        let block = match next.transpose()? {
            Ok(block) => block,
            Err(error) => return Some(Err(error)),
        };
        self.block = Rc::new(block);
        Some(Ok(()))
    }
}

impl Iterator for Records {
    type Item = Result<Record, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.position == self.block.len()
            && let Err(error) = self.advance()?
        {
            return Some(Err(error));
        }
        let start = self.position;
        let (record, next) = first_line(&self.block[start..]);
        self.position = start + next;
        Some(Ok(Record { block: Rc::clone(&self.block), start, end: start + record }))
    }
}

impl FusedIterator for Records {}

// === impl Line, impl Record ===

impl Record {
    pub(super) fn new(block: Rc<Vec<u8>>, range: Range<usize>) -> Self {
        Self { block, start: range.start, end: range.end }
    }
}

/// What both kinds of slice share: they are equal, ordered and hashed as what they deref to.
macro_rules! slice_of {
    ($name:ident, $target:ty, $owned:ty) => {
        impl Deref for $name {
            type Target = $target;

            #[inline]
            fn deref(&self) -> &$target {
                &self.block[self.start..self.end]
            }
        }

        impl AsRef<$target> for $name {
            #[inline]
            fn as_ref(&self) -> &$target {
                self
            }
        }

        impl Borrow<$target> for $name {
            fn borrow(&self) -> &$target {
                self
            }
        }

        impl From<$name> for $owned {
            fn from(slice: $name) -> Self {
                (*slice).to_owned()
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                **self == **other
            }
        }

        impl PartialEq<$target> for $name {
            fn eq(&self, other: &$target) -> bool {
                **self == *other
            }
        }

        impl PartialEq<&$target> for $name {
            fn eq(&self, other: &&$target) -> bool {
                **self == **other
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                (**self).cmp(&**other)
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                (**self).hash(state);
            }
        }
    };
}

slice_of!(Line, str, String);
slice_of!(Record, [u8], Vec<u8>);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}
