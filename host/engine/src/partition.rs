//! A partition's bytes, aligned to records on the host's side and read ahead of the guest.
//!
//! A record belongs to the range in which it begins. So a reader whose range does not begin at the
//! object's start skips what its predecessor finishes, and every reader goes on past its range's
//! end until the record that began inside is complete: whatever the cut, each record is seen once.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use samara_core::{Error, ErrorKind, Partition, Records};
use samara_store::{Location, StoreExt};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::failure::store_error;

/// Bytes that one request to the store asks for. Large enough that a request's fixed cost is small,
/// little enough that a task holds few MiB.
const BLOCK_BYTES: u64 = 2 << 20;

/// Bytes per request past the range's end, where mostly one record's rest is wanted.
const TAIL_BYTES: u64 = 64 << 10;

/// Pulls one partition.
#[derive(Debug)]
pub(crate) struct Reader {
    partition: Arc<Partition>,
    location: Arc<Location>,
    /// Read from the store, not handed out yet; begins at the start of a record or in one.
    pending: BytesMut,
    /// Bytes at the front of `pending` in which no record's end is.
    searched: usize,
    /// Next byte to read.
    position: u64,
    /// Where reading stops: known at first only for the last range of an object.
    end: Option<u64>,
    /// Whether the start was aligned.
    aligned: bool,
    ahead: Option<Ahead>,
}

/// A request that is under way while the guest computes.
#[derive(Debug)]
struct Ahead(Range<u64>, JoinHandle<Result<Bytes, Error>>);

// === impl Reader ===

impl Reader {
    pub(crate) fn new(partition: Partition, location: Location) -> Self {
        let range_end = partition.offset.saturating_add(partition.length);
        let last = range_end >= partition.object_size;
        let exact = partition.records != Records::Lines;
        let aligned = exact || partition.offset == 0;
        Self {
            position: if aligned { partition.offset } else { partition.offset - 1 },
            end: (exact || last).then_some(range_end.min(partition.object_size)),
            aligned,
            partition: Arc::new(partition),
            location: Arc::new(location),
            pending: BytesMut::new(),
            searched: 0,
            ahead: None,
        }
    }

    pub(crate) fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The next bytes, at most `max`; none at the end. Ends at a record's end unless one record is
    /// longer than `max`.
    pub(crate) async fn next(&mut self, max: usize, io: &Handle) -> Result<Bytes, Error> {
        if !self.aligned {
            self.align(io).await?;
        }
        while self.pending.len() < max && self.fetch(io).await? {}
        self.searched = 0;
        let cut = match self.pending.get(..max) {
            _ if self.partition.records != Records::Lines => self.pending.len().min(max),
            None => self.pending.len(),
            Some(window) => memchr::memrchr(b'\n', window).map_or(max, |end| end + 1),
        };
        Ok(self.pending.split_to(cut).freeze())
    }

    /// Skips to the first record that begins in the range.
    async fn align(&mut self, io: &Handle) -> Result<(), Error> {
        self.aligned = true;
        let range_end = self.range_end();
        // A record begins in the range where the byte before its start, at `range_end - 2` at the
        // latest, ends a line.
        loop {
            let from = self.position - self.pending.len() as u64;
            let window = range_end.saturating_sub(1).saturating_sub(from);
            let window = self.pending.len().min(usize::try_from(window).unwrap_or(usize::MAX));
            if let Some(end) = memchr::memchr(b'\n', &self.pending[..window]) {
                let _ = self.pending.split_to(end + 1);
                self.find_end(from + end as u64 + 1);
                return Ok(());
            }
            if from + window as u64 >= range_end.saturating_sub(1) {
                self.pending.clear();
                self.end = Some(self.position);
                return Ok(());
            }
            self.pending.clear();
            if !self.fetch_block(io).await? {
                self.end = Some(self.position);
                return Ok(());
            }
        }
    }

    /// Reads on; false at the end. Stops at the end of the record that is the range's last.
    async fn fetch(&mut self, io: &Handle) -> Result<bool, Error> {
        if !self.fetch_block(io).await? {
            return Ok(false);
        }
        self.find_end(self.position - self.pending.len() as u64);
        Ok(true)
    }

    /// Looks in `pending`, which begins at byte `from`, for the end of the range's last record.
    fn find_end(&mut self, from: u64) {
        if self.end.is_some() || self.position < self.range_end() {
            return;
        }
        // The last record's end stands at the range's last byte at the earliest.
        let first = self.range_end().saturating_sub(1).saturating_sub(from);
        let first = usize::try_from(first).unwrap_or(usize::MAX).max(self.searched);
        let Some(rest) = self.pending.get(first..) else { return };
        match memchr::memchr(b'\n', rest) {
            Some(end) => {
                self.pending.truncate(first + end + 1);
                self.end = Some(from + (first + end) as u64 + 1);
                self.position = from + self.pending.len() as u64;
                self.ahead = None;
            }
            None => self.searched = self.pending.len(),
        }
        if self.position >= self.partition.object_size {
            self.end = self.end.or(Some(self.position));
        }
    }

    /// Appends the next block of the object to `pending`; false where there is none.
    async fn fetch_block(&mut self, io: &Handle) -> Result<bool, Error> {
        let range = self.block(self.position);
        if range.is_empty() {
            return Ok(false);
        }
        let block = match self.ahead.take() {
            Some(Ahead(ahead, task)) if ahead == range => task.await.unwrap_or_else(|error| {
                Err(Error::new(ErrorKind::Lost, format!("reading ahead failed: {error}")))
            })?,
            _ => {
                read(Arc::clone(&self.location), Arc::clone(&self.partition), range.clone()).await?
            }
        };
        self.position += block.len() as u64;
        self.pending.extend_from_slice(&block);
        let next = self.block(self.position);
        if !next.is_empty() && self.position < self.range_end() {
            let task = read(Arc::clone(&self.location), Arc::clone(&self.partition), next.clone());
            self.ahead = Some(Ahead(next, io.spawn(task)));
        }
        Ok(true)
    }

    /// The range of the request that begins at `position`.
    fn block(&self, position: u64) -> Range<u64> {
        let stop = self.end.unwrap_or(self.partition.object_size);
        let soft_end = match position < self.range_end() {
            true => self.range_end().min(position + BLOCK_BYTES),
            false => position + TAIL_BYTES,
        };
        position..soft_end.min(stop).max(position)
    }

    fn range_end(&self) -> u64 {
        self.partition.offset.saturating_add(self.partition.length).min(self.partition.object_size)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(Ahead(_, task)) = &self.ahead {
            task.abort();
        }
    }
}

/// Reads exactly `range` of the object as it was when the job was planned.
async fn read(
    location: Arc<Location>,
    partition: Arc<Partition>,
    range: Range<u64>,
) -> Result<Bytes, Error> {
    let doing = |error: &samara_store::Error| {
        store_error(error).context(format_args!("reading partition {partition}"))
    };
    let etag = Some(partition.etag.as_str());
    let bytes = location
        .store
        .read_range(&location.key, range.clone(), etag)
        .await
        .map_err(|error| doing(&error))?;
    if bytes.len() as u64 == range.end - range.start {
        return Ok(bytes);
    }
    let message =
        format!("reading partition {partition}: the object ends before byte {}", range.end);
    Err(Error::new(ErrorKind::Changed, message))
}
