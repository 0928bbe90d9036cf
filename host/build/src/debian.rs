//! Fetches Rust's own source and wasi-libc from Debian's archive.
//!
//! apt does it, so that signatures are checked, but in directories of its own: nothing of the
//! machine's package state is touched, and no privilege is needed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{self, Finished, Stderr};
use crate::{Environment, Obstacle, apt};

/// Where apt keeps its configuration.
const APT_CONFIGURATION: &str = "/etc/apt";

/// The suite that carries Rust versions newer than the release, and the wasi-libc to match.
const SUITE: &str = "trixie-backports";

/// Fetches into one directory, which its owner removes.
pub(crate) struct Fetcher<'a> {
    dir: &'a Path,
    environment: &'a Environment,
}

impl<'a> Fetcher<'a> {
    /// Prepares the directory and reads the archive's list of packages.
    pub(crate) fn new(dir: &'a Path, environment: &'a Environment) -> Result<Self, Obstacle> {
        let fetcher = Self { dir, environment };
        // Asked first, so that a machine that is no Debian is told so and not of missing sources.
        for program in ["apt-get", "dpkg-deb", "tar"] {
            let mut command = environment.command(program);
            fetcher.run(command.arg("--version"), program)?;
        }
        let configuration = Path::new(APT_CONFIGURATION);
        let archive = apt::debian_archive(configuration)
            .ok_or_else(|| Obstacle::NoArchive { configuration: configuration.to_owned() })?;
        for part in ["state/lists/partial", "cache/archives/partial", "files"] {
            let path = dir.join(part);
            fs::create_dir_all(&path).map_err(|e| Obstacle::io("create", &path, e))?;
        }
        let sources = fetcher.sources();
        fs::write(&sources, archive.with_suite(SUITE))
            .map_err(|e| Obstacle::io("write", &sources, e))?;
        fetcher.run(fetcher.apt("apt-get").arg("update"), "apt-get update")?;
        Ok(fetcher)
    }

    /// The source of the standard library of exactly this version.
    pub(crate) fn rust_library(&self, release: &str) -> Result<PathBuf, Obstacle> {
        let listed =
            self.run(self.apt("apt-cache").args(["madison", "rust-src"]), "apt-cache madison")?;
        let available = versions(&listed.stdout);
        let Some(version) = available.iter().find(|version| is_release(version, release)) else {
            return Err(Obstacle::NoSuchVersion {
                wanted: release.to_owned(),
                suite: SUITE,
                available,
            });
        };
        let package = format!("rust-src={version}");
        self.unpack(&package, &format!("usr/src/rustc-{release}/library"))
    }

    /// The directory with the C library for the target.
    pub(crate) fn wasi_libc(&self) -> Result<PathBuf, Obstacle> {
        self.unpack("wasi-libc", "usr/lib/wasm32-wasip2")
    }

    /// Downloads one package and unpacks one directory of it.
    ///
    /// The package with Rust's source has 45,000 files; the library is a twentieth of them.
    fn unpack(&self, package: &str, path: &str) -> Result<PathBuf, Obstacle> {
        let mut download = self.apt("apt-get");
        self.run(download.args(["download", package]), &format!("apt-get download {package}"))?;
        let archive = self.downloaded(package.split('=').next().unwrap_or(package))?;
        let files = self.dir.join("files");
        let mut read = self.environment.command("dpkg-deb");
        read.arg("--fsys-tarfile").arg(&archive);
        let mut write = self.environment.command("tar");
        write.arg("-x").arg("-C").arg(&files).arg(format!("./{path}"));
        let ends = process::pipe(&mut read, &mut write)
            .map_err(|e| Obstacle::io("unpack", &archive, e))?;
        if let Some(failed) = ends.iter().find(|end| !end.status.success()) {
            let what = format!("unpacking {path} from {}", archive.display());
            return Err(Obstacle::Failed { what, said: failed.said() });
        }
        Ok(files.join(path))
    }

    /// The file that apt put into the working directory for a package.
    fn downloaded(&self, name: &str) -> Result<PathBuf, Obstacle> {
        let entries =
            fs::read_dir(self.dir).map_err(|e| Obstacle::io("list", self.dir, e))?.flatten();
        let prefix = format!("{name}_");
        let found = entries.map(|entry| entry.path()).find(|path| {
            let file = path.file_name().and_then(|file| file.to_str());
            file.is_some_and(|file| file.starts_with(&prefix) && file.ends_with(".deb"))
        });
        found.ok_or_else(|| Obstacle::Failed {
            what: format!("apt-get download {name}"),
            said: "it ended well but left no package".to_owned(),
        })
    }

    fn sources(&self) -> PathBuf {
        // apt tells the format of the file by its ending.
        self.dir.join("debian.sources")
    }

    /// A command of apt's that knows one source and keeps all it writes in our directory.
    fn apt(&self, program: &str) -> Command {
        let mut command = self.environment.command(program);
        let options = [
            ("Dir::Etc::sourcelist", self.sources()),
            ("Dir::Etc::sourceparts", PathBuf::from("-")),
            ("Dir::State", self.dir.join("state")),
            ("Dir::Cache", self.dir.join("cache")),
            ("Acquire::Languages", PathBuf::from("none")),
            ("Acquire::Retries", PathBuf::from("3")),
            // Else an archive that cannot be reached is no more than a warning.
            ("APT::Update::Error-Mode", PathBuf::from("any")),
        ];
        for (name, value) in options {
            command.arg("-o").arg(format!("{name}={}", value.display()));
        }
        command.arg("-q").env("LC_ALL", "C").current_dir(self.dir);
        command
    }

    fn run(&self, command: &mut Command, what: &str) -> Result<Finished, Obstacle> {
        let program = command.get_program().to_string_lossy().into_owned();
        let finished = process::run(command, Stderr::Keep).map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                return Obstacle::NotInstalled { program };
            }
            Obstacle::io("run in", self.dir, source)
        })?;
        if finished.status.success() {
            return Ok(finished);
        }
        Err(Obstacle::Failed { what: what.to_owned(), said: finished.said() })
    }
}

/// The second column of `apt-cache madison`.
fn versions(madison: &str) -> Vec<String> {
    let versions = madison.lines().filter_map(|line| line.split('|').nth(1));
    versions.map(|version| version.trim().to_owned()).collect()
}

/// Whether a package's version is a packaging of this release, such as `1.95.0+dfsg1-2` of `1.95.0`.
fn is_release(version: &str, release: &str) -> bool {
    let rest = version.strip_prefix(release);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', '-', '~']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_the_rustc_in_use_is_chosen() {
        let madison = "\
  rust-src | 1.96.1+dfsg1-2~bpo13+1 | http://m.example/debian trixie-backports/main amd64 Packages
  rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://m.example/debian trixie-backports/main amd64 Packages
";
        let versions = versions(madison);
        assert_eq!(versions, ["1.96.1+dfsg1-2~bpo13+1", "1.95.0+dfsg1-2~bpo13+1"]);
        let cases = [("1.95.0", Some(1)), ("1.96.1", Some(0)), ("1.96.0", None), ("1.9", None)];
        for (release, expected) in cases {
            let found = versions.iter().position(|version| is_release(version, release));
            assert_eq!(found, expected, "{release}");
        }
    }
}
