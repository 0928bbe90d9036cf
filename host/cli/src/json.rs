//! Between JSON, which people write, and CBOR, which functions take and return.
//!
//! Both ways are streams of bytes, not trees: a guest's output is not trusted, so nothing is
//! allocated for a length it merely claims, and nesting has a limit.
//!
//! To CBOR: a number with a point or an exponent is a float, any other an integer; `null` is what
//! an absent `Option` is. To JSON, after RFC 8949 section 6.1:
//!
//! | CBOR | JSON |
//! |---|---|
//! | byte string | its base64url without padding, as a string |
//! | NaN, infinities, undefined, simple values | `null` |
//! | tagged item | the item |
//! | key of a map that is not a string | its JSON text, as a string |
//!
//! Keys are written in the order, and as often, as the function wrote them.

use std::fmt;

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use serde_json::Value;

/// Nesting of arrays and maps. The same as serde_json's, so that what is written can be read.
const DEPTH_MAX: usize = 128;

/// An output that has no JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Error {
    position: usize,
    message: String,
}

/// Encodes a JSON value as CBOR.
pub(crate) fn to_cbor(value: &Value) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    // Writing to a vector does not fail, and there is nothing else that could.
    encode(value, &mut encoder).expect("writing to a vector does not fail");
    encoder.into_writer()
}

/// Writes one CBOR item that spans all of `bytes` as compact JSON.
pub(crate) fn from_cbor(bytes: &[u8]) -> Result<String, Error> {
    let mut writer = Writer { decoder: Decoder::new(bytes), json: String::new() };
    writer.item(0)?;
    match writer.decoder.position() {
        end if end == bytes.len() => Ok(writer.json),
        end => Err(Error { position: end, message: "bytes after the value".to_owned() }),
    }
}

type Encoded = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn encode(value: &Value, encoder: &mut Encoder<Vec<u8>>) -> Encoded {
    match value {
        Value::Null => {
            encoder.null()?;
        }
        Value::Bool(value) => {
            encoder.bool(*value)?;
        }
        Value::Number(number) => encode_number(number, encoder)?,
        Value::String(text) => {
            encoder.str(text)?;
        }
        Value::Array(items) => {
            encoder.array(items.len() as u64)?;
            items.iter().try_for_each(|item| encode(item, encoder))?;
        }
        Value::Object(entries) => {
            encoder.map(entries.len() as u64)?;
            for (key, value) in entries {
                encoder.str(key)?;
                encode(value, encoder)?;
            }
        }
    }
    Ok(())
}

fn encode_number(number: &serde_json::Number, encoder: &mut Encoder<Vec<u8>>) -> Encoded {
    if let Some(unsigned) = number.as_u64() {
        encoder.u64(unsigned)?;
    } else if let Some(signed) = number.as_i64() {
        encoder.i64(signed)?;
    } else if let Some(double) = number.as_f64() {
        // As small as it goes without loss: a parameter of type f32 takes nothing wider.
        #[allow(clippy::cast_possible_truncation, reason = "compared with the original")]
        let single = double as f32;
        match f64::from(single).to_bits() == double.to_bits() {
            true => encoder.f32(single)?,
            false => encoder.f64(double)?,
        };
    }
    Ok(())
}

/// Writes what a decoder reads.
struct Writer<'a> {
    decoder: Decoder<'a>,
    json: String,
}

// === impl Writer ===

impl<'a> Writer<'a> {
    fn item(&mut self, depth: usize) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(self.error(format!("nested deeper than {DEPTH_MAX}")));
        }
        match self.datatype()? {
            Type::Bool => {
                let value = self.read(Decoder::bool)?;
                self.json.push_str(if value { "true" } else { "false" });
            }
            Type::Null => self.null(Decoder::null)?,
            Type::Undefined => self.null(Decoder::undefined)?,
            Type::Simple => self.null(|decoder| decoder.simple().map(drop))?,
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => self.integer()?,
            Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => self.integer()?,
            Type::F16 => self.half()?,
            Type::F32 => {
                let single = self.read(Decoder::f32)?;
                self.number(single.is_finite(), &single);
            }
            Type::F64 => {
                let double = self.read(Decoder::f64)?;
                self.number(double.is_finite(), &double);
            }
            Type::Bytes | Type::BytesIndef => {
                let bytes = self.bytes()?;
                self.string(&base64url(&bytes));
            }
            Type::String | Type::StringIndef => {
                let text = self.text()?;
                self.string(&text);
            }
            Type::Array | Type::ArrayIndef => self.array(depth)?,
            Type::Map | Type::MapIndef => self.map(depth)?,
            Type::Tag => {
                self.read(Decoder::tag)?;
                self.item(depth + 1)?;
            }
            other => return Err(self.error(format!("{other} stands where a value should"))),
        }
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), Error> {
        let mut left = self.read(Decoder::array)?;
        self.json.push('[');
        let mut first = true;
        while self.has_next(&mut left)? {
            self.separate(&mut first);
            self.item(depth + 1)?;
        }
        self.json.push(']');
        Ok(())
    }

    fn map(&mut self, depth: usize) -> Result<(), Error> {
        let mut left = self.read(Decoder::map)?;
        self.json.push('{');
        let mut first = true;
        while self.has_next(&mut left)? {
            self.separate(&mut first);
            self.key(depth)?;
            self.json.push(':');
            self.item(depth + 1)?;
        }
        self.json.push('}');
        Ok(())
    }

    /// A key that is no string becomes one: the text that it is in JSON.
    fn key(&mut self, depth: usize) -> Result<(), Error> {
        let start = self.json.len();
        let is_string = matches!(
            self.datatype()?,
            Type::String | Type::StringIndef | Type::Bytes | Type::BytesIndef
        );
        self.item(depth + 1)?;
        if !is_string {
            let text = self.json.split_off(start);
            self.string(&text);
        }
        Ok(())
    }

    /// Whether an array or map goes on. `left` is none where its length is not told before.
    fn has_next(&mut self, left: &mut Option<u64>) -> Result<bool, Error> {
        if let Some(left) = left {
            let more = *left > 0;
            *left = left.saturating_sub(1);
            return Ok(more);
        }
        if self.datatype()? != Type::Break {
            return Ok(true);
        }
        self.decoder.set_position(self.decoder.position() + 1);
        Ok(false)
    }

    fn separate(&mut self, first: &mut bool) {
        if !std::mem::replace(first, false) {
            self.json.push(',');
        }
    }

    fn integer(&mut self) -> Result<(), Error> {
        let integer = self.read(Decoder::int)?;
        self.json.push_str(&i128::from(integer).to_string());
        Ok(())
    }

    /// Half precision, which Rust functions do not write.
    fn half(&mut self) -> Result<(), Error> {
        let at = self.decoder.position();
        let Some(&[high, low]) = self.decoder.input().get(at + 1..at + 3) else {
            return Err(self.error("the value is cut short".to_owned()));
        };
        self.decoder.set_position(at + 3);
        let value = from_half(u16::from_be_bytes([high, low]));
        self.number(value.is_finite(), &value);
        Ok(())
    }

    fn null(
        &mut self,
        read: impl FnOnce(&mut Decoder<'a>) -> Result<(), minicbor::decode::Error>,
    ) -> Result<(), Error> {
        self.read(read)?;
        self.json.push_str("null");
        Ok(())
    }

    /// A float by its shortest digits that read as the same.
    fn number(&mut self, is_finite: bool, number: &impl serde::Serialize) {
        match serde_json::to_string(number) {
            Ok(digits) if is_finite => self.json.push_str(&digits),
            _ => self.json.push_str("null"),
        }
    }

    fn string(&mut self, text: &str) {
        self.json.push_str(&Value::from(text).to_string());
    }

    fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        let pieces = self.decoder.bytes_iter().and_then(Iterator::collect::<Result<Vec<_>, _>>);
        Ok(pieces.map_err(|error| self.damaged(&error))?.concat())
    }

    fn text(&mut self) -> Result<String, Error> {
        let pieces = self.decoder.str_iter().and_then(Iterator::collect::<Result<Vec<_>, _>>);
        Ok(pieces.map_err(|error| self.damaged(&error))?.concat())
    }

    fn datatype(&self) -> Result<Type, Error> {
        self.decoder.datatype().map_err(|error| self.damaged(&error))
    }

    fn read<T>(
        &mut self,
        read: impl FnOnce(&mut Decoder<'a>) -> Result<T, minicbor::decode::Error>,
    ) -> Result<T, Error> {
        read(&mut self.decoder).map_err(|error| self.damaged(&error))
    }

    fn damaged(&self, error: &minicbor::decode::Error) -> Error {
        match error.is_end_of_input() {
            true => self.error("the value is cut short".to_owned()),
            false => self.error(error.to_string()),
        }
    }

    fn error(&self, message: String) -> Error {
        Error { position: self.decoder.position(), message }
    }
}

/// IEEE 754 half precision: a sign, 5 bits of exponent, 10 bits of fraction.
fn from_half(bits: u16) -> f64 {
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match exponent {
        0 => fraction * 2_f64.powi(-24),
        0x1f if fraction == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        exponent => (1024.0 + fraction) * 2_f64.powi(exponent - 25),
    };
    if bits >> 15 == 0 { magnitude } else { -magnitude }
}

/// RFC 4648 section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..=group.len() {
            let index = bits >> (18 - 6 * digit) & 0x3f;
            text.push(char::from(DIGITS[index as usize]));
        }
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the output has no JSON: {} (at byte {})", self.message, self.position)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(encode: impl FnOnce(&mut Encoder<Vec<u8>>)) -> String {
        let mut encoder = Encoder::new(Vec::new());
        encode(&mut encoder);
        from_cbor(&encoder.into_writer()).unwrap()
    }

    #[test]
    fn json_survives_the_round_trip() {
        for text in [
            "null",
            "true",
            "0",
            "-1",
            "18446744073709551615",
            "-9223372036854775808",
            "5.0",
            "0.1",
            "1e300",
            "-0.0",
            r#""a \"quoted\" ü\n""#,
            "[]",
            "{}",
            r#"[1,[2.5,{"a":[null]}],"x"]"#,
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            let json = from_cbor(&to_cbor(&value)).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value, "{text}: {json}");
        }
    }

    #[test]
    fn numbers_keep_their_kind() {
        assert_eq!(to_cbor(&json!(5)), [5]);
        assert_eq!(to_cbor(&json!(-1)), [0x20]);
        assert_eq!(to_cbor(&json!(5.0)), [0xfa, 0x40, 0xa0, 0, 0], "single where nothing is lost");
        assert_eq!(to_cbor(&json!(0.1)).len(), 9, "else double");
    }

    #[test]
    fn floats_are_written_by_their_shortest_digits() {
        assert_eq!(
            written(|e| {
                e.f32(0.1).unwrap();
            }),
            "0.1"
        );
        assert_eq!(
            written(|e| {
                e.f64(5.0).unwrap();
            }),
            "5.0"
        );
        for (bytes, json) in [
            (&[0xf9, 0x3c, 0x00][..], "1.0"),
            (&[0xf9, 0xc4, 0x00], "-4.0"),
            (&[0xf9, 0x00, 0x01], "5.960464477539063e-8"),
            (&[0xf9, 0x7b, 0xff], "65504.0"),
            (&[0xf9, 0x7c, 0x00], "null"),
        ] {
            assert_eq!(from_cbor(bytes).unwrap(), json, "RFC 8949 appendix A");
        }
    }

    #[test]
    fn what_json_lacks_becomes_what_the_rfc_says() {
        assert_eq!(
            written(|e| {
                e.f64(f64::NAN).unwrap();
            }),
            "null"
        );
        assert_eq!(
            written(|e| {
                e.f32(f32::INFINITY).unwrap();
            }),
            "null"
        );
        assert_eq!(
            written(|e| {
                e.undefined().unwrap();
            }),
            "null"
        );
        assert_eq!(
            written(|e| {
                e.bytes(b"\xff\xfe\xfd").unwrap();
            }),
            r#""__79""#
        );
        assert_eq!(
            written(|e| {
                e.bytes(b"hello").unwrap();
            }),
            r#""aGVsbG8""#
        );
        let tag = minicbor::data::Tag::new(1);
        assert_eq!(
            written(|e| {
                e.tag(tag).unwrap().u8(7).unwrap();
            }),
            "7"
        );
    }

    #[test]
    fn keys_become_strings() {
        let json = written(|e| {
            e.map(3).unwrap().u8(1).unwrap().str("a").unwrap();
            e.array(2).unwrap().u8(1).unwrap().str("x").unwrap().bool(true).unwrap();
            e.str("s").unwrap().null().unwrap();
        });
        assert_eq!(json, r#"{"1":"a","[1,\"x\"]":true,"s":null}"#);
    }

    #[test]
    fn lengths_may_be_told_at_the_end() {
        let json = written(|e| {
            e.begin_array().unwrap().begin_map().unwrap();
            e.begin_str().unwrap().str("a").unwrap().str("b").unwrap().end().unwrap();
            e.u8(1).unwrap().end().unwrap().end().unwrap();
        });
        assert_eq!(json, r#"[{"ab":1}]"#);
    }

    #[test]
    fn damaged_output_is_refused() {
        for (bytes, wanted) in [
            (&[][..], "cut short"),
            (&[0x83, 1, 2], "cut short"),
            (&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "cut short"),
            (&[1, 2], "bytes after the value (at byte 1)"),
            (&[0xff], "stands where a value should"),
            (&[0xf9, 1], "cut short"),
        ] {
            let error = from_cbor(bytes).unwrap_err().to_string();
            assert!(error.contains(wanted), "{bytes:?}: {error}");
        }
        let deep = vec![0x81; 100_000];
        assert!(from_cbor(&deep).unwrap_err().to_string().contains("nested deeper"));
        let tags = vec![0xc1; 100_000];
        assert!(from_cbor(&tags).unwrap_err().to_string().contains("nested deeper"));
    }

    /// SplitMix64 (Steele, Lea and Flood 2014): small, and the same on every machine.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        fn value(&mut self, depth: u32) -> Value {
            let kinds = if depth == 0 { 6 } else { 8 };
            match self.next() % kinds {
                0 => Value::Null,
                1 => Value::from(self.next().is_multiple_of(2)),
                2 => Value::from(self.next() >> (self.next() % 64)),
                3 => Value::from((self.next() >> 1).cast_signed() >> (self.next() % 63)),
                4 => Value::from(f64::from_bits(self.next())),
                5 => Value::from(self.text()),
                6 => (0..self.next() % 5).map(|_| self.value(depth - 1)).collect(),
                _ => (0..self.next() % 5).map(|_| (self.text(), self.value(depth - 1))).collect(),
            }
        }

        fn text(&mut self) -> String {
            let length = self.next() % 30;
            (0..length).filter_map(|_| char::from_u32((self.next() % 0x3000) as u32)).collect()
        }
    }

    #[test]
    fn any_json_survives_the_round_trip() {
        let mut random = Random(1);
        for round in 0..2_000 {
            let value = random.value(4);
            let json = from_cbor(&to_cbor(&value)).unwrap();
            let again: Value = serde_json::from_str(&json).unwrap();
            assert_eq!(again, value, "round {round}: {json}");
        }
    }

    #[test]
    fn any_bytes_are_json_or_an_error() {
        let mut random = Random(2);
        for round in 0..20_000 {
            let length = random.next() % 40;
            let bytes: Vec<u8> = (0..length).map(|_| random.next().to_le_bytes()[0]).collect();
            if let Ok(json) = from_cbor(&bytes) {
                let parsed = serde_json::from_str::<Value>(&json);
                assert!(parsed.is_ok(), "round {round}: {bytes:?} became {json}");
            }
        }
    }
}
