//! Waits that differ from driver to driver.

use std::hash::{BuildHasher, RandomState};

/// Between a half and one, so that those who were refused together do not come again together.
pub(crate) fn jitter() -> f64 {
    let random = RandomState::new().hash_one(()) % 1024;
    #[allow(clippy::cast_precision_loss, reason = "ten bits")]
    let part = random as f64 / 2048.0;
    0.5 + part
}
