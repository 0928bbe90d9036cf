//! `local:?processes=N` — hosts as processes of this machine, each behind a socket in a directory
//! that nobody else can enter. One that dies is started again; what it had under way is lost with
//! it, and so tried again.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use samara_core::{Batch, Cancel, Capacity, Error, ErrorKind, Observer, Reach, Runtime};
use tempfile::TempDir;

use crate::Context;
use crate::http::{Door, Endpoint, Hosts, Keys, client, nobody};
use crate::local::config::{ProcessesConfig, cores};

/// How long a host may take to start, on a machine that is busy.
const START_MAX: Duration = Duration::from_secs(10);

/// How often it is looked whether it has.
const START_POLL: Duration = Duration::from_millis(5);

/// The wait before a host that died is started again; doubles with each death that follows soon.
const AGAIN_FIRST: Duration = Duration::from_millis(20);
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// How long a host may take to end before it is killed.
const END_MAX: Duration = Duration::from_secs(2);

/// How often it is looked whether a host has died.
const WAIT_POLL: Duration = Duration::from_millis(10);

/// Hosts that are children of this process.
pub(super) struct Processes {
    hosts: Hosts,
    keepers: Vec<(Arc<Kept>, Option<JoinHandle<()>>)>,
    /// The sockets' directory, which ends with this value.
    _directory: TempDir,
}

/// What a keeper and the runtime share.
struct Kept {
    state: Mutex<State>,
    changed: Condvar,
    command: Box<dyn Fn() -> Command + Send + Sync>,
}

#[derive(Default)]
struct State {
    /// Closing it ends the child.
    stdin: Option<ChildStdin>,
    /// Why it does not start.
    failure: Option<String>,
    closed: bool,
}

pub(super) fn open(url: &str, context: &Context) -> Result<Arc<dyn Runtime>, Error> {
    let ProcessesConfig { processes, slots } = ProcessesConfig::parse(url)?;
    let slots = slots.or(context.slots).unwrap_or_else(cores).max(processes);
    let name = format!("local:{slots}?processes={processes}");
    let directory = TempDir::with_prefix("samara-hosts-").map_err(|error| {
        Error::new(ErrorKind::Internal, format!("no directory for the hosts' sockets: {error}"))
    })?;
    let (mut endpoints, mut keepers) = (Vec::new(), Vec::new());
    for number in 0..processes {
        let socket = directory.path().join(format!("{number}"));
        let own = (slots * (number + 1)).div_ceil(processes) - (slots * number).div_ceil(processes);
        let command = command(context, &socket, own);
        let client = client(nobody()?, Some(&socket))?;
        let called = format!("process {number} of {name}");
        let keys = Keys { token: None, door: Door::Open };
        endpoints.push(Arc::new(Endpoint::new(client, "http://process".to_owned(), called, keys)));
        let (state, changed) = (Mutex::default(), Condvar::new());
        let kept = Arc::new(Kept { state, changed, command: Box::new(command) });
        let keeper = Arc::clone(&kept);
        let thread = thread::Builder::new().name(format!("samara-keeper-{number}"));
        let thread = thread.spawn(move || keeper.keep()).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("cannot start a thread: {error}"))
        })?;
        keepers.push((kept, Some(thread)));
    }
    let clock = Arc::clone(&context.clock);
    let hosts = Hosts::new(name, Reach::Machine, endpoints, None, clock);
    Ok(Arc::new(Processes { hosts, keepers, _directory: directory }))
}

/// How a host is started. Of the variables of Samara's it gets those that are meant for it.
fn command(
    context: &Context,
    socket: &Path,
    slots: usize,
) -> impl Fn() -> Command + Send + Sync + use<> {
    let (program, variables) = (context.host_program.clone(), context.host_variables.clone());
    let (listen, slots) = (format!("unix:{}", socket.display()), slots.to_string());
    move || {
        let mut command = Command::new(&program);
        command.args(["--as", "http", "--with-parent", "--grace", "0s", "--log", "warn"]);
        command.args(["--listen", &listen, "--slots", &slots]);
        let others = ["TLS_CERT", "TLS_KEY", "TLS_CLIENT_CA"];
        for name in ["AS", "GRACE", "LISTEN", "SLOTS", "TOKENS"].into_iter().chain(others) {
            command.env_remove(format!("SAMARA_HOST_{name}"));
        }
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit());
        command
    }
}

// === impl Kept ===

impl Kept {
    /// Starts the host, again and again, until it is not wanted any more.
    fn keep(&self) {
        let mut wait = AGAIN_FIRST;
        while !self.lock().closed {
            match (self.command)().spawn() {
                Ok(child) => {
                    let ended = self.watch(child);
                    let mut state = self.lock();
                    if state.closed {
                        return;
                    }
                    let text = ended.map_or_else(|error| error.to_string(), |end| end.to_string());
                    tracing::warn!("a host ended ({text}) and is started again");
                    state.failure = Some(format!("its process ended: {text}"));
                }
                Err(error) => {
                    let program = (self.command)().get_program().to_owned();
                    let text = format!(
                        "cannot start {}: {error}; the setting `host-program` says where \
                         samara-host is",
                        program.display()
                    );
                    self.lock().failure = Some(text);
                }
            }
            let closed = |state: &mut State| !state.closed;
            let state = self.changed.wait_timeout_while(self.lock(), wait, closed);
            drop(state.unwrap_or_else(PoisonError::into_inner));
            wait = (wait * 2).min(AGAIN_MAX);
        }
    }

    /// Waits until a host has ended, and sees to it that it does when it is to.
    fn watch(&self, mut child: Child) -> io::Result<ExitStatus> {
        self.lock().stdin = child.stdin.take();
        let mut closing = Duration::ZERO;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            let state = self.changed.wait_timeout(self.lock(), WAIT_POLL);
            let (mut state, _) = state.unwrap_or_else(PoisonError::into_inner);
            if state.closed {
                state.stdin = None;
                drop(state);
                thread::sleep(WAIT_POLL);
                closing += WAIT_POLL;
                if closing >= END_MAX {
                    child.kill()?;
                    return child.wait();
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Runtime for Processes {
    fn capacity(&self) -> Capacity {
        self.hosts.capacity()
    }

    fn reach(&self) -> Reach {
        Reach::Machine
    }

    async fn ready(&self) -> Result<(), Error> {
        let mut waited = Duration::ZERO;
        loop {
            match self.hosts.all_ready().await {
                Ok(()) => return Ok(()),
                Err(error) if waited >= START_MAX => {
                    let failure =
                        self.keepers.iter().find_map(|(kept, _)| kept.lock().failure.clone());
                    return Err(failure.map_or(error, |why| Error::new(ErrorKind::Invalid, why)));
                }
                Err(_) => {}
            }
            // What cannot be started now cannot be started later.
            let failures = self.keepers.iter().filter_map(|(kept, _)| kept.lock().failure.clone());
            if let Some(why) = failures.into_iter().find(|why| why.starts_with("cannot start")) {
                return Err(Error::new(ErrorKind::Invalid, why));
            }
            tokio::time::sleep(START_POLL).await;
            waited += START_POLL;
        }
    }

    async fn invoke(
        &self,
        batch: Arc<Batch>,
        cancel: Cancel,
        observer: Arc<dyn Observer>,
    ) -> Result<(), Error> {
        self.hosts.invoke(batch, cancel, observer).await
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for (kept, _) in &self.keepers {
            let mut state = kept.lock();
            state.closed = true;
            state.stdin = None;
            kept.changed.notify_all();
        }
        for (_, thread) in &mut self.keepers {
            // A keeper that panicked has nothing left to do.
            drop(thread.take().map(JoinHandle::join));
        }
    }
}

impl fmt::Display for Processes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hosts.fmt(f)
    }
}

impl fmt::Debug for Processes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processes").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}
