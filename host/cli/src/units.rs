//! Sizes and durations as people read them.

use std::time::Duration;

pub(crate) use samara::settings::units::{parse_duration, parse_size};

/// Writes a size with three digits: `117 KiB`, `1.50 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, factor)| bytes >= *factor) {
        Some((unit, factor)) => format!("{} {unit}", digits(bytes as f64 / factor as f64)),
        None => format!("{bytes} B"),
    }
}

/// Writes a duration with three digits: `12.3 µs`, `2.10 ms`, `75.0 s`.
pub(crate) fn duration(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{} s", digits(seconds)),
        seconds if seconds >= 1e-3 => format!("{} ms", digits(seconds * 1e3)),
        seconds => format!("{} µs", digits(seconds * 1e6)),
    }
}

fn digits(number: f64) -> String {
    match number {
        number if number < 10.0 => format!("{number:.2}"),
        number if number < 100.0 => format!("{number:.1}"),
        number => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_written_with_three_digits() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(120_000), "117 KiB");
        assert_eq!(size(3 << 19), "1.50 MiB");
        assert_eq!(duration(Duration::from_nanos(12_345)), "12.3 µs");
        assert_eq!(duration(Duration::from_micros(2_100)), "2.10 ms");
        assert_eq!(duration(Duration::from_secs(75)), "75.0 s");
    }
}
