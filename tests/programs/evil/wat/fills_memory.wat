;; Fills all of its memory in single instructions, which nothing interrupts, for ever.
(core module $guest
  (memory (export "memory") 1024)
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "call") (param i32 i32 i32 i32) (result i32) 
    (loop $again
      (memory.fill (i32.const 0) (i32.const 7) (i32.const 0x4000000))
      (memory.copy (i32.const 0) (i32.const 1) (i32.const 0x3ffffff))
      (br $again))
    unreachable)
  (func (export "call-batch") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
  (func (export "list") (result i32) (i32.const 0))
  (func (export "post") (param i32)))
