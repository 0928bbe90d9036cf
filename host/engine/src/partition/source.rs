//! An object's bytes in their order, read ahead of who wants them.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use samara_core::{Error, ErrorKind, Partition};
use samara_store::{Location, StoreExt};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::failure::store_error;

/// Bytes that one request to the store asks for. Large enough that a request's fixed cost is small,
/// little enough that a task holds few MiB.
const BLOCK_BYTES: u64 = 2 << 20;

/// Bytes of the first request past the range's end, where mostly one record's rest is wanted. Each
/// further one asks for as much as those before it together, up to a block, so that a long record
/// takes few requests.
const TAIL_BYTES: u64 = 64 << 10;

/// Reads on through one object.
#[derive(Debug)]
pub(super) struct Source {
    partition: Arc<Partition>,
    location: Arc<Location>,
    /// Next byte to read.
    position: u64,
    /// Up to here everything is wanted.
    range_end: u64,
    /// From here on nothing is.
    stop: u64,
    ahead: Option<Ahead>,
}

/// A request that is under way while the guest computes.
#[derive(Debug)]
struct Ahead(Range<u64>, JoinHandle<Result<Bytes, Error>>);

// === impl Source ===

impl Source {
    /// Reads `range`, and on to `stop` as long as it is asked.
    pub(super) fn new(
        partition: Partition,
        location: Location,
        range: Range<u64>,
        stop: u64,
    ) -> Self {
        Self {
            partition: Arc::new(partition),
            location: Arc::new(location),
            position: range.start,
            range_end: range.end,
            stop,
            ahead: None,
        }
    }

    pub(super) fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Where the next block begins.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Reads on from elsewhere.
    pub(super) fn move_to(&mut self, position: u64) {
        self.position = position;
    }

    /// The next block; none at the end.
    pub(super) async fn next_block(&mut self, io: &Handle) -> Result<Option<Bytes>, Error> {
        let range = self.block(self.position);
        if range.is_empty() {
            return Ok(None);
        }
        let block = match self.ahead.take() {
            Some(Ahead(ahead, task)) if ahead == range => task.await.unwrap_or_else(|error| {
                Err(Error::new(ErrorKind::Lost, format!("reading ahead failed: {error}")))
            })?,
            _ => self.read(range).await?,
        };
        self.position += block.len() as u64;
        let next = self.block(self.position);
        if !next.is_empty() && self.position < self.range_end {
            let (location, partition) = (Arc::clone(&self.location), Arc::clone(&self.partition));
            self.ahead = Some(Ahead(next.clone(), io.spawn(read(location, partition, next))));
        }
        Ok(Some(block))
    }

    /// Bytes from anywhere in the object, apart from the blocks.
    pub(super) async fn read(&self, range: Range<u64>) -> Result<Bytes, Error> {
        read(Arc::clone(&self.location), Arc::clone(&self.partition), range).await
    }

    /// The range of the request that begins at `position`.
    fn block(&self, position: u64) -> Range<u64> {
        let soft_end = match position.checked_sub(self.range_end) {
            None => self.range_end.min(position + BLOCK_BYTES),
            Some(past) => position + past.clamp(TAIL_BYTES, BLOCK_BYTES),
        };
        position..soft_end.min(self.stop).max(position)
    }
}

impl Drop for Source {
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
