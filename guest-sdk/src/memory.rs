//! `memcmp` for guests, eight bytes at a time.
//!
//! wasi-libc compares byte by byte. Every comparison of strings goes through it, every look-up in a
//! map of strings: counting words spent a third of its time there (`benches/word_count.rs`). A
//! symbol defined here comes before libc's archive when the component is linked.

use core::cmp::Ordering;

/// Compares `n` bytes at `a` and `b` as C has it: the first difference decides, bytes unsigned.
///
/// # Safety
///
/// `a` and `b` must be readable for `n` bytes.
#[allow(unsafe_code, reason = "replaces a function of libc, which deals in pointers")]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // Loads of fewer bytes than remain would go on byte by byte; the last load overlaps the one
    // before instead, which is equal and so decides nothing.
    let mut at = 0;
    if n >= 8 {
        while at < n {
            let from = at.min(n - 8);
            // SAFETY: `from + 8 <= n`, and the caller vouches for `n` bytes.
            let (x, y) = unsafe {
                (a.add(from).cast::<[u8; 8]>().read(), b.add(from).cast::<[u8; 8]>().read())
            };
            if x != y {
                return order(u64::from_be_bytes(x).cmp(&u64::from_be_bytes(y)));
            }
            at += 8;
        }
        return 0;
    }
    if n >= 4 {
        for from in [0, n - 4] {
            // SAFETY: `from + 4 <= n`, and the caller vouches for `n` bytes.
            let (x, y) = unsafe {
                (a.add(from).cast::<[u8; 4]>().read(), b.add(from).cast::<[u8; 4]>().read())
            };
            if x != y {
                return order(u32::from_be_bytes(x).cmp(&u32::from_be_bytes(y)));
            }
        }
        return 0;
    }
    while at < n {
        // SAFETY: `at < n`, and the caller vouches for `n` bytes.
        let (x, y) = unsafe { (a.add(at).read(), b.add(at).read()) };
        if x != y {
            return order(x.cmp(&y));
        }
        at += 1;
    }
    0
}

fn order(order: Ordering) -> i32 {
    order as i32
}
