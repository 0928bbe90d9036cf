//! Arguments and outputs of many types, and errors of many types.

#![deny(warnings)]

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io;

use samara_guest::{Bytes, Partition, function};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Point<T> {
    x: T,
    y: T,
}

mod alias {
    pub type Result = samara_guest::Result<u64>;
}

#[function]
fn no_arguments() {}

#[function]
fn eight(
    a: u8,
    b: Option<i16>,
    c: String,
    d: Vec<Point<f64>>,
    text: Partition,
    e: BTreeMap<String, (char, bool)>,
    f: HashMap<u64, Bytes>,
    g: Cow<'static, str>,
    h: Box<[u8]>,
) -> (u8, Option<i16>, String, usize, u64, usize, usize, Cow<'static, str>, Box<[u8]>) {
    (a, b, c, d.len(), text.length(), e.len(), f.len(), g, h)
}

#[function]
fn partition_first(_: samara_guest::Partition, n: u64) -> Point<u64> {
    Point { x: n, y: n }
}

#[function]
fn partition_only(text: Partition) -> Result<u64, samara_guest::partition::Error> {
    text.lines().map(|line| Ok(line?.len() as u64)).sum()
}

#[function]
fn of_io(n: u64) -> io::Result<u64> {
    Ok(n)
}

#[function]
fn of_alias(n: u64) -> alias::Result {
    Ok(n)
}

#[function]
fn of_std(n: u64) -> ::core::result::Result<u64, std::num::ParseIntError> {
    Ok(n)
}

#[function(reduce)]
fn points(a: Point<u64>, b: Point<u64>) -> samara_guest::Result<Point<u64>> {
    Ok(Point { x: a.x + b.x, y: a.y + b.y })
}

fn main() {
    no_arguments();
    let (text, f) = (Partition::from("x"), HashMap::new());
    let all =
        eight(1, None, String::new(), vec![], text, BTreeMap::new(), f, "g".into(), [8].into());
    assert_eq!(all.8[0], 8);
    assert_eq!(partition_first(Partition::from(""), 2).x, 2);
    assert_eq!(partition_only(Partition::from("ab\nc\n")).unwrap(), 3);
    assert_eq!(of_io(1).unwrap() + of_alias(2).unwrap() + of_std(3).unwrap(), 6);
    assert_eq!(points(Point { x: 1, y: 2 }, Point { x: 3, y: 4 }).unwrap().y, 6);
}
