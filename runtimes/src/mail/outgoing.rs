//! Frames on their way back, in parts by way of the store.

use std::sync::Arc;

use bytes::Bytes;
use samara_core::wire::Frame;
use samara_core::{Depot, Error};

use crate::push::encoded;

/// Bytes of frames from which on a part is written at once: no more than fits into the reply of any
/// platform, as which the rest may go where the store is away.
pub(crate) const PART_BYTES_MAX: u64 = 4_400_000;

/// The answer to one batch.
pub(crate) struct Outgoing {
    depot: Arc<dyn Depot>,
    /// The URL that parts are named after; without it there are none.
    to: Option<String>,
    /// Which run of the batch it is.
    run: String,
    frames: Vec<u8>,
    parts: u64,
}

// === impl Outgoing ===

impl Outgoing {
    pub(crate) fn new(depot: &Arc<dyn Depot>, to: Option<String>, run: &str) -> Self {
        Self { depot: Arc::clone(depot), to, run: run.to_owned(), frames: Vec::new(), parts: 0 }
    }

    pub(crate) fn add(&mut self, frame: &[u8]) {
        self.frames.extend_from_slice(frame);
    }

    /// What was added and not written.
    pub(crate) fn frames(&mut self) -> &mut Vec<u8> {
        &mut self.frames
    }

    pub(crate) fn can_be_parts(&self) -> bool {
        self.to.is_some()
    }

    pub(crate) fn is_parts(&self) -> bool {
        self.parts > 0
    }

    /// Whether it is time for a part.
    pub(crate) fn is_long(&self) -> bool {
        self.frames.len() as u64 > PART_BYTES_MAX
    }

    /// Writes a part: what there is, or a sign of life.
    ///
    /// # Errors
    ///
    /// What the store says. Nothing is lost with it: the next part has what this one would have had.
    pub(crate) async fn write_part(&mut self) -> Result<(), Error> {
        let Some(to) = &self.to else { return Ok(()) };
        if self.frames.is_empty() {
            self.frames.extend_from_slice(&encoded(&Frame::Alive));
        }
        let url = format!("{to}{}/{:06}", self.run, self.parts);
        let frames = Bytes::from(std::mem::take(&mut self.frames));
        let put = self.depot.put(&url, frames.clone()).await;
        match put {
            Ok(()) => self.parts += 1,
            Err(_) => self.frames = frames.into(),
        }
        put
    }

    /// Whether the driver does not want the batch any more.
    pub(crate) async fn is_cancelled(&self) -> bool {
        let Some(to) = &self.to else { return false };
        matches!(self.depot.get(&format!("{to}cancel"), None).await, Ok(Some(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Shelf;

    #[tokio::test]
    async fn what_a_store_did_not_take_goes_with_the_next_part() {
        let shelf = Arc::new(Shelf::away(1));
        let depot = Arc::clone(&shelf) as Arc<dyn Depot>;
        let mut outgoing = Outgoing::new(&depot, Some("s/calls/1/".to_owned()), "run");
        outgoing.add(b"one");
        assert!(outgoing.write_part().await.is_err() && !outgoing.is_parts());
        outgoing.add(b"two");
        outgoing.write_part().await.unwrap();
        outgoing.add(b"three");
        outgoing.write_part().await.unwrap();
        let objects = shelf.objects.lock().unwrap().clone();
        let name = |number: &str| format!("s/calls/1/run/{number}");
        let wanted = [("000000", "onetwo"), ("000001", "three")];
        let wanted = wanted.map(|(number, bytes)| (name(number), Bytes::from(bytes)));
        assert!(objects.into_iter().eq(wanted));
    }
}
