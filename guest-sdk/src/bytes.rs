//! Raw bytes as a value.

use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// How many bytes are set aside on the word of an encoded length alone: the rest has to arrive.
const TRUSTED_LENGTH: usize = 4096;

/// Raw bytes as an argument or an output, passed as they are.
///
/// A `Vec<u8>` works too, but serde takes it for a list of numbers, which costs up to two bytes and
/// a branch for each. Where a caller has no bytes to give, as in JSON, a text or a list of numbers
/// will do.
///
/// ```
/// use samara_guest::{Bytes, function};
///
/// /// Turns bytes around.
/// #[function]
/// fn reversed(mut bytes: Bytes) -> Bytes {
///     bytes.reverse();
///     bytes
/// }
///
/// assert_eq!(*reversed(Bytes::from(vec![1, 2, 3])), [3, 2, 1]);
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(Vec<u8>);

// === impl Bytes ===

impl Bytes {
    /// The bytes as a vector, without a copy.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

impl Deref for Bytes {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Bytes {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<Bytes> for Vec<u8> {
    fn from(bytes: Bytes) -> Self {
        bytes.0
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BytesVisitor)
    }
}

/// Takes bytes; from formats that have none (JSON), a text or a list of numbers.
struct BytesVisitor;

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes(bytes.to_vec()))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
        Ok(Bytes(bytes))
    }

    fn visit_str<E>(self, text: &str) -> Result<Bytes, E> {
        Ok(Bytes(text.as_bytes().to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Bytes, A::Error> {
        let length = numbers.size_hint().unwrap_or_default().min(TRUSTED_LENGTH);
        let mut bytes = Vec::with_capacity(length);
        while let Some(byte) = numbers.next_element()? {
            bytes.push(byte);
        }
        Ok(Bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use samara_wit::value::{decode, encode};

    use super::*;

    #[test]
    fn bytes_are_encoded_as_bytes() {
        let bytes = Bytes::from(vec![0, 0xff]);
        let encoded = encode(&bytes).unwrap();
        assert_eq!(encoded, [0x42, 0, 0xff]);
        assert_eq!(decode::<Bytes>(&encoded).unwrap(), bytes);
    }

    #[test]
    fn numbers_and_texts_will_do() {
        assert_eq!(decode::<Bytes>(&encode(&[1, 2]).unwrap()).unwrap(), Bytes(vec![1, 2]));
        assert_eq!(decode::<Bytes>(&encode("ab").unwrap()).unwrap(), Bytes(b"ab".to_vec()));
        assert!(decode::<Bytes>(&encode(&[1, 256]).unwrap()).is_err());
        assert!(decode::<Bytes>(&encode(&1).unwrap()).is_err());
    }
}
