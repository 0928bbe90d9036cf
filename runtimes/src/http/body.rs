//! Bodies of requests, within bounds of size, of time, and of what all of them take together.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::BYTES_PER_SECOND;
use crate::push::REQUEST_BYTES_MAX;

/// How long a client may take to send a body, beside the time that its bytes take.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Bytes that the bodies of all requests under way take at most, where it is known who asks. Whoever
/// comes beyond is told to come again.
const KNOWN_BYTES: usize = 1 << 30;

/// The same where it is not known yet, because the ticket is in the body's envelope.
const UNKNOWN_BYTES: usize = 256 << 20;

/// Memory for the bodies of requests.
#[derive(Debug)]
pub(super) struct Bodies {
    known: Arc<Semaphore>,
    unknown: Arc<Semaphore>,
}

/// A body, and the memory that it takes, which is free again with it.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _memory: Option<OwnedSemaphorePermit>,
}

/// Why a body was not read: a status, and words.
pub(super) type Unread = (StatusCode, String);

// === impl Bodies ===

impl Bodies {
    pub(super) fn new() -> Self {
        let room = |bytes| Arc::new(Semaphore::new(bytes));
        Self { known: room(KNOWN_BYTES), unknown: room(UNKNOWN_BYTES) }
    }

    /// Reads a body.
    ///
    /// # Errors
    ///
    /// Where it is too long, takes too long, breaks off, or finds no memory.
    pub(super) async fn read<B>(&self, body: B, is_known: bool) -> Result<Held, Unread>
    where
        B: Body<Data = Bytes, Error: std::fmt::Display> + Unpin,
    {
        let said = body.size_hint().lower();
        if said > REQUEST_BYTES_MAX {
            return Err(too_large());
        }
        let room = if is_known { &self.known } else { &self.unknown };
        let time = BODY_TIME + Duration::from_secs(said / BYTES_PER_SECOND);
        let read = tokio::time::timeout(time, gather(body, room)).await;
        let late = |_| (StatusCode::REQUEST_TIMEOUT, format!("no body came for {time:?}\n"));
        read.map_err(late)?
    }
}

/// Takes memory as bytes come, so that nobody holds it by a promise.
async fn gather<B>(mut body: B, room: &Arc<Semaphore>) -> Result<Held, Unread>
where
    B: Body<Data = Bytes, Error: std::fmt::Display> + Unpin,
{
    let (mut bytes, mut memory) = (BytesMut::new(), None::<OwnedSemaphorePermit>);
    while let Some(frame) = body.frame().await {
        let broke = |error| (StatusCode::BAD_REQUEST, format!("the body broke off: {error}\n"));
        let Ok(data) = frame.map_err(broke)?.into_data() else { continue };
        if bytes.len() as u64 + data.len() as u64 > REQUEST_BYTES_MAX {
            return Err(too_large());
        }
        let more = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let full = |_| (StatusCode::SERVICE_UNAVAILABLE, "busy: too many bodies\n".to_owned());
        let more = Arc::clone(room).try_acquire_many_owned(more).map_err(full)?;
        match &mut memory {
            Some(memory) => memory.merge(more),
            None => memory = Some(more),
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Held { bytes: bytes.freeze(), _memory: memory })
}

fn too_large() -> Unread {
    let why = format!("a request may have {REQUEST_BYTES_MAX} bytes\n");
    (StatusCode::PAYLOAD_TOO_LARGE, why)
}

#[cfg(test)]
mod tests {
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn of(bytes: usize) -> Full<Bytes> {
        Full::new(vec![7; bytes].into())
    }

    fn status(read: Result<Held, Unread>) -> u16 {
        read.expect_err("a refusal").0.as_u16()
    }

    #[tokio::test]
    async fn bodies_take_no_more_memory_together_than_there_is() {
        let bodies = Bodies { known: Arc::new(Semaphore::new(100)), ..Bodies::new() };
        let first = bodies.read(of(60), true).await.unwrap();
        assert_eq!(first.bytes.len(), 60);
        assert_eq!(status(bodies.read(of(60), true).await), 503);
        // What was refused holds nothing, and strangers have memory of their own.
        assert_eq!(bodies.known.available_permits(), 40);
        bodies.read(of(60), false).await.unwrap();
        drop(first);
        bodies.read(of(60), true).await.unwrap();
        assert_eq!(bodies.known.available_permits(), 100);
        assert_eq!(bodies.unknown.available_permits(), UNKNOWN_BYTES);
    }

    #[tokio::test]
    async fn a_body_is_as_long_as_it_says_or_not_too_long() {
        let bodies = Bodies::new();
        let most = usize::try_from(REQUEST_BYTES_MAX).unwrap();
        assert_eq!(status(bodies.read(of(most + 1), true).await), 413);
        // One that does not say how long it is.
        let megabyte = Bytes::from(vec![0; 1 << 20]);
        let frames = (0..=most >> 20).map(move |_| Ok::<_, String>(Frame::data(megabyte.clone())));
        let endless = StreamBody::new(futures::stream::iter(frames));
        assert_eq!(status(bodies.read(endless, true).await), 413);
        let broken = futures::stream::iter([Ok(Frame::data(Bytes::new())), Err("gone")]);
        assert_eq!(status(bodies.read(StreamBody::new(broken), true).await), 400);
        assert_eq!(bodies.known.available_permits(), KNOWN_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let silent = StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, String>>());
        assert_eq!(status(Bodies::new().read(silent, false).await), 408);
    }
}
