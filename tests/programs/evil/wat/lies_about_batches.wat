;; Answers a batch with ends that do not fit the outputs, and alone as it should.
(core module $guest
  (memory (export "memory") 1)
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "call") (param i32 i32 i32 i32) (result i32) (i32.const 512))
  (func (export "call-batch") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 64))
  (func (export "list") (result i32) (i32.const 0))
  (func (export "post") (param i32))
  (data (i32.const 64) "\00\00\00\00\00\01\00\00\04\00\00\00\80\00\00\00\03\00\00\00\00\00\00\00\00\00\00\00")
  ;; Ends: beyond the outputs, before their beginning, and in no order.
  (data (i32.const 128) "\ff\ff\ff\ff\00\00\00\00\04\00\00\00")
  ;; Alone: the number 7.
  (data (i32.const 512) "\00\00\00\00\40\02\00\00\01\00\00\00")
  (data (i32.const 576) "\07"))
