//! What travels between drivers and hosts: frames, batches, what hosts say of themselves.
//!
//! The first byte of an input says which; the second one of frames, how they are cut.

use std::time::Duration;

use samara_core::wire::{
    self, Frame, Frames, HostInfo, decode_batch, decode_info, encode_batch, encode_info,
};
use samara_core::{Limits, Reports};

use super::samples;
use crate::Target;
use crate::engine::{Random, Seen};

/// See the module.
pub const TARGET: Target = Target {
    name: "wire",
    seeds,
    words: &[
        "Started",
        "Alive",
        "Ended",
        "Done",
        "Failed",
        "Each",
        "Shared",
        "Inline",
        "Stored",
        "tasks",
        "partition",
        "arguments",
        "\u{0}\u{0}\u{0}\u{1}",
    ],
    bytes_max: 8 << 10,
    time_max: Duration::from_secs(5),
    start: || Box::new(check),
};

fn seeds() -> Vec<Vec<u8>> {
    let mut body = vec![0, 3];
    samples::frames().iter().for_each(|frame| frame.write(&mut body).expect("it is short"));
    let each = samples::frames().into_iter().map(|frame| {
        let mut body = vec![0, 1];
        frame.write(&mut body).expect("it is short");
        body
    });
    let batch = encode_batch(&samples::batch()).expect("it can be encoded");
    let info = encode_info(&HostInfo::new("0.1.0", 4)).expect("it can be encoded");
    let mut seeds: Vec<Vec<u8>> = each.collect();
    seeds.extend([body, [&[1], &*batch].concat(), [&[2], &*info].concat()]);
    seeds
}

fn check(input: &[u8]) -> Seen {
    match input.split_first() {
        Some((kind, bytes)) if kind % 3 == 0 => frames(bytes),
        Some((kind, bytes)) if kind % 3 == 1 => batch(bytes),
        Some((_, bytes)) => info(bytes),
        None => Seen::of(()),
    }
}

/// What a body holds, up to what is damaged, and whether a frame has begun.
#[derive(Debug, PartialEq)]
struct Read {
    frames: Vec<Frame>,
    damage: Option<String>,
    is_within: bool,
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Read {
    let (mut taken, mut frames) = (Frames::default(), Vec::new());
    for piece in pieces {
        taken.push(piece);
        loop {
            match taken.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    return Read { frames, damage: Some(error.message), is_within: false };
                }
            }
        }
    }
    Read { frames, damage: None, is_within: taken.is_within() }
}

fn frames(bytes: &[u8]) -> Seen {
    let Some((cut, body)) = bytes.split_first() else { return Seen::of(0) };
    let whole = read(std::iter::once(body));
    assert_eq!(read(pieces(body, *cut)), whole, "cut by {cut}");
    for frame in &whole.frames {
        let mut again = Vec::new();
        frame.write(&mut again).expect("it came as one");
        let once_more = read(std::iter::once(&*again));
        assert_eq!(once_more.frames, std::slice::from_ref(frame), "written again");
        look_at(frame);
    }
    match &whole.damage {
        Some(damage) => Seen::text(damage).and(whole.frames.len().min(8)),
        None => Seen::of((whole.frames.iter().map(kind).collect::<Vec<_>>(), whole.is_within)),
    }
}

/// The body in pieces whose lengths follow from a byte.
fn pieces(body: &[u8], cut: u8) -> impl Iterator<Item = &[u8]> {
    let (mut random, mut rest) = (Random::new(cut.into()), body);
    std::iter::from_fn(move || {
        let length = (1 + random.below(usize::from(cut) + 1)).min(rest.len());
        let (piece, left) = rest.split_at(length);
        rest = left;
        (!piece.is_empty()).then_some(piece)
    })
}

fn kind(frame: &Frame) -> u8 {
    match frame {
        Frame::Started => 0,
        Frame::Alive => 1,
        Frame::Ended(Reports::Each(each)) if each.is_empty() => 2,
        Frame::Ended(Reports::Each(_)) => 3,
        Frame::Ended(Reports::Shared(_)) => 4,
        Frame::Done => 5,
        _ => 6,
    }
}

/// What is shown of it can be shown.
fn look_at(frame: &Frame) {
    let _shown = format!("{frame:?}");
    if let Frame::Ended(Reports::Each(each)) = frame {
        for report in each {
            let _shown = match &report.outcome {
                samara_core::Outcome::Failed(error) => error.to_string(),
                samara_core::Outcome::Trapped(trap) => trap.to_string(),
                samara_core::Outcome::LimitExceeded(exceeded) => exceeded.to_string(),
                _ => String::new(),
            };
        }
    }
}

fn batch(bytes: &[u8]) -> Seen {
    let batch = match decode_batch(bytes) {
        Ok(batch) => batch,
        Err(error) => return Seen::text(&error.message),
    };
    let again = encode_batch(&batch).expect("it came as one");
    assert_eq!(decode_batch(&again).as_ref(), Ok(&batch), "encoded again");
    // What a host does with one before anything runs.
    let checks = (batch.limits.check().is_ok(), batch.grants.check().is_ok());
    assert_eq!(batch.limits.at_most(&Limits::default()).at_most(&batch.limits), {
        batch.limits.at_most(&Limits::default())
    });
    let mut partitions = Vec::new();
    for task in &batch.tasks {
        let _sum = task.travel_bytes();
        if let Some(partition) = &task.partition {
            let _shown = partition.to_string();
            let size = partition.records.check_size(partition.object_size).is_ok();
            partitions.push((partition.records.check().is_ok(), size));
        }
    }
    partitions.truncate(4);
    Seen::of((checks, partitions, batch.tasks.len().min(8)))
}

fn info(bytes: &[u8]) -> Seen {
    match decode_info(bytes) {
        Ok(info) => {
            let again = wire::encode_info(&info).expect("it came as one");
            assert_eq!(decode_info(&again).as_ref(), Ok(&info), "encoded again");
            Seen::of(info.speaks("here").is_ok())
        }
        Err(error) => Seen::text(&error.message),
    }
}
