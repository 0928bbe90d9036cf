//! All options, visibilities and attributes.

#![deny(warnings, missing_docs)]
#![forbid(unsafe_code)]

use samara_guest::{Function, Result, function};

mod inner {
    use samara_guest as renamed;
    use samara_guest::function;

    /// Pure, named and from a renamed crate.
    #[function(pure, name = "other name", crate = renamed)]
    pub(crate) fn named(n: u64) -> u64 {
        n
    }

    /// Reduces.
    #[function(reduce, pure)]
    pub fn reduces(a: u64, b: u64) -> u64 {
        a + b
    }
}

/// A raw name.
#[function()]
fn r#type(n: u64) -> u64 {
    n
}

/// Has attributes of its own.
#[function]
#[must_use]
#[inline]
#[allow(unused_variables, reason = "shows that attributes stay with the function")]
fn attributed(unused: u64) -> u64 {
    1
}

#[doc = "Documentation of"]
#[doc = concat!("more than", " one line.")]
#[function]
fn documented() {}

#[function]
#[cfg(any())]
fn left_out(missing: Missing) {}

/// Calls itself, and has a variable of its own name.
#[function]
fn factorial(n: u64) -> u64 {
    let factorial = if n < 2 { 1 } else { n * factorial(n - 1) };
    factorial
}

/// Names that the expansion uses too.
#[function]
fn call(arguments: u64) -> u64 {
    arguments
}

/// Patterns in place of names.
#[function]
fn patterns((a, _): (u64, u64), mut b: u64, _: u64, [c, d]: [u64; 2]) -> u64 {
    b += a;
    b + c + d
}

/// A function in a function.
fn within() -> u64 {
    #[function]
    fn local(n: u64) -> u64 {
        n
    }
    local(1)
}

/// Its name is also a module's.
#[function]
fn inner(n: u64) -> Result<u64> {
    Ok(n)
}

fn main() {
    assert_eq!(inner::named.name(), "other name");
    assert_eq!(inner::named(1) + inner::reduces(2, 3), 6);
    assert_eq!(r#type.name(), "type");
    assert_eq!(attributed(0) + within() + call(1), 3);
    assert_eq!(factorial(5), 120);
    assert_eq!(patterns((1, 2), 3, 4, [5, 6]), 15);
    documented();
    let _: Function<fn(u64) -> u64, (samara_guest::Given<u64>,), u64> = inner::named;
    assert!(inner(1).is_ok());
}
