;; Fails with a text that is not UTF-8.
(core module $guest
  (memory (export "memory") 1)
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "call") (param i32 i32 i32 i32) (result i32) (i32.const 0))
  (func (export "call-batch") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
  (func (export "list") (result i32) (i32.const 0))
  (func (export "post") (param i32))
  (data (i32.const 0) "\01\00\00\00\00\00\00\00\20\00\00\00\04\00\00\00")
  (data (i32.const 32) "\ff\fe\80\c0"))
