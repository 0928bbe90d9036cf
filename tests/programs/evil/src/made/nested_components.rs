//! Components of components: with each level twice as many instances as with the one below.

use std::fmt::Write;

/// A component that is 2 to the power of `levels` instances of one module, in a few lines.
pub fn doubled(levels: usize) -> String {
    let mut text = "(component (component $c0 (core module $m (func (export \"f\"))) \
                    (core instance (instantiate $m)))"
        .to_owned();
    for level in 1..=levels {
        let below = level - 1;
        let _written = write!(
            text,
            "(component $c{level} (alias outer 1 $c{below} (component $below)) \
             (instance (instantiate $below)) (instance (instantiate $below)))"
        );
    }
    let _written = write!(text, "(instance (instantiate $c{levels})))");
    text
}

/// The same by components that are handed down: each level instantiates twice what it is given.
pub fn handed_down(levels: usize) -> String {
    let mut text = "(component (component $c0)".to_owned();
    for level in 1..=levels {
        let _written = write!(
            text,
            "(component $c{level} (import \"below\" (component $below)) \
             (instance (instantiate $below)) (instance (instantiate $below)))"
        );
    }
    let _written = write!(text, "(instance (instantiate $c1 (with \"below\" (component $c0)))))");
    text
}
