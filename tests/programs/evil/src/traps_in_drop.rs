//! Traps while it cleans up.

use samara_guest::function;
use samara_guest::storage::Writer;

/// Traps when it is dropped.
struct Mine(Option<Writer>);

impl Drop for Mine {
    fn drop(&mut self) {
        let _dropped_first = self.0.take();
        std::process::abort();
    }
}

/// Returns well, but for what it leaves behind; with an open writer.
#[function]
pub fn leaves_a_mine(url: String) -> u64 {
    let _mine = Mine(Writer::create(&url).ok());
    1
}
