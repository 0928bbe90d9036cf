//! Begins objects and ends none.

use samara_guest::function;
use samara_guest::storage::Writer;

use crate::Loot;

/// Opens as many writers at once, and says what became of the last.
#[function]
pub fn opens_writers(prefix: String, count: u64) -> Loot {
    let all: Result<Vec<Writer>, _> =
        (0..count).map(|n| Writer::create(&format!("{prefix}{n}"))).collect();
    all.map(|all| all.len()).into()
}
