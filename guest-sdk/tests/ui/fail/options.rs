//! Options that do not exist, are given twice, or lack a part.

use samara_guest::function;

#[function(map)]
fn unknown() {}

#[function(pure, pure)]
fn twice() {}

#[function(name)]
fn nameless() {}

#[function(name = "")]
fn empty() {}

#[function(name = 7)]
fn number() {}

#[function(reduce pure)]
fn no_comma(a: u64, b: u64) -> u64 {
    a + b
}

fn main() {}
