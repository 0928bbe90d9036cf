//! Hosts in containers, by podman, with the limits that a platform sets.

use std::fs::Permissions;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use samara::Executor;
use samara_benches::{root, say};

use super::{HOSTS, TOKEN, spread_over};

/// How long a container may take to listen: its image is read for the first time.
const STARTS: u32 = 600;
const START_PAUSE: Duration = Duration::from_millis(100);

/// A container that ends with this value.
struct Container {
    name: String,
    child: Child,
}

/// An image that goes with this value.
struct Image(String);

/// What builds and runs them.
fn script(arguments: &[&str]) -> Command {
    let script: PathBuf = root().join("runtimes/ci/image");
    let mut command = Command::new(script);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Tasks that wait, over several containers of one processor and 1 GiB each.
pub(crate) fn run(program: &Path) -> Result<()> {
    if !script(&["installed"]).status()?.success() {
        return say("containers: skipped: try runtimes/ci/image install");
    }
    let place = tempfile::tempdir()?;
    let context = place.path().join("context");
    samara::deploy::write_image_context(&context, program)?;
    let image = Image(format!("localhost/samara-bench-{}:1", std::process::id()));
    let built = script(&["build", context.to_str().context("UTF-8")?, &image.0]).status()?;
    ensure!(built.success(), "the image was not built");
    // The image's user is nobody's.
    let store = place.path().join("store");
    std::fs::create_dir(&store)?;
    for open in [place.path(), &store] {
        std::fs::set_permissions(open, Permissions::from_mode(0o777))?;
    }
    let store = store.to_str().context("UTF-8")?;
    let (mut containers, mut addresses) = (Vec::new(), Vec::new());
    for number in 0..HOSTS {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        containers.push(Container::start(number, &image, &address, store)?);
        addresses.push(address);
    }
    let builder = Executor::builder().progress(false).token(TOKEN).store(store);
    let executor = builder.runtime(format!("http://{}", addresses.join(","))).build()?;
    spread_over("containers of one slot, one processor and 1 GiB", &executor)
}

// === impl Container ===

impl Container {
    fn start(number: usize, image: &Image, address: &str, store: &str) -> Result<Self> {
        let name = format!("samara-bench-{}-{number}", std::process::id());
        let (listen, tokens) =
            (format!("SAMARA_HOST_LISTEN={address}"), format!("SAMARA_HOST_TOKENS={TOKEN}"));
        let volume = format!("{store}:{store}");
        let mut command = script(&["run", &name, &image.0, "-e", &listen, "-e", &tokens]);
        command.args(["-e", "SAMARA_HOST_SLOTS=1", "-v", &volume]);
        let mut container = Self { name, child: command.spawn()? };
        for _ in 0..STARTS {
            if TcpStream::connect(address).is_ok() {
                return Ok(container);
            }
            let ended = container.child.try_wait()?;
            ensure!(ended.is_none(), "the container has ended: {ended:?}");
            std::thread::sleep(START_PAUSE);
        }
        anyhow::bail!("the host in the container does not listen")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        drop(script(&["stop", &self.name]).status());
        drop(self.child.wait());
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        drop(script(&["remove", &self.0]).status());
    }
}
