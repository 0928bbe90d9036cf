//! A function that starts others, so that a driver reaches thousands through a few.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use samara_core::{Depot, Error};
use tokio::time::timeout;

use super::door::Door;
use super::event::{Ask, QUEUED_BYTES_MAX, not_started};
use super::wave::GROUP_BYTES_MAX;
use crate::mail::{Call, Outgoing, Source};
use crate::push::undone;

/// Functions that are started side by side.
const STARTS: usize = 32;

/// How long a function tries to start another, where AWS says that there are too many.
const START_MAX: Duration = Duration::from_mins(1);

/// Starts a function for each call. Of one that is not started, its driver is told.
pub(super) async fn start(door: Door, depot: &Arc<dyn Depot>, calls: Vec<Call>, run: &str) {
    let Some(first) = calls.first() else { return };
    let bytes = match &first.batch {
        // All lie in one object, which is no longer than that.
        Source::Stored { url, .. } => {
            depot.get(url, Some(0..GROUP_BYTES_MAX as u64)).await.unwrap_or_default()
        }
        Source::Inline(_) => None,
    };
    let (door, bytes) = (&door, bytes.as_ref());
    let started = stream::iter(calls).map(|call| async move {
        let (to, ask) = (call.to.clone(), Ask::Queued(with_bytes(call, bytes)));
        let why = match timeout(START_MAX, door.queue(ask)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.message,
            Err(_) => format!("AWS refused for {START_MAX:?}"),
        };
        if let Err(error) = tell(depot, to, run, &why).await {
            tracing::error!("a batch that was not started is not told of: {error}");
        }
    });
    started.buffer_unordered(STARTS).collect::<()>().await;
}

/// The call with its batch in it, where that fits into an event.
fn with_bytes(call: Call, bytes: Option<&Bytes>) -> Call {
    let Source::Stored { range, .. } = &call.batch else { return call };
    let length = range.end.saturating_sub(range.start);
    let range = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
    let part = range.and_then(|(start, end)| bytes?.get(start..end));
    match part.filter(|_| length <= QUEUED_BYTES_MAX) {
        Some(part) => Call { batch: Source::inline(part), ..call },
        None => call,
    }
}

async fn tell(
    depot: &Arc<dyn Depot>,
    to: Option<String>,
    run: &str,
    why: &str,
) -> Result<(), Error> {
    let mut outgoing = Outgoing::new(depot, to, run);
    outgoing.add(&undone(&not_started(why)));
    outgoing.write_part().await
}

#[cfg(test)]
mod tests {
    use samara_core::{ErrorKind, Observer, Reports};

    use super::*;
    use crate::lambda::event::{ENDING, is_not_started};
    use crate::mail::Told;
    use crate::testing::Shelf;

    struct Nobody;

    impl Observer for Nobody {
        fn ended(&self, _: Reports) {}
    }

    /// How a batch ended, by its frames.
    fn ended(frames: &[u8]) -> Error {
        Told::new(Arc::new(Nobody)).push(frames).expect("an end").expect_err("it was not begun")
    }

    #[tokio::test]
    async fn a_driver_knows_a_function_that_starts_no_other_from_one_that_takes_nothing_now() {
        let shelf = Arc::new(Shelf::default());
        let depot = Arc::clone(&shelf) as Arc<dyn Depot>;
        tell(&depot, Some("s/1/".to_owned()), "run", "AccessDenied").await.unwrap();
        let told: Vec<Bytes> = shelf.objects.lock().unwrap().values().cloned().collect();
        assert_eq!(told.len(), 1);
        let error = ended(&told[0]);
        assert!(is_not_started(&error) && error.message.contains("AccessDenied"), "{error}");
        // As a host writes them.
        for why in [ENDING, "the quota of acme on batches is used up"] {
            let error = ended(&undone(why));
            assert_eq!(error.kind, ErrorKind::HandedBack);
            assert!(!is_not_started(&error), "{error}");
        }
    }
}
