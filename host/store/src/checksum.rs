//! Checksums of whole objects that can be put together from those of their ranges, as CRCs can.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crc_fast::{CrcAlgorithm, Digest, checksum_combine};

/// Which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crc {
    /// The CRC-32 of ISO-HDLC, as zip files have it.
    Crc32,
    /// The CRC-32 of Castagnoli, of RFC 3720.
    Crc32c,
    /// The CRC-64 of NVMe.
    Crc64,
}

/// A checksum of consecutive bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    crc: Crc,
    value: u64,
}

/// A checksum in the making.
pub(crate) struct Making {
    crc: Crc,
    digest: Digest,
}

/// Ranges that come one after the other, and what they must add up to.
pub(crate) struct Held {
    said: Checksum,
    found: Checksum,
}

// === impl Crc ===

impl Crc {
    /// How many bytes it has.
    const fn width(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64 => 8,
        }
    }

    const fn algorithm(self) -> CrcAlgorithm {
        match self {
            Self::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
            Self::Crc32c => CrcAlgorithm::Crc32Iscsi,
            Self::Crc64 => CrcAlgorithm::Crc64Nvme,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64 => "CRC64",
        }
    }

    /// A checksum of this kind of the next bytes.
    pub(crate) fn making(self) -> Making {
        Making { crc: self, digest: Digest::new(self.algorithm()) }
    }

    /// As headers have it: base64 of its bytes, the highest first. Of other texts nothing.
    pub fn of_base64(self, text: &str) -> Option<Checksum> {
        let bytes = BASE64_STANDARD.decode(text.trim()).ok()?;
        let value = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        (bytes.len() == self.width()).then_some(Checksum { crc: self, value })
    }
}

// === impl Checksum ===

impl Checksum {
    /// The checksum of this kind with this value, which has no more bits than the kind.
    pub fn new(crc: Crc, value: u64) -> Self {
        Self { crc, value }
    }

    /// Which one it is.
    pub fn crc(&self) -> Crc {
        self.crc
    }

    /// With the bytes of its value in the other order, as Azure has it.
    pub(crate) fn turned(self) -> Self {
        let unused = 64 - 8 * u32::try_from(self.crc.width()).unwrap_or(8);
        Self { value: self.value.swap_bytes() >> unused, ..self }
    }

    /// How this, which a store says, is another one than that which was found.
    pub(crate) fn differs(&self, found: &Self) -> Option<String> {
        let name = self.crc.name();
        let how = || format!("the {name} is {self} by the store, and {found} here");
        (self != found).then(how)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$x}", self.value, width = 2 * self.crc.width())
    }
}

// === impl Making ===

impl Making {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    pub(crate) fn checksum(self) -> Checksum {
        Checksum { crc: self.crc, value: self.digest.finalize() }
    }
}

// === impl Held ===

impl Held {
    /// What a store says.
    pub(crate) fn to(said: Checksum) -> Self {
        Self { said, found: said.crc.making().checksum() }
    }

    /// The next range has this, and is so long.
    pub(crate) fn add(&mut self, range: Checksum, length: u64) {
        let Checksum { crc, value } = self.found;
        self.found.value = checksum_combine(crc.algorithm(), value, range.value, length);
    }

    /// How what came is not what the store says.
    pub(crate) fn differs(&self) -> Option<String> {
        self.said.differs(&self.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Crc; 3] = [Crc::Crc32, Crc::Crc32c, Crc::Crc64];

    fn of(crc: Crc, bytes: &[u8]) -> Checksum {
        let mut making = crc.making();
        making.add(bytes);
        making.checksum()
    }

    /// The check values of the catalogue of CRCs.
    #[test]
    fn checksums_are_those_of_the_standards() {
        let wanted = ["cbf43926", "e3069283", "ae8b14860a799888"];
        let said = ["y/Q5Jg==", "4waSgw==", "rosUhgp5mIg="];
        for ((crc, wanted), said) in ALL.into_iter().zip(wanted).zip(said) {
            let found = of(crc, b"123456789");
            assert_eq!((found.to_string(), crc.of_base64(said)), (wanted.to_owned(), Some(found)));
            assert_eq!((found.crc(), found.turned().turned()), (crc, found));
        }
        assert_eq!(
            Crc::Crc32.of_base64("Jjn0yw==").map(Checksum::turned),
            Crc::Crc32.of_base64("y/Q5Jg==")
        );
        for none in ["", "y/Q5Jg", "y/Q5Jg==-2", "rosUhgp5mIg=", "=", "y/Q5J"] {
            assert_eq!(Crc::Crc32.of_base64(none), None, "{none}");
        }
    }

    #[test]
    fn ranges_add_up_to_the_whole() {
        let all: Vec<u8> = (0..100_000_u32).map(|n| (n / 3).to_le_bytes()[0]).collect();
        for crc in ALL {
            for size in [0, 1, 7, 99_999, 100_000] {
                let whole = &all[..size];
                let held = |changed: usize| {
                    let mut held = Held::to(of(crc, whole));
                    for (number, range) in whole.chunks(33_000).enumerate() {
                        let mut range = range.to_vec();
                        range[0] ^= u8::from(number == changed);
                        held.add(of(crc, &range), range.len() as u64);
                    }
                    held.differs()
                };
                assert_eq!(held(usize::MAX), None);
                assert_eq!(held(0).is_some(), size > 0);
                assert_eq!(held(1).is_some(), size > 33_000);
            }
        }
        let differs = Checksum::new(Crc::Crc32c, 1).differs(&Checksum::new(Crc::Crc32c, 2));
        assert_eq!(differs.unwrap(), "the CRC32C is 00000001 by the store, and 00000002 here");
    }
}
