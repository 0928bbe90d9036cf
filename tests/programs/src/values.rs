//! Values of all kinds, there and back.

use std::collections::BTreeMap;

use samara_guest::{Bytes, function};
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};

/// An enum with each kind of variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Shape {
    /// No fields.
    Point,
    /// A field without a name.
    Circle(f64),
    /// Fields with names.
    Rectangle {
        /// Extent along x.
        width: f64,
        /// Extent along y.
        height: f64,
    },
}

/// A record of records, as a caller of another language would give a dictionary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Person {
    /// Text that need not be ASCII.
    pub name: String,
    /// Something that may be missing.
    pub age: Option<u32>,
    /// Records within the record.
    pub children: Vec<Self>,
    /// Names of the value's own.
    pub notes: BTreeMap<String, Option<f64>>,
}

/// A value that must not be compared: whoever does not mean to, does not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Incomparable {
    /// What it holds.
    pub value: u64,
}

impl PartialEq for Incomparable {
    fn eq(&self, _: &Self) -> bool {
        panic!("these are not to be compared")
    }
}

/// A value that its own `Serialize` refuses.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Unencodable;

impl Serialize for Unencodable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("this value has no encoding"))
    }
}

/// Takes nothing and returns a number.
#[function(pure)]
pub fn answer() -> u64 {
    42
}

/// Adds two numbers.
#[function(pure)]
pub fn add(a: u64, b: u64) -> u64 {
    a + b
}

/// Takes nothing and returns nothing.
#[function]
pub fn nothing() {}

/// Returns unit.
#[function]
pub fn echo_unit(value: ()) {
    value
}

/// Returns an option.
#[function]
pub fn echo_option(value: Option<u64>) -> Option<u64> {
    value
}

/// Returns a string.
#[function]
pub fn echo_string(value: String) -> String {
    value
}

/// Returns a float.
#[function]
pub fn echo_float(value: f64) -> f64 {
    value
}

/// Returns a tuple.
#[function]
pub fn echo_tuple(value: (i64, String, bool, char)) -> (i64, String, bool, char) {
    value
}

/// Returns a map of lists of maps.
#[function]
pub fn echo_map(
    value: BTreeMap<String, Vec<BTreeMap<u32, i64>>>,
) -> BTreeMap<String, Vec<BTreeMap<u32, i64>>> {
    value
}

/// Joins words.
#[function(pure)]
pub fn join(words: Vec<String>) -> String {
    words.join(" ")
}

/// Returns a record, a year older.
#[function]
pub fn ages(mut person: Person) -> Person {
    person.age = person.age.map(|age| age + 1);
    person.children = person.children.into_iter().map(ages).collect();
    person
}

/// Returns what must not be compared.
#[function]
pub fn echo_incomparable(value: Incomparable) -> Incomparable {
    value
}

/// Returns enums.
#[function]
pub fn echo_shapes(value: Vec<Shape>) -> Vec<Shape> {
    value
}

/// Returns bytes, encoded as bytes.
#[function]
pub fn echo_bytes(value: Bytes) -> Bytes {
    value
}

/// Returns bytes, encoded as a list of numbers.
#[function]
pub fn echo_numbers(value: Vec<u8>) -> Vec<u8> {
    value
}

/// Eight arguments of eight types, as one text.
#[function]
#[expect(clippy::too_many_arguments, reason = "that is what it is for")]
pub fn eight(
    a: u8,
    b: i16,
    c: u32,
    d: i64,
    e: f32,
    f: String,
    g: Option<bool>,
    h: (char, Vec<u64>),
) -> String {
    format!("{a} {b} {c} {d} {e} {f} {g:?} {h:?}")
}

/// Compares the bytes of each pair: -1, 0 or 1.
#[function]
pub fn compares(pairs: Vec<(Bytes, Bytes)>) -> Vec<i8> {
    let order = |(a, b): &(Bytes, Bytes)| std::hint::black_box(a.as_ref()).cmp(b.as_ref()) as i8;
    pairs.iter().map(order).collect()
}

/// Returns what cannot be encoded.
#[function]
pub fn unencodable() -> Unencodable {
    Unencodable
}

/// Has another name in the component, of more than ASCII and more than a word.
#[function(name = "größer als")]
pub fn greater_than(a: i64, b: i64) -> bool {
    a > b
}

/// Computes for a while: the number of steps that all Collatz sequences from 1 to `n` take.
#[function(pure)]
pub fn collatz(n: u64) -> u64 {
    let length = |mut n: u64| {
        let mut steps = 0;
        while n > 1 {
            n = if n.is_multiple_of(2) { n / 2 } else { 3 * n + 1 };
            steps += 1;
        }
        steps
    };
    (1..=n).map(length).sum::<u64>()
}

/// Sums squares four at a time where the build has `simd128`; the first part says whether it has.
#[function(pure)]
pub fn sum_squares(n: u32) -> (bool, u64) {
    simd::sum_squares(n)
}

#[cfg(target_feature = "simd128")]
mod simd {
    //! With the vector instructions of WebAssembly.

    use core::arch::wasm32::{u32x4, u32x4_extract_lane, u32x4_shr, u64x2_add, u64x2_extract_lane};
    use core::arch::wasm32::{u64x2_extmul_high_u32x4, u64x2_extmul_low_u32x4, u64x2_splat};

    pub(super) fn sum_squares(n: u32) -> (bool, u64) {
        let mut sums = u64x2_splat(0);
        let whole = n - n % 4;
        for i in (0..whole).step_by(4) {
            let four = u32x4_shr(u32x4(2 * i, 2 * i + 2, 2 * i + 4, 2 * i + 6), 1);
            debug_assert_eq!(u32x4_extract_lane::<0>(four), i);
            sums = u64x2_add(sums, u64x2_extmul_low_u32x4(four, four));
            sums = u64x2_add(sums, u64x2_extmul_high_u32x4(four, four));
        }
        let rest: u64 = (whole..n).map(|i| u64::from(i) * u64::from(i)).sum();
        (true, u64x2_extract_lane::<0>(sums) + u64x2_extract_lane::<1>(sums) + rest)
    }
}

#[cfg(not(target_feature = "simd128"))]
mod simd {
    //! Without.

    pub(super) fn sum_squares(n: u32) -> (bool, u64) {
        (false, (0..n).map(|i| u64::from(i) * u64::from(i)).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_called_like_functions() {
        assert_eq!((answer(), add(1, 2)), (42, 3));
        assert_eq!(
            eight(1, -2, 3, -4, 0.5, "six".to_owned(), None, ('h', vec![8])),
            "1 -2 3 -4 0.5 six None ('h', [8])"
        );
        assert_eq!(collatz(10), 67);
        assert_eq!(sum_squares(10).1, 285);
    }

    #[test]
    fn records_are_changed_at_every_depth() {
        let child = Person {
            name: "Zoë".to_owned(),
            age: Some(3),
            children: Vec::new(),
            notes: BTreeMap::new(),
        };
        let parent = Person { age: None, children: vec![child], ..ages_of_nobody() };
        let older = ages(parent);
        assert_eq!((older.age, older.children[0].age), (None, Some(4)));
        assert_eq!(echo_incomparable(Incomparable { value: 7 }).value, 7);
        assert_eq!(join(vec!["a".to_owned(), "b".to_owned()]), "a b");
    }

    fn ages_of_nobody() -> Person {
        let (children, notes) = (Vec::new(), BTreeMap::new());
        Person { name: String::new(), age: None, children, notes }
    }

    #[test]
    fn a_name_can_be_chosen() {
        assert_eq!(greater_than.name(), "größer als");
    }
}
