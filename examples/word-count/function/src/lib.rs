//! Counts words: the functions of the example, natively a library, for `wasm32-wasip2` a component.

use std::collections::BTreeMap;
#[allow(clippy::disallowed_types, reason = "faster to count in; sorted before it leaves")]
use std::collections::HashMap;

use samara_guest::{Partition, Result, function};

/// How often each word occurs.
pub type Counts = BTreeMap<String, u64>;

/// Counts the words of one partition. Words are what white space separates.
#[function(pure)]
pub fn count(text: Partition) -> Result<Counts> {
    #[allow(clippy::disallowed_types, reason = "as above")]
    let mut counts = HashMap::<String, u64>::new();
    for line in text.lines() {
        for word in line?.split_ascii_whitespace() {
            // Most words are known already: look first, and make a `String` only of new ones.
            match counts.get_mut(word) {
                Some(n) => *n += 1,
                None => drop(counts.insert(word.to_owned(), 1)),
            }
        }
    }
    Ok(counts.into_iter().collect())
}

/// Adds two counts.
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

    fn counted(text: &str) -> Vec<(String, u64)> {
        count(Partition::from(text)).unwrap().into_iter().collect()
    }

    #[test]
    fn words_are_what_white_space_separates() {
        let wanted = [("a".to_owned(), 2), ("b".to_owned(), 1), ("ü!".to_owned(), 1)];
        assert_eq!(counted("a b\r\n\n  a\tü!"), wanted);
        assert_eq!(counted(""), []);
    }

    #[test]
    fn counts_add_up() {
        let sum = add(count("x y".into()).unwrap(), count("y z".into()).unwrap());
        assert_eq!(sum, Counts::from([("x".into(), 1), ("y".into(), 2), ("z".into(), 1)]));
    }
}
