//! Checksums of whole objects: what a store says that an object has is held against what comes of
//! it, and what it says that it has received against what was sent. The SDK of `s3:` has its own.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use md5::{Digest as _, Md5};

use crate::{Error, Result};

/// A checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sum {
    Md5([u8; 16]),
    /// The CRC-32 of Castagnoli.
    Crc32c(u32),
    /// The CRC-64 of NVMe.
    Crc64(u64),
}

/// A checksum in the making.
pub(crate) enum Summing {
    Md5(Md5),
    Crc32c(Box<crc_fast::Digest>),
    Crc64(Box<crc_fast::Digest>),
}

// === impl Sum ===

impl Sum {
    /// As `Content-MD5` has it.
    pub(crate) fn md5_of_base64(text: &str) -> Option<Self> {
        BASE64_STANDARD.decode(text.trim()).ok()?.try_into().ok().map(Self::Md5)
    }

    /// As `ETag` of some stores has it; of other etags nothing.
    pub(crate) fn md5_of_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        if text.len() != 2 * bytes.len() || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).ok()?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(Self::Md5(bytes))
    }

    /// As `x-goog-hash` has it: big-endian.
    pub(crate) fn crc32c_of_base64(text: &str) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(text.trim()).ok()?.try_into().ok()?;
        Some(Self::Crc32c(u32::from_be_bytes(bytes)))
    }

    /// As `x-ms-content-crc64` has it: little-endian.
    pub(crate) fn crc64_of_base64(text: &str) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(text.trim()).ok()?.try_into().ok()?;
        Some(Self::Crc64(u64::from_le_bytes(bytes)))
    }

    /// The same kind, of bytes that are here.
    pub(crate) fn of(&self, pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let mut summing = Summing::like(self);
        pieces.into_iter().for_each(|piece| summing.add(&piece));
        summing.sum()
    }

    /// Of bytes that are here.
    pub(crate) fn md5_of(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let mut summing = Summing::md5();
        pieces.into_iter().for_each(|piece| summing.add(&piece));
        summing.sum()
    }

    pub(crate) fn hex(&self) -> String {
        match self {
            Self::Md5(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            Self::Crc32c(sum) => format!("{sum:08x}"),
            Self::Crc64(sum) => format!("{sum:016x}"),
        }
    }

    /// The error of bytes that have not this sum, which the store says.
    pub(crate) fn check(&self, found: &Self, location: &str) -> Result<()> {
        match self.differs(found) {
            Some(how) => Err(Error::checksum(location, how)),
            None => Ok(()),
        }
    }

    /// How this, which the store says, is another one than that which was found.
    pub(crate) fn differs(&self, found: &Self) -> Option<String> {
        let name = match self {
            Self::Md5(_) => "MD5",
            Self::Crc32c(_) => "CRC32C",
            Self::Crc64(_) => "CRC64",
        };
        let how = || format!("the {name} is {} by the store, and {} here", self.hex(), found.hex());
        (self != found).then(how)
    }
}

// === impl Summing ===

impl Summing {
    pub(crate) fn md5() -> Self {
        Self::Md5(Md5::new())
    }

    /// Of the same kind.
    fn like(sum: &Sum) -> Self {
        match sum {
            Sum::Md5(_) => Self::md5(),
            Sum::Crc32c(_) => {
                Self::Crc32c(Box::new(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi)))
            }
            Sum::Crc64(_) => Self::Crc64(Box::new(crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme))),
        }
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(summing) => summing.update(bytes),
            Self::Crc32c(summing) | Self::Crc64(summing) => summing.update(bytes),
        }
    }

    pub(crate) fn sum(self) -> Sum {
        match self {
            Self::Md5(summing) => Sum::Md5(summing.finalize().into()),
            Self::Crc32c(summing) => {
                // The upper half of a CRC of 32 bits is empty.
                let [_, _, _, _, crc @ ..] = summing.finalize().to_be_bytes();
                Sum::Crc32c(u32::from_be_bytes(crc))
            }
            Self::Crc64(summing) => Sum::Crc64(summing.finalize()),
        }
    }
}

/// The body of a whole object, and after its last byte an error where they have another sum.
pub(crate) fn checked(
    location: String,
    sum: Sum,
    body: BoxStream<'static, Result<Bytes>>,
) -> BoxStream<'static, Result<Bytes>> {
    let summing = Some(Summing::like(&sum));
    stream::unfold(
        (body, summing, sum, location),
        |(mut body, summing, sum, location)| async move {
            let mut summing = summing?;
            match body.next().await {
                Some(Ok(part)) => {
                    summing.add(&part);
                    Some((Ok(part), (body, Some(summing), sum, location)))
                }
                Some(Err(error)) => Some((Err(error), (body, None, sum, location))),
                None => {
                    let error = sum.check(&summing.sum(), &location).err()?;
                    Some((Err(error), (body, None, sum, location)))
                }
            }
        },
    )
    .boxed()
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;
    use crate::conformance::tests::block_on;

    #[test]
    fn sums_are_those_of_the_standards() {
        let md5 = Sum::md5_of(["12345", "6789"].map(Bytes::from));
        assert_eq!(md5.hex(), "25f9e794323b453885f5181f1b624d0b");
        assert_eq!(Sum::md5_of_base64("JfnnlDI7RTiF9RgfG2JNCw=="), Some(md5.clone()));
        assert_eq!(Sum::md5_of_hex("25f9e794323B453885f5181f1b624d0b"), Some(md5));
        let mut crc = Summing::like(&Sum::Crc32c(0));
        crc.add(b"123456789");
        // RFC 3720, B.4 has no such example; this is the check value of the catalogue of CRCs.
        assert_eq!(crc.sum(), Sum::Crc32c(0xe306_9283));
        assert_eq!(Sum::crc32c_of_base64("4waSgw=="), Some(Sum::Crc32c(0xe306_9283)));
        // The check value of the same catalogue.
        let crc = Sum::Crc64(0xae8b_1486_0a79_9888);
        assert_eq!(crc.of(["1234", "56789"].map(Bytes::from)), crc);
        assert_eq!(Sum::crc64_of_base64("iJh5CoYUi64="), Some(crc));
        for none in [
            "",
            "x",
            "\"25f9\"",
            "25f9e794323b453885f5181f1b624d0b-2",
            "+5f9e794323b453885f5181f1b624d0b",
        ] {
            let found = (Sum::md5_of_hex(none), Sum::md5_of_base64(none));
            assert_eq!((found, Sum::crc32c_of_base64(none)), ((None, None), None), "{none}");
        }
    }

    #[test]
    fn a_body_of_another_sum_ends_in_an_error_that_says_so() {
        let read = |sum: &str| {
            let body = stream::iter(["1234", "56789"].map(|part| Ok(Bytes::from(part)))).boxed();
            let sum = Sum::crc32c_of_base64(sum).unwrap();
            block_on(checked("gs://b/k".to_owned(), sum, body).try_collect::<Vec<_>>())
        };
        assert_eq!(read("4waSgw==").unwrap().concat(), b"123456789");
        let error = read("4waShA==").unwrap_err();
        assert!(matches!(error, Error::Checksum { .. }) && error.retry(), "{error:?}");
        assert_eq!(
            error.in_full(),
            "gs://b/k: the checksum does not match: the CRC32C is e3069284 by the store, and \
             e3069283 here"
        );
    }
}
