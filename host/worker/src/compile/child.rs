//! The process that compiles: bounds itself, reads a component, writes its code, ends.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use samara_core::{Error, ErrorKind};
use samara_engine::COMPONENT_BYTES_MAX;

use super::{CODE_FAILED, CODE_REFUSED, Order, READY};

/// Threads that compile. Each takes address space for its stack and its part of the heap.
const THREADS_MAX: usize = 4;

/// Open files: the three pipes, and a few of the allocator's and the threads'.
const FILES_MAX: u64 = 16;

/// Between the signal for too much processor time, which says so, and the end without a word.
const CPU_GRACE_SECONDS: u64 = 1;

/// Does what it is told, and says on standard error why not.
pub(crate) fn run(order: &str) -> ExitCode {
    let done = order.parse().map_err(failed).and_then(compile);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _nobody_reads = writeln!(io::stderr(), "{}", error.message);
            ExitCode::from(match error.kind {
                ErrorKind::Component => CODE_REFUSED,
                _ => CODE_FAILED,
            })
        }
    }
}

fn compile(order: Order) -> Result<(), Error> {
    bound(order).map_err(|error| failed(format!("cannot bound itself: {error}")))?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|error| failed(format!("out of memory for threads: {error}")))?;
    // Those were the last: what starts nothing leaves nothing behind.
    lower(Resource::Nproc, 0, 0)
        .map_err(|error| failed(format!("cannot bound itself: {error}")))?;
    let mut stdout = io::stdout().lock();
    let said = |error: io::Error| failed(format!("cannot answer: {error}"));
    stdout.write_all(READY).and_then(|()| stdout.flush()).map_err(said)?;
    let component = read(&mut io::stdin().lock())?;
    let mut config = samara_engine::Config::default();
    config.fuel = order.fuel;
    let answer = samara_engine::precompile(&config, &component)?;
    stdout.write_all(&answer).and_then(|()| stdout.flush()).map_err(said)
}

/// Gives up whatever is not needed, before anything is read.
fn bound(order: Order) -> io::Result<()> {
    let cpu = order.cpu_seconds;
    for (resource, soft, hard) in [
        (Resource::Core, 0, 0),
        (Resource::Fsize, 0, 0),
        (Resource::Nofile, FILES_MAX, FILES_MAX),
        (Resource::Cpu, cpu, cpu.saturating_add(CPU_GRACE_SECONDS)),
        (Resource::As, order.memory_bytes, order.memory_bytes),
    ] {
        lower(resource, soft, hard)?;
    }
    #[cfg(target_os = "linux")]
    {
        nix::sys::prctl::set_no_new_privs()?;
        // The thread that started this waits for it, so that its end is the host's.
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    }
    Ok(())
}

/// Lowers a limit. One that was lower stays so.
pub(crate) fn lower(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let limit = Rlimit { current: Some(soft.min(most)), maximum: Some(hard.min(most)) };
    Ok(setrlimit(resource, limit)?)
}

/// Reads a component, which has its length before it.
fn read(stdin: &mut impl Read) -> Result<Vec<u8>, Error> {
    let cut = |error: io::Error| failed(format!("the component did not arrive: {error}"));
    let mut length = [0; size_of::<u64>()];
    stdin.read_exact(&mut length).map_err(cut)?;
    let length = u64::from_le_bytes(length);
    if length > COMPONENT_BYTES_MAX as u64 {
        return Err(failed(format!("a component of {length} bytes did not arrive")));
    }
    let mut component = Vec::new();
    stdin.take(length).read_to_end(&mut component).map_err(cut)?;
    match component.len() as u64 == length {
        true => Ok(component),
        false => Err(cut(io::ErrorKind::UnexpectedEof.into())),
    }
}

fn failed(why: String) -> Error {
    Error::new(ErrorKind::Internal, why)
}
