//! What a task may still use of what is counted: operations, bytes, requests, and memory that the
//! host holds for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use samara_core::{Exceeded, Limits};

use crate::failure::Stop;

/// Counts what a task uses, against its limits.
#[derive(Debug)]
pub(crate) struct Budget {
    limits: Limits,
    operations: u64,
    bytes: u64,
    #[cfg(feature = "http")]
    requests: u64,
    held: Arc<AtomicU64>,
    /// Bytes from and to servers: counted where they flow, on other threads.
    served: Arc<AtomicU64>,
}

/// Counts bytes from and to servers.
#[cfg(feature = "http")]
#[derive(Debug, Clone)]
pub(crate) struct Served {
    bytes: Arc<AtomicU64>,
    limit: u64,
}

/// Memory that the host holds for a guest; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: u64,
    limit: u64,
    held: Arc<AtomicU64>,
}

// === impl Budget ===

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        let (held, served) = Default::default();
        Self {
            limits,
            operations: 0,
            bytes: 0,
            #[cfg(feature = "http")]
            requests: 0,
            held,
            served,
        }
    }

    /// One operation on a store.
    pub(crate) fn operation(&mut self) -> Result<(), Stop> {
        self.operations += 1;
        let limit = self.limits.storage_operations;
        match self.operations > limit {
            true => Err(Stop::Exceeded(Exceeded::StorageOperations { limit })),
            false => Ok(()),
        }
    }

    /// Bytes from or to a store.
    pub(crate) fn bytes(&mut self, bytes: u64) -> Result<(), Stop> {
        self.bytes = self.bytes.saturating_add(bytes);
        let limit = self.limits.storage_bytes;
        match self.bytes > limit {
            true => Err(Stop::Exceeded(Exceeded::StorageBytes { limit })),
            false => Ok(()),
        }
    }

    /// One request to a server.
    #[cfg(feature = "http")]
    pub(crate) fn request(&mut self) -> Result<(), Stop> {
        self.requests += 1;
        let limit = self.limits.http_requests;
        match self.requests > limit {
            true => Err(Stop::Exceeded(Exceeded::HttpRequests { limit })),
            false => Ok(()),
        }
    }

    /// Memory of the host; none at first.
    pub(crate) fn hold(&self) -> Held {
        Held { bytes: 0, limit: self.limits.buffer_bytes, held: Arc::clone(&self.held) }
    }

    /// Where bytes from and to servers are counted.
    #[cfg(feature = "http")]
    pub(crate) fn served(&self) -> Served {
        Served { bytes: Arc::clone(&self.served), limit: self.limits.http_bytes }
    }

    /// Bytes from and to servers so far.
    pub(crate) fn served_bytes(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Whether those are within their limit. They flow on other threads, which end the flow; this
    /// ends the task.
    pub(crate) fn check_served(&self) -> Result<(), Stop> {
        let limit = self.limits.http_bytes;
        match self.served_bytes() > limit {
            true => Err(Stop::Exceeded(Exceeded::HttpBytes { limit })),
            false => Ok(()),
        }
    }

    /// Bytes of all kinds so far.
    pub(crate) fn all_bytes(&self) -> u64 {
        self.bytes.saturating_add(self.served_bytes())
    }
}

// === impl Served ===

#[cfg(feature = "http")]
impl Served {
    /// Takes note of so many more; says whether all are within the limit.
    pub(crate) fn add(&self, bytes: usize) -> bool {
        let more = bytes as u64;
        self.bytes.fetch_add(more, Ordering::Relaxed).saturating_add(more) <= self.limit
    }
}

// === impl Held ===

impl Held {
    /// Holds so many bytes instead of as many as before.
    pub(crate) fn set(&mut self, bytes: u64) -> Result<(), Stop> {
        let before = std::mem::replace(&mut self.bytes, bytes);
        if bytes <= before {
            self.held.fetch_sub(before - bytes, Ordering::Relaxed);
            return Ok(());
        }
        let more = bytes - before;
        let held = self.held.fetch_add(more, Ordering::Relaxed).saturating_add(more);
        match held > self.limit {
            true => Err(Stop::Exceeded(Exceeded::Buffers { limit: self.limit })),
            false => Ok(()),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exceeded<T: std::fmt::Debug>(result: Result<T, Stop>) -> Exceeded {
        match result {
            Err(Stop::Exceeded(exceeded)) => exceeded,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_used_up_is_named() {
        let mut limits = Limits::default();
        (limits.storage_operations, limits.storage_bytes) = (2, 10);
        let mut budget = Budget::new(limits);
        assert!(budget.operation().is_ok() && budget.operation().is_ok());
        assert_eq!(exceeded(budget.operation()), Exceeded::StorageOperations { limit: 2 });
        assert!(budget.bytes(10).is_ok());
        assert_eq!(exceeded(budget.bytes(1)), Exceeded::StorageBytes { limit: 10 });
        assert_eq!(exceeded(budget.bytes(u64::MAX)), Exceeded::StorageBytes { limit: 10 });
    }

    #[cfg(feature = "http")]
    #[test]
    fn bytes_of_servers_are_counted_wherever_they_flow() {
        let mut limits = Limits::default();
        limits.http_bytes = 10;
        let budget = Budget::new(limits);
        let (one, other) = (budget.served(), budget.served());
        assert!(one.add(6) && other.add(4));
        assert!(budget.check_served().is_ok());
        assert!(!one.add(1));
        assert_eq!(exceeded(budget.check_served()), Exceeded::HttpBytes { limit: 10 });
        assert_eq!(budget.all_bytes(), 11);
    }

    #[test]
    fn memory_comes_back() {
        let mut limits = Limits::default();
        limits.buffer_bytes = 10;
        let budget = Budget::new(limits);
        let (mut one, mut other) = (budget.hold(), budget.hold());
        assert!(one.set(6).is_ok() && other.set(4).is_ok());
        assert_eq!(exceeded(one.set(7)), Exceeded::Buffers { limit: 10 });
        assert!(one.set(1).is_ok() && other.set(9).is_ok());
        drop(other);
        assert!(one.set(10).is_ok());
    }
}
