//! A runtime of somebody's own, as `docs/guide/adding-a-runtime.md` describes one: it needs nothing
//! but `samara-core`, and touches no other room. Its hosts are reached over plain TCP, with a
//! connection for each batch.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use samara_core::wire::{self, Frame, Frames};
use samara_core::{Batch, Cancel, Capacity, Error, ErrorKind, Observer, Reach, Runtime};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// How often it is looked whether a batch is still wanted, or a host has room again.
const LOOK: Duration = Duration::from_millis(20);

/// A host at an address.
#[derive(Debug)]
pub(crate) struct Plain {
    pub(crate) address: String,
    pub(crate) slots: usize,
}

/// What comes over a connection.
enum Came {
    Bytes(Vec<u8>),
    Busy,
    Failed(String),
}

#[async_trait]
impl Runtime for Plain {
    fn capacity(&self) -> Capacity {
        Capacity::new(self.slots, 256)
            .with_batch_time(Duration::from_millis(20))
            .with_batch_bytes_max(16 << 20)
    }

    fn reach(&self) -> Reach {
        Reach::Network
    }

    async fn invoke(
        &self,
        batch: Arc<Batch>,
        cancel: Cancel,
        observer: Arc<dyn Observer>,
    ) -> Result<(), Error> {
        let lost = |why: String| Error::new(ErrorKind::Lost, format!("{self}: {why}"));
        let body = wire::encode_batch(&batch)?;
        'again: loop {
            let stream = TcpStream::connect(&self.address).map_err(|e| lost(e.to_string()))?;
            let (mut told, mut frames) = (talk(&stream, body.to_vec()), Frames::default());
            loop {
                if cancel.is_cancelled() {
                    // The host sees that nobody listens, and stops.
                    drop(stream.shutdown(Shutdown::Both));
                    return Err(Error::new(ErrorKind::Cancelled, "the job was cancelled"));
                }
                let Ok(came) = tokio::time::timeout(LOOK, told.recv()).await else { continue };
                match came {
                    Some(Came::Bytes(bytes)) => frames.push(&bytes),
                    Some(Came::Busy) => {
                        tokio::time::sleep(LOOK).await;
                        continue 'again;
                    }
                    Some(Came::Failed(why)) => return Err(lost(why)),
                    None => return Err(lost("the answer broke off".to_owned())),
                }
                while let Some(frame) = frames.next_frame()? {
                    match frame {
                        Frame::Started => observer.started(),
                        Frame::Ended(reports) => observer.ended(reports),
                        Frame::Done => return Ok(()),
                        Frame::Failed(error) => return Err(error),
                        _ => {}
                    }
                }
            }
        }
    }
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plain://{}", self.address)
    }
}

/// Sends a batch on a thread of its own, and hands on what comes back.
fn talk(stream: &TcpStream, body: Vec<u8>) -> tokio::sync::mpsc::UnboundedReceiver<Came> {
    let (told, tells) = unbounded_channel();
    let stream = stream.try_clone().expect("a connection has two ends");
    thread::spawn(move || {
        if let Err(error) = exchange(stream, &body, &told) {
            // Whoever waited may be gone.
            let _gone = told.send(Came::Failed(error.to_string()));
        }
    });
    tells
}

/// HTTP/1.0: the body of the answer ends with the connection.
fn exchange(
    mut stream: TcpStream,
    body: &[u8],
    told: &UnboundedSender<Came>,
) -> std::io::Result<()> {
    let kind = wire::BATCH_TYPE;
    let head = format!(
        "POST /v1/batches HTTP/1.0\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = BufReader::new(stream);
    let mut status = String::new();
    answer.read_line(&mut status)?;
    match status.split(' ').nth(1) {
        Some("200") => {}
        Some("503") => {
            let _gone = told.send(Came::Busy);
            return Ok(());
        }
        _ => return Err(std::io::Error::other(format!("it answers {}", status.trim()))),
    }
    let mut line = String::from(" ");
    while !line.trim().is_empty() || line == " " {
        line.clear();
        answer.read_line(&mut line)?;
    }
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = answer.read(&mut buffer)?;
        if length == 0 || told.send(Came::Bytes(buffer[..length].to_vec())).is_err() {
            return Ok(());
        }
    }
}
