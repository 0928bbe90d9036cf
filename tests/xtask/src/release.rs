//! Releases: the programs, stripped, with their sums and their bills of materials.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::bill::{self, Bill, Checksums, FORMAT, Program};

/// A program that is released.
struct Released {
    /// As its file is called.
    name: &'static str,
    package: &'static str,
    features: &'static str,
    /// Packages of components that it holds.
    guests: &'static [&'static str],
}

const PROGRAMS: &[Released] = &[
    Released { name: "samara-host", package: "samara-host", features: "default", guests: &[] },
    Released {
        name: "samara",
        package: "samara-cli",
        features: "full",
        guests: &["samara-hello", "samara-programs"],
    },
];

/// What components are built for.
const GUEST_TARGET: &str = "wasm32-wasip2";

/// What whoever hands the programs on has to hand on too.
const LICENCE: &str = "LICENSE";

/// A release under way.
struct Release<'a> {
    root: &'a Path,
    cargo: &'a Path,
    target: String,
    commit: String,
    checksums: Checksums,
    directory: PathBuf,
}

/// Makes a release; or, with `check`, writes and checks the bills of materials alone.
pub(crate) fn run(root: &Path, cargo: &Path, check: bool, out: &mut impl Write) -> Result<()> {
    let said = |program: &OsStr, args: &[&str]| output(root, program, args);
    let version = said(OsStr::new("rustc"), &["--version", "--verbose"])?;
    let target = version.lines().find_map(|line| line.strip_prefix("host: "));
    let target = target.context("rustc does not say what it builds for")?.to_owned();
    let commit = said(OsStr::new("git"), &["rev-parse", "HEAD"]).unwrap_or_default();
    if !check {
        let changed = said(OsStr::new("git"), &["status", "--porcelain"])?;
        ensure!(
            changed.is_empty(),
            "a release is made of what was committed, and this was not:\n{changed}"
        );
    }
    let metadata =
        said(cargo.as_os_str(), &["metadata", "--format-version=1", "--no-deps", "--locked"])?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let built = metadata["target_directory"].as_str().context("cargo has no target directory")?;
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let own = packages.iter().find(|package| package["name"] == "samara-host");
    let own = own.and_then(|package| package["version"].as_str()).context("no version")?;
    let directory = Path::new(built).join("dist").join(match check {
        true => "check".to_owned(),
        false => format!("samara-{own}-{target}"),
    });
    // What an earlier release left would be summed with this one's.
    if directory.exists() {
        fs::remove_dir_all(&directory).with_context(|| directory.display().to_string())?;
    }
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    lay_licence(root, &directory)?;
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("Cargo.lock")?;
    let checksums = bill::checksums(&lock)?;
    let commit = commit.trim().to_owned();
    let release = Release { root, cargo, target, commit, checksums, directory };
    for program in PROGRAMS {
        let crates = release.make(program, check)?;
        writeln!(out, "{}: {crates} crates in its bill of materials", program.name)?;
    }
    if !check {
        release.sum()?;
    }
    writeln!(out, "{}", release.directory.display())?;
    Ok(())
}

/// Puts the licence beside the programs. What the crates that they are built of are licensed under is in
/// the bills.
fn lay_licence(root: &Path, directory: &Path) -> Result<()> {
    let from = root.join(LICENCE);
    let text = fs::read_to_string(&from).with_context(|| from.display().to_string())?;
    ensure!(!text.trim().is_empty(), "{} is empty", from.display());
    let to = directory.join(LICENCE);
    fs::write(&to, text).with_context(|| to.display().to_string())
}

// === impl Release ===

impl Release<'_> {
    /// Makes one program's files, and says how many crates it is built of.
    fn make(&self, program: &Released, check: bool) -> Result<usize> {
        let mut bill = Bill::parse(&self.tree(program.package, program, "depth")?)?;
        let mut tree = self.tree(program.package, program, "none")?;
        for guest in program.guests {
            bill.hold(Bill::parse(&self.guest_tree(guest, "depth")?)?);
            tree += &self.guest_tree(guest, "none")?;
        }
        let sha256 = match check {
            true => None,
            false => Some(self.build(program, &bill)?),
        };
        let made = Program {
            name: program.name,
            target: &self.target,
            commit: &self.commit,
            sha256: sha256.as_deref(),
        };
        let path = self.directory.join(format!("{}.cdx.json", program.name));
        let text = serde_json::to_string_pretty(&bill.to_json(&made, &self.checksums))?;
        fs::write(&path, text + "\n").with_context(|| path.display().to_string())?;
        // As whoever gets it reads it.
        let read: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
        let faults = bill::faults(&read, &tree, &self.checksums);
        ensure!(faults.is_empty(), "{} is wrong: {}", path.display(), faults.join("; "));
        Ok(read["components"].as_array().map_or(0, Vec::len))
    }

    /// Builds a program, puts it beside its bill, and says what its sum is. Each crate that was
    /// compiled for it has to be in the bill.
    fn build(&self, program: &Released, bill: &Bill) -> Result<String> {
        let messages = self.cargo(&[
            "build",
            "--release",
            "--locked",
            "--package",
            program.package,
            "--features",
            program.features,
            "--message-format=json-render-diagnostics",
            "--config",
            "profile.release.strip=true",
        ])?;
        let compiled: BTreeSet<bill::Name> = bill::compiled(&messages);
        let missing = bill::missing(bill, &compiled);
        ensure!(
            missing.is_empty(),
            "the bill of {} is wrong: {}",
            program.name,
            missing.join("; ")
        );
        let executable = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|message| message["target"]["name"] == program.name)
            .find_map(|message| message["executable"].as_str().map(PathBuf::from));
        let executable = executable.context("cargo does not say where the program is")?;
        let to = self.directory.join(program.name);
        fs::copy(&executable, &to).with_context(|| executable.display().to_string())?;
        let sum = output(&self.directory, OsStr::new("sha256sum"), &[program.name])?;
        let sum = sum.split_whitespace().next().context("sha256sum said nothing")?;
        Ok(sum.to_owned())
    }

    /// Writes the sums of all files.
    fn sum(&self) -> Result<()> {
        let mut names: Vec<String> = fs::read_dir(&self.directory)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let sums = output(&self.directory, OsStr::new("sha256sum"), &names)?;
        fs::write(self.directory.join("SHA256SUMS"), sums)?;
        Ok(())
    }

    fn tree(&self, package: &str, program: &Released, prefix: &str) -> Result<String> {
        self.any_tree(&[
            "--package",
            package,
            "--features",
            program.features,
            "--target",
            &self.target,
            "--prefix",
            prefix,
        ])
    }

    /// Crates of a component. What its macros are built of runs on this machine.
    fn guest_tree(&self, package: &str, prefix: &str) -> Result<String> {
        self.any_tree(&["--package", package, "--target", GUEST_TARGET, "--prefix", prefix])
    }

    /// A tree of what is compiled for a program: not what its tests alone need.
    fn any_tree(&self, args: &[&str]) -> Result<String> {
        let mut all = vec!["tree", "--locked", "--edges", "normal,build", "--charset", "ascii"];
        all.extend(args);
        if args.contains(&"depth") {
            all.extend(["--format", FORMAT]);
        }
        self.cargo(&all)
    }

    fn cargo(&self, args: &[&str]) -> Result<String> {
        output(self.root, self.cargo.as_os_str(), args)
    }
}

/// What a program says on standard output; what it says beside that is passed on.
fn output(directory: &Path, program: &OsStr, args: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(args).current_dir(directory).stdin(Stdio::null()).stderr(Stdio::inherit());
    let name = || format!("{} {}", program.display(), args.first().unwrap_or(&""));
    let output = command.output().with_context(name)?;
    if !output.status.success() {
        bail!("{} ended with {}", name(), output.status);
    }
    String::from_utf8(output.stdout).with_context(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_the_licence_beside_its_programs() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let directory = tempfile::tempdir().unwrap();
        lay_licence(&root, directory.path()).unwrap();
        let laid = fs::read_to_string(directory.path().join("LICENSE")).unwrap();
        assert!(laid.contains("Apache License"), "{laid}");
        let error = lay_licence(directory.path(), &root.join("none")).unwrap_err();
        assert!(error.to_string().contains("none"), "{error}");
        fs::write(directory.path().join("LICENSE"), " \n").unwrap();
        assert!(lay_licence(directory.path(), directory.path()).is_err());
    }
}
