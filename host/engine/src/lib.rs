//! The engine: takes a component and a task, runs the task in a fresh sandbox, says what it came to.
//!
//! **Invariant:** this is the only crate that names wasmtime. Everything else hands tasks to a
//! [`TaskHandler`](samara_core::TaskHandler), which [`Handler`] implements.
//!
//! A task's life: [`Engine::prepare`] compiles a component once (or maps the compiled code from the
//! disk cache) and links it; [`Engine::run`] instantiates it from the pool, calls one function and
//! drops the instance. An instance is never used twice, so no task sees another's memory.
//!
//! # Why not async?
//!
//! A guest computes; what it waits for is its own partition, which is read ahead. One thread per
//! running task therefore costs nothing, and a synchronous call into a guest costs 0.2 µs where an
//! asynchronous one switches stacks. Host calls that may wait are bounded by the task's deadline
//! instead.

mod bindings;
mod budget;
mod cache;
pub mod capabilities;
mod command;
mod compile;
mod component;
mod config;
mod engine;
mod expansion;
mod failure;
mod handler;
#[cfg(feature = "inside")]
pub mod inside;
mod job;
mod loader;
mod log;
mod partition;
mod patience;
mod permits;
mod run;
mod secrets;
mod shared;
mod state;
mod ticker;

pub use crate::cache::CacheKey;
pub use crate::command::{Command, Exit, Ran, Setting};
pub use crate::compile::{ANSWER_BYTES_MAX, COMPONENT_BYTES_MAX, Compile, precompile};
pub use crate::component::Prepared;
pub use crate::config::Config;
pub use crate::engine::Engine;
pub use crate::handler::Handler;
pub use crate::job::Job;
pub use crate::secrets::SecretsDir;
