//! Where records end, by kind.

use memchr::{memchr, memrchr};
use samara_core::Records;

use super::rows::Machine;
use super::sequence::Sequence;

/// Finds the ends of records in bytes that come in windows.
#[derive(Debug)]
pub(super) enum Scanner {
    Fixed(Fixed),
    Byte(u8),
    Sequence(Box<Sequence>),
    Csv(Machine),
}

/// Records of a fixed size; bytes are records of size 1.
#[derive(Debug)]
pub(super) struct Fixed {
    pub(super) bytes: u64,
    /// Bytes of a record that were passed.
    passed: u64,
}

// === impl Scanner ===

impl Scanner {
    pub(super) fn new(records: Records) -> Self {
        match records {
            Records::Terminated(terminator) => match terminator.as_bytes() {
                [byte] => Self::Byte(*byte),
                bytes => Self::Sequence(Box::new(Sequence::new(bytes))),
            },
            Records::Csv(options) => Self::Csv(Machine::new(options)),
            // A size of 0 is refused before anything is scanned.
            Records::Fixed(bytes) => Self::Fixed(Fixed { bytes: bytes.max(1), passed: 0 }),
            Records::Bytes => Self::Fixed(Fixed { bytes: 1, passed: 0 }),
            // Lines, JSON lines.
            _ => Self::Byte(b'\n'),
        }
    }

    /// The end of a record in `window`: of the first whose end is at `stop` or later, else of the
    /// last. The window follows what was passed.
    pub(super) fn cut(&self, window: &[u8], stop: usize) -> Option<usize> {
        match self {
            Self::Fixed(fixed) => fixed.cut(window.len() as u64),
            Self::Byte(byte) => {
                let first = stop.saturating_sub(1).min(window.len());
                let (before, rest) = window.split_at(first);
                let end = memchr(*byte, rest).map(|at| first + at + 1);
                end.or_else(|| memrchr(*byte, before).map(|at| at + 1))
            }
            Self::Sequence(sequence) => sequence.cut(window, stop),
            Self::Csv(machine) => machine.cut(window, stop),
        }
    }

    /// Goes on past bytes in which no record ends.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        match self {
            Self::Fixed(fixed) => fixed.passed += bytes.len() as u64,
            Self::Byte(_) => {}
            Self::Sequence(sequence) => sequence.pass(bytes),
            Self::Csv(machine) => machine.pass(bytes),
        }
    }

    /// Begins at the start of a record that is not the object's first.
    pub(super) fn reset(&mut self) {
        match self {
            Self::Fixed(fixed) => fixed.passed = 0,
            Self::Byte(_) => {}
            Self::Sequence(sequence) => sequence.reset(),
            Self::Csv(machine) => machine.reset(),
        }
    }
}

// === impl Fixed ===

impl Fixed {
    fn cut(&self, window: u64) -> Option<usize> {
        let whole = (self.passed + window) / self.bytes * self.bytes;
        let end = whole.checked_sub(self.passed).filter(|end| *end > 0)?;
        usize::try_from(end).ok()
    }
}
