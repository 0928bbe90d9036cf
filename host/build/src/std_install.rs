//! Builds the target's standard library from source and installs it into the toolchain.
//!
//! All is made in one staging directory inside the toolchain and moved into place at the end, so
//! that the library is there as a whole or not at all. The caller holds the lock, so whatever lies
//! in the staging directory at the start is left from a run that was interrupted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian::Fetcher;
use crate::process::{self, Stderr};
use crate::toolchain::STAMP;
use crate::{Environment, Obstacle, Output, TARGET, Toolchain, cargo_output};

/// The startup code and C library that the linker needs beside the standard library.
const SELF_CONTAINED: &[&str] = &["crt1-command.o", "crt1-reactor.o", "libc.a"];

/// Lies in a source directory that this crate put into the toolchain, and only for the build.
const SOURCE_MARK: &str = "samara-temporary.txt";

/// The crate whose build drags the standard library in.
const EMPTY_CRATE: &str = "samara-empty";

/// Without a workspace of its own, one in a parent directory would claim it.
const EMPTY_MANIFEST: &str = "\
[package]
name = \"samara-empty\"
version = \"0.0.0\"
edition = \"2024\"

[workspace]
";

/// Fetches, builds and installs.
pub(crate) fn install(
    toolchain: &Toolchain,
    dir: &Path,
    environment: &Environment,
    output: &Output,
) -> Result<(), Obstacle> {
    let staging = Staging::create(toolchain)?;
    output.say(&format!(
        "fetching the source of Rust {} and wasi-libc from Debian (50 MB, once)",
        toolchain.release()
    ));
    let fetched = staging.subdir("debian")?;
    let fetcher = Fetcher::new(&fetched, environment)?;
    let wasi_libc = fetcher.wasi_libc()?;
    let source = Source::place(toolchain, &fetcher)?;
    output.say(&format!("building the standard library for {TARGET} (about a minute, once)"));
    let mut build = std_build(toolchain, environment, &staging, &source)?;
    let finished = process::run(build.current_dir(dir), Stderr::Show(output))
        .map_err(|e| Obstacle::io("run cargo in", dir, e))?;
    if !finished.status.success() {
        let what = format!("cargo -Z build-std of {}", source.path.display());
        return Err(Obstacle::Failed { what, said: finished.said() });
    }
    let made = staging.subdir("new/lib")?;
    gather(&made, &finished.stdout, &wasi_libc)?;
    write(&made.join(STAMP), toolchain.version())?;
    move_into_place(&staging.path.join("new"), &toolchain.rustlib().join(TARGET))
}

/// The cargo command that builds the standard library as a dependency of an empty crate.
fn std_build(
    toolchain: &Toolchain,
    environment: &Environment,
    staging: &Staging,
    source: &Source,
) -> Result<Command, Obstacle> {
    let krate = staging.subdir("empty/src")?;
    write(&krate.join("lib.rs"), "#![no_std]\n")?;
    let manifest = staging.path.join("empty/Cargo.toml");
    write(&manifest, EMPTY_MANIFEST)?;
    let mut command = environment.command(environment.cargo());
    command.args([
        "build",
        "--release",
        "--target",
        TARGET,
        "-Z",
        "build-std=std,panic_abort,test",
    ]);
    command.args(["--message-format", "json-render-diagnostics"]);
    command.arg("--manifest-path").arg(manifest);
    command.arg("--target-dir").arg(staging.path.join("build"));
    // The released compiler knows how to build its own library, but only on request.
    command.env("RUSTC_BOOTSTRAP", "1");
    command.env("CARGO_ENCODED_RUSTFLAGS", std_flags(toolchain, environment, source).join("\x1f"));
    Ok(command)
}

/// Compiler flags for the standard library.
fn std_flags(toolchain: &Toolchain, environment: &Environment, source: &Source) -> Vec<String> {
    // Without bitcode in it, a guest with link-time optimisation does not link.
    let mut flags = vec!["-Cembed-bitcode=yes".to_owned()];
    // The paths Rust's own builds have: a component must not differ by where it was built.
    let library = format!("/rustc/{}/library", toolchain.commit());
    flags.push(format!("--remap-path-prefix={}={library}", source.path.display()));
    if let Some(home) = environment.cargo_home() {
        let registry = home.join("registry/src");
        flags.push(format!("--remap-path-prefix={}=/rust/deps", registry.display()));
    }
    flags
}

/// Copies what a toolchain's library directory holds: the built crates and the C parts.
fn gather(lib: &Path, cargo_said: &str, wasi_libc: &Path) -> Result<(), Obstacle> {
    for artifact in cargo_output::artifacts(cargo_said) {
        for rlib in artifact.files("rlib") {
            let name = rlib.file_name().unwrap_or_default();
            if !name.to_string_lossy().starts_with(&library_prefix(EMPTY_CRATE)) {
                copy(rlib, &lib.join(name))?;
            }
        }
    }
    let self_contained = lib.join("self-contained");
    fs::create_dir(&self_contained).map_err(|e| Obstacle::io("create", &self_contained, e))?;
    for name in SELF_CONTAINED {
        copy(&wasi_libc.join(name), &self_contained.join(name))?;
    }
    Ok(())
}

/// How the files of a library crate begin.
fn library_prefix(krate: &str) -> String {
    format!("lib{}", krate.replace('-', "_"))
}

/// Replaces the target's directory. Nothing of use is lost: it held no whole library.
fn move_into_place(from: &Path, to: &Path) -> Result<(), Obstacle> {
    remove_dir(to)?;
    fs::rename(from, to).map_err(|e| Obstacle::io("move the library to", to, e))
}

/// The directory in which everything is made; removed at the end, however that comes.
struct Staging {
    path: PathBuf,
}

impl Staging {
    fn create(toolchain: &Toolchain) -> Result<Self, Obstacle> {
        let path = toolchain.rustlib().join(".samara-staging");
        remove_dir(&path)?;
        fs::create_dir(&path).map_err(|e| Obstacle::io("create", &path, e))?;
        Ok(Self { path })
    }

    fn subdir(&self, name: &str) -> Result<PathBuf, Obstacle> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(|e| Obstacle::io("create", &path, e))?;
        Ok(path)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next run.
        drop(fs::remove_dir_all(&self.path));
    }
}

/// The source of the standard library, where cargo looks for it.
///
/// A toolchain's own is used as it is. Ours is there for the build only: it would be out of date
/// after the toolchain's next update, and in rustup's way.
struct Source {
    path: PathBuf,
    ours: bool,
}

impl Source {
    fn place(toolchain: &Toolchain, fetcher: &Fetcher<'_>) -> Result<Self, Obstacle> {
        let path = toolchain.rustlib().join("src/rust/library");
        if path.join("Cargo.lock").is_file() && !path.join(SOURCE_MARK).is_file() {
            return Ok(Self { path, ours: false });
        }
        remove_dir(&path)?;
        let fetched = fetcher.rust_library(toolchain.release())?;
        write(&fetched.join(SOURCE_MARK), "Only here while the standard library is built.\n")?;
        let parent = path.parent().unwrap_or(&path);
        fs::create_dir_all(parent).map_err(|e| Obstacle::io("create", parent, e))?;
        fs::rename(&fetched, &path).map_err(|e| Obstacle::io("move the source to", &path, e))?;
        Ok(Self { path, ours: true })
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if self.ours {
            // The mark in it makes the next run replace what cannot be removed now.
            drop(fs::remove_dir_all(&self.path));
        }
    }
}

fn remove_dir(path: &Path) -> Result<(), Obstacle> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Obstacle::io("remove", path, e)),
        _ => Ok(()),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), Obstacle> {
    fs::copy(from, to).map(drop).map_err(|e| Obstacle::io("copy", from, e))
}

fn write(path: &Path, text: &str) -> Result<(), Obstacle> {
    fs::write(path, text).map_err(|e| Obstacle::io("write", path, e))
}
