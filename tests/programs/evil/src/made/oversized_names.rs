//! Functions with very long names, all of which are on the stack.

/// A guest that calls itself until its stack is full, in a function with a name of so many bytes.
pub fn recursing(bytes: usize) -> String {
    let name = "n".repeat(bytes);
    crate::around(&format!(
        "(core module $guest
          (memory (export \"memory\") 1)
          (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
          (func ${name} (export \"call\") (param i32 i32 i32 i32) (result i32)
            (i32.add (i32.const 1) (call ${name}
              (local.get 1) (local.get 2) (local.get 3) (local.get 0))))
          (func (export \"call-batch\") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
            (i32.const 0))
          (func (export \"list\") (result i32) (i32.const 0))
          (func (export \"post\") (param i32)))"
    ))
}
