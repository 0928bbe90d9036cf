//! The engine's handler on the local runtime, with real guests and no driver: what a worker has.
#![allow(missing_docs, reason = "tests")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod cache;
mod common;
mod evil;
mod loading;
mod nested;
mod objects;
mod parts;
mod reuse;
mod runner;
mod stats;
