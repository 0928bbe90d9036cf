//! Notices what goes wrong with an input: a panic of whatever thread, a long time, much memory. It
//! keeps the input at hand, for what ends the whole process.

use std::any::Any;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use samara_core::{Clock, SystemClock};

use super::{Check, Seen, Target, corpus, say};

/// How long an input may take until the process is ended, because it may never end by itself.
const HANGS_AFTER: Duration = Duration::from_secs(120);

/// Memory that the process may ever have had. What engines set aside is address space and none.
const MEMORY_KIB_MAX: u64 = 3 << 20;

/// How often it is looked at: reading it takes longer than many an input.
const MEMORY_EVERY: u64 = 256;

/// A panic: its thread, and what was said.
type Panic = (ThreadId, String);

/// All panics since the process began.
static PANICS: Mutex<Vec<Panic>> = Mutex::new(Vec::new());

/// Threads of targets: each looks after its own panics.
static TARGETS: Mutex<Vec<ThreadId>> = Mutex::new(Vec::new());

/// Looks after one target.
pub(super) struct Watch {
    clock: SystemClock,
    time_max: Duration,
    /// The input at hand, behind its length.
    at_hand: File,
    runs: u64,
    /// When the input at hand began, in milliseconds from the clock's start and one; 0 for none.
    began: Arc<AtomicU64>,
    panics_before: usize,
}

// === impl Watch ===

impl Watch {
    pub(super) fn start(target: &Target) -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(note_panics);
        let directory = corpus::scratch();
        let path = directory.join(format!("{}.last", target.name));
        let made = std::fs::create_dir_all(&directory).and_then(|()| File::create(&path));
        let at_hand = made.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (clock, began) = (SystemClock::new(), Arc::new(AtomicU64::new(0)));
        let watched = (target.name, path, clock, Arc::downgrade(&began));
        std::thread::spawn(move || end_what_hangs(watched));
        TARGETS.lock().unwrap_or_else(PoisonError::into_inner).push(std::thread::current().id());
        let panics_before = panics().len();
        Self { clock, time_max: target.time_max, at_hand, runs: 0, began, panics_before }
    }

    /// Gives one input to a target.
    pub(super) fn one(&mut self, check: &mut Check, input: &[u8]) -> Result<Seen, String> {
        self.keep_at_hand(input);
        let began = self.clock.monotonic();
        self.began.store(milliseconds(began) + 1, Ordering::Relaxed);
        let ran = std::panic::catch_unwind(AssertUnwindSafe(|| check(input)));
        self.began.store(0, Ordering::Relaxed);
        let took = self.clock.monotonic() - began;
        self.runs += 1;
        let stray = self.stray();
        match ran {
            Err(panic) => Err(said(&*panic)),
            Ok(_) if !stray.is_empty() => Err(format!("another thread: {}", stray.join("; "))),
            Ok(_) if took > self.time_max => {
                Err(format!("it took {took:?}, longer than {:?}", self.time_max))
            }
            Ok(_) if self.runs.is_multiple_of(MEMORY_EVERY) && memory_kib() > MEMORY_KIB_MAX => {
                Err(format!("one of the last {MEMORY_EVERY} inputs took {} KiB", memory_kib()))
            }
            Ok(seen) => Ok(seen),
        }
    }

    /// Looks a last time.
    pub(super) fn end(&mut self) -> Result<(), String> {
        match memory_kib() {
            kib if kib > MEMORY_KIB_MAX => Err(format!("some input took {kib} KiB")),
            _ => Ok(()),
        }
    }

    /// What threads said when they panicked that are none of a target's.
    fn stray(&mut self) -> Vec<String> {
        let all = panics();
        let new = all[self.panics_before.min(all.len())..].iter();
        let targets = TARGETS.lock().unwrap_or_else(PoisonError::into_inner);
        let stray = new.filter(|(thread, _)| !targets.contains(thread));
        let stray: Vec<String> = stray.map(|(_, said)| said.clone()).collect();
        self.panics_before = all.len();
        stray
    }

    /// Writes the input down, for what ends the process: a stack that overflows, an abort.
    fn keep_at_hand(&mut self, input: &[u8]) {
        let mut record = (input.len() as u64).to_le_bytes().to_vec();
        record.extend_from_slice(input);
        // Without it the target is tried all the same.
        let _full_disk = self.at_hand.write_all_at(&record, 0);
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn panics() -> std::sync::MutexGuard<'static, Vec<Panic>> {
    PANICS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on panics are noted, beside what was done with them before.
fn note_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map(|place| format!(" at {place}")).unwrap_or_default();
        panics().push((std::thread::current().id(), said(info.payload()) + &place));
        before(info);
    }));
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}

/// Ends the process where an input does not end, and says which.
fn end_what_hangs(
    (name, path, clock, began): (&'static str, PathBuf, SystemClock, std::sync::Weak<AtomicU64>),
) {
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let Some(began) = began.upgrade() else { return };
        let began = began.load(Ordering::Relaxed);
        let now = milliseconds(clock.monotonic());
        if began > 0 && now.saturating_sub(began) > milliseconds(HANGS_AFTER) {
            say(&format!(
                "fuzz {name}: an input does not end; it is in {}, behind eight bytes of its length\n",
                path.display()
            ));
            std::process::abort();
        }
    }
}

/// The most memory that this process has had; 0 where the machine does not say.
fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok()).unwrap_or(0)
}
