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
use samara_core::{Batch, Cancel, Capacity, Clock, Error, ErrorKind, Observer, Reach, Runtime};
use tempfile::TempDir;

use crate::Context;
use crate::http::{Door, Endpoint, Hosts, Keys, client, nobody};
use crate::local::config::{ProcessesConfig, cores};

/// How long a host may take to start, on a machine that is busy.
const START_MAX: Duration = Duration::from_secs(20);

/// How often it is looked whether it has.
const START_POLL: Duration = Duration::from_millis(5);

/// The wait before a host that died is started again; doubles with each death that follows soon.
const AGAIN_FIRST: Duration = Duration::from_millis(20);
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// A host that lived this long died of something new: it is started again at once.
const LIVED: Duration = Duration::from_secs(10);

/// How long a host may take to end before it is killed.
const END_MAX: Duration = Duration::from_secs(2);

/// How often it is looked whether a host has died.
const WAIT_POLL: Duration = Duration::from_millis(10);

/// Hosts that are children of this process.
pub(super) struct Processes {
    hosts: Hosts,
    keepers: Vec<(Arc<Kept>, Option<JoinHandle<()>>)>,
    clock: Arc<dyn Clock>,
    /// How long they may take to start.
    start_max: Duration,
    /// The sockets' directory, which ends with this value.
    _directory: TempDir,
}

/// What a keeper and the runtime share.
struct Kept {
    state: Mutex<State>,
    changed: Condvar,
    command: Box<dyn Fn() -> Command + Send + Sync>,
    clock: Arc<dyn Clock>,
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
        let clock = Arc::clone(&context.clock);
        let kept = Arc::new(Kept { state, changed, command: Box::new(command), clock });
        let keeper = Arc::clone(&kept);
        let thread = thread::Builder::new().name(format!("samara-keeper-{number}"));
        let thread = thread.spawn(move || keeper.keep()).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("cannot start a thread: {error}"))
        })?;
        keepers.push((kept, Some(thread)));
    }
    let clock = Arc::clone(&context.clock);
    let hosts = Hosts::new(name, Reach::Machine, endpoints, None, Arc::clone(&clock));
    Ok(Arc::new(Processes { hosts, keepers, clock, start_max: START_MAX, _directory: directory }))
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

/// How long to wait before a host is started again that lived so long, and after its next death, where
/// that follows soon.
fn waits(wait: Duration, lived: Duration) -> (Duration, Duration) {
    let now = if lived >= LIVED { AGAIN_FIRST } else { wait };
    (now, (now * 2).min(AGAIN_MAX))
}

// === impl Kept ===

impl Kept {
    /// Starts the host, again and again, until it is not wanted any more.
    fn keep(&self) {
        let mut wait = AGAIN_FIRST;
        while !self.lock().closed {
            let started = self.clock.monotonic();
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
            let lived = self.clock.monotonic().saturating_sub(started);
            let (now, next) = waits(wait, lived);
            let closed = |state: &mut State| !state.closed;
            let state = self.changed.wait_timeout_while(self.lock(), now, closed);
            drop(state.unwrap_or_else(PoisonError::into_inner));
            wait = next;
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
        let since = self.clock.monotonic();
        loop {
            let waited = self.clock.monotonic().saturating_sub(since);
            // One that listens and says nothing has no more time than one that does not listen.
            let left = self.start_max.saturating_sub(waited);
            let asked = tokio::time::timeout(left, self.hosts.all_ready()).await;
            let error = match asked {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => {
                    let text =
                        format!("{self}: its processes say nothing for {:?}", self.start_max);
                    Error::new(ErrorKind::Lost, text)
                }
            };
            if self.clock.monotonic().saturating_sub(since) >= self.start_max {
                let failure = self.keepers.iter().find_map(|(kept, _)| kept.lock().failure.clone());
                return Err(failure.map_or(error, |why| Error::new(ErrorKind::Invalid, why)));
            }
            // What cannot be started now cannot be started later.
            let failures = self.keepers.iter().filter_map(|(kept, _)| kept.lock().failure.clone());
            if let Some(why) = failures.into_iter().find(|why| why.starts_with("cannot start")) {
                return Err(Error::new(ErrorKind::Invalid, why));
            }
            tokio::time::sleep(START_POLL).await;
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

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use samara_core::SystemClock;

    use super::*;

    #[test]
    fn a_host_that_lived_for_a_while_is_started_again_at_once() {
        let (mut wait, mut waited) = (AGAIN_FIRST, Vec::new());
        for lived in [0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 3600] {
            let (now, next) = waits(wait, Duration::from_secs(lived));
            waited.push(u64::try_from(now.as_millis()).unwrap());
            wait = next;
        }
        assert_eq!(waited, [20, 40, 80, 160, 320, 640, 1280, 2560, 5000, 5000, 20, 40, 20]);
    }

    #[tokio::test]
    async fn a_process_that_listens_and_says_nothing_is_not_waited_for_without_end() {
        let directory = TempDir::new().unwrap();
        let socket = directory.path().join("0");
        // Connections wait in its queue.
        let _silent = UnixListener::bind(&socket).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let keys = Keys { token: None, door: Door::Open };
        let client = client(nobody().unwrap(), Some(&socket)).unwrap();
        let url = "http://process".to_owned();
        let endpoints = vec![Arc::new(Endpoint::new(client, url, "process 0".to_owned(), keys))];
        let name = "local:1?processes=1".to_owned();
        let hosts = Hosts::new(name, Reach::Machine, endpoints, None, Arc::clone(&clock));
        let keepers = Vec::new();
        let before = clock.monotonic();
        let (start_max, timer) = (Duration::from_millis(500), Arc::clone(&clock));
        let processes = Processes { hosts, keepers, clock, start_max, _directory: directory };
        let error = processes.ready().await.unwrap_err();
        let took = timer.monotonic().saturating_sub(before);
        assert_eq!(error.kind, ErrorKind::Lost, "{error}");
        // Less than what one answer alone may take.
        assert!(took < Duration::from_secs(8), "{took:?}: {error}");
    }
}
