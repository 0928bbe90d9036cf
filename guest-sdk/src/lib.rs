//! What user functions of [Samara](https://github.com/samara-rs/samara) are written with.
//!
//! A function is written once, compiled to a WebAssembly component, and mapped over data in object
//! storage: on a laptop, in a cloud's functions, on a cluster. The same bytes run everywhere, in the
//! same sandbox. This crate is all that the function's side needs.
//!
//! # A first function
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use samara_guest::{Partition, Result, function};
//!
//! type Counts = BTreeMap<String, u64>;
//!
//! /// Counts the words of one partition.
//! #[function]
//! pub fn words(text: Partition) -> Result<Counts> {
//!     let mut counts = Counts::new();
//!     for line in text.lines() {
//!         for word in line?.split_whitespace() {
//!             *counts.entry(word.to_owned()).or_default() += 1;
//!         }
//!     }
//!     Ok(counts)
//! }
//!
//! /// Adds two counts.
//! #[function(reduce)]
//! pub fn add(mut a: Counts, b: Counts) -> Counts {
//!     for (word, count) in b {
//!         *a.entry(word).or_default() += count;
//!     }
//!     a
//! }
//!
//! // Natively they are plain functions, tested with plain `cargo test`.
//! let counts = words(Partition::from("to be or\nnot to be\n"))?;
//! assert_eq!(counts["be"], 2);
//! # Ok::<(), samara_guest::Error>(())
//! ```
//!
//! The crate that holds it is a component and a library at once:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib", "rlib"]
//!
//! [dependencies]
//! samara-guest = "0.1"
//! ```
//!
//! `cargo build --release --target wasm32-wasip2` makes the component. The driver depends on the
//! same crate as a library, so that `executor.map(&app, word_count::words, inputs)` is checked by
//! the compiler: see [`function`] for what may be an argument, and [`Function`] for what it becomes.
//!
//! # What a function has
//!
//! - Its arguments: any number of values of any serde type ([`Bytes`] for raw bytes), and at most
//!   one [`Partition`], read while the function runs.
//! - [`storage`]: objects by URL, as far as the task was granted them.
//! - [`ObjectRef`]: objects of its own in the job's store, to be returned in place of their bytes.
//! - [`task`]: which task this is, a log, progress, and whether it was cancelled.
//! - [`jobs`]: further tasks of functions of the same component.
//! - Rust's standard library: collections, formatting, clocks, random numbers for `HashMap`.
//!   What is printed goes to the task's log.
//!
//! It returns a value, or a [`Result`]. An error reaches the driver with the messages of all its
//! causes ([`Context`] adds one); a panic, with its message and place. Neither is tried again
//! for a function that fails once will fail again.
//!
//! # What a function has not
//!
//! No files, no sockets, no environment variables but those that its job was granted, no threads,
//! no processes: `std::fs::read` and the like compile and fail. Nor has it what another call left behind, because each task has a new
//! instance: a `static` starts anew. Memory ends at 4 GiB, or where the job's limit is.
//!
//! A task may run twice, when a machine was lost or slow; one of the outputs counts. A function
//! that only returns a value need not care. One that writes objects should write the same bytes
//! under the same name each time, or use [`storage::put_if_absent`].
//!
//! # Tests
//!
//! Built natively, this crate is an ordinary library without a host: a [`Partition`] is made from a
//! string, [`storage`] works on objects in memory, one set per test, and `testing` sets up the task
//! and takes its log.
//!
//! # Why not …
//!
//! - **`async fn`?** A task has one thread and one partition, which the host reads ahead of it.
//!   Waiting for several things at once is what many tasks are for.
//! - **borrowed arguments (`&str`)?** An argument comes over the boundary as bytes and becomes a
//!   value of the task's own; there is nobody to borrow from.
//! - **generic functions?** A component's functions are called by name, by drivers of any language;
//!   a name stands for one set of types.
//! - **a file system over the object storage?** Objects have no directories, are not written in
//!   place, and are listed in pages. An interface that hides this makes slow programs easy.
//! - **a `main`?** A component offers many functions that share code, and a driver that picks one.

#[cfg(feature = "http")]
pub mod http;
pub mod jobs;
pub mod partition;
pub mod storage;
pub mod task;
pub mod testing;

mod bytes;
mod call;
mod cut;
mod host;
#[cfg(target_family = "wasm")]
mod memory;
mod object_ref;

pub use anyhow::{Context, Error, Result, anyhow, bail, ensure};
#[cfg(feature = "csv")]
pub use csv;
#[doc = include_str!("function.md")]
pub use samara_guest_macros::function;
pub use samara_wit::{Function, Given, Kind, Pulled};

pub use crate::bytes::Bytes;
pub use crate::object_ref::{Keep, ObjectRef, ObjectWriter};
pub use crate::partition::Partition;

impl samara_wit::Argument for Partition {
    type Slot = Pulled;
}

/// What the code that `#[function]` writes refers to. No part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use inventory;
    pub use samara_wit::{Function, Kind};

    pub use crate::call::{
        Arguments, Batch, Entry, Failure, Outcome, Output, Plain, SameAs, Take, call, call_batch,
        fold, listed, takes_partition,
    };
}
