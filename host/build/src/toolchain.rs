//! The rustc in use: which one it is and what it has.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::process::{self, Stderr};
use crate::{Environment, Error, TARGET};

/// Crates without which nothing can be linked for the target.
const STD_CRATES: &[&str] = &["libcore-", "liballoc-", "libstd-", "libpanic_abort-", "libtest-"];

/// Written into libraries that this crate built: the rustc they fit, as `rustc -vV` says it.
///
/// An update of a toolchain in place removes only the files it knows, so that ours would stay and
/// fit no longer.
pub(crate) const STAMP: &str = "samara-rustc.txt";

/// A rustc that was asked about itself.
#[derive(Debug, Clone)]
pub struct Toolchain {
    version: String,
    sysroot: PathBuf,
    libdir: PathBuf,
}

impl Toolchain {
    /// Asks the rustc that is used in `dir`, whose `rust-toolchain.toml` may choose one.
    ///
    /// # Errors
    ///
    /// If there is no rustc, or it does not know the target.
    pub fn probe(dir: &Path, environment: &Environment) -> Result<Self, Error> {
        // Two questions: asked with `--print`, the version would be all that is answered.
        let paths = ["--print", "sysroot", "--print", "target-libdir", "--target", TARGET];
        let version = ask(&["-vV"], dir, environment)?;
        let paths = ask(&paths, dir, environment)?;
        let mut lines = paths.lines();
        let mut path = || PathBuf::from(lines.next().unwrap_or_default());
        Ok(Self { version, sysroot: path(), libdir: path() })
    }

    /// The version, such as `1.95.0`.
    #[must_use]
    pub fn release(&self) -> &str {
        self.version_field("release: ").unwrap_or("of unknown version")
    }

    /// The commit rustc was built from.
    pub(crate) fn commit(&self) -> &str {
        self.version_field("commit-hash: ").unwrap_or("unknown")
    }

    /// What `rustc -vV` says.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Where the toolchain is installed.
    #[must_use]
    pub fn sysroot(&self) -> &Path {
        &self.sysroot
    }

    /// Where the target's standard library is looked for.
    #[must_use]
    pub fn libdir(&self) -> &Path {
        &self.libdir
    }

    /// `lib/rustlib`, which holds one directory for each target.
    pub(crate) fn rustlib(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib")
    }

    /// Whether components can be built: the library is there and fits this rustc.
    #[must_use]
    pub fn has_std(&self) -> bool {
        let names = self.std_files();
        let complete = STD_CRATES.iter().all(|krate| names.iter().any(|n| n.starts_with(krate)));
        complete && !self.has_stale_std()
    }

    /// Whether a library of ours is there that was made for another rustc.
    pub(crate) fn has_stale_std(&self) -> bool {
        fs::read_to_string(self.libdir.join(STAMP)).is_ok_and(|stamp| stamp != self.version)
    }

    /// Differs between two libraries that do not fit the same compiled crates.
    ///
    /// Cargo does not see it when the library is built anew: crates that were compiled with the
    /// old one then fail with `can't find crate`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.version.hash(&mut hasher);
        self.libdir.hash(&mut hasher);
        for name in self.std_files() {
            let modified = fs::metadata(self.libdir.join(&name)).and_then(|m| m.modified());
            (name, modified.unwrap_or(SystemTime::UNIX_EPOCH)).hash(&mut hasher);
        }
        format!("{}-{:016x}", self.release(), hasher.finish())
    }

    /// The names of the library's crates, sorted.
    fn std_files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.libdir).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| Path::new(name).extension().is_some_and(|ext| ext == "rlib"))
            .collect();
        names.sort_unstable();
        names
    }

    fn version_field(&self, name: &str) -> Option<&str> {
        self.version.lines().find_map(|line| line.strip_prefix(name))
    }
}

/// What rustc answers.
fn ask(args: &[&str], dir: &Path, environment: &Environment) -> Result<String, Error> {
    let rustc = environment.rustc();
    let mut command = environment.command(rustc);
    let finished = process::run(command.args(args).current_dir(dir), Stderr::Keep);
    let (rustc, dir) = (rustc.to_owned(), dir.to_owned());
    match finished {
        Ok(finished) if finished.status.success() => Ok(finished.stdout),
        Ok(finished) => Err(Error::Rustc { rustc, dir, said: finished.said() }),
        Err(source) => Err(Error::Program { program: rustc, dir, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: &str = "\
rustc 1.95.0 (59807616e 2026-04-14)
binary: rustc
commit-hash: 59807616e1fa2540724bfbac14d7976d7e4a3860
release: 1.95.0
LLVM version: 22.1.2
";

    /// A toolchain whose library directory is a temporary one with these files.
    fn toolchain(dir: &Path, files: &[&str]) -> Toolchain {
        for file in files {
            fs::write(dir.join(file), "").unwrap();
        }
        Toolchain {
            version: VERSION.to_owned(),
            sysroot: PathBuf::from("/toolchain"),
            libdir: dir.to_owned(),
        }
    }

    #[test]
    fn the_version_is_read() {
        let toolchain = toolchain(Path::new("/none"), &[]);
        assert_eq!(toolchain.release(), "1.95.0");
        assert_eq!(toolchain.commit(), "59807616e1fa2540724bfbac14d7976d7e4a3860");
    }

    #[test]
    fn half_a_library_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let most = toolchain(dir.path(), &["libcore-1.rlib", "liballoc-1.rlib", "libstd-1.rlib"]);
        assert!(!most.has_std());
        let all = toolchain(dir.path(), &["libpanic_abort-1.rlib", "libtest-1.rlib"]);
        assert!(all.has_std());
    }

    #[test]
    fn a_library_built_for_another_rustc_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            "libcore-1.rlib",
            "liballoc-1.rlib",
            "libstd-1.rlib",
            "libpanic_abort-1.rlib",
            "libtest-1.rlib",
        ];
        let toolchain = toolchain(dir.path(), &files);
        fs::write(dir.path().join(STAMP), toolchain.version()).unwrap();
        assert!(toolchain.has_std());
        fs::write(dir.path().join(STAMP), "rustc 1.94.0").unwrap();
        assert!(toolchain.has_stale_std());
        assert!(!toolchain.has_std());
    }

    #[test]
    fn the_fingerprint_changes_with_the_library() {
        let dir = tempfile::tempdir().unwrap();
        let one = toolchain(dir.path(), &["libstd-1.rlib"]);
        let before = one.fingerprint();
        assert_eq!(before, one.fingerprint());
        assert!(before.starts_with("1.95.0-"), "{before}");
        fs::rename(dir.path().join("libstd-1.rlib"), dir.path().join("libstd-2.rlib")).unwrap();
        assert_ne!(before, one.fingerprint());
    }
}
