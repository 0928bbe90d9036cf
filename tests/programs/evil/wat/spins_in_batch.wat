;; Never answers a batch, and alone as it should.
(core module $guest
  (memory (export "memory") 1)
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "call") (param i32 i32 i32 i32) (result i32) (i32.const 512))
  (func (export "call-batch") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (loop $again (br $again)) unreachable)
  (func (export "list") (result i32) (i32.const 0))
  (func (export "post") (param i32))
  (data (i32.const 512) "\00\00\00\00\40\02\00\00\01\00\00\00")
  (data (i32.const 576) "\07"))
