;; Says that its answer lies beyond its memory.
(core module $guest
  (memory (export "memory") 1)
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "call") (param i32 i32 i32 i32) (result i32) (i32.const 0xfffffffc))
  (func (export "call-batch") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
  (func (export "list") (result i32) (i32.const 0))
  (func (export "post") (param i32)))
