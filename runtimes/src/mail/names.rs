//! Names of batches, arrays and runs.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes names that nobody else makes: of a count, and of what is random for each maker.
#[derive(Debug, Default)]
pub(crate) struct Names {
    random: RandomState,
    count: AtomicU64,
}

// === impl Names ===

impl Names {
    /// A name that no other has.
    pub(crate) fn next(&self) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}", self.random.hash_one(count))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_names_are_the_same_whoever_makes_them() {
        let makers = [Names::default(), Names::default()];
        let names: BTreeSet<String> =
            makers.iter().flat_map(|maker| (0..1000).map(|_| maker.next())).collect();
        assert_eq!(names.len(), 2000);
        assert!(names.iter().all(|name| name.len() == 16));
    }
}
