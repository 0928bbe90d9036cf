//! What can go wrong: what, where, and what to do next.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::TARGET;

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program could not be started.
    #[error("could not run `{}` in {}: {source}; is it installed and on PATH?", program.display(), dir.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// Where it was to run.
        dir: PathBuf,
        /// Why it did not.
        source: io::Error,
    },
    /// The compiler could not say where it keeps its libraries.
    #[error(
        "`{}` in {} cannot say where it keeps {TARGET}; rustc 1.82 or newer is needed:\n{said}",
        rustc.display(), dir.display()
    )]
    Rustc {
        /// The compiler that was asked.
        rustc: PathBuf,
        /// Where it was asked; the directory may choose the toolchain.
        dir: PathBuf,
        /// What it said.
        said: String,
    },
    /// The compiler has no standard library for components, and there is no way to get one here.
    #[error(
        "rustc {release} has no standard library for {TARGET} ({})\n{}",
        libdir.display(), Tried(attempts)
    )]
    TargetUnavailable {
        /// The version of the rustc in use.
        release: String,
        /// Where the library was looked for.
        libdir: PathBuf,
        /// What was tried, in order.
        attempts: Vec<Attempt>,
    },
    /// The directory holds no cargo package.
    #[error("{} is not a Rust crate: it has no Cargo.toml", dir.display())]
    NotACrate {
        /// The directory.
        dir: PathBuf,
    },
    /// The manifest is only that of a workspace.
    #[error(
        "{} is a workspace, not a crate; name one of its members: {}",
        dir.display(), List(members)
    )]
    Workspace {
        /// The directory.
        dir: PathBuf,
        /// The directories of the workspace's members.
        members: Vec<PathBuf>,
    },
    /// Cargo does not accept the manifest.
    #[error("cargo cannot read {}:\n{said}", manifest.display())]
    Manifest {
        /// The manifest.
        manifest: PathBuf,
        /// What cargo said.
        said: String,
    },
    /// The crate does not say that it wants to be a component.
    #[error(
        "crate `{package}` does not build a component; add to {}:\n\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n",
        manifest.display()
    )]
    NotAComponent {
        /// The crate.
        package: String,
        /// Its manifest.
        manifest: PathBuf,
    },
    /// The crate does not compile.
    #[error(
        "crate `{package}` ({}) does not compile for {TARGET}{}",
        dir.display(), Diagnostics(diagnostics.as_deref())
    )]
    Compile {
        /// The crate.
        package: String,
        /// Its directory.
        dir: PathBuf,
        /// The compiler's messages, where they were not shown on standard error.
        diagnostics: Option<String>,
    },
    /// Cargo succeeded, and named no component.
    #[error(
        "cargo built crate `{package}` ({}) but named no .wasm file; please report this with the versions of cargo and rustc",
        dir.display()
    )]
    NoArtifact {
        /// The crate.
        package: String,
        /// Its directory.
        dir: PathBuf,
    },
    /// A file or directory could not be used.
    #[error("could not {what} {}: {source}", path.display())]
    #[non_exhaustive]
    Io {
        /// What was to be done, as a verb.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it was not.
        source: io::Error,
    },
}

/// One way to get the target's standard library, and why it is closed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The way.
    pub step: Step,
    /// What stood in it.
    pub obstacle: Obstacle,
}

/// The ways to get the target's standard library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Preparing the toolchain's directory for any of the others.
    Prepare,
    /// `rustup target add`.
    Rustup,
    /// Building it from Debian's packaged source.
    Debian,
}

/// What can stand in the way.
#[derive(Debug)]
#[non_exhaustive]
pub enum Obstacle {
    /// The environment says that rustup must not fetch anything.
    Forbidden,
    /// A program is not installed: rustup, or apt-get where the machine is not a Debian.
    NotInstalled {
        /// The program.
        program: String,
    },
    /// This user may not write to the toolchain.
    NotWritable {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The machine's apt knows no Debian archive.
    NoArchive {
        /// The directory whose files were read.
        configuration: PathBuf,
    },
    /// The archive has the source of other versions only.
    NoSuchVersion {
        /// The version of the rustc in use.
        wanted: String,
        /// The suite that was searched.
        suite: &'static str,
        /// The versions it has.
        available: Vec<String>,
    },
    /// A program ran and failed.
    Failed {
        /// What it was to do.
        what: String,
        /// What it said.
        said: String,
    },
    /// All went well, and rustc still does not find the library.
    StillMissing,
    /// A file or directory could not be used.
    Io {
        /// What was to be done, as a verb.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it was not.
        source: io::Error,
    },
}

// === impl Error ===

impl Error {
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source }
    }
}

// === impl Step ===

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepare => f.write_str("prepare the toolchain"),
            Self::Rustup => write!(f, "`rustup target add {TARGET}`"),
            Self::Debian => f.write_str("build it from Debian's rust-src and wasi-libc"),
        }
    }
}

// === impl Obstacle ===

impl Obstacle {
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::PermissionDenied
            || source.kind() == io::ErrorKind::ReadOnlyFilesystem
        {
            let dir = path.parent().unwrap_or(path).to_owned();
            return Self::NotWritable { dir, source };
        }
        Self::Io { what, path: path.to_owned(), source }
    }

    /// What the reader can do about it.
    fn advice(&self) -> String {
        match self {
            Self::Forbidden => {
                format!("unset RUSTUP_AUTO_INSTALL, or run `rustup target add {TARGET}` yourself")
            }
            Self::NotInstalled { program } if program == "rustup" => {
                "install Rust with rustup, https://rustup.rs".to_owned()
            }
            Self::NotInstalled { .. } | Self::NoArchive { .. } => format!(
                "on a machine without Debian's archive, install the target with rustup, or copy \
                 lib/rustlib/{TARGET} from a toolchain of the same version"
            ),
            Self::NotWritable { .. } => {
                "run this once as a user who may write there, or use a toolchain of your own"
                    .to_owned()
            }
            Self::NoSuchVersion { .. } => {
                "use a toolchain of a version that is there, or install the target with rustup"
                    .to_owned()
            }
            Self::Failed { .. } | Self::Io { .. } => {
                "put right what it says and run this again; what was half done is done anew"
                    .to_owned()
            }
            Self::StillMissing => {
                "check that `rustc` on PATH (or in RUSTC) is the one of the rustup toolchain in use"
                    .to_owned()
            }
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden => f.write_str("not tried, RUSTUP_AUTO_INSTALL=0 forbids it"),
            Self::NotInstalled { program } => write!(f, "`{program}` is not installed"),
            Self::NotWritable { dir, source } => {
                write!(f, "this user may not write to {}: {source}", dir.display())
            }
            Self::NoArchive { configuration } => {
                write!(f, "the apt sources in {} name no Debian archive", configuration.display())
            }
            Self::NoSuchVersion { wanted, suite, available } if available.is_empty() => {
                write!(f, "{suite} has no rust-src at all, {wanted} is needed")
            }
            Self::NoSuchVersion { wanted, suite, available } => {
                write!(f, "{suite} has rust-src {}, not {wanted}", available.join(", "))
            }
            Self::Failed { what, said } => {
                write!(f, "{what} failed:\n     {}", said.replace('\n', "\n     "))
            }
            Self::StillMissing => f.write_str("it went well, but rustc still does not find it"),
            Self::Io { what, path, source } => {
                write!(f, "could not {what} {}: {source}", path.display())
            }
        }
    }
}

/// Lists what was tried and then what to do.
struct Tried<'a>(&'a [Attempt]);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tried:\n")?;
        for (index, Attempt { step, obstacle }) in self.0.iter().enumerate() {
            writeln!(f, "  {}. {step}: {obstacle}", index + 1)?;
        }
        f.write_str("one of these helps:")?;
        for attempt in self.0 {
            write!(f, "\n  - {}", attempt.obstacle.advice())?;
        }
        Ok(())
    }
}

struct List<'a>(&'a [PathBuf]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, path) in self.0.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { ", " }, path.display())?;
        }
        Ok(())
    }
}

struct Diagnostics<'a>(Option<&'a str>);

impl fmt::Display for Diagnostics<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(diagnostics) => write!(f, ":\n{}", diagnostics.trim_end()),
            None => f.write_str("; the compiler's messages stand above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unavailable_target_says_what_was_tried_and_what_to_do() {
        let error = Error::TargetUnavailable {
            release: "1.95.0".to_owned(),
            libdir: PathBuf::from("/t/lib/rustlib/wasm32-wasip2/lib"),
            attempts: vec![
                Attempt { step: Step::Rustup, obstacle: Obstacle::Forbidden },
                Attempt {
                    step: Step::Debian,
                    obstacle: Obstacle::NotInstalled { program: "apt-get".to_owned() },
                },
            ],
        };
        assert_eq!(
            error.to_string(),
            "\
rustc 1.95.0 has no standard library for wasm32-wasip2 (/t/lib/rustlib/wasm32-wasip2/lib)
tried:
  1. `rustup target add wasm32-wasip2`: not tried, RUSTUP_AUTO_INSTALL=0 forbids it
  2. build it from Debian's rust-src and wasi-libc: `apt-get` is not installed
one of these helps:
  - unset RUSTUP_AUTO_INSTALL, or run `rustup target add wasm32-wasip2` yourself
  - on a machine without Debian's archive, install the target with rustup, or copy \
lib/rustlib/wasm32-wasip2 from a toolchain of the same version"
        );
    }

    #[test]
    fn a_refused_write_is_told_from_other_failures() {
        let path = Path::new("/usr/lib/rustlib/x");
        let refused = Obstacle::io("create", path, io::ErrorKind::PermissionDenied.into());
        assert!(
            matches!(&refused, Obstacle::NotWritable { dir, .. } if dir.ends_with("rustlib")),
            "{refused:?}"
        );
        let full = Obstacle::io("create", path, io::ErrorKind::StorageFull.into());
        assert!(matches!(full, Obstacle::Io { .. }), "{full:?}");
    }
}
