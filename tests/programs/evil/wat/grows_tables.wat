;; Grows a table until there is none, and goes on.
(core module $guest
  (memory (export "memory") 1)
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "call") (param i32 i32 i32 i32) (result i32) 
    (loop $again
      (br_if $again (i32.ne (table.grow $a (ref.null func) (i32.const 1000)) (i32.const -1))))
    unreachable)
  (func (export "call-batch") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
  (func (export "list") (result i32) (i32.const 0))
  (func (export "post") (param i32))
  (table $a 0 funcref))
