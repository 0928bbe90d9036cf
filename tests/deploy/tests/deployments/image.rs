//! The host's image in podman, with the limits that a platform sets, and a driver that sends it
//! real tasks.

use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use samara::{Component, Executor};
use samara_programs as programs;

use crate::machine::{program, samara};

/// What builds and runs it.
pub(crate) const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../runtimes/ci/image");

/// Who may send tasks.
const TOKEN: &str = "a-token-for-tests";

/// How long a container may take to answer: its image is read for the first time.
const STARTS: u32 = 600;
const START_PAUSE: Duration = Duration::from_millis(100);

pub(crate) const CHECKS: &[(&str, fn())] = &[
    ("an_image_of_the_host_runs_tasks_within_limits", runs),
    ("the_whole_suite_passes_over_containers", suite),
];

/// An image and a container of it, which go with this value.
struct Container {
    name: String,
    tag: String,
    child: Option<Child>,
}

pub(crate) fn is_installed() -> bool {
    let mut command = Command::new(SCRIPT);
    command.arg("installed").status().is_ok_and(|status| status.success())
}

fn script(arguments: &[&str]) -> Command {
    let mut command = Command::new(SCRIPT);
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a step, and says what it said where it failed.
fn step(arguments: &[&str]) -> String {
    let output = script(arguments).output().expect("the script starts");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The image, under this name.
fn build(place: &Path, tag: &str) {
    let context = place.join("context");
    let path = context.to_str().expect("UTF-8");
    let host = program("samara-host");
    let host = host.to_str().expect("UTF-8");
    let arguments = ["deploy", "compose://host", "--image-context", path, "--host", host];
    let ended = samara(&arguments, &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    step(&["build", path, tag]);
}

/// A directory that everybody may write to: the image's user is nobody's.
fn open_store(place: &Path) -> String {
    let store = place.join("store");
    std::fs::create_dir(&store).expect("a directory");
    let open = Permissions::from_mode(0o777);
    std::fs::set_permissions(&store, open.clone()).expect("permissions");
    std::fs::set_permissions(place, open).expect("permissions");
    store.to_str().expect("UTF-8").to_owned()
}

fn runs() {
    let place = tempfile::tempdir().expect("a directory");
    let mut container = Container::new("one");
    build(place.path(), &container.tag);
    let (store, address) = (open_store(place.path()), free_address());
    container.start(&address, &store, &[]);
    assert!(asked(&address, "/readyz").starts_with("HTTP/1.1 200"));
    let executor = Executor::builder()
        .runtime(format!("http://{address}"))
        .token(TOKEN)
        .store(&store)
        .progress(false)
        .build()
        .expect("an executor");
    let crate_of_guests = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs");
    let app = Component::from_crate(crate_of_guests).expect("the component");
    samara::block_on(async {
        let job = executor.map(&app, programs::reuse::adds_one, 0..300_u64).await.expect("a job");
        assert!(job.values().await.expect("numbers").into_iter().eq(1..=300));
    });
    drop(executor);
    assert_eq!(container.stop(), Some(0));
}

/// By the command with which users try a runtime of theirs.
fn suite() {
    // Outputs are written by the containers, removed by this user, and cases want a gigabyte.
    const OPTIONS: [&str; 8] =
        ["--user", "0:0", "--memory", "3g", "--cpus", "2", "-e", "SAMARA_HOST_SLOTS=8"];
    let place = tempfile::tempdir().expect("a directory");
    let mut containers = ["first", "second"].map(Container::new);
    let store = open_store(place.path());
    build(place.path(), &containers[0].tag);
    step(&["tag", &containers[0].tag, &containers[1].tag]);
    let addresses = [free_address(), free_address()];
    for (container, address) in containers.iter_mut().zip(&addresses) {
        container.start(address, &store, &OPTIONS);
    }
    let runtime = format!("http://{}", addresses.join(","));
    let arguments = ["test", "--runtime", &runtime, "--store", &store, "--jobs", "3"];
    let ended = samara(&arguments, &[("SAMARA_TOKEN", TOKEN), ("SAMARA_SLOTS", "2")]);
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    let passed = ended.stdout.lines().filter(|line| line.contains("passed")).count();
    assert!(passed > 0, "{}", ended.stdout);
    for container in &mut containers {
        assert_eq!(container.stop(), Some(0));
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

/// The answer to a request, or what stands for none.
fn asked(address: &str, path: &str) -> String {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: host\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    };
    ask().unwrap_or_default()
}

// === impl Container ===

impl Container {
    /// One that is not there yet.
    fn new(name: &str) -> Self {
        let name = format!("samara-test-{}-{name}", std::process::id());
        Self { tag: format!("localhost/{name}:1"), name, child: None }
    }

    fn start(&mut self, address: &str, store: &str, options: &[&str]) {
        let listen = format!("SAMARA_HOST_LISTEN={address}");
        let tokens = format!("SAMARA_HOST_TOKENS={TOKEN}");
        let volume = format!("{store}:{store}");
        let mut command = script(&["run", &self.name, &self.tag, "-e", &listen, "-e", &tokens]);
        command.args(["-v", &volume]).args(options);
        self.child = Some(command.spawn().expect("the container starts"));
        for _ in 0..STARTS {
            if asked(address, "/healthz").starts_with("HTTP/1.1 200") {
                return;
            }
            let ended = self.child.as_mut().expect("it was started").try_wait().expect("a status");
            assert!(ended.is_none(), "the container has ended: {ended:?}");
            thread::sleep(START_PAUSE);
        }
        panic!("the host in the container does not answer");
    }

    /// Tells it to end, and says its exit code.
    fn stop(&mut self) -> Option<i32> {
        step(&["stop", &self.name]);
        let mut child = self.child.take().expect("it was started");
        child.wait().expect("its end").code()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind.
        if let Some(mut child) = self.child.take() {
            let _either_way = script(&["stop", &self.name]).output();
            let _either_way = child.wait();
        }
        let _either_way = script(&["remove", &self.tag]).output();
    }
}
