//! Builds the components that the binary holds: those of `samara hello` and of `samara test`.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::{env, fs, io};

/// Crates of guests, from here.
const GUESTS: &[&str] = &["hello", "../../tests/programs"];

#[allow(clippy::disallowed_methods, reason = "cargo speaks to build scripts by the environment")]
fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let options = samara_build::Options::from_env().with_output(samara_build::Output::Quiet);
    let mut cargo = io::stdout().lock();
    for guest in GUESTS {
        let built = samara_build::build(guest, &options)?;
        let name = built.path.file_name().ok_or("a component has a name")?;
        // A copy: the next build of the crate, by whomever, replaces the original.
        fs::copy(&built.path, out.join(name))?;
        for input in &built.inputs {
            writeln!(cargo, "cargo:rerun-if-changed={}", input.display())?;
        }
    }
    Ok(())
}
