//! Asks the host to print more zeroes than there is memory.

use samara_guest::function;

/// Prints so many zeroes in one call, on standard output; `blocking` as the call that waits.
#[function]
pub fn prints_zeroes(count: u64, blocking: bool) -> bool {
    #[cfg(target_family = "wasm")]
    {
        let out = wasip2::cli::stdout::get_stdout();
        match blocking {
            true => out.blocking_write_zeroes_and_flush(count).is_ok(),
            false => out.write_zeroes(count).is_ok(),
        }
    }
    #[cfg(not(target_family = "wasm"))]
    {
        count == 0 || blocking
    }
}
