//! Compiling in a process of its own, so that a hostile component costs no more than was allowed.
//!
//! This side starts the process, which is this program again, and bounds what it may take of the
//! clock; `child.rs` is the other side, which bounds its processor time and memory itself, before it
//! reads anything. They speak by pipes that nobody else has.

pub(crate) mod child;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use samara_core::{Clock, ComponentId, Error, ErrorKind};
use samara_engine::{ANSWER_BYTES_MAX, Compile};

/// Processes that compile at the same moment. Each uses several processors.
const PROCESSES_MAX: usize = 2;

/// What the process says once it has bounded itself. What goes wrong before is not its component's
/// fault.
const READY: &[u8] = b"samara-compile 1\n";

/// How long a process may take to end once it has answered, and how often it is looked.
const END_LOOKS: u32 = 400;
const END_LOOK_EVERY: Duration = Duration::from_millis(5);

/// Bytes of what it says on standard error.
const SAID_BYTES_MAX: u64 = 4 << 10;

/// Components that were refused for what they cost, and how long they are refused unseen: whoever
/// sends one again and again gets no process for it.
const REFUSED_MAX: usize = 64;
const REFUSED_FOR: Duration = Duration::from_mins(10);

/// How a process ends that refuses its component. sysexits.h, EX_DATAERR.
const CODE_REFUSED: u8 = 65;

/// How a process ends that cannot do what it should. sysexits.h, EX_OSERR.
const CODE_FAILED: u8 = 71;

/// What one component may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Processor time of all threads together, in whole seconds.
    pub(crate) cpu: Duration,
    /// Address space.
    pub(crate) memory_bytes: u64,
    /// Time by the clock, for a process that waits instead.
    pub(crate) time: Duration,
}

/// What a process is told to do: `cpu=60,memory=4294967296,fuel=false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    cpu_seconds: u64,
    memory_bytes: u64,
    fuel: bool,
}

/// Compiles in processes.
pub(crate) struct Compiler {
    /// The program, with what comes before the order.
    program: Vec<String>,
    limits: Limits,
    fuel: bool,
    clock: Arc<dyn Clock>,
    /// How many are under way.
    running: Mutex<usize>,
    ended: Condvar,
    refused: Mutex<VecDeque<Refused>>,
}

/// A place among those that are under way.
struct Place<'a>(&'a Compiler);

struct Refused {
    component: ComponentId,
    at: Duration,
    error: Error,
}

/// A process, which ends with this.
struct Process(Child);

/// What a process came to.
struct Ended {
    /// None where it was ended for its time.
    status: Option<ExitStatus>,
    answer: Vec<u8>,
    said: String,
}

// === impl Limits ===

impl Default for Limits {
    /// A component of 37 MiB of code, which is more than whole Python programs have, took 18 s of
    /// processor time and 570 MiB on one machine of 2026. Three times that is room for slower ones
    /// and for code that is harder to compile, and still an end for what is made to take for ever.
    fn default() -> Self {
        Self { cpu: Duration::from_mins(1), memory_bytes: 4 << 30, time: Duration::from_mins(2) }
    }
}

// === impl Order ===

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu_seconds, memory_bytes, fuel } = self;
        write!(f, "cpu={cpu_seconds},memory={memory_bytes},fuel={fuel}")
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value = |name: &str| {
            let mut parts = text.split(',').filter_map(|part| part.split_once('='));
            parts.find_map(|(known, value)| (known == name).then_some(value))
        };
        let order = || {
            Some(Self {
                cpu_seconds: value("cpu")?.parse().ok()?,
                memory_bytes: value("memory")?.parse().ok()?,
                fuel: value("fuel")?.parse().ok()?,
            })
        };
        order().ok_or_else(|| "this is for the host itself, not for people".to_owned())
    }
}

// === impl Compiler ===

impl Compiler {
    /// Compiles for engines that count fuel, or do not, by this program itself.
    pub(crate) fn new(limits: Limits, fuel: bool, clock: Arc<dyn Clock>) -> Self {
        // The link leads to this very program, also where another one was put in its place.
        let program = match cfg!(target_os = "linux") {
            true => "/proc/self/exe".into(),
            false => std::env::current_exe().unwrap_or_default(),
        };
        let program = vec![program.display().to_string(), "--compile".to_owned()];
        Self::with(program, limits, fuel, clock)
    }

    fn with(program: Vec<String>, limits: Limits, fuel: bool, clock: Arc<dyn Clock>) -> Self {
        let (running, ended, refused) = Default::default();
        Self { program, limits, fuel, clock, running, ended, refused }
    }

    fn command(&self) -> Command {
        let Limits { cpu, memory_bytes, .. } = self.limits;
        let order = Order { cpu_seconds: cpu.as_secs(), memory_bytes, fuel: self.fuel };
        let (program, arguments) = self.program.split_first().expect("a program");
        let mut command = Command::new(program);
        command.args(arguments).arg(order.to_string());
        command.env_clear().current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Has a component compiled, without a look at what was refused before.
    fn run(&self, component: &[u8]) -> Result<Ended, Error> {
        let mut child = self.command().spawn().map_err(|error| unable(&error.to_string()))?;
        let pipes = child.stdin.take().zip(child.stdout.take()).zip(child.stderr.take());
        let mut process = Process(child);
        let ((stdin, stdout), stderr) = pipes.expect("all three are pipes");
        thread::scope(|scope| {
            let (answered, answer) = mpsc::channel();
            let (says, said) = mpsc::channel();
            let start = |name: &str| thread::Builder::new().name(format!("samara-compile-{name}"));
            start("in").spawn_scoped(scope, move || feed(stdin, component))?;
            start("out").spawn_scoped(scope, move || answered.send(answer_of(stdout)))?;
            start("err").spawn_scoped(scope, move || says.send(said_of(stderr)))?;
            let in_time = answer.recv_timeout(self.limits.time).ok();
            let status = in_time.as_ref().and_then(|_| process.end_by_itself());
            // Whatever holds the pipes ends here, and with it the threads.
            process.end();
            let answer = in_time.or_else(|| answer.recv().ok()).unwrap_or_default();
            Ok(Ended { status, answer, said: said.recv().unwrap_or_default() })
        })
        .map_err(|error: std::io::Error| unable(&error.to_string()))
    }

    /// What is known of a component that was refused a while ago.
    fn known(&self, component: ComponentId) -> Option<Error> {
        let now = self.clock.monotonic();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.retain(|refused| now.saturating_sub(refused.at) < REFUSED_FOR);
        let known = refused.iter().find(|refused| refused.component == component)?;
        Some(known.error.clone())
    }

    fn remember(&self, component: ComponentId, error: Error) {
        let at = self.clock.monotonic();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() == REFUSED_MAX {
            refused.pop_front();
        }
        refused.push_back(Refused { component, at, error });
    }
}

impl Compile for Compiler {
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, Error> {
        let id = ComponentId::of(component);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        while *running >= PROCESSES_MAX {
            // Not for ever: each that is under way has its own time.
            running = self.ended.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(error) = self.known(id) {
            return Err(error);
        }
        *running += 1;
        drop(running);
        let place = Place(self);
        let answer = self.run(component)?.answer(self.limits);
        drop(place);
        match &answer {
            Ok(code) => {
                tracing::info!(component = %id, bytes = code.len(), "compiled in a process of its own");
            }
            Err(error) => tracing::warn!(component = %id, "not compiled: {error}"),
        }
        if let Err(error) = &answer
            && error.kind == ErrorKind::Component
        {
            self.remember(id, error.clone());
        }
        answer
    }
}

impl fmt::Debug for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiler").field("limits", &self.limits).finish_non_exhaustive()
    }
}

// === impl Place ===

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.ended.notify_one();
    }
}

// === impl Ended ===

impl Ended {
    /// The answer, or what the end says of the component.
    fn answer(self, limits: Limits) -> Result<Vec<u8>, Error> {
        let Limits { cpu, memory_bytes, time } = limits;
        let Some(code) = self.answer.strip_prefix(READY) else {
            let end = self.status.map_or_else(|| "it took too long".into(), |end| end.to_string());
            return Err(unable(&format!("{end} {}", self.said)));
        };
        let Some(status) = self.status else {
            return Err(too_much(&format!("more than {} s", time.as_secs())));
        };
        if status.success() {
            return match self.answer.len() <= READY.len() + ANSWER_BYTES_MAX {
                true => Ok(code.to_vec()),
                false => Err(too_much(&format!("more than {ANSWER_BYTES_MAX} bytes of code"))),
            };
        }
        let memory = self.said.contains("memory allocation") || self.said.contains("out of memory");
        match (status.code(), status.signal()) {
            (Some(code), _) if code == i32::from(CODE_REFUSED) => {
                Err(Error::new(ErrorKind::Component, self.said))
            }
            (Some(code), _) if code == i32::from(CODE_FAILED) => Err(unable(&self.said)),
            (_, Some(signal)) if signal == rustix::process::Signal::XCPU.as_raw() => {
                Err(too_much(&format!("more than {} s of processor time", cpu.as_secs())))
            }
            _ if memory => {
                Err(too_much(&format!("more than {} MiB of address space", memory_bytes >> 20)))
            }
            _ => {
                Err(too_much(&format!("a process that did not survive it: {status} {}", self.said)))
            }
        }
    }
}

/// A component that cannot be compiled within the limits. Another attempt would come to the same.
fn too_much(what: &str) -> Error {
    let text = format!(
        "this is no component that can be run: to compile it takes {}; build it with less code \
         (`opt-level = \"s\"`, fewer dependencies), or run it on a host of your own with \
         SAMARA_HOST_COMPILE=here",
        what.trim()
    );
    Error::new(ErrorKind::Component, text)
}

/// The process did not come so far as to read the component.
fn unable(why: &str) -> Error {
    let text = format!(
        "no process could be started to compile in ({}): allow the host more processes and memory, \
         start it as a program of its own, or set SAMARA_HOST_COMPILE=here",
        why.trim()
    );
    Error::new(ErrorKind::Internal, text)
}

/// Sends a component, with its length before it, so that one that is cut is none.
fn feed(mut stdin: ChildStdin, component: &[u8]) {
    let length = (component.len() as u64).to_le_bytes();
    // Whoever ends before it has read everything says why by its end.
    let _its_end_says = stdin.write_all(&length).and_then(|()| stdin.write_all(component));
}

/// What a process answers, up to more than any may.
fn answer_of(stdout: ChildStdout) -> Vec<u8> {
    let mut answer = Vec::new();
    let most = (READY.len() + ANSWER_BYTES_MAX) as u64 + 1;
    let _what_came_counts = stdout.take(most).read_to_end(&mut answer);
    answer
}

/// The beginning of what a process says, on one line. The rest is read, so that it can go on.
fn said_of(mut stderr: ChildStderr) -> String {
    let mut said = Vec::new();
    let _what_came_counts = (&mut stderr).take(SAID_BYTES_MAX).read_to_end(&mut said);
    let _nobody_reads = std::io::copy(&mut stderr, &mut std::io::sink());
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    String::from_utf8_lossy(&said).trim().chars().map(printable).collect()
}

// === impl Process ===

impl Process {
    /// Waits for its end, for a while.
    fn end_by_itself(&mut self) -> Option<ExitStatus> {
        for _ in 0..END_LOOKS {
            match self.0.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) => thread::sleep(END_LOOK_EVERY),
                Err(_) => return None,
            }
        }
        None
    }

    /// Ends it, and whatever it has started.
    fn end(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let group = rustix::process::Pid::from_child(&self.0);
            let _it_may_have_ended =
                rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _it_ends = self.0.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
