//! Makes the host keep parts of objects that are never finished.

use std::io::Write;

use samara_guest::storage::Writer;
use samara_guest::{Result, function};

/// Writes a megabyte to each of many writers, round and round.
#[function]
pub fn hoards(prefix: String, writers: u64) -> Result<()> {
    let piece = vec![1; 1 << 20];
    let open = |n| Writer::create(&format!("{prefix}{n}"));
    let mut all = (0..writers).map(open).collect::<Result<Vec<_>, _>>()?;
    loop {
        for writer in &mut all {
            writer.write_all(&piece)?;
        }
    }
}
