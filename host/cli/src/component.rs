//! Components as commands name them, and what there is to say of one.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use samara::{Component, Executor, FunctionInfo};
use samara_build::{Built, Error, Options, Output};
use serde::Serialize;

use crate::report::usage;
use crate::units;

/// Where the projects of `samara new`, and our examples, keep the crate with their functions.
const FUNCTION_DIR: &str = "function";

/// What there is to say of a component.
#[derive(Debug, Serialize)]
pub(crate) struct Description {
    path: PathBuf,
    id: String,
    size: u64,
    world: String,
    functions: Vec<FunctionInfo>,
}

/// Opens a component file, or builds the crate in a directory.
pub(crate) fn open(path: &Path, output: &Output) -> Result<Component> {
    match path.is_dir() {
        true => Ok(Component::from_path(build(path, output)?.path)?),
        false => read(path),
    }
}

/// Reads a component file.
pub(crate) fn read(path: &Path) -> Result<Component> {
    if fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Err(anyhow::anyhow!(
            "{}: no such file; give a component (.wasm), or make one: `samara build DIR`",
            path.display()
        ));
    }
    Ok(Component::from_path(path)?)
}

/// Builds the crate in a directory, or that of a project's functions.
pub(crate) fn build(dir: &Path, output: &Output) -> Result<Built> {
    if !dir.is_dir() {
        return Err(usage(format!("{}: no such directory", dir.display())));
    }
    let options = Options::from_env().with_output(output.clone());
    match samara_build::build(dir, &options) {
        Err(error @ (Error::NotAComponent { .. } | Error::Workspace { .. })) => {
            let function = dir.join(FUNCTION_DIR);
            match function.join("Cargo.toml").is_file() {
                true => Ok(samara_build::build(function, &options)?),
                false => Err(error.into()),
            }
        }
        built => Ok(built?),
    }
}

/// Asks a component what it is.
pub(crate) fn describe(component: &Component, path: &Path) -> Result<Description> {
    let executor = Executor::builder().progress(false).slots(1).build()?;
    let functions = samara::block_on(executor.functions(component))
        .with_context(|| format!("cannot inspect {}", path.display()))?;
    Ok(Description {
        path: path.to_owned(),
        id: component.id().to_string(),
        size: component.bytes().len() as u64,
        world: world(component.bytes()),
        functions,
    })
}

// === impl Description ===

impl Description {
    /// Prints the description: for people, or as one JSON object.
    pub(crate) fn print(&self, json: bool) -> Result<()> {
        let mut out = io::stdout().lock();
        if json {
            return Ok(writeln!(out, "{}", serde_json::to_string(self)?)?);
        }
        writeln!(out, "component  {}", self.path.display())?;
        writeln!(out, "id         {}", self.id)?;
        writeln!(out, "size       {} ({} bytes)", units::size(self.size), self.size)?;
        writeln!(out, "world      {}", self.world)?;
        match self.functions.len() {
            0 => writeln!(out, "functions  none; mark some with #[function]")?,
            count => writeln!(out, "functions  {count}")?,
        }
        for function in &self.functions {
            let notes = notes(function);
            writeln!(out, "\n  {}{}{notes}", function.name, arguments(&function.signature))?;
            if let Some(line) = function.doc.lines().find(|line| !line.trim().is_empty()) {
                writeln!(out, "      {}", line.trim())?;
            }
        }
        Ok(())
    }
}

/// The signature from its arguments on: the name is printed before it.
fn arguments(signature: &str) -> &str {
    signature.strip_prefix("fn").unwrap_or(signature)
}

fn notes(function: &FunctionInfo) -> String {
    let notes = [("reduce", function.reduce), ("pure", function.pure)];
    let notes: Vec<&str> = notes.iter().filter(|(_, is)| *is).map(|(note, _)| *note).collect();
    if notes.is_empty() { String::new() } else { format!("  [{}]", notes.join(", ")) }
}

/// The package and version that the component was built for: the engine checked that it exports
/// the interface, so the export's name, which has the version, is among the bytes.
fn world(component: &[u8]) -> String {
    let export = format!("{}@", samara_wit::FUNCTIONS);
    let at = component.windows(export.len()).position(|window| window == export.as_bytes());
    let version = at.map(|at| &component[at + export.len()..]).unwrap_or_default();
    let is_version = |byte: &&u8| byte.is_ascii_digit() || **byte == b'.';
    let version: String = version.iter().take_while(is_version).map(|&b| char::from(b)).collect();
    let version = if version.is_empty() { samara_wit::VERSION } else { &version };
    format!("{}@{version}", samara_wit::PACKAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_is_that_of_the_component() {
        assert_eq!(world(b"..samara:function/functions@0.1.7\0.."), "samara:function@0.1.7");
        assert_eq!(world(b""), format!("samara:function@{}", samara_wit::VERSION));
    }
}
