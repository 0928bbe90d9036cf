//! Doors for tests that feed strangers' bytes to what has no other door (feature `inside`). Releases
//! have none of it.

use bytes::Bytes;
use samara_core::{Error, Partition};
use samara_store::Location;
use tokio::runtime::Handle;

use crate::partition::Reader;

/// Reads a partition as a guest does, at most `max` bytes at a time.
///
/// # Errors
///
/// Where the partition is none of the object's, or its records cannot be cut so.
pub async fn read_partition(
    partition: Partition,
    location: Location,
    max: usize,
    io: &Handle,
) -> Result<Vec<Bytes>, Error> {
    let mut reader = Reader::new(partition, location);
    let mut chunks = Vec::new();
    loop {
        let chunk = reader.next(max, io).await?;
        if chunk.is_empty() {
            return Ok(chunks);
        }
        chunks.push(chunk);
    }
}
