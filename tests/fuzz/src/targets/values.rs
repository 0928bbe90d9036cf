//! Values as they cross the sandbox: CBOR, read as many types.
//!
//! The first byte of an input says as which.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use samara_wit::ObjectRef;
use samara_wit::value::{ArgumentReader, ArgumentWriter, decode, encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Target;
use crate::engine::Seen;

/// See the module.
pub const TARGET: Target = Target {
    name: "values",
    seeds,
    words: &["name", "Number", "Nested", "Nothing", "items", "\u{5f}", "\u{7f}"],
    bytes_max: 4 << 10,
    time_max: Duration::from_secs(5),
    start: || Box::new(check),
};

/// A type that holds itself: how deep is for the bytes to say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Tree {
    Nothing,
    Number(f64),
    Named { name: String, items: Vec<i64> },
    Pair(u8, char),
    Bytes(#[serde(with = "as_bytes")] Vec<u8>),
    Branch(Vec<Self>),
}

/// Bytes as one byte string.
mod as_bytes {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        bytes::Bytes::deserialize(from).map(Vec::from)
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut writer = ArgumentWriter::new(3);
    for bytes in [encode(&7), encode("text"), encode(&[1.5, 2.5])] {
        writer.push_encoded(&bytes.expect("it can be encoded"));
    }
    let named = Tree::Named { name: "n".to_owned(), items: vec![-1, 0, 1] };
    let object = ObjectRef { url: "mem://a/b".to_owned(), size: 7, etag: "e".to_owned() };
    let of = |kind: u8, bytes: Result<Vec<u8>, _>| {
        let bytes: Vec<u8> = bytes.unwrap_or_else(|error: samara_wit::value::Error| {
            panic!("a sample cannot be encoded: {error}")
        });
        [&[kind], &*bytes].concat()
    };
    vec![
        of(0, encode(&vec![Tree::Nothing, Tree::Number(0.1), named])),
        of(0, encode(&vec![Tree::Pair(1, 'ü'), Tree::Bytes(vec![1, 2])])),
        of(0, encode(&vec![(0..20).fold(Tree::Nothing, |tree, _| Tree::Branch(vec![tree]))])),
        // Deeper than any stack, if it were read that far.
        of(6, Ok(vec![0x81; 3000])),
        of(1, encode(&BTreeMap::from([("a", Some(1_u64)), ("b", None)]))),
        of(2, encode(&(1_u8, -2_i64, 0.5_f32, "text", [true, false]))),
        of(3, encode(&"a text")),
        of(4, encode(&object)),
        of(5, Ok(writer.finish())),
    ]
}

fn check(input: &[u8]) -> Seen {
    let Some((kind, bytes)) = input.split_first() else { return Seen::of(()) };
    let seen = match kind % 7 {
        0 => again::<Vec<Tree>>(bytes),
        1 => again::<BTreeMap<String, Option<u64>>>(bytes),
        2 => again::<(u8, i64, f32, String, [bool; 2])>(bytes),
        3 => again::<String>(bytes),
        4 => again::<ObjectRef>(bytes),
        5 => arguments(bytes),
        _ => any(bytes),
    };
    seen.and(kind % 7)
}

/// Reads a value, writes it, and reads it once more.
fn again<T: DeserializeOwned + Serialize + Debug>(bytes: &[u8]) -> Seen {
    let value: T = match decode(bytes) {
        Ok(value) => value,
        Err(error) => return Seen::text(&error.to_string()),
    };
    let encoded = encode(&value).expect("it was decoded");
    let once_more: T = decode(&encoded).expect("it was encoded");
    // By their texts: no number that is none is like itself.
    assert_eq!(format!("{once_more:?}"), format!("{value:?}"));
    Seen::of(encoded.len().min(16))
}

/// A value of whatever type it has.
fn any(bytes: &[u8]) -> Seen {
    let value: serde_json::Value = match decode(bytes) {
        Ok(value) => value,
        Err(error) => return Seen::text(&error.to_string()),
    };
    let encoded = encode(&value).expect("it was decoded");
    assert_eq!(decode(&encoded), Ok(value.clone()));
    Seen::of((value.is_array(), value.is_object(), encoded.len().min(16)))
}

fn arguments(bytes: &[u8]) -> Seen {
    let mut reader = match ArgumentReader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return Seen::text(&error.to_string()),
    };
    let mut taken = 0_u64;
    while !reader.is_empty() {
        let before = reader.len();
        let outcome = match taken % 3 {
            0 => reader.take::<u64>().map(drop),
            1 => reader.take::<String>().map(drop),
            _ => reader.take::<Vec<f64>>().map(drop),
        };
        if let Err(error) = outcome {
            return Seen::text(&error.to_string()).and(taken.min(4));
        }
        assert!(reader.len() < before, "each takes one");
        taken += 1;
    }
    Seen::of(taken.min(8))
}
