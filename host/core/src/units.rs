//! Sizes and durations as people write them: `512MiB`, `15m`.

use std::num::NonZeroU64;
use std::time::Duration;

/// Units of sizes. The short ones are powers of two: nobody cuts files at 8 000 000 bytes.
const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("K", 1 << 10),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("M", 1 << 20),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("G", 1 << 30),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
];

/// Units of durations, in milliseconds.
const TIMES: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// Reads `8MiB`, `64KiB`, `1GB` or a number of bytes; at least 1.
///
/// # Errors
///
/// What is wrong, and how to write it.
///
/// # Examples
///
/// ```
/// use samara_core::units::parse_size;
///
/// assert_eq!(parse_size("8MiB").unwrap().get(), 8 << 20);
/// assert!(parse_size("8 parsecs").unwrap_err().contains("`parsecs` is no unit"));
/// ```
pub fn parse_size(text: &str) -> Result<NonZeroU64, String> {
    let (number, unit) = split(text, "8MiB")?;
    let factor = if unit.is_empty() { 1 } else { factor(unit, SIZES, "8MiB")? };
    let size = number.checked_mul(factor).ok_or_else(|| format!("`{text}` is over 2^64 bytes"))?;
    NonZeroU64::new(size).ok_or_else(|| "a size is at least 1 byte".to_owned())
}

/// Reads `500ms`, `30s`, `15m` or `1h`; longer than zero.
///
/// # Errors
///
/// What is wrong, and how to write it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(samara_core::units::parse_duration("15m"), Ok(Duration::from_secs(900)));
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text, "30s")?;
    let factor = factor(unit, TIMES, "30s")?;
    match number.checked_mul(factor) {
        Some(0) => Err("a duration is longer than zero".to_owned()),
        Some(milliseconds) => Ok(Duration::from_millis(milliseconds)),
        None => Err(format!("`{text}` is too long")),
    }
}

/// Writes a size so that [`parse_size`] reads the same: `512MiB`, `1000B`.
///
/// ```
/// assert_eq!(samara_core::units::size(512 << 20), "512MiB");
/// ```
pub fn size(bytes: u64) -> String {
    let units = [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let exact = units.iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    let (unit, factor) = exact.unwrap_or(&("B", 1));
    format!("{}{unit}", bytes / factor)
}

/// Writes a duration so that [`parse_duration`] reads the same: `15m`, `1500ms`. What is shorter
/// than a millisecond is dropped.
///
/// ```
/// assert_eq!(samara_core::units::duration(std::time::Duration::from_secs(90)), "90s");
/// ```
pub fn duration(time: Duration) -> String {
    let milliseconds = time.as_millis();
    let mut units = TIMES.iter().rev();
    let exact = units.find(|(_, f)| milliseconds > 0 && milliseconds.is_multiple_of((*f).into()));
    let (unit, factor) = exact.unwrap_or(&("ms", 1));
    format!("{}{unit}", milliseconds / u128::from(*factor))
}

fn split<'a>(text: &'a str, example: &str) -> Result<(u64, &'a str), String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    match number {
        "" => Err(format!("it begins with no number; write {example}")),
        number => {
            Ok((number.parse().map_err(|_| format!("`{number}` is over 2^64"))?, unit.trim()))
        }
    }
}

fn factor(unit: &str, units: &[(&str, u64)], example: &str) -> Result<u64, String> {
    let found = units.iter().find(|(name, _)| *name == unit);
    found.map(|(_, factor)| *factor).ok_or_else(|| {
        let known: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        let wrong = match unit {
            "" => "the unit is missing".to_owned(),
            unit => format!("`{unit}` is no unit"),
        };
        format!("{wrong}; write {example} (units: {})", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        let bytes = |text| parse_size(text).map(NonZeroU64::get);
        assert_eq!(bytes("8MiB"), Ok(8 << 20));
        assert_eq!(bytes("8 MiB"), Ok(8 << 20));
        assert_eq!(bytes("17"), Ok(17));
        assert_eq!(bytes("2kB"), Ok(2_000));
        for (text, wanted) in [
            ("0", "at least 1"),
            ("0MiB", "at least 1"),
            ("-1", "no number"),
            ("MiB", "no number"),
            ("1.5MiB", "no unit"),
            ("1 parsec", "`parsec` is no unit; write 8MiB (units: B, K, KiB"),
            ("99999999999GiB", "2^64"),
            ("99999999999999999999", "2^64"),
        ] {
            let error = bytes(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn durations_are_read_with_their_units() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_hours(2)));
        for (text, wanted) in [
            ("30", "the unit is missing"),
            ("0s", "longer than zero"),
            ("1y", "`y` is no unit; write 30s (units: ms, s, m, h)"),
            ("9999999999999999h", "too long"),
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for bytes in [1, 999, 1 << 10, 1000, 3 << 19, 512 << 20, (1 << 40) + 1, u64::MAX] {
            assert_eq!(parse_size(&size(bytes)).map(NonZeroU64::get), Ok(bytes), "{bytes}");
        }
        for milliseconds in [1, 999, 1_000, 1_500, 60_000, 90_000, 3_600_000, 86_400_001] {
            let time = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(&duration(time)), Ok(time), "{milliseconds}");
        }
    }
}
