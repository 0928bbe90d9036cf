//! Asks for ranges at the ends of what numbers can say.

use samara_guest::{function, storage};

/// Offsets and lengths that sums and differences go wrong with.
pub const EDGES: &[u64] = &[
    0,
    1,
    9,
    10,
    11,
    1 << 31,
    1 << 32,
    (1 << 32) - 1,
    i64::MAX as u64,
    i64::MAX as u64 + 1,
    u64::MAX - 10,
    u64::MAX - 1,
    u64::MAX,
];

/// The bytes that each pair of an offset and a length gave; none where it was refused.
#[function]
pub fn reads_at_all_edges(url: String) -> Vec<(u64, u64, Option<samara_guest::Bytes>)> {
    let pairs = EDGES.iter().flat_map(|offset| EDGES.iter().map(move |length| (*offset, *length)));
    pairs
        .map(|(offset, length)| {
            let read = storage::get_range(&url, offset, length).ok();
            (offset, length, read.map(samara_guest::Bytes::from))
        })
        .collect()
}
