//! What the frames of an answer tell.

use std::collections::BTreeMap;
use std::sync::Arc;

use samara_core::wire::{Frame, Frames};
use samara_core::{Error, ErrorKind, Observer};

use super::Part;

/// Tells an observer of frames as they come.
pub(crate) struct Told {
    frames: Frames,
    observer: Arc<dyn Observer>,
}

/// The same for an answer in parts. Platforms may start a batch twice, and each run of it writes an
/// answer of its own.
pub(crate) struct Runs {
    observer: Arc<dyn Observer>,
    runs: BTreeMap<String, Told>,
}

// === impl Told ===

impl Told {
    pub(crate) fn new(observer: Arc<dyn Observer>) -> Self {
        Self { frames: Frames::default(), observer }
    }

    /// Takes bytes that came; says how the batch ended, where they say so.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Option<Result<(), Error>> {
        self.frames.push(bytes);
        loop {
            match self.frames.next_frame() {
                Ok(Some(Frame::Started)) => self.observer.started(),
                Ok(Some(Frame::Ended(reports))) => self.observer.ended(reports),
                Ok(Some(Frame::Alive)) => {}
                Ok(Some(Frame::Done)) => return Some(Ok(())),
                Ok(Some(Frame::Failed(error))) | Err(error) => return Some(Err(error)),
                Ok(Some(_)) => {
                    let text = "the host sent a frame that is not known";
                    return Some(Err(Error::new(ErrorKind::Lost, text)));
                }
                Ok(None) => return None,
            }
        }
    }
}

// === impl Runs ===

impl Runs {
    pub(crate) fn new(observer: Arc<dyn Observer>) -> Self {
        Self { observer, runs: BTreeMap::new() }
    }

    /// Whether no part came yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Takes a part; says how the batch ended, where a run says so.
    pub(crate) fn push(&mut self, part: Part) -> Option<Result<(), Error>> {
        let new = || Told::new(Arc::clone(&self.observer));
        self.runs.entry(part.run).or_insert_with(new).push(&part.bytes)
    }
}
