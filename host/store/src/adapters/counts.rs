//! How many requests a store was sent, by operation.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::Operation;

/// Requests to one store since it was opened. An operation that was tried again counts each time.
#[derive(Debug, Default)]
pub struct Counts(Mutex<BTreeMap<Operation, u64>>);

impl Counts {
    /// Counts one more.
    pub(crate) fn add(&self, operation: Operation) {
        *self.lock().entry(operation).or_default() += 1;
    }

    /// How many there were of each operation.
    pub fn by_operation(&self) -> BTreeMap<Operation, u64> {
        self.lock().clone()
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.lock().values().sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Operation, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
