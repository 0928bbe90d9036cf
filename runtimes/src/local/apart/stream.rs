//! Messages on their way through a socket.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use bytes::Bytes;
use samara_core::link::Messages;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 64 << 10;

/// The end of a socket that messages come out of.
pub(super) struct Incoming {
    stream: Arc<UnixStream>,
    messages: Messages,
    piece: Vec<u8>,
}

// === impl Incoming ===

impl Incoming {
    pub(super) fn new(stream: Arc<UnixStream>) -> Self {
        Self { stream, messages: Messages::default(), piece: vec![0; PIECE_BYTES] }
    }

    /// The next message; none when the other side has closed. May be dropped and called again.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, String> {
        loop {
            match self.messages.next_message() {
                Ok(None) => {}
                Ok(message) => return Ok(message),
                Err(error) => return Err(error.message),
            }
            self.stream.readable().await.map_err(|error| error.to_string())?;
            match self.stream.try_read(&mut self.piece) {
                Ok(0) if self.messages.is_within() => return Err("it broke off".to_owned()),
                Ok(0) => return Ok(None),
                Ok(length) => self.messages.push(&self.piece[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

/// Sends what comes, until nobody sends any more or nobody reads.
pub(super) async fn send_all(
    stream: Arc<UnixStream>,
    mut outgoing: mpsc::UnboundedReceiver<Bytes>,
) {
    while let Some(message) = outgoing.recv().await {
        if let Err(error) = send(&stream, &message).await {
            // Whoever reads from it notices too.
            tracing::debug!("a message was not sent: {error}");
            return;
        }
    }
}

async fn send(stream: &UnixStream, mut left: &[u8]) -> io::Result<()> {
    while !left.is_empty() {
        stream.writable().await?;
        match stream.try_write(left) {
            Ok(length) => left = &left[length..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
