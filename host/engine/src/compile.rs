//! Compiling: what bounds it, and who does it.
//!
//! An engine compiles in its own process, unless it is given somebody who does it elsewhere
//! ([`Compile`]): in a process whose time and memory are bounded, because a component may be made to
//! take any amount of both.

use std::fmt::Debug;

use samara_core::{Error, ErrorKind};
use wasmparser::{Parser, Payload};
use wasmtime::component::Component;

use crate::cache::{self, EngineHash, engine_hash};
use crate::component::{check_header, refuse};
use crate::config::Config;
use crate::engine::base_config;
use crate::expansion;

/// Bytes of a component. The largest known guests, whole Python programs, have 40 MB.
pub const COMPONENT_BYTES_MAX: usize = 512 << 20;

/// Functions of all modules of a component. Whole interpreters have some ten thousand; each takes
/// memory while it is compiled, however short it is.
const FUNCTIONS_MAX: u64 = 500_000;

/// What an answer has before the code: the engine's hash, and the code's length.
const HEADER_BYTES: usize = size_of::<EngineHash>() + size_of::<u64>();

/// Bytes of what [`Compile::compile`] answers.
#[allow(clippy::cast_possible_truncation, reason = "1 GiB, on machines with 64 bits")]
pub const ANSWER_BYTES_MAX: usize = cache::CODE_BYTES_MAX as usize + HEADER_BYTES;

/// Compiles components elsewhere, within bounds of its own.
pub trait Compile: Debug + Send + Sync + 'static {
    /// Has a component compiled, and gives what [`precompile`] answered there. Blocks.
    ///
    /// It is trusted: what it gives runs in this process. So it may only come from this very program,
    /// by a way on which nobody else can write.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Component`] where the component is none, or exceeds the bounds; the message says
    /// which, and the way out.
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, Error>;
}

/// Compiles a component for engines that are made with `config` on this machine, in this process,
/// and runs nothing of it: the other side of [`Compile`].
///
/// # Errors
///
/// [`ErrorKind::Component`] where it is no component.
pub fn precompile(config: &Config, component: &[u8]) -> Result<Vec<u8>, Error> {
    check(component)?;
    let engine = wasmtime::Engine::new(&base_config(config)).map_err(|error| {
        Error::new(ErrorKind::Internal, format!("cannot make a WebAssembly engine: {error:#}"))
    })?;
    let code = engine.precompile_component(component).map_err(|error| damaged(&error))?;
    let mut answer = Vec::with_capacity(HEADER_BYTES.saturating_add(code.len()));
    answer.extend_from_slice(&engine_hash(&engine));
    answer.extend_from_slice(&(code.len() as u64).to_le_bytes());
    answer.extend_from_slice(&code);
    Ok(answer)
}

/// Compiles a component in this process, or has it compiled.
pub(crate) fn compile(
    engine: &wasmtime::Engine,
    compiler: Option<&dyn Compile>,
    component: &[u8],
) -> Result<Component, Error> {
    check(component)?;
    match compiler {
        None => Component::from_binary(engine, component).map_err(|error| damaged(&error)),
        Some(compiler) => accept(engine, &compiler.compile(component)?),
    }
}

/// Loads the answer of another process, if it is whole and was compiled for this engine.
fn accept(engine: &wasmtime::Engine, answer: &[u8]) -> Result<Component, Error> {
    let strange = |what: &str| {
        let text = format!("what the process for compiling answered {what}");
        Error::new(ErrorKind::Internal, text)
    };
    let (hash, rest) = answer
        .split_first_chunk::<{ size_of::<EngineHash>() }>()
        .ok_or_else(|| strange("is cut"))?;
    if *hash != engine_hash(engine) {
        return Err(strange("is for an engine of other settings, or of another version"));
    }
    let (length, code) = rest.split_first_chunk().ok_or_else(|| strange("is cut"))?;
    if u64::from_le_bytes(*length) != code.len() as u64 {
        return Err(strange("has not the length that it says"));
    }
    cache::load(engine, code).map_err(|error| strange(&format!("cannot be loaded: {error:#}")))
}

/// Refuses what is too large to be compiled, before anything is.
fn check(component: &[u8]) -> Result<(), Error> {
    check_header(component)?;
    if component.len() > COMPONENT_BYTES_MAX {
        return Err(refuse(format!("it is larger than {COMPONENT_BYTES_MAX} bytes")));
    }
    expansion::check(component)?;
    match functions(component) {
        0..=FUNCTIONS_MAX => Ok(()),
        found => {
            let text = format!("it has {found} functions, more than {FUNCTIONS_MAX}: split it up");
            Err(refuse(text))
        }
    }
}

/// The functions of all modules in a component. What is damaged, the compiler will name.
fn functions(component: &[u8]) -> u64 {
    let payloads = Parser::new(0).parse_all(component).map_while(Result::ok);
    let count = |payload| match payload {
        Payload::CodeSectionStart { count, .. } => u64::from(count),
        _ => 0,
    };
    payloads.map(count).sum()
}

fn damaged(error: &wasmtime::Error) -> Error {
    let why = error.root_cause().to_string();
    let is_large = ["exceeds the", "exceeds limit"].iter().any(|text| why.contains(text));
    refuse(format!("it is {}: {why}", if is_large { "too large" } else { "damaged" }))
}
