//! The functions of {{name}}: natively a library, for `wasm32-wasip2` a component.

use samara_guest::{Partition, Result, function};
use serde::{Deserialize, Serialize};

/// What is known of some lines of text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measures {
    /// Their number.
    pub lines: u64,
    /// Their words.
    pub words: u64,
    /// The longest of them.
    pub longest: String,
}

/// Measures the lines of one partition.
#[function(pure)]
pub fn measure(text: Partition) -> Result<Measures> {
    let mut measures = Measures::default();
    for line in text.lines() {
        let line = line?;
        measures.lines += 1;
        measures.words += line.split_whitespace().count() as u64;
        if line.len() > measures.longest.len() {
            measures.longest = line.to_string();
        }
    }
    Ok(measures)
}

/// Combines the measures of two neighbours.
#[function(reduce, pure)]
pub fn combine(a: Measures, b: Measures) -> Measures {
    Measures {
        lines: a.lines + b.lines,
        words: a.words + b.words,
        longest: if b.longest.len() > a.longest.len() { b.longest } else { a.longest },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_measured() {
        let measures = measure(Partition::from("one\nand two\n\nthree")).unwrap();
        assert_eq!((measures.lines, measures.words), (4, 4));
        assert_eq!(measures.longest, "and two");
    }

    #[test]
    fn measures_add_up() {
        let of = |text: &str| measure(Partition::from(text)).unwrap();
        assert_eq!(combine(of("a b\n"), of("c\n")), of("a b\nc\n"));
    }
}
