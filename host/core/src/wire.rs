//! What travels between a driver's runtime and a host: batches there, frames back.
//!
//! Both are CBOR (RFC 8949), structures as maps by field name, so that a newer side may add fields
//! that an older one passes over. Frames follow each other in one body, each behind its length: four
//! bytes, the highest first. Where a change could not be understood by an older side, [`VERSION`]
//! goes up, and a host says which ones it speaks.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Batch, Error, ErrorKind, Reports};

/// The version of the format.
pub const VERSION: u32 = 2;

/// The media type of a batch on its way to a host.
pub const BATCH_TYPE: &str = "application/vnd.samara.batch+cbor";

/// The media type of the frames of an answer.
pub const FRAMES_TYPE: &str = "application/vnd.samara.frames+cbor";

/// Bytes of one frame at most: a batch's reports with outputs of 256 KiB each, in groups of a few
/// milliseconds' work. A longer one is taken for damage.
pub const FRAME_BYTES_MAX: usize = 256 << 20;

/// Bytes of a frame's length.
pub(crate) const PREFIX_BYTES: usize = 4;

/// A part of the answer to a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Frame {
    /// The batch left the host's queue: its first task starts now.
    Started,
    /// Some of its tasks ended.
    Ended(Reports),
    /// There is nothing to say, and the host is alive.
    Alive,
    /// Nothing follows: all is reported that will be.
    Done,
    /// Nothing follows: the host failed as a whole, or gives back what is not reported.
    Failed(Error),
}

/// What a host says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HostInfo {
    /// The program's version, as `0.1.0`.
    pub version: String,
    /// The versions of the format that it speaks.
    pub wire: Vec<u32>,
    /// Tasks that it runs at the same moment.
    pub slots: usize,
    /// Tasks in one batch at most.
    pub batch_tasks_max: usize,
    /// Bytes of one batch at most.
    pub batch_bytes_max: u64,
    /// Whether its answers come piece by piece, with signs of life; else whole, once all is done.
    #[serde(default)]
    pub streams: bool,
    /// Whether only text gets through to it unharmed: batches and answers are then base64.
    #[serde(default)]
    pub text: bool,
    /// How long a request may take there at most, where the platform says so.
    #[serde(default)]
    pub time_max: Option<Duration>,
    /// How much memory a task may have there at most, in bytes, where the host knows.
    #[serde(default)]
    pub task_memory_max: Option<u64>,
    /// Whether it takes no more batches, because it is about to end.
    pub draining: bool,
}

/// Takes frames out of a body as it comes.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: BytesMut,
}

// === impl HostInfo ===

impl HostInfo {
    /// A host that speaks this version of the format.
    pub fn new(version: impl Into<String>, slots: usize) -> Self {
        Self {
            version: version.into(),
            wire: vec![VERSION],
            slots,
            batch_tasks_max: usize::MAX,
            batch_bytes_max: u64::MAX,
            streams: true,
            text: false,
            time_max: None,
            task_memory_max: None,
            draining: false,
        }
    }

    /// Whether it speaks this version of the format; `name` is where it is.
    ///
    /// # Errors
    ///
    /// `Invalid` where it does not.
    pub fn speaks(&self, name: &str) -> Result<(), Error> {
        match self.wire.contains(&VERSION) {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "{name} is Samara {}, which speaks versions {:?} of the format of batches, and \
                     this driver version {VERSION}: use a driver and a host of like age",
                    self.version, self.wire
                ),
            )),
        }
    }
}

// === impl Frame ===

impl Frame {
    /// Appends the frame, behind its length.
    ///
    /// # Errors
    ///
    /// `Internal` where it is longer than [`FRAME_BYTES_MAX`].
    pub fn write(&self, to: &mut Vec<u8>) -> Result<(), Error> {
        let start = to.len();
        to.extend_from_slice(&[0; PREFIX_BYTES]);
        let encoded = encode_into(self, to);
        let length = to.len() - start - PREFIX_BYTES;
        let length = u32::try_from(length).ok().filter(|_| length <= FRAME_BYTES_MAX);
        let Some(length) = length.filter(|_| encoded.is_ok()) else {
            to.truncate(start);
            let why = encoded.err().unwrap_or_else(|| "it is too long".to_owned());
            return Err(Error::new(ErrorKind::Internal, format!("a frame was not written: {why}")));
        };
        to[start..start + PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

// === impl Frames ===

impl Frames {
    /// Takes note of bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, where all of it is there.
    ///
    /// # Errors
    ///
    /// `Lost` where the bytes are no frames.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length > FRAME_BYTES_MAX {
            let text = format!("the host's answer is damaged: a frame of {length} bytes");
            return Err(Error::new(ErrorKind::Lost, text));
        }
        if self.buffer.len() < PREFIX_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX_BYTES);
        let frame = self.buffer.split_to(length);
        decode(&frame).map(Some).map_err(|why| {
            Error::new(ErrorKind::Lost, format!("the host's answer is damaged: {why}"))
        })
    }

    /// Whether a frame has begun to come and is not there.
    pub fn is_within(&self) -> bool {
        !self.buffer.is_empty()
    }
}

/// A batch as it goes to a host.
///
/// # Errors
///
/// `Internal`, by a defect of Samara's.
pub fn encode_batch(batch: &Batch) -> Result<Bytes, Error> {
    encode(batch, "a batch")
}

/// What a host says of itself, as it goes to a driver.
///
/// # Errors
///
/// `Internal`, by a defect of Samara's.
pub fn encode_info(info: &HostInfo) -> Result<Bytes, Error> {
    encode(info, "what the host is")
}

/// A batch as it came from a driver.
///
/// # Errors
///
/// `Invalid` where it is none.
pub fn decode_batch(bytes: &[u8]) -> Result<Batch, Error> {
    decode(bytes).map_err(|why| Error::new(ErrorKind::Invalid, format!("this is no batch: {why}")))
}

/// What a host said of itself.
///
/// # Errors
///
/// `Invalid` where that is not what it is.
pub fn decode_info(bytes: &[u8]) -> Result<HostInfo, Error> {
    decode(bytes).map_err(|why| {
        Error::new(ErrorKind::Invalid, format!("this is no host of Samara's: {why}"))
    })
}

fn encode<T: Serialize>(value: &T, what: &str) -> Result<Bytes, Error> {
    let mut bytes = Vec::new();
    let encoded = encode_into(value, &mut bytes);
    encoded
        .map_err(|why| Error::new(ErrorKind::Internal, format!("{what} was not encoded: {why}")))?;
    Ok(bytes.into())
}

pub(crate) fn encode_into<T: Serialize>(value: &T, to: &mut Vec<u8>) -> Result<(), String> {
    let mut serializer = minicbor_serde::Serializer::new(to);
    value.serialize(&mut serializer).map_err(|error| error.to_string())
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut deserializer = minicbor_serde::Deserializer::new(bytes);
    let value = T::deserialize(&mut deserializer).map_err(|error| error.to_string())?;
    match deserializer.decoder().position() == bytes.len() {
        true => Ok(value),
        false => Err("more bytes follow it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Access, Argument, Arguments, ComponentId, Grant, Grants, JobId, Level, Limits, LogLine,
        Outcome, Output, Partition, Records, Report, Shared, Stats, Task, Trap,
    };

    fn batch() -> Batch {
        let partition = Partition {
            object: "s3://b/k".to_owned(),
            offset: 7,
            length: u64::MAX,
            object_size: 9,
            etag: "e".to_owned(),
            records: Records::Lines,
        };
        let stored = Argument::Stored {
            job: JobId::new(1, 2),
            index: 3,
            size: 4,
            content: Some("c".into()),
        };
        let tasks = [
            (Arguments::default(), None),
            (Arguments::Parts(vec![Argument::Inline(vec![1].into()), stored]), Some(partition)),
        ];
        let tasks = tasks.into_iter().zip(0..).map(|((arguments, partition), index)| Task {
            index,
            attempt: 1,
            arguments,
            partition: partition.map(Box::new),
        });
        Batch {
            job: JobId::new(5, 6),
            component: ComponentId::of(b"x"),
            function: "f".to_owned(),
            store: "file:///x".to_owned(),
            limits: Limits::default(),
            grants: Grants::of(vec![Grant { prefix: "s3://b/".to_owned(), access: Access::Read }]),
            task_count: 2,
            reuse: true,
            depth: 1,
            payer: crate::Payer::default(),
            tasks: tasks.collect(),
        }
    }

    fn frames() -> Vec<Frame> {
        let report = |outcome| Report {
            index: 1,
            attempt: 2,
            outcome,
            log: vec![LogLine { level: Level::Warn, message: "w".to_owned() }],
            log_dropped: 3,
            stats: Stats { wall: Duration::new(1, 2), fuel: Some(3), ..Stats::default() },
        };
        let trap =
            Trap { message: "m".to_owned(), location: None, backtrace: vec!["b".to_owned()] };
        let shared = Shared {
            indices: vec![1, 2],
            outputs: Bytes::from_static(&[1, 2, 3]),
            ends: vec![1, 3],
            ..Shared::default()
        };
        vec![
            Frame::Started,
            Frame::Alive,
            Frame::Ended(Reports::Each(vec![
                report(Outcome::Success(Output::Inline(Bytes::from_static(b"abc")))),
                report(Outcome::Trapped(trap)),
                report(Outcome::Platform(Error::new(ErrorKind::Store, "full"))),
            ])),
            Frame::Ended(Reports::Shared(Box::new(shared))),
            Frame::Failed(Error::new(ErrorKind::Lost, "gone")),
            Frame::Done,
        ]
    }

    #[test]
    fn batches_arrive_as_they_left() {
        let bytes = encode_batch(&batch()).unwrap();
        assert_eq!(decode_batch(&bytes).unwrap(), batch());
        let longer = [&*bytes, &[0]].concat();
        for bytes in [&b""[..], b"{}", &bytes[1..], &bytes[..bytes.len() - 1], &longer] {
            assert_eq!(decode_batch(bytes).unwrap_err().kind, ErrorKind::Invalid);
        }
        let info = HostInfo::new("1", 4);
        assert_eq!(decode_info(&encode_info(&info).unwrap()).unwrap(), info);
    }

    #[test]
    fn frames_arrive_however_they_are_cut() {
        let mut body = Vec::new();
        frames().iter().for_each(|frame| frame.write(&mut body).unwrap());
        for step in [1, 2, 3, 7, body.len()] {
            let (mut taken, mut found) = (Frames::default(), Vec::new());
            for piece in body.chunks(step) {
                taken.push(piece);
                while let Some(frame) = taken.next_frame().unwrap() {
                    found.push(frame);
                }
            }
            assert_eq!(found, frames());
            assert!(!taken.is_within());
        }
    }

    #[test]
    fn damage_is_told_from_what_is_still_to_come() {
        let mut frames = Frames::default();
        frames.push(&[0, 0, 0]);
        assert_eq!(frames.next_frame().unwrap(), None);
        assert!(frames.is_within());
        for bytes in [&[0xff, 0xff, 0xff, 0xff][..], &[0, 0, 0, 1, 0xff], &[0, 0, 0, 0]] {
            let mut frames = Frames::default();
            frames.push(bytes);
            assert_eq!(frames.next_frame().unwrap_err().kind, ErrorKind::Lost);
        }
    }

    /// A newer host may say more of a task than this driver knows.
    #[test]
    fn fields_that_are_not_known_are_passed_over() {
        #[derive(Serialize)]
        struct Newer {
            version: &'static str,
            weather: Vec<&'static str>,
            wire: Vec<u32>,
            slots: usize,
            batch_tasks_max: usize,
            batch_bytes_max: u64,
            draining: bool,
        }
        let newer = Newer {
            version: "9",
            weather: vec!["fine"],
            wire: vec![1, 2],
            slots: 3,
            batch_tasks_max: 4,
            batch_bytes_max: 5,
            draining: true,
        };
        let info = decode_info(&encode(&newer, "x").unwrap()).unwrap();
        assert_eq!((info.wire, info.slots, info.draining), (vec![1, 2], 3, true));
    }
}
