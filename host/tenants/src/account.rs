//! What a tenant has used, and may use: tasks, memory, and processor time and bytes per window.
//!
//! The window slides: what counts is what was used in the time of one window before now, to a
//! sixtieth of it. A fixed window would let twice the quota through around its end. Use is known
//! once it has happened, so tasks that are under way when a quota is used up still end: a quota says
//! when no further one begins.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use samara_core::{Allowance, Clock, Share, Usage};

/// Parts that a window moves by.
const PARTS: u64 = 60;

/// What a tenant may have in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    /// Tasks at the same moment.
    pub(crate) tasks: usize,
    /// Bytes of memory of all its tasks.
    pub(crate) memory: u64,
    /// Processor time per window.
    pub(crate) cpu: Option<Duration>,
    /// Bytes from and to stores and servers per window.
    pub(crate) bytes: Option<u64>,
    /// The time for which use counts.
    pub(crate) window: Duration,
}

/// A tenant's account.
pub(crate) struct Account {
    tenant: String,
    clock: Arc<dyn Clock>,
    allowance: Allowance,
    window: Mutex<Window>,
}

/// Use in the last window of time.
#[derive(Debug)]
struct Window {
    quota: Quota,
    /// Numbers of parts of time, and what was used in each; oldest first. At most one more than
    /// [`PARTS`].
    parts: VecDeque<(u64, Usage)>,
}

/// A quota that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UsedUp {
    /// Of what: processor time or bytes.
    what: &'static str,
    window: Duration,
    /// When some of it is free again.
    pub(crate) free_in: Duration,
}

// === impl Quota ===

impl Quota {
    /// What of it tasks have at the same moment.
    fn share(&self) -> Share {
        Share { tasks_max: self.tasks, memory_max: self.memory }
    }
}

impl Default for Quota {
    /// Bounds nothing.
    fn default() -> Self {
        Self {
            tasks: usize::MAX,
            memory: u64::MAX,
            cpu: None,
            bytes: None,
            window: Duration::from_hours(1),
        }
    }
}

// === impl Account ===

impl Account {
    pub(crate) fn new(tenant: &str, quota: Quota, clock: Arc<dyn Clock>) -> Self {
        Self {
            tenant: tenant.to_owned(),
            clock,
            allowance: Allowance::new(quota.share()),
            window: Mutex::new(Window { quota, parts: VecDeque::new() }),
        }
    }

    /// Changes what the tenant may have. What it has used stays, as far as the window is the same.
    pub(crate) fn set(&self, quota: Quota) {
        self.allowance.set(quota.share());
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        // The numbers of parts are of another length of time.
        if window.quota.window != quota.window {
            window.parts.clear();
        }
        window.quota = quota;
    }

    /// Whether something may begin now.
    pub(crate) fn check(&self) -> Result<(), UsedUp> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.check(self.clock.monotonic())
    }
}

impl samara_core::Account for Account {
    fn tenant(&self) -> &str {
        &self.tenant
    }

    fn tasks_max(&self) -> usize {
        self.allowance.share().tasks_max
    }

    fn memory_max(&self) -> u64 {
        self.allowance.share().memory_max
    }

    fn take_memory(&self, bytes: u64) -> bool {
        self.allowance.take_memory(bytes)
    }

    fn give_back_memory(&self, bytes: u64) {
        self.allowance.give_back_memory(bytes);
    }

    fn spent(&self, usage: Usage) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.add(self.clock.monotonic(), usage);
    }

    fn may_begin(&self) -> bool {
        self.check().is_ok()
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

// === impl Window ===

impl Window {
    fn part(&self) -> u128 {
        (self.quota.window.as_nanos() / u128::from(PARTS)).max(1)
    }

    fn number(&self, now: Duration) -> u64 {
        u64::try_from(now.as_nanos() / self.part()).unwrap_or(u64::MAX)
    }

    /// Forgets what is wholly older than the window.
    fn forget(&mut self, number: u64) {
        let is_old = |(old, _): &(u64, Usage)| number > old.saturating_add(PARTS);
        while self.parts.front().is_some_and(is_old) {
            self.parts.pop_front();
        }
    }

    fn add(&mut self, now: Duration, usage: Usage) {
        let number = self.number(now);
        self.forget(number);
        match self.parts.back_mut() {
            Some((last, sum)) if *last == number => *sum = plus(*sum, usage),
            _ => self.parts.push_back((number, usage)),
        }
    }

    fn check(&mut self, now: Duration) -> Result<(), UsedUp> {
        self.forget(self.number(now));
        let Quota { cpu, bytes, window, .. } = self.quota;
        let is_free = |used: Usage| {
            let cpu_left = cpu.is_none_or(|most| used.cpu < most);
            (cpu_left, bytes.is_none_or(|most| used.bytes < most))
        };
        // From the newest part back: with which one there is too much.
        let mut sum = Usage::default();
        for (number, usage) in self.parts.iter().rev() {
            sum = plus(sum, *usage);
            let what = match is_free(sum) {
                (true, true) => continue,
                (false, _) => "processor time",
                (_, false) => "bytes",
            };
            let gone_at = u128::from(number.saturating_add(PARTS + 1)) * self.part();
            let wait = gone_at.saturating_sub(now.as_nanos());
            let free_in = Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX));
            return Err(UsedUp { what, window, free_in });
        }
        Ok(())
    }
}

fn plus(one: Usage, other: Usage) -> Usage {
    Usage { cpu: one.cpu.saturating_add(other.cpu), bytes: one.bytes.saturating_add(other.bytes) }
}

// === impl UsedUp ===

impl fmt::Display for UsedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, window, free_in } = self;
        let window = humantime::format_duration(*window);
        // Whole seconds, and never too few.
        let seconds = free_in.as_secs() + u64::from(free_in.subsec_nanos() > 0);
        let free_in = humantime::format_duration(Duration::from_secs(seconds));
        write!(f, "has used up its quota of {what} per {window}; some is free again in {free_in}")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use samara_core::Account as _;

    use super::*;
    use crate::testing::HandClock;

    fn account(quota: Quota) -> (Arc<HandClock>, Account) {
        let clock = Arc::new(HandClock::default());
        (Arc::clone(&clock), Account::new("acme", quota, clock))
    }

    fn cpu(seconds: u64) -> Usage {
        Usage { cpu: Duration::from_secs(seconds), bytes: 0 }
    }

    #[test]
    fn memory_is_taken_up_to_the_quota_and_no_further() {
        let (_, account) = account(Quota { memory: 100, ..Quota::default() });
        assert!(account.take_memory(60));
        assert!(!account.take_memory(41));
        assert!(!account.take_memory(u64::MAX), "it does not wrap around");
        assert!(account.take_memory(40));
        account.give_back_memory(60);
        assert!(account.take_memory(60));
        account.give_back_memory(u64::MAX);
        assert!(account.take_memory(100), "what was not taken is not given back");
    }

    #[test]
    fn memory_is_never_over_the_quota_under_load() {
        let (_, account) = account(Quota { memory: 10, ..Quota::default() });
        let taken = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        if account.take_memory(3) {
                            assert!(taken.fetch_add(3, Ordering::SeqCst) + 3 <= 10);
                            taken.fetch_sub(3, Ordering::SeqCst);
                            account.give_back_memory(3);
                        }
                    }
                });
            }
        });
        assert!(account.take_memory(10));
    }

    #[test]
    fn use_counts_for_a_window() {
        let quota = Quota {
            cpu: Some(Duration::from_secs(10)),
            window: Duration::from_mins(1),
            ..Quota::default()
        };
        let (clock, account) = account(quota);
        account.spent(cpu(6));
        clock.advance(Duration::from_secs(30));
        assert_eq!(account.check(), Ok(()));
        assert!(account.may_begin());
        account.spent(cpu(6));
        assert!(!account.may_begin());
        let used_up = account.check().unwrap_err();
        assert_eq!(used_up.free_in, Duration::from_secs(31), "the first 6 s count no more");
        let text = used_up.to_string();
        assert!(text.contains("processor time per 1m; some is free again in 31s"), "{text}");
        clock.advance(used_up.free_in - Duration::from_millis(1));
        assert!(account.check().is_err());
        clock.advance(Duration::from_millis(1));
        assert_eq!(account.check(), Ok(()));
    }

    #[test]
    fn bytes_have_a_quota_of_their_own() {
        let (clock, account) = account(Quota { bytes: Some(100), ..Quota::default() });
        account.spent(Usage { bytes: 99, ..cpu(1_000_000) });
        assert_eq!(account.check(), Ok(()));
        account.spent(Usage { bytes: u64::MAX, cpu: Duration::MAX });
        assert!(account.check().unwrap_err().to_string().contains("bytes per 1h"));
        clock.advance(Duration::from_mins(61));
        assert_eq!(account.check(), Ok(()));
    }

    #[test]
    fn a_window_is_of_bounded_size_and_a_new_quota_counts_at_once() {
        let quota = Quota { cpu: Some(Duration::from_hours(1)), ..Quota::default() };
        let (clock, account) = account(quota);
        for _ in 0..10_000 {
            clock.advance(Duration::from_secs(7));
            account.spent(cpu(0));
        }
        account.spent(cpu(60));
        assert!(account.window.lock().unwrap().parts.len() <= 61);
        account.set(Quota { cpu: Some(Duration::from_secs(60)), tasks: 2, ..quota });
        assert!(account.check().is_err());
        assert_eq!(account.tasks_max(), 2);
    }
}
