;; Calls itself with a large frame until the stack is full, without touching its memory.
(core module $guest
  (memory (export "memory") 1)
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "call") (param i32 i32 i32 i32) (result i32) 
    (drop (call $deep (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))
    (i32.const 0))
  (func (export "call-batch") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
  (func (export "list") (result i32) (i32.const 0))
  (func (export "post") (param i32))
  (func $deep (param i64 i64 i64 i64) (result i64)
    (i64.add (local.get 0)
      (call $deep (local.get 1) (local.get 2) (local.get 3) (local.get 0)))))
