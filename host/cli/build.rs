//! Builds the component that `samara hello` runs, for the binary to hold.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::{env, fs, io};

#[allow(clippy::disallowed_methods, reason = "cargo speaks to build scripts by the environment")]
fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let options = samara_build::Options::from_env().with_output(samara_build::Output::Quiet);
    let built = samara_build::build("hello", &options)?;
    // A copy: the next build of the crate, by whomever, replaces the original.
    fs::copy(&built.path, out.join("hello.wasm"))?;
    let mut cargo = io::stdout().lock();
    for input in &built.inputs {
        writeln!(cargo, "cargo:rerun-if-changed={}", input.display())?;
    }
    Ok(())
}
