//! Types that are deep, or large beyond all numbers.

use std::fmt::Write;

/// A component with a type that is so many lists of each other.
pub fn nested_lists(depth: usize) -> String {
    let mut text = "(component (type $t0 (list u8))".to_owned();
    for at in 1..=depth {
        let _written = write!(text, "(type $t{at} (list $t{}))", at - 1);
    }
    text + ")"
}

/// A component with a type that has twice as many parts with each of so many steps.
pub fn doubled_tuples(steps: usize) -> String {
    let mut text = "(component (type $t0 (tuple u8 u8))".to_owned();
    for at in 1..=steps {
        let _written = write!(text, "(type $t{at} (tuple $t{0} $t{0}))", at - 1);
    }
    text + ")"
}
