//! The conformance suite: what every runtime does on every store, as cases with real guests.
//!
//! ```no_run
//! use samara::{Component, Executor};
//! use samara_conformance::{Settings, Suite, Verdict, cases};
//!
//! # fn main() -> Result<(), samara::Error> {
//! let programs = Component::from_crate("tests/programs")?;
//! let settings = Settings::new(programs, Executor::builder().runtime("local:"), "file:///tmp/x/");
//! let suite = Suite::open(settings)?;
//! for case in cases() {
//!     let ended = suite.run(&case);
//!     assert!(!matches!(ended.verdict, Verdict::Failed(_)), "{case}: {ended:?}");
//! }
//! suite.clean()?;
//! # Ok(())
//! # }
//! ```
//!
//! A case is a function of a [`Context`], which has an executor, the guests of `tests/programs`
//! and a place of its own in the store. It writes nowhere else, and what it wrote is removed when
//! it has ended, also where it failed. So the cases may run side by side, and several suites may
//! share a store with each other and with whatever else lies there.
//!
//! This crate's own tests run every case on this machine (`tests/suite/`); `samara test` runs
//! them where its user says. What is about the local engine alone is no case but an ordinary test
//! in `tests/all/`.

mod case;
mod cases;
mod context;
mod place;
mod suite;

pub use crate::case::{Case, Needs};
pub use crate::cases::{cases, hide_expected_panics};
pub use crate::context::Context;
pub use crate::suite::{Ended, Settings, Suite, Verdict};
