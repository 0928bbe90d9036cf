//! The command from outside: the real binary, in a directory of its own, with a real component.
//!
//! What it prints is held by goldens, in which paths, ids and times are replaced.
//! `UPDATE_EXPECT=1 cargo test -p samara-cli` writes them anew.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod conformance;
mod deploy;
mod doctor;
mod errors;
mod help;
mod jobs;
mod pages;
mod project;
mod run;
mod settings;
mod steady;
mod storage;
mod ticket;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;

use samara_build::Options;

/// Guests for all that a run must cope with.
static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(|| build("../../tests/programs"));

/// Two functions whose descriptions are goldens here.
static HELLO: LazyLock<PathBuf> = LazyLock::new(|| build("hello"));

/// A directory for one test, in which the command runs.
struct Place(tempfile::TempDir);

/// What a command came to.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn build(dir: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let options = Options::from_env().with_output(samara_build::Output::Quiet);
    samara_build::build(dir, &options).expect("builds").path
}

/// The component of many functions, as an argument.
fn programs() -> &'static str {
    PROGRAMS.to_str().expect("a path of UTF-8")
}

/// The component of two functions, as an argument.
fn hello() -> &'static str {
    HELLO.to_str().expect("a path of UTF-8")
}

// === impl Place ===

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("below the place")).expect("a directory");
        std::fs::write(path, bytes).expect("a file");
        self
    }

    #[allow(clippy::disallowed_methods, reason = "to keep the tests' own environment out")]
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_samara"));
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
        command.args(arguments).current_dir(self.0.path());
        command.env("XDG_CACHE_HOME", cache).stdin(Stdio::null());
        // Whoever runs the tests may have settings of their own.
        command.env("XDG_CONFIG_HOME", self.path(".config")).env("CARGO_TERM_COLOR", "never");
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"SAMARA_") {
                command.env_remove(name);
            }
        }
        command
    }

    fn samara(&self, arguments: &[&str]) -> Ended {
        self.command(arguments).output().expect("the command starts").into()
    }

    fn samara_with(&self, stdin: &str, arguments: &[&str]) -> Ended {
        let mut command = self.command(arguments);
        let mut child = piped(&mut command);
        let mut pipe = child.stdin.take().expect("piped");
        pipe.write_all(stdin.as_bytes()).expect("the command reads");
        drop(pipe);
        child.wait_with_output().expect("the command ends").into()
    }

    /// A text in which what differs from run to run is replaced.
    fn steady(&self, text: &str) -> String {
        let here = self.0.path().to_str().expect("a path of UTF-8");
        let text = text.replace(programs(), "programs.wasm").replace(hello(), "hello.wasm");
        let text = text.replace(here, "[DIR]");
        // Which stores there are depends on the build.
        let known = text.find("(known: file, mem").map(|at| (at, text[at..].find(')')));
        match known {
            Some((at, Some(end))) => {
                let text = format!("{}(known: …){}", &text[..at], &text[at + end + 1..]);
                steady::steady(&text)
            }
            _ => steady::steady(&text),
        }
    }
}

fn piped(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the command starts")
}

// === impl Ended ===

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the command writes UTF-8");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Ended {
    /// The output of a command that went well.
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }
}
