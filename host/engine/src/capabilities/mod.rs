//! What a guest may ask of the host: one module per interface of the world.
//!
//! A guest gets nothing that stands not here. Each module holds what was granted for one task
//! (`Granted`) and the host's side of the interface.

mod alarm;
#[cfg(feature = "http")]
pub(crate) mod http;
pub mod jobs;
pub(crate) mod partition;
pub mod storage;
pub(crate) mod task;
pub(crate) mod wasi;

use wasmtime::component::{HasSelf, Linker};

use crate::bindings::Function;
use crate::state::State;

/// Links everything that the world imports.
pub(crate) fn link(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasi::link(&mut linker)?;
    #[cfg(feature = "http")]
    http::link(&mut linker)?;
    Function::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    Ok(linker)
}

impl crate::bindings::samara::function::types::Host for State {}
