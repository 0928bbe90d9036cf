//! Builds a crate to a component.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cargo_output::{self, Metadata, Package};
use crate::environment::GUEST_RUSTFLAGS;
use crate::process::{self, Stderr};
use crate::{Environment, Error, Output, TARGET, Toolchain, ensure_target};

/// The release profile of guests, whatever the workspace they lie in says about its own.
///
/// Instances are made by the million and compiled once per machine, so the guest is made fast and
/// small and may compile slowly. Names of functions stay, for backtraces of traps; debug
/// information, which would be ten times the code, does not.
const PROFILE: &[&str] = &[
    "profile.release.opt-level=3",
    "profile.release.lto='fat'",
    "profile.release.codegen-units=1",
    "profile.release.panic='abort'",
    "profile.release.debug=false",
    "profile.release.strip='debuginfo'",
    "profile.release.debug-assertions=false",
    "profile.release.overflow-checks=false",
    "profile.release.incremental=false",
];

/// Vector instructions: every engine we support has them.
const FEATURES: &str = "-Ctarget-feature=+simd128";

/// How to build; [`Options::from_env`] has what fits most.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// What is taken from the process's environment.
    pub environment: Environment,
    /// Where progress and the compiler's messages go; standard error by default.
    pub output: Output,
    /// The target directory, which must not be that of a cargo which waits for this build.
    ///
    /// By default `samara/` in the workspace's own, or in `CARGO_TARGET_DIR`.
    pub target_dir: Option<PathBuf>,
    /// More arguments for `cargo build`, such as `--features`; none by default.
    pub cargo_args: Vec<OsString>,
}

/// A component that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Built {
    /// The name of the package.
    pub package: String,
    /// The component's file. The next build of the crate replaces it.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// The files it was made from: sources of local crates, manifest and lock file.
    pub inputs: Vec<PathBuf>,
}

// === impl Options ===

impl Options {
    /// The defaults, with the environment of this process.
    #[must_use]
    pub fn from_env() -> Self {
        Self::new(Environment::from_env())
    }

    /// The defaults, with a given environment.
    #[must_use]
    pub fn new(environment: Environment) -> Self {
        Self { environment, output: Output::Stderr, target_dir: None, cargo_args: Vec::new() }
    }

    /// Sends progress and the compiler's messages elsewhere.
    #[must_use]
    pub fn with_output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Builds in this target directory.
    #[must_use]
    pub fn with_target_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.target_dir = Some(dir.into());
        self
    }

    /// Adds an argument for `cargo build`.
    #[must_use]
    pub fn with_cargo_arg(mut self, arg: impl Into<OsString>) -> Self {
        self.cargo_args.push(arg.into());
        self
    }
}

/// Builds the crate in a directory to a component, with the target's standard library if needed.
///
/// Nothing is compiled when nothing changed. Concurrent builds wait for one another.
///
/// # Errors
///
/// [`Error::TargetUnavailable`] if there is no standard library for the target,
/// [`Error::NotACrate`], [`Error::Workspace`] or [`Error::NotAComponent`] if the directory holds
/// something else, [`Error::Compile`] if the code has errors.
pub fn build(crate_dir: impl AsRef<Path>, options: &Options) -> Result<Built, Error> {
    let dir = crate_dir.as_ref();
    if !dir.join("Cargo.toml").is_file() {
        return Err(Error::NotACrate { dir: dir.to_owned() });
    }
    let dir = std::path::absolute(dir).map_err(|e| Error::io("find", dir, e))?;
    let manifest = dir.join("Cargo.toml");
    let metadata = metadata(&dir, &manifest, options)?;
    let package = package(&dir, &manifest, &metadata)?;
    let toolchain = ensure_target(&dir, &options.environment, &options.output)?;
    let mut command = cargo_build(&manifest, &metadata, &toolchain, options);
    // On a terminal of its own cargo draws colours and a progress bar; else its text is kept.
    let stderr = match &options.output {
        Output::Stderr => Stderr::Terminal,
        other => Stderr::Show(other),
    };
    let finished = process::run(command.current_dir(&dir), stderr)
        .map_err(|source| cargo_missing(&dir, options, source))?;
    if !finished.status.success() {
        let diagnostics = matches!(stderr, Stderr::Show(_)).then(|| finished.stderr.clone());
        return Err(Error::Compile { package: package.name.clone(), dir, diagnostics });
    }
    let artifacts = cargo_output::artifacts(&finished.stdout);
    let path = artifacts
        .iter()
        .filter(|artifact| artifact.manifest_path == package.manifest_path)
        .find_map(|artifact| artifact.files("wasm").next())
        .ok_or_else(|| Error::NoArtifact { package: package.name.clone(), dir: dir.clone() })?;
    let size = fs::metadata(path).map_err(|e| Error::io("read", path, e))?.len();
    let inputs = inputs(path, &manifest, &metadata)?;
    Ok(Built { package: package.name.clone(), path: path.to_owned(), size, inputs })
}

/// Asks cargo about the workspace that the crate belongs to.
fn metadata(dir: &Path, manifest: &Path, options: &Options) -> Result<Metadata, Error> {
    let mut command = options.environment.command(options.environment.cargo());
    command.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]);
    command.arg(manifest).current_dir(dir);
    // Taken away with the other variables of an outer build, but here it is the answer.
    if let Some(target_dir) = options.environment.target_dir() {
        command.env("CARGO_TARGET_DIR", target_dir);
    }
    let finished = process::run(&mut command, Stderr::Keep)
        .map_err(|source| cargo_missing(dir, options, source))?;
    let unreadable = |said| Error::Manifest { manifest: manifest.to_owned(), said };
    if !finished.status.success() {
        return Err(unreadable(finished.said()));
    }
    serde_json::from_str(&finished.stdout).map_err(|e| unreadable(e.to_string()))
}

/// The package whose manifest this is, which must build a component.
fn package<'a>(dir: &Path, manifest: &Path, metadata: &'a Metadata) -> Result<&'a Package, Error> {
    let same = |other: &Path| other == manifest || is_same_file(other, manifest);
    let Some(package) = metadata.packages.iter().find(|p| same(&p.manifest_path)) else {
        let members = metadata.packages.iter().filter_map(|p| p.manifest_path.parent());
        return Err(Error::Workspace {
            dir: dir.to_owned(),
            members: members.map(Path::to_owned).collect(),
        });
    };
    if package.builds_component() {
        return Ok(package);
    }
    let package = package.name.clone();
    Err(Error::NotAComponent { package, manifest: manifest.to_owned() })
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

fn cargo_build(
    manifest: &Path,
    metadata: &Metadata,
    toolchain: &Toolchain,
    options: &Options,
) -> Command {
    let environment = &options.environment;
    let base =
        options.target_dir.clone().unwrap_or_else(|| metadata.target_directory.join("samara"));
    let mut command = environment.command(environment.cargo());
    command.args(["build", "--lib", "--release", "--target", TARGET]);
    command.args(["--message-format", "json-render-diagnostics"]);
    command.arg("--manifest-path").arg(manifest);
    // One directory for each standard library, because crates compiled with one fit no other.
    command.arg("--target-dir").arg(base.join(toolchain.fingerprint()));
    for setting in PROFILE {
        command.args(["--config", setting]);
    }
    command.args(&options.cargo_args);
    command.env(GUEST_RUSTFLAGS, rustflags(environment, &metadata.workspace_root));
    command
}

/// Compiler flags for guests. The user's come last, so that they win.
fn rustflags(environment: &Environment, workspace_root: &Path) -> String {
    let mut flags = vec![FEATURES.to_owned()];
    // A component is known by its bytes: they must not tell where it was built.
    let home = environment.cargo_home().map(|home| (home.to_owned(), "/cargo"));
    for (from, to) in home.into_iter().chain([(workspace_root.to_owned(), "/src")]) {
        let flag = format!("--remap-path-prefix={}={to}", from.display());
        // The variable is split at spaces, so such a path cannot be named in it.
        if !flag.contains(char::is_whitespace) {
            flags.push(flag);
        }
    }
    flags.extend(environment.guest_rustflags().map(str::to_owned));
    flags.join(" ")
}

fn cargo_missing(dir: &Path, options: &Options, source: io::Error) -> Error {
    let program = options.environment.cargo().to_owned();
    Error::Program { program, dir: dir.to_owned(), source }
}

/// What a change of would change the component, as far as it is local.
fn inputs(component: &Path, manifest: &Path, metadata: &Metadata) -> Result<Vec<PathBuf>, Error> {
    let dep_info = component.with_extension("d");
    let text = fs::read_to_string(&dep_info).map_err(|e| Error::io("read", &dep_info, e))?;
    let mut inputs = cargo_output::dep_info_inputs(&text);
    inputs.push(manifest.to_owned());
    let lock = metadata.workspace_root.join("Cargo.lock");
    inputs.extend(lock.is_file().then_some(lock));
    Ok(inputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(vars: &[(&str, &str)], root: &str) -> String {
        let vars = vars.iter().map(|(name, value)| (name.into(), value.into()));
        rustflags(&Environment::from_vars(vars), Path::new(root))
    }

    #[test]
    fn the_users_flags_come_after_ours() {
        let vars = [(GUEST_RUSTFLAGS, "-Ctarget-feature=+relaxed-simd"), ("CARGO_HOME", "/c")];
        assert_eq!(
            flags(&vars, "/w"),
            "-Ctarget-feature=+simd128 --remap-path-prefix=/c=/cargo --remap-path-prefix=/w=/src \
             -Ctarget-feature=+relaxed-simd"
        );
    }

    #[test]
    fn a_path_with_a_space_is_not_remapped() {
        assert_eq!(flags(&[], "/my work"), "-Ctarget-feature=+simd128");
    }
}
