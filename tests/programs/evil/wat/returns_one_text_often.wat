;; Fails with a million causes, which are the same megabyte of text.
(core module $guest
  (memory (export "memory") 256)
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "call") (param i32 i32 i32 i32) (result i32) 
    (local $at i32)
    (memory.fill (i32.const 0x10000) (i32.const 0x78) (i32.const 0x100000))
    (local.set $at (i32.const 0x200000))
    (loop $next
      (i32.store (local.get $at) (i32.const 0x10000))
      (i32.store offset=4 (local.get $at) (i32.const 0x100000))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 0xa00000))))
    ;; An error; `failed`; where, and how many.
    (i32.store8 (i32.const 0) (i32.const 1))
    (i32.store8 (i32.const 4) (i32.const 3))
    (i32.store (i32.const 8) (i32.const 0x200000))
    (i32.store (i32.const 12) (i32.const 1000000))
    (i32.const 0))
  (func (export "call-batch") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
  (func (export "list") (result i32) (i32.const 0))
  (func (export "post") (param i32)))
