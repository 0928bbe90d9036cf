//! Where the first record of a range begins.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use samara_core::{CsvOptions, Error, ErrorKind, Records};
use tokio::runtime::Handle;

use super::rows::{MARK_BYTES, header_end};
use super::scanner::Scanner;
use super::speculation::Speculation;
use super::{Phase, Reader, relative};

/// Bytes that a header may have. It is held in memory, and given to every partition.
const HEADER_BYTES_MAX: u64 = 1 << 20;

/// Bytes of the first request for a header; each further one doubles what was read.
const HEADER_BYTES: u64 = 64 << 10;

/// Bytes before a range in which it is looked for a place that no possible terminator straddles: at
/// first, which is nearly always enough, and at most.
const LOOK_BACK_BYTES: [u64; 2] = [4 << 10, 1 << 20];

impl Reader {
    /// Goes to the first record that begins in the range; ends the reader if there is none.
    pub(super) async fn begin(&mut self, io: &Handle) -> Result<(), Error> {
        let partition = self.partition();
        let (offset, size) = (partition.offset, partition.object_size);
        let checked = partition.records.check();
        checked
            .and_then(|()| partition.records.check_size(size))
            .map_err(|error| error.context(&partition.object))?;
        let start = match partition.records {
            Records::Bytes | Records::Fixed(_) => return Ok(()),
            Records::Csv(options) => return self.begin_csv(options, io).await,
            _ if offset == 0 => return Ok(()),
            _ => self.place_before(offset).await?,
        };
        self.source.move_to(start);
        match self.seek(io, |reader| reader.source.position() < reader.range_end).await? {
            Some(start) if start < self.range_end => Ok(()),
            _ => {
                self.phase = Phase::Ended;
                Ok(())
            }
        }
    }

    /// Where to begin to scan, so that all ends at `offset` and later are found.
    async fn place_before(&self, offset: u64) -> Result<u64, Error> {
        let Scanner::Sequence(sequence) = &self.scanner else { return Ok(offset - 1) };
        if !sequence.overlaps() {
            return Ok(offset.saturating_sub(sequence.len() as u64));
        }
        for bytes in LOOK_BACK_BYTES {
            let from = offset.saturating_sub(bytes);
            let window = self.source.read(from..offset).await?;
            if let Some(place) = sequence.settled(&window, from == 0) {
                return Ok(from + place as u64);
            }
            if from == 0 {
                return Ok(0);
            }
        }
        let object = &self.partition().object;
        Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "{object}: it cannot be cut at byte {offset}, because the {} KiB before it are \
                 terminators that overlap each other; read the object whole, without cutting it",
                LOOK_BACK_BYTES[1] >> 10
            ),
        ))
    }

    /// Scans from here to the start of the first record at or after the range's, and says where it
    /// is; none if `go_on` ended it.
    async fn seek(
        &mut self,
        io: &Handle,
        go_on: impl Fn(&Self) -> bool,
    ) -> Result<Option<u64>, Error> {
        let offset = self.partition().offset;
        loop {
            let from = self.from();
            let wanted = relative(offset, from);
            let cut = self.scanner.cut(&self.pending, wanted);
            if let Some(end) = cut {
                self.scanner.reset();
                self.pending.advance(end);
                if end >= wanted {
                    return Ok(Some(from + end as u64));
                }
            }
            self.scanner.pass(&self.pending);
            self.pending.clear();
            if !go_on(self) {
                return Ok(None);
            }
            if !self.fetch(io).await? {
                return Ok(Some(self.source.position()));
            }
        }
    }

    /// Reads the header, and finds the first row of the range's own.
    async fn begin_csv(&mut self, options: CsvOptions, io: &Handle) -> Result<(), Error> {
        let (offset, size) = (self.partition().offset, self.partition().object_size);
        // Up to here every reader knows the rows without a guess.
        let (known, after_header) = match options.header {
            true => self.read_header(options).await?,
            false => (MARK_BYTES, Bytes::new()),
        };
        if self.range_end < size && self.range_end > known {
            self.successor = Some(Speculation::new(options, self.range_end));
        }
        let start = if options.header && offset <= known {
            self.scanner.reset();
            self.source.move_to(known + after_header.len() as u64);
            self.append(&after_header, known);
            known
        } else if offset == 0 {
            0
        } else if offset <= known {
            self.source.move_to(0);
            self.seek(io, |_| true).await?.unwrap_or(size)
        } else {
            self.scanner.reset();
            self.speculate(Speculation::new(options, offset), io).await?
        };
        if start >= self.range_end && (offset > 0 || start > 0) {
            self.phase = Phase::Ended;
            self.check_successor(start, io).await?;
        }
        Ok(())
    }

    /// Puts the header before everything; says where it ends, and what of the bytes after it was
    /// read on the way.
    async fn read_header(&mut self, options: CsvOptions) -> Result<(u64, Bytes), Error> {
        let size = self.partition().object_size;
        let mut read = BytesMut::new();
        loop {
            let next = next_header_range(read.len() as u64, size);
            let is_all = next.end == size;
            if !next.is_empty() {
                read.extend_from_slice(&self.source.read(next).await?);
            }
            if let Some(end) = header_end(options, &read, is_all) {
                self.prefix = read.split_to(end).freeze();
                return Ok((end as u64, read.freeze()));
            }
            if read.len() as u64 >= HEADER_BYTES_MAX {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!(
                        "{}: its CSV's first row does not end within {} KiB; if it is no header, \
                         say that there is none, and if the quote is not '{}', which it is",
                        self.partition().object,
                        HEADER_BYTES_MAX >> 10,
                        options.quote.escape_ascii()
                    ),
                ));
            }
        }
    }

    /// Guesses where the range's first row begins, and goes there.
    async fn speculate(&mut self, mut guess: Speculation, io: &Handle) -> Result<u64, Error> {
        let offset = self.partition().offset;
        self.source.move_to(offset - 1);
        loop {
            if let Some(start) = guess.answer() {
                let skip = relative(start, self.from()).min(self.pending.len());
                self.pending.advance(skip);
                return Ok(start);
            }
            // Nothing before the earliest answer is needed, so that what is held is bounded.
            let skip = relative(guess.earliest(), self.from()).min(self.pending.len());
            self.pending.advance(skip);
            let at = self.source.position();
            match self.source.next_block(io).await? {
                Some(block) => {
                    guess.take(&block, at);
                    self.append(&block, at);
                }
                None => guess.end(self.partition().object_size),
            }
        }
    }
}

/// What to read next of a header of which `read` bytes were.
fn next_header_range(read: u64, size: u64) -> Range<u64> {
    read..(read * 2).clamp(HEADER_BYTES, HEADER_BYTES_MAX).min(size).max(read)
}
