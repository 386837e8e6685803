;; The till of version 2, which says the currency as well. A core module in the frame
;; ABI, as text so that the example needs no compiler; the kit makes the same of a plugin in Rust.
(module
  (import "glovebox" "call" (func $call (param i32 i32 i32 i32) (result i64)))
  (import "glovebox" "call_result" (func $take (param i32) (result i32)))
  (memory (export "memory") 1)
  (global $sold (mut i32) (i32.const 0))
  (data (i32.const 0) "acme:shop/prices@1.0.0#lookup")
  ;; The answer: a data frame without a header. The length of its payload lies at 520, the payload
  ;; from 524 on.
  (data (i32.const 512) "\52\00\01\00\00\00\00\00\00\00\00\00")
  ;; The failure: its code, 1001, and its message.
  (data (i32.const 1024) "\e9\03\00\00it has no price")
  (func (export "glovebox_abi_0_1"))
  (func (export "glovebox_buffer") (param i32) (result i32) (i32.const 4096))
  (func (export "glovebox_process") (param $length i32) (result i64)
    (local $price i64)
    ;; The payload stands behind the twelve bytes before it.
    (local.set $price
      (call $call (i32.const 0) (i32.const 29)
        (i32.const 4108) (i32.sub (local.get $length) (i32.const 12))))
    (if (i64.lt_s (local.get $price) (i64.const 0))
      (then (return (i64.const 0x80000400_00000013))))
    (global.set $sold (i32.add (global.get $sold) (i32.const 1)))
    ;; The number of this article, `: `, the price, and ` EUR`.
    (i32.store8 (i32.const 524) (i32.add (global.get $sold) (i32.const 48)))
    (i32.store16 (i32.const 525) (i32.const 0x203a))
    (drop (call $take (i32.const 527)))
    (i32.store (i32.add (i32.wrap_i64 (local.get $price)) (i32.const 527)) (i32.const 0x52554520))
    (i32.store (i32.const 520) (i32.add (i32.wrap_i64 (local.get $price)) (i32.const 7)))
    (i64.or (i64.const 0x200_00000000) (i64.add (local.get $price) (i64.const 19))))
  ;; The state: its version, 1, and the count.
  (func (export "glovebox_save_state") (result i64)
    (i32.store (i32.const 1536) (i32.const 1))
    (i32.store (i32.const 1540) (global.get $sold))
    (i64.const 0x600_00000008))
  (func (export "glovebox_restore_state") (param i32) (result i64)
    (global.set $sold (i32.load (i32.const 4100)))
    (i64.const 0)))
