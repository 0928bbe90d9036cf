//! Components with very many functions, and one with a very long one.

use std::fmt::Write;

/// A guest of so many functions, each of which calls the next.
pub fn chained(count: usize) -> String {
    let mut functions = String::new();
    for at in 0..count {
        let next = (at + 1) % count;
        let _written = write!(
            functions,
            "(func $f{at} (param i32) (result i32)
               (if (result i32) (local.get 0)
                 (then (call $f{next} (i32.sub (local.get 0) (i32.const 1))))
                 (else (i32.const 0))))"
        );
    }
    guest(&functions, "(call $f0 (i32.const 100))")
}

/// A guest with a function of so many steps.
pub fn long(steps: usize) -> String {
    guest(
        &format!(
            "(func $f (param i32) (result i32) (local.get 0) {})",
            "(i32.add (local.get 0)) (i32.mul (i32.const 3)) ".repeat(steps)
        ),
        "(i32.and (call $f (i32.const 7)) (i32.const 0))",
    )
}

/// A guest that returns no bytes at all, after it has computed the place where they are.
fn guest(functions: &str, result: &str) -> String {
    crate::around(&format!(
        "(core module $guest
          (memory (export \"memory\") 1)
          (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
          {functions}
          (func (export \"call\") (param i32 i32 i32 i32) (result i32) {result})
          (func (export \"call-batch\") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
            (i32.const 0))
          (func (export \"list\") (result i32) (i32.const 0))
          (func (export \"post\") (param i32)))"
    ))
}
