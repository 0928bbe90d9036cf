//! Frames on their way back: together as the reply, or in parts by way of the store.

use std::sync::Arc;

use bytes::Bytes;
use samara_core::wire::Frame;
use samara_core::{Depot, Error};

use super::event::{PAYLOAD_BYTES_MAX, Reply, encode};
use crate::push::{encoded, undone};

/// The answer to one batch.
pub(super) struct Outgoing {
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
    pub(super) fn new(depot: &Arc<dyn Depot>, to: Option<String>, run: &str) -> Self {
        Self { depot: Arc::clone(depot), to, run: run.to_owned(), frames: Vec::new(), parts: 0 }
    }

    pub(super) fn add(&mut self, frame: &[u8]) {
        self.frames.extend_from_slice(frame);
    }

    /// What was added and not written.
    pub(super) fn frames(&mut self) -> &mut Vec<u8> {
        &mut self.frames
    }

    pub(super) fn can_be_parts(&self) -> bool {
        self.to.is_some()
    }

    pub(super) fn is_parts(&self) -> bool {
        self.parts > 0
    }

    /// Whether the reply would be longer than AWS takes.
    pub(super) fn is_too_long(&self) -> bool {
        self.frames.len() as u64 > PAYLOAD_BYTES_MAX
    }

    /// Writes a part: what there is, or a sign of life.
    ///
    /// # Errors
    ///
    /// What the store says. Nothing is lost with it: the next part has what this one would have had.
    pub(super) async fn write_part(&mut self) -> Result<(), Error> {
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
    pub(super) async fn is_cancelled(&self) -> bool {
        let Some(to) = &self.to else { return false };
        matches!(self.depot.get(&format!("{to}cancel"), None).await, Ok(Some(_)))
    }

    /// The reply, once all is added.
    ///
    /// # Errors
    ///
    /// What the store says, where that is where the rest goes.
    pub(super) async fn finish(mut self, waits: bool) -> Result<Reply, Error> {
        if waits && !self.is_parts() && (!self.is_too_long() || self.to.is_none()) {
            if self.is_too_long() {
                // Without a store there is no other way; the tasks are run again, fewer at a time.
                self.frames.clear();
                self.add(&undone("the answer would be longer than AWS takes"));
            }
            return Ok(Reply::Frames(encode(&self.frames)));
        }
        match self.write_part().await {
            Ok(()) => Ok(Reply::Parts),
            // Somebody waits, and is told here what the store does not take.
            Err(error) if waits && !self.is_too_long() => {
                tracing::warn!("an answer goes without the store: {error}");
                Ok(Reply::Frames(encode(&self.frames)))
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use samara_core::ErrorKind;

    use super::*;
    use crate::lambda::event::decode;
    use crate::testing::Shelf;

    fn away(failures: u32) -> (Arc<Shelf>, Outgoing) {
        let shelf = Arc::new(Shelf::away(failures));
        let depot = Arc::clone(&shelf) as Arc<dyn Depot>;
        let outgoing = Outgoing::new(&depot, Some("s/calls/1/".to_owned()), "run");
        (shelf, outgoing)
    }

    #[tokio::test]
    async fn what_a_store_did_not_take_goes_with_the_next_part() {
        let (shelf, mut outgoing) = away(1);
        outgoing.add(b"one");
        assert!(outgoing.write_part().await.is_err() && !outgoing.is_parts());
        outgoing.add(b"two");
        outgoing.write_part().await.unwrap();
        outgoing.add(b"three");
        assert_eq!(outgoing.finish(true).await.unwrap(), Reply::Parts);
        let objects = shelf.objects.lock().unwrap().clone();
        let name = |number: &str| format!("s/calls/1/run/{number}");
        let wanted = [("000000", "onetwo"), ("000001", "three")];
        let wanted = wanted.map(|(number, bytes)| (name(number), Bytes::from(bytes)));
        assert!(objects.into_iter().eq(wanted));
    }

    #[tokio::test]
    async fn who_waits_is_told_where_the_store_is_away() {
        let (_, mut outgoing) = away(1);
        outgoing.parts = 1;
        outgoing.add(b"the end");
        let Reply::Frames(text) = outgoing.finish(true).await.unwrap() else { panic!("frames") };
        assert_eq!(&decode(&text).unwrap()[..], b"the end");
        let (_, outgoing) = away(1);
        assert_eq!(outgoing.finish(false).await.unwrap_err().kind, ErrorKind::Store);
    }
}
