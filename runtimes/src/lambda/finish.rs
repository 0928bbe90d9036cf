//! The reply: frames together, or word that they are in the store.

use samara_core::Error;

use super::event::{PAYLOAD_BYTES_MAX, Reply};
use crate::mail::{Outgoing, PART_BYTES_MAX, encode};
use crate::push::undone;

// What the store did not take goes as the reply.
const _: () = assert!(PART_BYTES_MAX <= PAYLOAD_BYTES_MAX);

/// The reply to whoever waits, once all is added.
///
/// # Errors
///
/// What the store says, where that is where the rest goes.
pub(super) async fn finish(mut outgoing: Outgoing) -> Result<Reply, Error> {
    let is_too_long = outgoing.frames().len() as u64 > PAYLOAD_BYTES_MAX;
    if !outgoing.is_parts() && (!is_too_long || !outgoing.can_be_parts()) {
        if is_too_long {
            // Without a store there is no other way; the tasks are run again, fewer at a time.
            outgoing.frames().clear();
            outgoing.add(&undone("the answer would be longer than AWS takes"));
        }
        return Ok(Reply::Frames(encode(outgoing.frames())));
    }
    match outgoing.write_part().await {
        Ok(()) => Ok(Reply::Parts),
        // Somebody waits, and is told here what the store does not take.
        Err(error) if !is_too_long => {
            tracing::warn!("an answer goes without the store: {error}");
            Ok(Reply::Frames(encode(outgoing.frames())))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use samara_core::Depot;

    use super::*;
    use crate::mail::decode;
    use crate::testing::Shelf;

    #[tokio::test]
    async fn who_waits_is_told_where_the_store_is_away() {
        let shelf = Arc::new(Shelf::default());
        let depot = Arc::clone(&shelf) as Arc<dyn Depot>;
        let mut outgoing = Outgoing::new(&depot, Some("s/calls/1/".to_owned()), "run");
        outgoing.write_part().await.unwrap();
        outgoing.add(b"the end");
        *shelf.failures.lock().unwrap() = 1;
        let Reply::Frames(text) = finish(outgoing).await.unwrap() else { panic!("frames") };
        assert_eq!(&decode(&text).unwrap()[..], b"the end");
    }

    #[tokio::test]
    async fn who_waits_is_told_that_the_rest_is_in_the_store() {
        let depot = Arc::<Shelf>::default() as Arc<dyn Depot>;
        let mut outgoing = Outgoing::new(&depot, Some("s/calls/1/".to_owned()), "run");
        outgoing.write_part().await.unwrap();
        assert_eq!(finish(outgoing).await.unwrap(), Reply::Parts);
    }
}
