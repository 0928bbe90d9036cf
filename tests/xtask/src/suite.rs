//! Runs `cargo test`, sums what its many test binaries say, and says again at the end what failed.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, BufRead as _, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result};

use crate::secrets::{self, Transcript};

/// The sum over all test binaries.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

/// Lines of what failed that are said again; what is beyond them stands further up in the output.
const REPEATED_LINES_MAX: usize = 400;

/// What test binaries said of their failures, to be said again where it is found: at the end.
#[derive(Debug, Default)]
struct Failures {
    lines: Vec<String>,
    inside: bool,
}

/// Runs the tests in the repository, with the output of cargo passed on as it comes. A credential of
/// a test in that output is a failure.
pub(crate) fn run(
    root: &Path,
    cargo: &Path,
    args: &[OsString],
    out: &mut impl Write,
) -> Result<Summary> {
    let mut command = cargo_test(cargo, args);
    let transcript = Transcript::new().context("could not keep what the tests say")?;
    command.current_dir(root).stdin(Stdio::null()).env(secrets::VARIABLE, transcript.secrets());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("could not run cargo test")?;
    let mut summary = thread::scope(|scope| {
        let errors = child.stderr.take();
        scope.spawn(|| errors.map(|mut errors| transcript.pass(&mut errors, &mut io::stderr())));
        follow(&mut child, &transcript, out)
    })?;
    let (secrets, found) = transcript.found().context("could not look for credentials")?;
    for line in &found {
        writeln!(out, "a credential was said: {line}")?;
    }
    if secrets > 0 {
        let lines = found.len();
        writeln!(out, "{secrets} credentials of tests are in {lines} lines of all that was said")?;
        *(if lines == 0 { &mut summary.passed } else { &mut summary.failed }) += 1;
    }
    Ok(summary)
}

/// Passes on what the tests say, and sums it.
fn follow(child: &mut Child, transcript: &Transcript, out: &mut impl Write) -> Result<Summary> {
    let output = child.stdout.take().context("cargo test has no output")?;
    let mut summary = Summary::default();
    let (mut failures, mut skipped) = (Failures::default(), Vec::new());
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        out.write_all(&line)?;
        transcript.add(&line)?;
        let text = String::from_utf8_lossy(&line);
        summary.add_line(&text);
        failures.add_line(&text);
        skipped.extend(text.starts_with("skipped: ").then(|| text.trim_end().to_owned()));
        line.clear();
    }
    let status = child.wait()?;
    // A test binary that was killed, or did not compile, has no line that says so.
    if !status.success() && summary.failed == 0 {
        summary.failed = 1;
        writeln!(out, "cargo test ended with {status}, and no test says that it failed")?;
    }
    // What stood far up in the output.
    for line in skipped.iter().chain(&failures.lines) {
        writeln!(out, "{line}")?;
    }
    Ok(summary)
}

/// The command; one failing test binary must not hide the others.
fn cargo_test(cargo: &Path, args: &[OsString]) -> Command {
    let mut command = Command::new(cargo);
    command.args(["test", "--no-fail-fast"]);
    // This program's own, which cargo set: build scripts that look at them would be run again.
    command.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_PKG_NAME");
    for part in ["MAJOR", "MINOR", "PATCH", "PRE"] {
        command.env_remove(format!("CARGO_PKG_VERSION_{part}"));
    }
    let args = match args.split_first() {
        Some((first, rest)) if first == "--" => rest,
        _ => args,
    };
    if !args.iter().any(|arg| selects_packages(arg)) {
        command.arg("--workspace");
    }
    command.args(args);
    command
}

/// Whether an argument says which packages to test, so that we need not.
fn selects_packages(arg: &OsStr) -> bool {
    let arg = arg.to_string_lossy();
    ["-p", "--package", "--manifest-path"].iter().any(|option| arg.starts_with(option))
}

// === impl Failures ===

impl Failures {
    /// Takes what stands between `failures:` and the result of a binary.
    fn add_line(&mut self, line: &str) {
        let line = line.trim_end();
        match line {
            "failures:" => self.inside = true,
            _ if line.starts_with("test result: ") => self.inside = false,
            _ if self.inside && self.lines.len() < REPEATED_LINES_MAX => {
                self.lines.push(line.to_owned());
            }
            _ => {}
        }
    }
}

// === impl Summary ===

impl Summary {
    /// Adds what a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; …` says.
    fn add_line(&mut self, line: &str) {
        let Some(result) = line.trim_start().strip_prefix("test result: ") else { return };
        for part in result.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let Some(count) = words.next().and_then(|word| word.parse::<u64>().ok()) else {
                continue;
            };
            match words.next() {
                Some("passed") => self.passed += count,
                Some("failed") => self.failed += count,
                Some("ignored") => self.skipped += count,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(f, "{passed} passed, {failed} failed")?;
        if *skipped > 0 {
            write!(f, ", {skipped} skipped")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_summed() {
        let output = "running 4 tests
test a ... ok
test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.05s
   Doc-tests samara
test result: FAILED. 12 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s
all doctests ran in 0.53s; merged doctests compilation took 0.24s
";
        let mut summary = Summary::default();
        output.lines().for_each(|line| summary.add_line(line));
        assert_eq!(summary, Summary { passed: 15, failed: 2, skipped: 1 });
        assert_eq!(summary.to_string(), "15 passed, 2 failed, 1 skipped");
        assert_eq!(Summary::default().to_string(), "0 passed, 0 failed");
    }

    #[test]
    fn what_failed_is_said_again() {
        let output = "test a ... FAILED\nfailures:\n\n---- a stdout ----\nit broke\n
failures:\n    a\n\ntest result: FAILED. 0 passed; 1 failed\ntest b ... ok\n";
        let mut failures = Failures::default();
        output.lines().for_each(|line| failures.add_line(line));
        assert_eq!(failures.lines.join("|"), "|---- a stdout ----|it broke||    a|");
    }

    #[test]
    fn the_whole_workspace_is_tested_unless_packages_are_named() {
        let cases: &[(&[&str], &[&str])] = &[
            (&[], &["--workspace"]),
            (&["--", "engine::"], &["--workspace", "engine::"]),
            (&["-p", "samara"], &["-p", "samara"]),
            (&["--", "--package=samara"], &["--package=samara"]),
        ];
        for (args, expected) in cases {
            let args: Vec<OsString> = args.iter().map(Into::into).collect();
            let command = cargo_test(Path::new("cargo"), &args);
            let given: Vec<&OsStr> = command.get_args().skip(2).collect();
            assert_eq!(given, *expected, "{args:?}");
        }
    }

    /// Runs with a script in the place of cargo.
    #[cfg(unix)]
    fn run_script(script: &str) -> Summary {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let cargo = dir.path().join("cargo");
        std::fs::write(&cargo, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut shown = Vec::new();
        let summary = run(dir.path(), &cargo, &[], &mut shown).unwrap();
        assert!(shown.starts_with(b"test result"), "the output is passed on");
        summary
    }

    #[cfg(unix)]
    #[test]
    fn a_credential_in_the_output_is_a_failure() {
        let ok = "echo 'test result: ok. 3 passed; 0 failed; 0 ignored'";
        let says = format!("{ok}; echo hidden-word > $SAMARA_TEST_SECRETS");
        assert_eq!(run_script(&says), Summary { passed: 4, failed: 0, skipped: 0 });
        let tells = format!("{says}; echo a hidden-word");
        assert_eq!(run_script(&tells), Summary { passed: 3, failed: 1, skipped: 0 });
        let tells = format!("{says}; echo a hidden-word >&2");
        assert_eq!(run_script(&tells), Summary { passed: 3, failed: 1, skipped: 0 });
    }

    #[cfg(unix)]
    #[test]
    fn a_run_that_ends_badly_without_a_failed_test_has_failed() {
        let ok = "echo 'test result: ok. 3 passed; 0 failed; 0 ignored'";
        assert_eq!(run_script(ok), Summary { passed: 3, failed: 0, skipped: 0 });
        let killed = format!("{ok}; exit 101");
        assert_eq!(run_script(&killed), Summary { passed: 3, failed: 1, skipped: 0 });
    }
}
