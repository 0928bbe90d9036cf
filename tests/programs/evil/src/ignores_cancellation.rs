//! Is told that nobody wants it any more, and goes on.

use samara_guest::{function, task};

/// Asks whether it is cancelled, and never minds.
#[function]
pub fn never_minds() -> u64 {
    let mut asked = 0_u64;
    loop {
        asked = asked.wrapping_add(u64::from(std::hint::black_box(task::is_cancelled())));
    }
}
