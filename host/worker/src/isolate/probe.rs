//! What this machine has for isolation: found out by a process that restricts itself as every tenant's
//! does, and then tries what it should not be able to do.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{getppid, test_kill_process};
use samara_core::link::{self, FromWorker, Messages, Protection};
use samara_runtimes::local::apart::Process as _;
use serde::{Deserialize, Serialize};

use super::Isolation;
use super::launch::{Spawned, common};
use super::plan::Told;
use crate::settings::Settings;

/// How long the process may take, on a machine that is busy.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Memory that the process may have beyond what it begins with. It tries to have twice as much, which
/// every machine has that runs a host.
const TRIED_BYTES: u64 = 64 << 20;

/// What is to be tried. Nothing of it should succeed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Trials {
    /// A file to read: that of the tenants.
    read: PathBuf,
    /// A file to make, beside it.
    write: PathBuf,
    /// An abstract socket of the host's, and a port of its.
    socket: String,
    port: SocketAddr,
}

/// What the trials reach for, while they last.
struct Bait {
    trials: Trials,
    _socket: UnixListener,
    _port: TcpListener,
}

/// Finds out what this machine has.
///
/// # Errors
///
/// Where no process of a tenant's could start at all.
pub(crate) fn check(settings: &Settings, isolation: Isolation) -> Result<Vec<Protection>, String> {
    let bait = Bait::new(settings).map_err(|error| format!("nothing can be tried: {error}"))?;
    let mut told = Told::new(&common(settings), "");
    told.trials = Some(bait.trials);
    told.memory = TRIED_BYTES;
    let protections = ask(&told).map_err(|why| {
        format!("SAMARA_HOST_ISOLATE: a tenant's process cannot be started here: {why}")
    })?;
    let missing: Vec<String> =
        protections.iter().filter(|it| !it.holds).map(ToString::to_string).collect();
    match isolation.strict && !missing.is_empty() {
        true => Err(format!(
            "SAMARA_HOST_ISOLATE is strict, and this machine lacks:\n  {}",
            missing.join("\n  ")
        )),
        false => Ok(protections),
    }
}

/// Starts a process, tells it what to be, and reads what it says of itself.
fn ask(told: &Told) -> Result<Vec<Protection>, String> {
    let text = |error: io::Error| error.to_string();
    let orders = told.orders(Default::default())?;
    let first = link::encode(&orders.first).map_err(|error| error.message)?;
    let (mut ours, its) = UnixStream::pair().map_err(text)?;
    let process = Spawned::start(&orders, its).map_err(|error| error.message)?;
    ours.set_read_timeout(Some(TIME_MAX)).map_err(text)?;
    let said = ours.write_all(&first).map_err(text).and_then(|()| hear(&mut ours));
    drop(ours);
    let exit = Box::new(process).end();
    said.map_err(|why| format!("{why} ({})", exit.status))
}

fn hear(link: &mut UnixStream) -> Result<Vec<Protection>, String> {
    let (mut messages, mut piece) = (Messages::default(), [0; 4096]);
    loop {
        match messages.next_message().map_err(|error| error.message)? {
            Some(FromWorker::Ready(protections)) => return Ok(protections),
            Some(FromWorker::Unfit(error)) => return Err(error.message),
            Some(_) => return Err("it does not say what it is".to_owned()),
            None => {}
        }
        match link.read(&mut piece).map_err(|error| error.to_string())? {
            0 => return Err("it ended before it was ready".to_owned()),
            length => messages.push(&piece[..length]),
        }
    }
}

// === impl Bait ===

impl Bait {
    fn new(settings: &Settings) -> io::Result<Self> {
        let own = std::process::id();
        let read = settings.tenants.clone().unwrap_or_default();
        let read = std::path::absolute(read)?;
        let socket = format!("samara-probe-{own}");
        let listener = UnixListener::bind_addr(&UnixAddr::from_abstract_name(socket.as_bytes())?)?;
        let port = TcpListener::bind("127.0.0.1:0")?;
        let trials = Trials {
            write: read.with_file_name(format!(".samara-probe-{own}")),
            read,
            socket,
            port: port.local_addr()?,
        };
        Ok(Self { trials, _socket: listener, _port: port })
    }
}

// === impl Trials ===

impl Trials {
    /// Tries everything; says what was refused.
    pub(super) fn run(&self) -> Vec<Protection> {
        let connects = TcpStream::connect_timeout(&self.port, Duration::from_secs(1));
        let abstract_socket = UnixAddr::from_abstract_name(self.socket.as_bytes())
            .and_then(|address| UnixStream::connect_addr(&address));
        let signals = getppid().map_or(Ok(()), test_kill_process).map_err(io::Error::from);
        vec![
            refused("tried reading the file of tenants", std::fs::read(&self.read).map(drop)),
            refused("tried writing a file beside it", self.writes()),
            refused("tried starting a program", starts()),
            refused("tried listening", TcpListener::bind("127.0.0.1:0").map(drop)),
            refused("tried connecting without a grant", connects.map(drop)),
            refused("tried UDP without a grant", UdpSocket::bind("127.0.0.1:0").map(drop)),
            refused("tried an abstract socket of the host", abstract_socket.map(drop)),
            refused("tried a signal to the host", signals),
            refused("tried having more memory than it may", has_memory()),
        ]
    }

    fn writes(&self) -> io::Result<()> {
        OpenOptions::new().write(true).create_new(true).open(&self.write)?;
        // It should not be there; leave nothing behind.
        std::fs::remove_file(&self.write)
    }
}

fn starts() -> io::Result<()> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().map(drop)
}

fn has_memory() -> io::Result<()> {
    let mut memory = Vec::<u8>::new();
    let bytes = usize::try_from(2 * TRIED_BYTES).unwrap_or(usize::MAX);
    let reserved = memory.try_reserve_exact(bytes).map_err(|_| ErrorKind::OutOfMemory.into());
    // What nobody looks at the compiler may leave out.
    std::hint::black_box(&memory);
    reserved
}

fn refused(name: &str, done: io::Result<()>) -> Protection {
    match done {
        // On a disk that nobody can write to nothing more is to be found out.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied
                    | ErrorKind::ReadOnlyFilesystem
                    | ErrorKind::OutOfMemory
            ) =>
        {
            Protection::there(name, format!("refused: {error}"))
        }
        Err(error) => Protection::missing(name, format!("failed for another reason: {error}")),
        Ok(()) => Protection::missing(name, "was possible"),
    }
}
