;; Lists a million functions, all of which have the same long texts.
(core module $guest
  (memory (export "memory") 1024)
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "call") (param i32 i32 i32 i32) (result i32) (i32.const 0))
  (func (export "call-batch") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
  (func (export "list") (result i32) 
    (local $at i32)
    (local.set $at (i32.const 0x1000000))
    (loop $next
      ;; Name, documentation and signature: a megabyte each, the same one.
      (i32.store (local.get $at) (i32.const 0x10000))
      (i32.store offset=4 (local.get $at) (i32.const 0x100000))
      (i32.store offset=8 (local.get $at) (i32.const 0x10000))
      (i32.store offset=12 (local.get $at) (i32.const 0x100000))
      (i32.store offset=20 (local.get $at) (i32.const 0x10000))
      (i32.store offset=24 (local.get $at) (i32.const 0x100000))
      (local.set $at (i32.add (local.get $at) (i32.const 36)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 0x3250000))))
    (i32.store (i32.const 0) (i32.const 0x1000000))
    (i32.store (i32.const 4) (i32.const 1000000))
    (i32.const 0))
  (func (export "post") (param i32)))
