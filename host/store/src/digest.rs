//! Checksums of whole objects: what a store says that an object has is held against what comes of
//! it, and what it says that it has received against what was sent. The SDK of `s3:` has its own.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use md5::{Digest as _, Md5};

use crate::checksum::Making;
use crate::{Checksum, Crc, Error, Result};

/// A checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sum {
    Md5([u8; 16]),
    Crc(Checksum),
}

/// A checksum in the making.
pub(crate) enum Summing {
    Md5(Md5),
    Crc(Box<Making>),
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
        Crc::Crc32c.of_base64(text).map(Self::Crc)
    }

    /// As `x-ms-content-crc64` has it: little-endian.
    pub(crate) fn crc64_of_base64(text: &str) -> Option<Self> {
        Crc::Crc64.of_base64(text).map(Checksum::turned).map(Self::Crc)
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
            Self::Crc(checksum) => checksum.to_string(),
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
        if let (Self::Crc(said), Self::Crc(found)) = (self, found) {
            return said.differs(found);
        }
        let how = || format!("the MD5 is {} by the store, and {} here", self.hex(), found.hex());
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
            Sum::Crc(checksum) => Self::Crc(Box::new(checksum.crc().making())),
        }
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(summing) => summing.update(bytes),
            Self::Crc(making) => making.add(bytes),
        }
    }

    pub(crate) fn sum(self) -> Sum {
        match self {
            Self::Md5(summing) => Sum::Md5(summing.finalize().into()),
            Self::Crc(making) => Sum::Crc(making.checksum()),
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
        let crc32c = Sum::crc32c_of_base64("4waSgw==").unwrap();
        let crc64 = Sum::crc64_of_base64("iJh5CoYUi64=").unwrap();
        for (crc, hex) in [(crc32c, "e3069283"), (crc64, "ae8b14860a799888")] {
            assert_eq!(crc.hex(), hex);
            assert_eq!(crc.of(["1234", "56789"].map(Bytes::from)), crc);
        }
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
