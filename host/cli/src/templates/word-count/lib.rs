//! The functions of {{name}}: natively a library, for `wasm32-wasip2` a component.

use std::collections::BTreeMap;

use samara_guest::{Partition, Result, function};

/// How often each word occurs.
pub type Counts = BTreeMap<String, u64>;

/// Counts the words of one partition. Words are what white space separates.
#[function(pure)]
pub fn count(text: Partition) -> Result<Counts> {
    let mut counts = Counts::new();
    for line in text.lines() {
        for word in line?.split_whitespace() {
            // Most words are known already: look first, and make a `String` only of new ones.
            match counts.get_mut(word) {
                Some(n) => *n += 1,
                None => drop(counts.insert(word.to_owned(), 1)),
            }
        }
    }
    Ok(counts)
}

/// Adds the counts of two neighbours.
#[function(reduce, pure)]
pub fn add(mut a: Counts, b: Counts) -> Counts {
    for (word, n) in b {
        *a.entry(word).or_default() += n;
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(text: &str) -> Counts {
        count(Partition::from(text)).unwrap()
    }

    #[test]
    fn words_are_counted() {
        let wanted = [("a".to_owned(), 2), ("b".to_owned(), 1)];
        assert_eq!(counted("a b\n\n  a"), Counts::from(wanted));
    }

    #[test]
    fn counts_add_up() {
        assert_eq!(add(counted("x y\n"), counted("y z\n")), counted("x y\ny z\n"));
    }
}
