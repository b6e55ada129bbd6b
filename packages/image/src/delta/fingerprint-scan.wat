;; Finds the fingerprints of some bytes: `FingerprintList.scan` in fingerprints.ts, which does the same without SIMD and
;; says what a fingerprint is. Assembled by scripts/assemble-wasm.ts into fingerprint-scan-wasm.ts.
;;
;; Memory: up to 64 KiB of bytes at 0, up to 2048 hashes at 65536, as many starts at 73728.
(module
  (memory (export "memory") 2)

  ;; $length: of the bytes, a multiple of 4. Positions are chosen where their number is below $limit. Answers how many
  ;; fingerprints there are.
  (func (export "scan") (param $length i32) (param $limit i32) (result i32)
    (local $at i32) (local $last i32)
    (local $limits v128)
    (local $a v128) (local $b v128) (local $c v128)
    ;; a * word + b * next word + c of 16 positions: lane k of $n0 is that of $at + 4k, of $n1 that of $at + 4k + 1, and
    ;; so on.
    (local $n0 v128) (local $n1 v128) (local $n2 v128) (local $n3 v128)
    ;; A bit for each of the 16 positions from $at on that is chosen.
    (local $chosen i32) (local $start i32)
    (local $hash i32) (local $before i32) (local $count i32)
    (if (i32.lt_u (local.get $length) (i32.const 32)) (then (return (i32.const 0))))
    (local.set $last (i32.sub (local.get $length) (i32.const 32)))
    (local.set $limits (i32x4.splat (local.get $limit)))
    (local.set $a (i32x4.splat (i32.const 0x9e3779b1)))
    (local.set $b (i32x4.splat (i32.const 0x85ebca77)))
    (local.set $c (i32x4.splat (i32.const 0x7f4a7c15)))
    (local.set $before (i32.const -1))
    (loop $block
      (local.set $n0
        (i32x4.add
          (i32x4.mul (v128.load align=1 (local.get $at)) (local.get $a))
          (i32x4.add
            (i32x4.mul (v128.load offset=4 align=1 (local.get $at)) (local.get $b))
            (local.get $c))))
      (local.set $n1
        (i32x4.add
          (i32x4.mul (v128.load offset=1 align=1 (local.get $at)) (local.get $a))
          (i32x4.add
            (i32x4.mul (v128.load offset=5 align=1 (local.get $at)) (local.get $b))
            (local.get $c))))
      (local.set $n2
        (i32x4.add
          (i32x4.mul (v128.load offset=2 align=1 (local.get $at)) (local.get $a))
          (i32x4.add
            (i32x4.mul (v128.load offset=6 align=1 (local.get $at)) (local.get $b))
            (local.get $c))))
      (local.set $n3
        (i32x4.add
          (i32x4.mul (v128.load offset=3 align=1 (local.get $at)) (local.get $a))
          (i32x4.add
            (i32x4.mul (v128.load offset=7 align=1 (local.get $at)) (local.get $b))
            (local.get $c))))
      (if
        (v128.any_true
          (i32x4.lt_u
            (i32x4.min_u
              (i32x4.min_u (local.get $n0) (local.get $n1))
              (i32x4.min_u (local.get $n2) (local.get $n3)))
            (local.get $limits)))
        (then
          ;; Byte 4k + j of what the bits are taken of belongs to position $at + 4k + j.
          (local.set $chosen
            (i8x16.bitmask
              (v128.or
                (v128.or
                  (v128.and
                    (i32x4.lt_u (local.get $n0) (local.get $limits))
                    (v128.const i32x4 0xff 0xff 0xff 0xff))
                  (v128.and
                    (i32x4.lt_u (local.get $n1) (local.get $limits))
                    (v128.const i32x4 0xff00 0xff00 0xff00 0xff00)))
                (v128.or
                  (v128.and
                    (i32x4.lt_u (local.get $n2) (local.get $limits))
                    (v128.const i32x4 0xff0000 0xff0000 0xff0000 0xff0000))
                  (v128.and
                    (i32x4.lt_u (local.get $n3) (local.get $limits))
                    (v128.const i32x4 0xff000000 0xff000000 0xff000000 0xff000000))))))
          (loop $bit
            (local.set $start (i32.add (local.get $at) (i32.ctz (local.get $chosen))))
            (if (i32.gt_u (local.get $start) (local.get $last)) (then (return (local.get $count))))
            (local.set $hash (call $hash (local.get $start)))
            (if (i32.ne (local.get $hash) (local.get $before))
              (then
                (local.set $before (local.get $hash))
                (i32.store offset=65536 (i32.shl (local.get $count) (i32.const 2)) (local.get $hash))
                (i32.store offset=73728 (i32.shl (local.get $count) (i32.const 2)) (local.get $start))
                (local.set $count (i32.add (local.get $count) (i32.const 1)))
                (if (i32.eq (local.get $count) (i32.const 2048)) (then (return (local.get $count))))))
            ;; Without its lowest bit.
            (local.set $chosen
              (i32.and (local.get $chosen) (i32.sub (local.get $chosen) (i32.const 1))))
            (br_if $bit (local.get $chosen)))))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (br_if $block (i32.le_u (local.get $at) (local.get $last))))
    (local.get $count))

  ;; Of the 32 bytes from $at on.
  (func $hash (param $at i32) (result i32)
    (local $sums v128) (local $hash i32)
    (local.set $sums
      (i32x4.add
        (i32x4.mul
          (v128.load align=1 (local.get $at))
          (v128.const i32x4 0x9e3779b1 0x85ebca77 0xc2b2ae3d 0x27d4eb2f))
        (i32x4.mul
          (v128.load offset=16 align=1 (local.get $at))
          (v128.const i32x4 0x165667b1 0xcc9e2d51 0x1b873593 0xe6546b65))))
    (local.set $hash
      (i32.add
        (i32.add
          (i32x4.extract_lane 0 (local.get $sums))
          (i32x4.extract_lane 1 (local.get $sums)))
        (i32.add
          (i32x4.extract_lane 2 (local.get $sums))
          (i32x4.extract_lane 3 (local.get $sums)))))
    (local.set $hash (i32.xor (local.get $hash) (i32.shr_u (local.get $hash) (i32.const 16))))
    (local.set $hash (i32.mul (local.get $hash) (i32.const 0x85ebca6b)))
    (local.set $hash (i32.xor (local.get $hash) (i32.shr_u (local.get $hash) (i32.const 13))))
    (local.set $hash (i32.mul (local.get $hash) (i32.const 0xc2b2ae35)))
    (i32.xor (local.get $hash) (i32.shr_u (local.get $hash) (i32.const 16))))
)
