//! Components that want very much of their host.

use std::fmt::Write;

/// A component with so many imports of a package that the host offers a part of.
pub fn importing(count: usize) -> String {
    let mut imports = String::new();
    for at in 0..count {
        let _written = write!(
            imports,
            "(import \"wasi:cli/part{at}@0.2.0\" (instance (export \"f\" (func))))"
        );
    }
    with(&imports)
}

/// The same of an interface that it does offer, with so many functions that are not there.
pub fn importing_functions(count: usize) -> String {
    let mut imports = "(import \"wasi:random/random@0.2.0\" (instance".to_owned();
    for at in 0..count {
        let _written = write!(imports, "(export \"part{at}\" (func))");
    }
    with(&(imports + "))"))
}

/// A component that is as it should be, but for its imports.
fn with(imports: &str) -> String {
    let whole = crate::component("answers_no_batch");
    whole.replacen("(component", &format!("(component {imports}"), 1)
}
