//! Real guests on the local runtime: every promise of the engine and the driver, from outside.
#![allow(missing_docs, reason = "tests")]
#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    clippy::disallowed_methods,
    reason = "tests"
)]
#![allow(clippy::cast_possible_truncation, reason = "tests")]

mod bad_components;
mod cache;
mod common;
mod ends;
mod jobs;
mod logs;
mod objects;
mod partitions;
mod records;
mod reduce;
mod sandbox;
mod storage;
mod values;
