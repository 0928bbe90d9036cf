//! The contract between guest and host, and the only crate that both sides share.
//!
//! The contract itself is the WIT package in `samara-function/world.wit`; [`WORLD`] is its text.
//! What WIT cannot say stands beside it: how values are encoded ([`value`]) and how a function's
//! types reach the driver's compiler ([`Function`]), and the shape of an object that is passed as a
//! value ([`ObjectRef`]). Neither side's behaviour lives here.

pub mod function;
pub mod value;

mod depth;
mod lenient;
mod object_ref;

pub use crate::function::{Argument, Function, Given, Kind, Pulled, Slot};
pub use crate::object_ref::ObjectRef;

/// The text of the WIT package.
pub const WORLD: &str = include_str!("../samara-function/world.wit");

/// The WIT package that this version of the contract is.
pub const PACKAGE: &str = "samara:function";

/// The version of the WIT package. Before 1.0 the minor version is the major one, as in semver.
pub const VERSION: &str = "0.2.1";

/// The interface that a component of the world exports, without its version.
pub const FUNCTIONS: &str = "samara:function/functions";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_match_the_world() {
        assert!(WORLD.contains(&format!("package {PACKAGE}@{VERSION};")));
        let interface = FUNCTIONS.strip_prefix(PACKAGE).expect("interface of the package");
        assert!(WORLD.contains(&format!("export {};", &interface[1..])));
    }

    /// The world as it was when this version was fixed. A change of the contract shows here: with a
    /// new version, which needs a new golden file.
    #[test]
    fn the_world_is_that_of_its_version() {
        let golden = format!("{}/golden/{VERSION}.wit", env!("CARGO_MANIFEST_DIR"));
        let golden = std::fs::read_to_string(&golden).expect("each version has its golden file");
        assert_eq!(WORLD, golden, "the contract changed: raise its version, add its golden file");
    }
}
