//! Components whose exports and imports have names that are very long.

use std::fmt::Write;

/// A component that exports so many things, each by a name of so many bytes.
pub fn exporting(count: usize, bytes: usize) -> String {
    let name = "n".repeat(bytes);
    let mut text = "(component (instance $i)".to_owned();
    for at in 0..count {
        let _written = write!(text, "(export \"{name}-n{at}\" (instance $i))");
    }
    text + ")"
}

/// A component that imports something by a name of so many bytes.
pub fn importing(bytes: usize) -> String {
    format!("(component (import \"{}\" (func)))", "n".repeat(bytes))
}
