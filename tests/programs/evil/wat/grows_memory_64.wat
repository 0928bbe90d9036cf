;; Grows a memory of 64 bits until there is none.
(core module $large
  (memory i64 1)
  (func (export "grow") (result i64) (memory.grow (i64.const 16))))
(core instance $large (instantiate $large))
(core module $inner
  (import "large" "grow" (func $grow (result i64)))
  (memory (export "memory") 1)
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "call") (param i32 i32 i32 i32) (result i32)
    (loop $again (br_if $again (i64.ne (call $grow) (i64.const -1))))
    unreachable)
  (func (export "call-batch") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
  (func (export "list") (result i32) (i32.const 0))
  (func (export "post") (param i32)))
(core instance $i (instantiate $inner (with "large" (instance $large))))
