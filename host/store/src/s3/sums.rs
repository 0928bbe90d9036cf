//! Checksums of parts: the CRC-32 that goes with each and stays with the object, and the SHA-256 that
//! a signature holds where bodies are signed. The SDK makes those that are not known.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crc_fast::CrcAlgorithm;
use ring::digest;

use crate::{Options, Sums, Tally, Wanted};

/// Those of a part in the making.
struct Making {
    length: usize,
    crc32: Option<crc_fast::Digest>,
    sha256: Option<digest::Context>,
}

/// Whether the store has them at all.
pub(super) fn are_sent(options: &Options) -> bool {
    options.get("checksums") != Some("when_required")
}

/// Which of them a store has use for: nothing where it makes none, or `are_of_use` is false.
pub(super) fn wanted(
    options: &Options,
    were_signed: &Arc<AtomicBool>,
    are_of_use: &Arc<AtomicBool>,
) -> Wanted {
    let has_crc32 = are_sent(options);
    let signs = options.flag("anonymous") != Ok(Some(true));
    let (were_signed, are_of_use) = (Arc::clone(were_signed), Arc::clone(are_of_use));
    Wanted::new(move || {
        let are_of_use = are_of_use.load(Ordering::Relaxed);
        let are_signed = signs && were_signed.load(Ordering::Relaxed);
        let crc32 = || crc_fast::Digest::new(CrcAlgorithm::Crc32IsoHdlc);
        let sha256 = || digest::Context::new(&digest::SHA256);
        Box::new(Making {
            length: 0,
            crc32: (are_of_use && has_crc32).then(crc32),
            sha256: (are_of_use && are_signed).then(sha256),
        })
    })
}

impl Tally for Making {
    fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
        if let Some(crc32) = &mut self.crc32 {
            crc32.update(bytes);
        }
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
    }

    fn sums(self: Box<Self>) -> Sums {
        let crc32 = self.crc32.and_then(|crc32| u32::try_from(crc32.finalize()).ok());
        let sha256 = self.sha256.and_then(|sha256| sha256.finish().as_ref().try_into().ok());
        Sums { length: self.length, crc32, sha256 }
    }
}
