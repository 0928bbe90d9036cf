//! Functions that combine two values.

use std::collections::BTreeMap;

use samara_guest::{Result, ensure, function};

/// Adds.
#[function(reduce, pure)]
pub fn sum(a: u64, b: u64) -> u64 {
    a + b
}

/// Joins texts, so that their order shows.
#[function(reduce, pure)]
pub fn concatenate(a: String, b: String) -> String {
    a + &b
}

/// Adds counts.
#[function(reduce, pure)]
pub fn add_counts(mut a: BTreeMap<String, u64>, b: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    for (name, count) in b {
        *a.entry(name).or_default() += count;
    }
    a
}

/// Adds, and fails when the sum passes 100.
#[function(reduce)]
pub fn sum_up_to_100(a: u64, b: u64) -> Result<u64> {
    ensure!(a + b <= 100, "{a} + {b} is more than 100");
    Ok(a + b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_combined() {
        assert_eq!(sum(1, 2), 3);
        assert_eq!(concatenate("a".to_owned(), "b".to_owned()), "ab");
        let one = BTreeMap::from([("a".to_owned(), 1)]);
        assert_eq!(add_counts(one.clone(), one)["a"], 2);
        assert!(sum_up_to_100(50, 51).is_err());
    }
}
