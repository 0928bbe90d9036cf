//! `samara:function/partition`: the task's part of the input.

use std::time::Duration;

use bytes::Bytes;

use crate::bindings::samara::function::partition::{Description, Host};
use crate::bindings::samara::function::types::Error;
use crate::failure::Stop;
use crate::partition::Reader;
use crate::state::State;

/// Bytes that one pull may ask for. Beyond a few MiB a larger copy is no faster, and each pull is
/// held twice, by the host and by the guest.
const CHUNK_BYTES_MAX: u32 = 8 << 20;

/// The partition of one task, if it has one.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) index: u64,
    pub(crate) count: u64,
    pub(crate) reader: Option<Reader>,
    pub(crate) bytes_read: u64,
    /// Time that the guest waited for it.
    pub(crate) waited: Duration,
}

impl Host for State {
    fn describe(&mut self) -> wasmtime::Result<Description> {
        self.calls += 1;
        let Granted { index, count, ref reader, .. } = self.partition;
        let partition = reader.as_ref().map(Reader::partition);
        Ok(Description {
            object: partition.map(|p| p.object.clone()),
            offset: partition.map_or(0, |p| p.offset),
            length: partition.map_or(0, |p| p.length),
            index,
            count,
            object_size: partition.map_or(0, |p| p.object_size),
        })
    }

    fn read(&mut self, max: u32) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        self.calls += 1;
        let Some(reader) = &mut self.partition.reader else {
            return Ok(Err(Error::Invalid("the task has no partition".to_owned())));
        };
        let max = max.clamp(1, CHUNK_BYTES_MAX) as usize;
        let before = self.patience.now();
        let pulled = self.patience.wait(reader.next(max, self.patience.io()));
        self.partition.waited += self.patience.now().saturating_sub(before);
        // A platform failure ends the guest here: it is not the function's to handle, and would
        // otherwise come back as an error of the user's.
        let chunk: Bytes = match pulled {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(error)) => return Err(wasmtime::Error::new(Stop::Platform(error))),
            Err(stop) => return Err(wasmtime::Error::new(stop)),
        };
        self.partition.bytes_read += chunk.len() as u64;
        self.budget.bytes(chunk.len() as u64).map_err(wasmtime::Error::new)?;
        Ok(Ok(chunk.into()))
    }
}

/// Reads what the guest left of its partition, where others' partitions depend on it.
pub(crate) fn read_out(state: &mut State) -> Result<(), Stop> {
    let Some(reader) = &mut state.partition.reader else { return Ok(()) };
    match state.patience.wait(reader.read_out(state.patience.io())) {
        Ok(read) => read.map_err(Stop::Platform),
        Err(stop) => Err(stop),
    }
}
