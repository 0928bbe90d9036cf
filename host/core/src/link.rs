//! What a host and the process that runs a tenant's tasks say to each other, where each tenant has
//! a process of its own.
//!
//! Messages are CBOR, each behind its length as frames are. Both sides are the same program, so there
//! are no versions. The host believes a process what concerns its own tenant's tasks, and nothing
//! else: whatever it says, no other tenant is touched by it.

use bytes::{Buf, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::wire::{self, Frame, PREFIX_BYTES};
use crate::{Error, ErrorKind, Share, Usage};

/// Bytes of one message at most: compiled code, of which there may be 1 GiB, is the longest.
pub const MESSAGE_BYTES_MAX: usize = (1 << 30) + (1 << 20);

/// What a host says.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToWorker {
    /// A batch is to be run.
    Begin {
        /// By which it is known from here on.
        number: u64,
        /// What the tenant may have now.
        share: Share,
        /// The batch, as it travels.
        batch: Bytes,
    },
    /// A batch is not wanted any more.
    Cancel(u64),
    /// A quota of the tenant's is used up: no task begins until the next batch comes.
    UsedUp,
    /// So many tasks may compute at the same moment from now on: other processes have a share.
    Allot(usize),
    /// The answer to a question.
    Answer {
        /// The question's number.
        number: u64,
        /// The answer, or why there is none.
        answer: Result<Bytes, Error>,
    },
}

/// What a process says.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromWorker {
    /// It has restricted itself, and takes batches.
    Ready(Vec<Protection>),
    /// It cannot run guests.
    Unfit(Error),
    /// A part of the answer to a batch.
    Frame {
        /// The batch's number.
        number: u64,
        /// What its driver is told.
        frame: Frame,
    },
    /// What a task used, before its report.
    Used(Usage),
    /// Something is wanted that the process cannot do, or must not have, itself.
    Ask {
        /// By which the answer is known.
        number: u64,
        /// What is wanted.
        question: Question,
    },
    /// There is nothing to say, batches are under way, and the process is alive.
    Alive,
}

/// What a process asks its host for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// The compiled code of this component.
    Compile(Bytes),
    /// The value of a secret of the tenant's.
    Secret(String),
}

/// Something that stands around a process, or does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// What it is.
    pub name: String,
    /// Whether it is there.
    pub holds: bool,
    /// What it does, or why it is not there.
    pub detail: String,
}

/// Takes messages out of bytes as they come.
#[derive(Debug, Default)]
pub struct Messages {
    buffer: BytesMut,
}

// === impl Protection ===

impl Protection {
    /// Something that is there.
    pub fn there(name: &str, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), holds: true, detail: detail.into() }
    }

    /// Something that is not there.
    pub fn missing(name: &str, why: impl Into<String>) -> Self {
        Self { name: name.to_owned(), holds: false, detail: why.into() }
    }
}

impl std::fmt::Display for Protection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, holds, detail } = self;
        write!(f, "{name}: {}, {detail}", if *holds { "applied" } else { "NOT applied" })
    }
}

// === impl Question ===

/// Components are long.
impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Compile(component) => write!(f, "Compile({} bytes)", component.len()),
            Self::Secret(name) => f.debug_tuple("Secret").field(name).finish(),
        }
    }
}

// === impl Messages ===

impl Messages {
    /// Takes note of bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message, where all of it is there.
    ///
    /// # Errors
    ///
    /// `Lost` where the bytes are no message.
    pub fn next_message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length > MESSAGE_BYTES_MAX {
            return Err(damaged(&format!("a message of {length} bytes")));
        }
        if self.buffer.len() < PREFIX_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX_BYTES);
        let message = self.buffer.split_to(length);
        wire::decode(&message).map(Some).map_err(|why| damaged(&why))
    }

    /// Whether a message has begun to come and is not there.
    pub fn is_within(&self) -> bool {
        !self.buffer.is_empty()
    }
}

/// A message, behind its length.
///
/// # Errors
///
/// `Internal` where it is longer than [`MESSAGE_BYTES_MAX`].
pub fn encode(message: &impl Serialize) -> Result<Bytes, Error> {
    let mut bytes = vec![0; PREFIX_BYTES];
    let encoded = wire::encode_into(message, &mut bytes);
    let length = bytes.len() - PREFIX_BYTES;
    let length = u32::try_from(length).ok().filter(|_| length <= MESSAGE_BYTES_MAX);
    let Some(length) = length.filter(|_| encoded.is_ok()) else {
        let why = encoded.err().unwrap_or_else(|| "it is too long".to_owned());
        return Err(Error::new(ErrorKind::Internal, format!("a message was not written: {why}")));
    };
    bytes[..PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(bytes.into())
}

fn damaged(why: &str) -> Error {
    Error::new(ErrorKind::Lost, format!("what a tenant's process says is damaged: {why}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn messages() -> Vec<FromWorker> {
        vec![
            FromWorker::Ready(vec![
                Protection::there("a", "b"),
                Protection::missing("c", "there is none"),
            ]),
            FromWorker::Frame { number: 7, frame: Frame::Started },
            FromWorker::Used(Usage { cpu: Duration::from_millis(3), bytes: u64::MAX }),
            FromWorker::Ask { number: 1, question: Question::Compile(vec![0; 1000].into()) },
            FromWorker::Ask { number: 2, question: Question::Secret("key".to_owned()) },
            FromWorker::Unfit(Error::new(ErrorKind::Internal, "no memory")),
            FromWorker::Alive,
        ]
    }

    #[test]
    fn messages_arrive_however_they_are_cut() {
        let body: Vec<u8> = messages().iter().flat_map(|it| encode(it).unwrap()).collect();
        for step in [1, 3, 64, body.len()] {
            let (mut taken, mut found) = (Messages::default(), Vec::new());
            for piece in body.chunks(step) {
                taken.push(piece);
                while let Some(message) = taken.next_message::<FromWorker>().unwrap() {
                    found.push(format!("{message:?}"));
                }
            }
            let wanted: Vec<_> = messages().iter().map(|it| format!("{it:?}")).collect();
            assert_eq!(found, wanted);
            assert!(!taken.is_within());
        }
    }

    #[test]
    fn answers_arrive_good_and_bad() {
        for answer in [Ok(Bytes::from_static(b"x")), Err(Error::new(ErrorKind::Denied, "no"))] {
            let mut messages = Messages::default();
            let sent = ToWorker::Answer { number: 3, answer: answer.clone() };
            messages.push(&encode(&sent).unwrap());
            let Some(ToWorker::Answer { number: 3, answer: came }) =
                messages.next_message().unwrap()
            else {
                panic!("another message")
            };
            assert_eq!(came, answer);
        }
    }

    #[test]
    fn damaged_messages_are_refused() {
        for bytes in [&[0xff, 0xff, 0xff, 0xff][..], &[0, 0, 0, 1, 0xff], &[0, 0, 0, 0]] {
            let mut messages = Messages::default();
            messages.push(bytes);
            let error = messages.next_message::<FromWorker>().unwrap_err();
            assert_eq!(error.kind, ErrorKind::Lost);
        }
    }
}
