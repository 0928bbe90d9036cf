//! Makes the host keep headers of requests that are never sent.

use samara_guest::function;

/// Puts so many headers of four thousand bytes into each of so many sets, and says how many bytes
/// there are in all.
#[function]
pub fn fills_headers(sets: u64, headers: u64) -> u64 {
    #[cfg(target_family = "wasm")]
    {
        let value = vec![b'x'; 4000];
        let mut all = Vec::new();
        let mut bytes = 0;
        for _ in 0..sets {
            let fields = wasip2::http::types::Fields::new();
            for _ in 0..headers {
                bytes += fields.append("x", &value).map_or(0, |()| value.len() as u64);
            }
            all.push(fields);
        }
        std::hint::black_box(all);
        bytes
    }
    #[cfg(not(target_family = "wasm"))]
    sets.saturating_mul(headers)
}
