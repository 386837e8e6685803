;; Answers each frame with "hello, " and its payload: a plugin by hand, in the frame ABI.
;;
;; A frame is, little-endian and without padding:
;;
;;     offset  0  kind (1 byte), 0 (1 byte), wire version 1 (2 bytes)
;;     offset  4  length h of the header (4 bytes)
;;     offset  8  length p of the payload (4 bytes)
;;     offset 12  header, then payload
;;
;; Memory, in pages of 64 KiB:
;;
;;     page 0      the text "hello, " at 16, a failure record at 32
;;     page 1      where the buffer begins: the input is at 65536 + 7
;;
;; The answer is made in place: header and payload stay where they are, except that the header moves
;; down by 7 bytes so that the greeting fits between it and the payload. Hence the input lies 7
;; bytes above the start of the buffer.
(module
  ;; Read before anything runs: this module speaks version 0.1. It is never called.
  (func (export "glovebox_abi_0_1"))

  (memory (export "memory") 2)

  (data (i32.const 16) "hello, ")
  ;; A failure record: the code 2, "invalid", and the message (24 bytes in all).
  (data (i32.const 32) "\02\00\00\00the frame is cut off")

  ;; A buffer of at least $size bytes, or 0 if there is no memory for it. It never moves: memory
  ;; grows behind it.
  (func (export "glovebox_buffer") (param $size i32) (result i32)
    (local $missing i32)
    ;; 64 MiB is the largest frame; a negative size is larger than that when unsigned.
    (if (i32.gt_u (local.get $size) (i32.const 0x4000000))
      (then (return (i32.const 0))))
    ;; The pages needed for page 0, the 7 bytes and the size, less those that are there.
    (local.set $missing
      (i32.sub
        (i32.add
          (i32.shr_u
            (i32.add (local.get $size) (i32.const 0x10006))
            (i32.const 16))
          (i32.const 1))
        (memory.size)))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
      (then
        (if (i32.eq (memory.grow (local.get $missing)) (i32.const -1))
          (then (return (i32.const 0))))))
    (i32.const 65543))

  ;; Answers the frame of $len bytes in the buffer.
  (func (export "glovebox_process") (param $len i32) (result i64)
    (local $header i32)
    (local $payload i32)
    ;; The prefix must be there before its lengths can be read ...
    (if (i32.lt_u (local.get $len) (i32.const 12))
      (then (return (call $cut_off))))
    (local.set $header (i32.load (i32.const 65547)))
    (local.set $payload (i32.load (i32.const 65551)))
    ;; ... and the lengths must be what is there; in 64 bits, where the sum cannot overflow.
    (if (i64.ne
          (i64.add
            (i64.add
              (i64.extend_i32_u (local.get $header))
              (i64.extend_i32_u (local.get $payload)))
            (i64.const 12))
          (i64.extend_i32_u (local.get $len)))
      (then (return (call $cut_off))))
    ;; Prefix and header move down by 7 ...
    (memory.copy
      (i32.const 65536)
      (i32.const 65543)
      (i32.add (local.get $header) (i32.const 12)))
    ;; ... the greeting goes behind them ...
    (memory.copy
      (i32.add (local.get $header) (i32.const 65548))
      (i32.const 16)
      (i32.const 7))
    ;; ... and the frame says that it is data with 7 bytes more.
    (i32.store8 (i32.const 65536) (i32.const 0x52))
    (i32.store (i32.const 65544) (i32.add (local.get $payload) (i32.const 7)))
    ;; The answer: pointer << 32 | length.
    (i64.or
      (i64.const 0x10000_00000000)
      (i64.extend_i32_u (i32.add (local.get $len) (i32.const 7)))))

  ;; The same with the sign bit set: the failure record of 24 bytes at 32.
  (func $cut_off (result i64)
    (i64.const 0x80000020_00000018)))
