//! Maps Rust functions, compiled to WebAssembly components, over data in object storage.
//!
//! A function is written with `samara-guest`, compiled once, and runs unchanged on this machine or
//! on a fleet, each task in a fresh sandbox. This crate is the driver: it finds the input, cuts it
//! into partitions, hands tasks to a runtime and collects what they come to.
//!
//! ```no_run
//! # // The function's own crate is a library natively, so its handles are ordinary values. Here
//! # // they are written out; `#[function]` does that.
//! # mod word_count {
//! #     #![allow(non_upper_case_globals)]
//! #     use samara::function::{Function, Given, Kind, Pulled};
//! #     type Counts = std::collections::BTreeMap<String, u64>;
//! #     pub const count: Function<(), (Pulled,), Counts> = Function::new("count", Kind::Map, ());
//! #     pub const add: Function<(), (Given<Counts>, Given<Counts>), Counts> =
//! #         Function::new("add", Kind::Reduce, ());
//! # }
//! use samara::{Component, Executor, Objects};
//!
//! # fn main() -> Result<(), samara::Error> {
//! let app = Component::from_crate("function")?;
//! let executor = Executor::new()?;
//! let text = Objects::at("corpus/*.txt").chunk_bytes(8 << 20);
//! let counts = samara::block_on(async {
//!     executor.map_reduce(&app, word_count::count, text, word_count::add).await?.value().await
//! })?;
//! # let _ = counts;
//! # Ok(())
//! # }
//! ```
//!
//! # Words
//!
//! A *job* is one `map`, `map_reduce` or `call`. It has *tasks*, numbered from 0 in the order of
//! its inputs; each has a value or a [`TaskError`] of its own, and one failed task hides no other's
//! result. A task of the platform's failure is tried again; a user's error is not.
//!
//! # Which async runtime?
//!
//! Any, or none ([`blocking`]): the executor brings its own threads for I/O, and what it returns
//! are plain futures and streams. A function is also a [tower service](Executor::service) and the
//! end of a [parallel iterator](IntoSamara).
//!
//! # Why not threads and rayon?
//!
//! On one machine, for code of one's own, rayon is simpler and as fast. A component is for code
//! that is to run elsewhere, next to other people's, unchanged: the same bytes, in the same
//! sandbox, on every runtime.

#![allow(
    clippy::needless_pass_by_value,
    reason = "function handles are small, and `&` before each would be noise at every call"
)]

mod allowed;
pub mod blocking;
mod bound;
mod builder;
mod component;
pub mod deploy;
mod dispatch;
mod environment;
mod error;
mod executor;
mod feed;
mod health;
mod inputs;
mod job;
mod joblog;
mod jobs;
mod ledger;
mod manifest;
mod nested;
mod objects;
mod plan;
mod policy;
mod progress;
mod reduce;
mod reference;
mod request;
pub mod settings;
pub mod storage;
mod summary;
mod timer;

pub use futures::executor::block_on;
pub use samara_core::{
    Access, ComponentId, CsvOptions, Exceeded, FunctionInfo, JobId, Level, Limits, LogLine,
    Partition, Reach, Records, Terminator, Trap, UserError, UserErrorKind,
};

/// An object that a function returned by reference: read it with [`Storage`], pass it on as an
/// input. It goes with its job when that is cleaned, unless the function kept it.
pub use samara_wit::ObjectRef;

pub use crate::bound::{Bound, FunctionService, IntoSamara, Parallel};
pub use crate::builder::Builder;
pub use crate::component::Component;
pub use crate::error::{Cause, Error, TaskError, TaskFailure};
pub use crate::executor::{CompiledCode, Executor};
pub use crate::health::default_cache_dir;
pub use crate::inputs::{Chained, Inputs, Plan, Streamed, stream};
pub use crate::job::{Completed, Encoded, Job, TaskFuture, Until, Value, Waited};
pub use crate::jobs::{JobLine, JobLines, JobState, JobStatus, LogOptions};
pub use crate::objects::{Objects, PARTITIONS_MAX, WithArguments};
pub use crate::plan::Partitions;
pub use crate::policy::{Backups, OnFailure, Retries, TaskEnd};
pub use crate::reduce::{Grouped, MapReduce};
pub use crate::reference::{JobRef, TaskRef};
pub use crate::request::{Call, Map, MapThenReduce, MapThenReduceGroups};
pub use crate::settings::Settings;
pub use crate::storage::Storage;
pub use crate::summary::{ATTEMPTS_KEPT, AttemptStats, Ended, JobStats, Summary};

/// Typed function handles: what `#[function]` makes.
pub mod function {
    pub use samara_wit::function::{Argument, Function, Given, Kind, Pulled, Slot};
}
