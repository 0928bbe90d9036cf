//! A partition's bytes, aligned to records on the host's side and read ahead of the guest.
//!
//! A record belongs to the range in which it begins. So a reader whose range does not begin at the
//! object's start skips what its predecessor finishes, and every reader goes on past its range's
//! end until the record that began inside is complete: whatever the cut, each record is seen once.
//!
//! | file | does |
//! |---|---|
//! | `source.rs` | requests to the store, ahead of time |
//! | `scanner.rs` | where records end, for all kinds; `sequence.rs` and `rows.rs` for two of them |
//! | `start.rs` | where a range's first record begins |
//! | `speculation.rs` | the same for CSV, where it can only be guessed |

mod rows;
mod scanner;
mod sequence;
mod source;
mod speculation;
mod start;
#[cfg(test)]
mod tests;

use bytes::{Bytes, BytesMut};
use samara_core::{Error, ErrorKind, Partition, Records};
use samara_store::Location;
use tokio::runtime::Handle;

use self::scanner::Scanner;
use self::source::Source;
use self::speculation::{Speculation, UNDECIDED_BYTES_MAX};

/// Bytes at a time of what a guest left: as much as a request brings.
const READ_OUT_BYTES: usize = 2 << 20;

/// Pulls one partition.
#[derive(Debug)]
pub(crate) struct Reader {
    source: Source,
    scanner: Scanner,
    /// Where the range ends, before its last record is completed.
    range_end: u64,
    /// What comes before the range's own records: a header.
    prefix: Bytes,
    /// Read from the store, not handed out yet; begins at the start of a record or in one.
    pending: BytesMut,
    phase: Phase,
    /// What the next range's reader guesses, which is to be checked.
    successor: Option<Speculation>,
}

/// How far a reader has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The first record is not found yet.
    Begin,
    Reading,
    Ended,
}

// === impl Reader ===

impl Reader {
    pub(crate) fn new(partition: Partition, location: Location) -> Self {
        let size = partition.object_size;
        let scanner = Scanner::new(partition.records);
        let end = partition.offset.saturating_add(partition.length).min(size);
        let (range, stop) = match &scanner {
            // What is exact is known without reading.
            Scanner::Fixed(fixed) => {
                let up = |at: u64| {
                    at.checked_next_multiple_of(fixed.bytes).map_or(size, |to| to.min(size))
                };
                (up(partition.offset)..up(end), up(end))
            }
            _ => (partition.offset..end, size),
        };
        Self {
            range_end: range.end,
            source: Source::new(partition, location, range, stop),
            scanner,
            prefix: Bytes::new(),
            pending: BytesMut::new(),
            phase: Phase::Begin,
            successor: None,
        }
    }

    pub(crate) fn partition(&self) -> &Partition {
        self.source.partition()
    }

    /// The next bytes, at most `max`; none at the end. Ends at a record's end unless one record is
    /// longer than `max`.
    pub(crate) async fn next(&mut self, max: usize, io: &Handle) -> Result<Bytes, Error> {
        if self.phase == Phase::Begin {
            self.phase = Phase::Reading;
            self.begin(io).await?;
        }
        if !self.prefix.is_empty() {
            return Ok(self.prefix.split_to(max.min(self.prefix.len())));
        }
        while self.phase == Phase::Reading {
            while self.pending.len() < max
                && self.source.position() < self.range_end
                && self.fetch(io).await?
            {}
            let window = &self.pending[..max.min(self.pending.len())];
            let last = relative(self.range_end, self.from());
            match self.scanner.cut(window, last) {
                Some(end) if end >= last => return self.finish(end, io).await,
                Some(end) if window.len() == max => {
                    self.scanner.reset();
                    return Ok(self.pending.split_to(end).freeze());
                }
                None if window.len() == max => {
                    self.scanner.pass(window);
                    return Ok(self.pending.split_to(max).freeze());
                }
                _ => {}
            }
            if !self.fetch(io).await? {
                return self.finish(self.pending.len(), io).await;
            }
        }
        Ok(Bytes::new())
    }

    /// Reads what the guest left, where what it read may only be trusted then.
    ///
    /// That the range after this one began at the right byte is seen at this one's end. A guest
    /// that reads no further than it wants must not take that away.
    pub(crate) async fn read_out(&mut self, io: &Handle) -> Result<(), Error> {
        let Records::Csv(_) = self.partition().records else { return Ok(()) };
        if self.range_end >= self.partition().object_size {
            return Ok(());
        }
        while !self.next(READ_OUT_BYTES, io).await?.is_empty() {}
        Ok(())
    }

    /// Hands out the range's last bytes.
    async fn finish(&mut self, end: usize, io: &Handle) -> Result<Bytes, Error> {
        self.phase = Phase::Ended;
        let from = self.from();
        let last = self.pending.split_to(end).freeze();
        self.pending.clear();
        self.check_successor(from + end as u64, io).await?;
        Ok(last)
    }

    /// Checks that the next range's reader will guess `start`, where its first record begins.
    async fn check_successor(&mut self, start: u64, io: &Handle) -> Result<(), Error> {
        let Some(mut successor) = self.successor.take() else { return Ok(()) };
        let guess = loop {
            if let Some(guess) = successor.answer() {
                break guess;
            }
            let at = self.source.position();
            match self.source.next_block(io).await? {
                Some(block) => successor.take(&block, at),
                None => successor.end(self.partition().object_size),
            }
        };
        if guess == start {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "{}: its CSV cannot be cut at byte {}, because where the next row begins cannot be \
                 told from there: the file is not as RFC 4180 says (a quote within a field that is \
                 not quoted?), or a quoted field near that byte is longer than {} KiB. Read the \
                 object whole, without cutting it; or as lines, if no field holds the end of a line",
                self.partition().object,
                self.range_end,
                UNDECIDED_BYTES_MAX >> 10,
            ),
        ))
    }

    /// Appends the next block of the object to `pending`; false where there is none.
    async fn fetch(&mut self, io: &Handle) -> Result<bool, Error> {
        let at = self.source.position();
        let Some(block) = self.source.next_block(io).await? else { return Ok(false) };
        self.append(&block, at);
        Ok(true)
    }

    fn append(&mut self, block: &[u8], at: u64) {
        if let Some(successor) = &mut self.successor {
            successor.take(block, at);
        }
        self.pending.extend_from_slice(block);
    }

    /// Where `pending` begins.
    fn from(&self) -> u64 {
        self.source.position() - self.pending.len() as u64
    }
}

/// How far `at` is from `from`: 0 if it is before, and more than any window holds if it is very far.
fn relative(at: u64, from: u64) -> usize {
    usize::try_from(at.saturating_sub(from)).unwrap_or(usize::MAX)
}
