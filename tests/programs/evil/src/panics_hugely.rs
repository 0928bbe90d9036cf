//! Panics, and has very much to say about it.

use samara_guest::function;

/// A panic with a message of so many bytes.
#[function]
pub fn panics_at_length(bytes: usize) {
    panic!("{}", "é".repeat(bytes / 2));
}

/// Says that it panicked at a place whose name has so many bytes, often; then traps.
#[function]
pub fn panics_far_away(bytes: usize) {
    #[cfg(target_family = "wasm")]
    {
        report(&"l".repeat(bytes));
    }
    let _unused_elsewhere = bytes;
    std::process::abort();
}

/// Calls `panicked` of the host, which the SDK keeps to itself.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "an import of the world, by its canonical signature")]
fn report(text: &str) {
    #[link(wasm_import_module = "samara:function/task@0.2.1")]
    unsafe extern "C" {
        #[link_name = "panicked"]
        fn panicked(message: *const u8, length: usize, place: *const u8, place_length: usize);
    }
    for _ in 0..3 {
        // SAFETY: both are texts that live during the call.
        unsafe { panicked(text.as_ptr(), text.len(), text.as_ptr(), text.len()) };
    }
}
