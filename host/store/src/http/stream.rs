//! A request whose body comes piece by piece, while it is on its way.

use std::io;

use bytes::Bytes;
use futures::stream;
use reqwest::{Body, Response};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::{Error, Result};

/// Bytes of a piece at most.
const PIECE_BYTES_MAX: usize = 1 << 20;

/// Pieces that wait for the server. Who sends another one waits too.
const PIECES_AT_ONCE: usize = 4;

/// A request whose body is under way. Without the end of it, which is `None`, the body breaks off:
/// a server can tell half of one from the whole. Dropping it does that.
#[derive(Debug)]
pub(crate) struct Streamed {
    pieces: mpsc::Sender<Option<Bytes>>,
    answer: JoinHandle<Result<Response>>,
}

// === impl Streamed ===

impl Streamed {
    /// Begins the request, in a task of its own.
    pub(crate) fn begin<F>(request: impl FnOnce(Body) -> F) -> Self
    where
        F: Future<Output = Result<Response>> + Send + 'static,
    {
        let (pieces, received) = mpsc::channel(PIECES_AT_ONCE);
        let answer = tokio::spawn(request(Body::wrap_stream(body_of(received))));
        Self { pieces, answer }
    }

    /// Sends bytes as fast as the server takes them. False where the request has ended before its
    /// body, of which the answer says why.
    pub(crate) async fn send(&self, mut bytes: Bytes) -> bool {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE_BYTES_MAX));
            if self.pieces.send(Some(piece)).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Says that all was sent.
    pub(crate) async fn end(&self) -> bool {
        self.pieces.send(None).await.is_ok()
    }

    /// The answer, which comes after the end.
    pub(crate) async fn answer(mut self, location: &str) -> Result<Response> {
        match (&mut self.answer).await {
            Ok(answer) => answer,
            Err(error) => Err(Error::unavailable(location, error)),
        }
    }

    /// Breaks the body off, and waits until nothing is sent any more.
    pub(crate) async fn break_off(mut self) {
        self.answer.abort();
        // What it came to does not matter any more.
        drop((&mut self.answer).await);
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        self.answer.abort();
    }
}

/// The pieces as they come; an error where they end without an end.
fn body_of(
    pieces: mpsc::Receiver<Option<Bytes>>,
) -> impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        match pieces.recv().await {
            Some(Some(piece)) => Some((Ok(piece), Some(pieces))),
            Some(None) => None,
            None => Some((Err(io::Error::other("the writer was dropped")), None)),
        }
    })
}
