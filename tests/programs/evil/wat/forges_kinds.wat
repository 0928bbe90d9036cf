;; Lists a function of a kind that there is not.
(core module $guest
  (memory (export "memory") 1)
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "call") (param i32 i32 i32 i32) (result i32) (i32.const 2048))
  (func (export "call-batch") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
  (func (export "list") (result i32) (i32.const 0))
  (func (export "post") (param i32))
  (data (i32.const 0) "\10\00\00\00\01\00\00\00")
  (data (i32.const 32) "\63"))
