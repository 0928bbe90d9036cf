//! The real binary, started as a platform would: with what the platform sets, and nothing else.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::http::Request;

/// What drivers show.
pub(crate) const TOKEN: &str = "a-token-for-tests";

/// Names of what a host counts: tasks that were done, and batches that are under way.
pub(crate) const DONE: &str = "samara_tasks_total{outcome=\"success\"}";
pub(crate) const TAKEN: &str = "samara_batches_in_flight";

/// How long a host may take to listen.
const START_TIME: Duration = Duration::from_secs(60);

/// The binary, built once.
static BINARY: LazyLock<PathBuf> = LazyLock::new(build);

/// A host that runs.
pub(crate) struct Host {
    child: Child,
    /// Where it listens.
    pub(crate) address: String,
    stdout: Arc<Mutex<Vec<String>>>,
    readers: Option<(JoinHandle<()>, JoinHandle<String>)>,
}

/// What a host came to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: String,
}

/// As a dependency of its own package's tests: the same features as these tests have, so that nothing
/// is built anew.
fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--no-run", "--quiet", "--workspace", "--test", "host"]);
    cargo.arg("--message-format=json-render-diagnostics");
    // This test's own, which cargo set: build scripts that look at them would be run again.
    cargo.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_PKG_NAME");
    for part in ["MAJOR", "MINOR", "PATCH", "PRE"] {
        cargo.env_remove(format!("CARGO_PKG_VERSION_{part}"));
    }
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let output = cargo.current_dir(root).stderr(Stdio::inherit()).output().expect("cargo starts");
    assert!(output.status.success(), "the host was not built");
    let text = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let messages = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    let path = |message: serde_json::Value| {
        (message["target"]["name"] == "samara-host")
            .then(|| message["executable"].as_str().map(PathBuf::from))?
    };
    messages.filter_map(path).next_back().expect("cargo says where the host is")
}

/// Where the binary is.
pub(crate) fn binary() -> PathBuf {
    BINARY.clone()
}

/// Compiled components, kept between runs.
pub(crate) fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled")
}

/// A port that nobody has.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn command(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(&*BINARY);
    command.env_clear().env("SAMARA_HOST_CACHE_DIR", cache()).env("SAMARA_HOST_SLOTS", "2");
    // For the key of compiled code.
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command.envs(variables.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A host that says nothing to anybody, as who starts it alone.
pub(crate) fn piped(variables: &[(&str, &str)]) -> Command {
    let mut command = command(variables);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Sends a signal to a process.
pub(crate) fn signal(id: u32, name: &str) {
    let arguments = [format!("-{name}"), id.to_string()];
    assert!(Command::new("kill").args(arguments).status().expect("kill").success());
}

/// What a host has counted, by name.
pub(crate) fn count(address: &str, name: &str) -> u64 {
    let counts = Request::new("GET", "/metrics").send(address).expect("counts").text();
    let count = counts.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{name}: {counts}"))
}

/// What a host says that does not start.
pub(crate) fn refused(variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = command(variables).output().expect("the host starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// What a host says of its settings.
pub(crate) fn checked(variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = command(variables).arg("--check").output().expect("the host starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

// === impl Host ===

impl Host {
    pub(crate) fn start(variables: &[(&str, &str)]) -> Self {
        Self::start_as(command(variables))
    }

    /// One that may have so many files open, connections among them.
    pub(crate) fn start_with_files(variables: &[(&str, &str)], files: u32) -> Self {
        let host = command(variables);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {files} && exec \"$0\"")]).arg(host.get_program());
        command.env_clear().envs(host.get_envs().filter_map(|(name, said)| Some((name, said?))));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::start_as(command)
    }

    fn start_as(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the host starts");
        let (listening, listens) = mpsc::channel();
        let stdout = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&stdout);
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let out = std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("listening on ") {
                    let _nobody_waits = listening.send(address.to_owned());
                }
                lines.lock().unwrap().push(line);
            }
        });
        let mut pipe = child.stderr.take().expect("piped");
        let err = std::thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).expect("UTF-8");
            text
        });
        let mut host = Self { child, address: String::new(), stdout, readers: Some((out, err)) };
        match listens.recv_timeout(START_TIME) {
            Ok(address) => host.address = address.replace("0.0.0.0", "127.0.0.1"),
            Err(_) => panic!("the host does not listen: {:?}", host.end()),
        }
        host
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        signal(self.id(), "TERM");
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Ended {
        self.end()
    }

    /// Sends SIGTERM, and waits for its end.
    pub(crate) fn stop(self) -> Ended {
        self.terminate();
        self.ended()
    }

    fn end(&mut self) -> Ended {
        let code = self.child.wait().expect("it ends").code();
        let (out, err) = self.readers.take().expect("it ends once");
        out.join().expect("lines");
        let stderr = err.join().expect("text");
        let stdout = std::mem::take(&mut *self.stdout.lock().unwrap());
        Ended { code, stdout, stderr }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind.
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}
