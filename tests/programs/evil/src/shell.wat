(component
  ;; the guest
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (alias core export $i "post" (core func $post))

  (type $failure-type (variant
    (case "no-such-function" string)
    (case "bad-arguments" string)
    (case "bad-output" string)
    (case "failed" (list string))))
  (export $failure "failure" (type $failure-type))
  (type $kind-type (enum "map" "reduce"))
  (export $kind "kind" (type $kind-type))
  (type $function-type (record
    (field "name" string)
    (field "doc" string)
    (field "kind" $kind)
    (field "signature" string)
    (field "arity" u32)
    (field "takes-partition" bool)
    (field "pure" bool)))
  (export $function "function" (type $function-type))
  (type $batch-type (record
    (field "outputs" (list u8))
    (field "ends" (list u32))
    (field "failures" (list (tuple u32 $failure)))))
  (export $batch "batch" (type $batch-type))

  (func $call
    (param "name" string) (param "arguments" (list u8))
    (result (result (list u8) (error $failure)))
    (canon lift (core func $i "call")
      (memory $memory) (realloc $realloc) (post-return $post)))
  (func $call-batch
    (param "name" string) (param "indices" (list u64)) (param "arguments" (list u8))
    (param "ends" (list u32))
    (result (result $batch (error $failure)))
    (canon lift (core func $i "call-batch")
      (memory $memory) (realloc $realloc) (post-return $post)))
  (func $list (result (list $function))
    (canon lift (core func $i "list") (memory $memory) (post-return $post)))

  (instance $functions
    (export "failure" (type $failure))
    (export "kind" (type $kind))
    (export "function" (type $function))
    (export "batch" (type $batch))
    (export "call" (func $call))
    (export "call-batch" (func $call-batch))
    (export "list-functions" (func $list)))
  (export "samara:function/functions@0.2.0" (instance $functions)))
