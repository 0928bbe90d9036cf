//! Who a batch runs for, on hosts that know tenants.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Access, Batch, Error, JobId};

/// Decides who may send batches to a host. Every way into a host asks it.
pub trait Gate: fmt::Debug + Send + Sync + 'static {
    /// Finds out who holds a ticket; `None` for who shows none. `way` names the way into the host by
    /// which it came, for what is written down: a word of ours, and empty where there is but one.
    ///
    /// # Errors
    ///
    /// `Denied` where it is not one of this host's tenants now; the message says why, and nothing
    /// that is secret.
    fn identify(&self, way: &'static str, ticket: Option<&str>) -> Result<Arc<dyn Caller>, Error>;

    /// The host is about to end: what was to be written down later is written now. Who comes after that
    /// is dealt with as before.
    fn close(&self) {}
}

/// Who sends a batch: a tenant, with a ticket that may allow less than the tenant may.
pub trait Caller: fmt::Debug + Send + Sync + 'static {
    /// The tenant's name.
    fn tenant(&self) -> &str;

    /// Checks a batch against grants and quotas, lowers its limits to what the tenant may have, and
    /// sets its [`payer`](Batch::payer). What is returned is held until the batch has ended.
    ///
    /// # Errors
    ///
    /// `Denied` where it asks for more than is granted, which another attempt would do again;
    /// `Invalid` where what it asks for makes no sense; `Throttled` where a quota is used up for now.
    fn admit(&self, batch: &mut Batch) -> Result<Box<dyn Any + Send + Sync>, Error>;

    /// Whether objects there may be used on the tenant's behalf.
    ///
    /// # Errors
    ///
    /// `Denied` where they may not.
    fn check_object(&self, url: &str, access: Access) -> Result<(), Error>;

    /// Takes note of a batch that was not looked at, because of the host and not of the tenant: it has
    /// enough to do, is about to end, or takes no batch as long as that. The batch, where it was read.
    fn turned_away(&self, _batch: Option<&Batch>, _why: &str) {}

    /// Takes note of what became of tasks of an admitted batch, before what `admit` returned is let
    /// go. It may be said in parts, which are added up.
    fn ended(&self, _job: JobId, _tally: &Tally) {}
}

/// What a tenant's tasks use, as they use it.
pub trait Account: fmt::Debug + Send + Sync + 'static {
    /// The tenant's name.
    fn tenant(&self) -> &str;

    /// How many of the tenant's tasks may run at the same moment.
    fn tasks_max(&self) -> usize;

    /// How much memory all of the tenant's tasks may have together, in bytes.
    fn memory_max(&self) -> u64;

    /// Takes memory for a task; says whether there is as much left.
    fn take_memory(&self, bytes: u64) -> bool;

    /// Gives back memory of a task that ended.
    fn give_back_memory(&self, bytes: u64);

    /// Takes note of what a task used.
    fn spent(&self, usage: Usage);

    /// Whether what is counted in windows of time leaves anything for another task.
    fn may_begin(&self) -> bool {
        true
    }
}

/// What a tenant's tasks may have together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Tasks at the same moment.
    pub tasks_max: usize,
    /// Bytes of memory.
    pub memory_max: u64,
}

/// A share that may change, and how much of its memory is taken: what accounts have in common.
#[derive(Debug)]
pub struct Allowance {
    tasks_max: AtomicUsize,
    memory_max: AtomicU64,
    memory: AtomicU64,
}

/// What a task used of what is counted in windows of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Time on a processor.
    pub cpu: Duration,
    /// Bytes from and to stores and servers.
    pub bytes: u64,
}

/// What became of some tasks of one job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tasks that gave a result.
    pub succeeded: u64,
    /// Tasks that failed by their own doing: errors, traps, exceeded limits.
    pub failed: u64,
    /// Tasks that the platform failed, or that went back to the driver.
    pub lost: u64,
    /// What all of them used.
    pub usage: Usage,
}

/// The account of whoever a batch runs for; none where a host knows no tenants. Set by the host
/// that admits a batch: it never travels.
#[derive(Clone, Default)]
pub struct Payer(Option<Arc<dyn Account>>);

// === impl Allowance ===

impl Allowance {
    /// Of which nothing is taken.
    pub fn new(share: Share) -> Self {
        Self {
            tasks_max: AtomicUsize::new(share.tasks_max),
            memory_max: AtomicU64::new(share.memory_max),
            memory: AtomicU64::new(0),
        }
    }

    /// Changes what there is in all. What is taken stays so.
    pub fn set(&self, share: Share) {
        self.tasks_max.store(share.tasks_max, Ordering::Relaxed);
        self.memory_max.store(share.memory_max, Ordering::Relaxed);
    }

    /// What there is in all.
    pub fn share(&self) -> Share {
        Share {
            tasks_max: self.tasks_max.load(Ordering::Relaxed),
            memory_max: self.memory_max.load(Ordering::Relaxed),
        }
    }

    /// Takes memory; says whether there is as much left.
    pub fn take_memory(&self, bytes: u64) -> bool {
        let most = self.memory_max.load(Ordering::Relaxed);
        let more = |taken: u64| taken.checked_add(bytes).filter(|sum| *sum <= most);
        self.memory.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Gives memory back.
    pub fn give_back_memory(&self, bytes: u64) {
        let less = |taken: u64| Some(taken.saturating_sub(bytes));
        let _always_some = self.memory.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

// === impl Payer ===

impl Payer {
    /// The account, where there is one.
    pub fn account(&self) -> Option<&Arc<dyn Account>> {
        self.0.as_ref()
    }

    /// The tenant's name; empty where a host knows no tenants.
    pub fn tenant(&self) -> &str {
        self.0.as_ref().map_or("", |account| account.tenant())
    }
}

impl From<Arc<dyn Account>> for Payer {
    fn from(account: Arc<dyn Account>) -> Self {
        Self(Some(account))
    }
}

impl fmt::Debug for Payer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Payer").field(&self.tenant()).finish()
    }
}

/// By the tenants' names.
impl PartialEq for Payer {
    fn eq(&self, other: &Self) -> bool {
        self.tenant() == other.tenant()
    }
}

impl Eq for Payer {}
