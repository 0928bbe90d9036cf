//! `samara hello`: shows that this machine runs components, and how fast.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use samara::function::{Function, Given, Kind};
use samara::{CompiledCode, Component};

use crate::globals::Globals;
use crate::units;

/// The component of `hello/`, put here by the build script.
pub(crate) static COMPONENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/samara_hello.wasm"));

/// Its function; written out because the guest's crate is no part of this program.
pub(crate) const HELLO: Function<(), (Given<String>,), String> =
    Function::new("hello", Kind::Map, ());

/// Tasks that warm the engine's slots, and then as many that are timed: each slot's first task pays
/// for its memory. Together they take some ten milliseconds.
const WARM_TASKS: u32 = 64;

/// Greets from inside a WebAssembly sandbox on this machine.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(crate) struct Arguments {
    /// Whom to greet.
    #[arg(default_value = "world")]
    name: String,
}

pub(crate) fn run(arguments: &Arguments, globals: &Globals, started: Instant) -> Result<ExitCode> {
    let component = Component::from_bytes(COMPONENT);
    let executor = globals.builder()?.progress(false).slots(1).build()?;
    let name = &arguments.name;
    let (code, greeting) = samara::block_on(async {
        let code = executor.prepare(&component).await?;
        let greeting = executor.call(&component, HELLO, name.clone()).await?;
        Ok::<_, samara::Error>((code, greeting))
    })?;
    let elapsed = started.elapsed();
    let mut out = io::stdout().lock();
    if !globals.json {
        writeln!(out, "{greeting}")?;
    }
    let many = || std::iter::repeat_n(name.clone(), WARM_TASKS as usize);
    let warm = samara::block_on(async {
        executor.map(&component, HELLO, many()).await?.wait().await;
        let job = executor.map(&component, HELLO, many()).await?;
        job.wait().await;
        Ok::<_, samara::Error>(job.summary())
    })?;
    let warm = warm.task_time / WARM_TASKS;
    if globals.json {
        let said = serde_json::json!({
            "greeting": greeting,
            "runtime": executor.runtime(),
            "component": component.id().to_string(),
            "cached": code == CompiledCode::Cached,
            "seconds": elapsed.as_secs_f64(),
            "warm_seconds": warm.as_secs_f64(),
        });
        writeln!(out, "{said}")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "1 task in {} ({} in a warm sandbox), component {}, {}",
        units::duration(elapsed),
        units::duration(warm),
        component.id(),
        match code {
            CompiledCode::Cached => "compiled code from cache",
            CompiledCode::New => "compiled now",
        },
    )?;
    Ok(ExitCode::SUCCESS)
}
