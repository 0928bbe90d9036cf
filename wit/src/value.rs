//! How values cross the boundary: CBOR (RFC 8949), so that guests in any language need no schema.
//!
//! Struct fields and enum variants are named by strings. A float may be encoded as any number, so
//! that values from JSON and from other languages fit. `()` is `null`, as JSON's null is of serde's
//! types; `Some(())` is therefore read as `None`. Arguments are one definite-length array.

use std::fmt;

use minicbor::data::Type;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::depth;
use crate::lenient::Lenient;

/// Nesting of arrays, maps and tags that is read. A reader goes one call deeper with each, and whoever
/// sent the bytes decides how deep: a stack is not theirs to fill. The same as serde_json's; without
/// optimisation a level takes some 9 KiB, and a thread has 2 MiB.
pub const DEPTH_MAX: usize = 128;

/// A value that does not encode to CBOR or does not decode to the wanted type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

/// Encodes one value.
///
/// # Errors
///
/// Where the type's own `Serialize` refuses the value.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    encode_to(&mut bytes, value)?;
    Ok(bytes)
}

/// Appends one encoded value to `bytes`.
///
/// # Errors
///
/// Where the type's own `Serialize` refuses the value; `bytes` then ends in part of it.
pub fn encode_to<T: Serialize + ?Sized>(bytes: &mut Vec<u8>, value: &T) -> Result<(), Error> {
    let mut serializer = minicbor_serde::Serializer::new(bytes);
    value.serialize(serializer.serialize_unit_as_null(true)).map_err(Error::new)
}

/// Decodes one value that spans all of `bytes`.
///
/// # Errors
///
/// Where `bytes` is not CBOR, not of type `T`, longer than one value, or nested deeper than
/// [`DEPTH_MAX`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    match read(bytes)? {
        (value, end) if end == bytes.len() => Ok(value),
        (_, end) => Err(Error(format!("{} bytes after the value", bytes.len() - end))),
    }
}

/// Decodes one value from the start of `bytes`; also says where it ends.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), Error> {
    depth::check(bytes)?;
    let mut strict = minicbor_serde::Deserializer::new(bytes);
    match T::deserialize(&mut strict) {
        Ok(value) => Ok((value, strict.decoder().position())),
        Err(error) => read_lenient(bytes).ok_or_else(|| Error::found(bytes, &error)),
    }
}

/// The second try, apart from the first so that what fits at once pays nothing for it.
#[cold]
fn read_lenient<T: DeserializeOwned>(bytes: &[u8]) -> Option<(T, usize)> {
    let mut lenient = minicbor_serde::Deserializer::new(bytes);
    let value = T::deserialize(Lenient(&mut lenient)).ok()?;
    Some((value, lenient.decoder().position()))
}

/// Builds the array of a call's arguments.
#[derive(Debug)]
pub struct ArgumentWriter(Vec<u8>);

/// Takes a call's arguments from their array, one by one.
#[derive(Debug)]
pub struct ArgumentReader<'a> {
    decoder: minicbor::Decoder<'a>,
    left: u64,
}

// === impl ArgumentWriter ===

impl ArgumentWriter {
    /// Begins an array of `count` arguments; exactly as many must be pushed.
    pub fn new(count: u64) -> Self {
        let mut encoder = minicbor::Encoder::new(Vec::new());
        encoder.array(count).expect("writing to a vector does not fail");
        Self(encoder.into_writer())
    }

    /// Appends a value.
    ///
    /// # Errors
    ///
    /// As [`encode`].
    pub fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        encode_to(&mut self.0, value)
    }

    /// Appends a value that is CBOR already.
    pub fn push_encoded(&mut self, value: &[u8]) {
        self.0.extend_from_slice(value);
    }

    /// The finished array.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

// === impl ArgumentReader ===

impl<'a> ArgumentReader<'a> {
    /// Opens an array of arguments.
    ///
    /// # Errors
    ///
    /// Where `bytes` is not a CBOR array of definite length.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut decoder = minicbor::Decoder::new(bytes);
        match decoder.array() {
            Ok(Some(left)) => Ok(Self { decoder, left }),
            Ok(None) => Err(Error("arguments are an array of indefinite length".to_owned())),
            Err(e) => Err(Error(format!("arguments are not a CBOR array: {e}"))),
        }
    }

    /// Number of arguments not taken yet.
    pub fn len(&self) -> u64 {
        self.left
    }

    /// Whether all arguments were taken.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Takes the next argument.
    ///
    /// # Errors
    ///
    /// Where none is left, or it is not of type `T`.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        self.left =
            self.left.checked_sub(1).ok_or_else(|| Error("an argument is missing".to_owned()))?;
        let rest = &self.decoder.input()[self.decoder.position()..];
        let (value, taken) = read(rest)?;
        self.decoder.set_position(self.decoder.position() + taken);
        Ok(value)
    }
}

// === impl Error ===

impl Error {
    pub(crate) fn new(cause: impl fmt::Display) -> Self {
        Self(cause.to_string())
    }

    /// Says what was found: the library's messages name what it wanted.
    fn found(bytes: &[u8], cause: &impl fmt::Display) -> Self {
        let found = match minicbor::Decoder::new(bytes).datatype() {
            Ok(Type::F16 | Type::F32 | Type::F64) => "a float",
            Ok(Type::U8 | Type::U16 | Type::U32 | Type::U64) => "an integer",
            Ok(Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int) => "a negative integer",
            Ok(Type::String | Type::StringIndef) => "a string",
            Ok(Type::Bytes | Type::BytesIndef) => "bytes",
            Ok(Type::Array | Type::ArrayIndef) => "an array",
            Ok(Type::Map | Type::MapIndef) => "a map",
            Ok(Type::Null | Type::Undefined) => "null",
            Ok(Type::Bool) => "a boolean",
            Ok(_) => "another CBOR item",
            Err(_) => "no valid CBOR",
        };
        Self(format!("{cause} (found {found})"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn round_trip<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(value: &T) {
        let bytes = encode(value).expect("encodes");
        assert_eq!(&decode::<T>(&bytes).expect("decodes"), value);
    }

    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    enum Shape {
        Point,
        Circle(f64),
        Box { width: u32, height: u32 },
    }

    #[test]
    fn values_survive_the_round_trip() {
        round_trip(&());
        round_trip(&None::<u8>);
        round_trip(&Some(Some(3_i64)));
        round_trip(&(i64::MIN, u64::MAX, f64::MIN_POSITIVE, 'ß', "…".to_owned(), true));
        round_trip(&BTreeMap::from([((1, 2), vec![0_u8; 3]), ((3, 4), vec![])]));
        round_trip(&vec![Shape::Point, Shape::Circle(0.5), Shape::Box { width: 1, height: 2 }]);
    }

    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    struct Empty;

    #[test]
    fn nothing_is_null_and_is_read_from_an_empty_array_too() {
        let json = serde_json::json!({"a": null, "b": [null, [], {}], "c": 1.5});
        round_trip(&json);
        round_trip(&serde_json::Value::Null);
        round_trip(&(Empty, vec![(), ()], Ok::<(), String>(())));
        assert_eq!(encode(&()).unwrap(), [0xf6]);
        assert_eq!(decode::<()>(&[0x80]), Ok(()));
        assert_eq!(decode::<((), f64, Empty)>(&[0x83, 0x80, 1, 0xf6]), Ok(((), 1.0, Empty)));
        assert!(decode::<()>(&[0x81, 1]).is_err() && decode::<()>(&[0]).is_err());
    }

    #[test]
    fn arguments_are_taken_in_order() {
        let mut writer = ArgumentWriter::new(3);
        writer.push(&1_u8).unwrap();
        writer.push("two").unwrap();
        writer.push_encoded(&encode(&[3.0]).unwrap());
        let bytes = writer.finish();
        let mut reader = ArgumentReader::new(&bytes).unwrap();
        assert_eq!(reader.take::<u64>().unwrap(), 1);
        assert_eq!(reader.take::<String>().unwrap(), "two");
        assert_eq!(reader.take::<Vec<f64>>().unwrap(), [3.0]);
        assert!(reader.is_empty());
        assert_eq!(reader.take::<u8>().unwrap_err().to_string(), "an argument is missing");
    }

    #[test]
    fn a_wrong_type_says_what_was_found() {
        let error = decode::<u64>(&encode("five").unwrap()).unwrap_err().to_string();
        assert!(error.contains("found a string"), "{error}");
    }

    #[test]
    fn a_float_may_be_written_as_any_number() {
        assert_eq!(decode::<f64>(&encode(&5_u8).unwrap()), Ok(5.0));
        assert_eq!(decode::<f64>(&encode(&-5_i64).unwrap()), Ok(-5.0));
        assert_eq!(decode::<f64>(&encode(&0.5_f32).unwrap()), Ok(0.5));
        assert_eq!(decode::<f32>(&encode(&0.1_f64).unwrap()), Ok(0.1));
        let nested = (vec![1_u8, 2], Some(3_i8), BTreeMap::from([("x", 4_u64)]));
        type Floats = (Vec<f64>, Option<f32>, BTreeMap<String, f64>);
        let floats: Floats = (vec![1.0, 2.0], Some(3.0), BTreeMap::from([("x".to_owned(), 4.0)]));
        assert_eq!(decode::<Floats>(&encode(&nested).unwrap()), Ok(floats));
        let circle = BTreeMap::from([("Circle", 2_u8)]);
        assert_eq!(decode::<Shape>(&encode(&circle).unwrap()), Ok(Shape::Circle(2.0)));
        assert!(decode::<u64>(&encode(&5.0).unwrap()).is_err(), "but no integer as a float");
    }

    #[test]
    fn bytes_after_the_value_are_refused() {
        let error = decode::<u8>(&[1, 2, 3]).unwrap_err().to_string();
        assert_eq!(error, "2 bytes after the value");
    }

    #[test]
    fn damaged_bytes_are_refused() {
        for bytes in [&[][..], &[0xff], &[0x18], &[0x83, 1, 2]] {
            assert!(decode::<Vec<u8>>(bytes).is_err(), "{bytes:?}");
        }
    }
}
