//! Sleeps, and will not be woken.

use std::time::Duration;

use samara_guest::function;

/// Sleeps in one call of the host, for as long as a clock can say.
#[function]
pub fn sleeps_long() {
    loop {
        std::thread::sleep(Duration::from_nanos(u64::MAX));
    }
}

/// Sleeps shortly, again and again.
#[function]
pub fn sleeps_often() {
    loop {
        std::thread::sleep(Duration::from_millis(1));
    }
}
