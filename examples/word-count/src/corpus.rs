//! A text of any size from a seed: words of a made-up language, as often as Zipf's law has it.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};

/// Different words. English newspapers of 256 MiB have some hundred thousand; most are rare.
const WORDS: usize = 20_000;

/// Words of a line, at most.
const LINE_WORDS_MAX: u64 = 16;

/// Entries of the table that turns a random number into a word.
const TABLE: usize = 1 << 16;

/// Reads `256MiB`, `1GiB`, `64KiB` or a plain number of bytes.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        unit => return Err(format!("`{unit}` is no unit: B, KiB, MiB or GiB")),
    };
    let number: u64 =
        digits.parse().map_err(|_| format!("`{text}` does not begin with a number"))?;
    number.checked_mul(unit).ok_or_else(|| format!("`{text}` is more than 2^64 bytes"))
}

/// Writes the text unless an earlier run did, and says where it is.
pub(crate) fn generate(seed: u64, size: u64) -> Result<PathBuf> {
    let dir = std::env::temp_dir().join("samara-word-count");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let path = dir.join(format!("corpus-{seed}-{size}.txt"));
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == size) {
        return Ok(path);
    }
    // A name of its own until it is whole: two runs may generate at once.
    let partial = dir.join(format!("corpus-{seed}-{size}.{}.partial", std::process::id()));
    write(seed, size, &partial)
        .and_then(|()| Ok(fs::rename(&partial, &path)?))
        .inspect_err(|_| drop(fs::remove_file(&partial)))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn write(seed: u64, size: u64, path: &PathBuf) -> Result<()> {
    let mut random = SplitMix(seed);
    let words: Vec<String> = (0..WORDS).map(|_| word(&mut random)).collect();
    let table = zipf();
    let mut out = BufWriter::with_capacity(1 << 20, fs::File::create(path)?);
    let mut line = String::new();
    let mut left = size;
    while left > 0 {
        line.clear();
        for _ in 0..1 + random.below(LINE_WORDS_MAX) {
            let rank = table[usize::try_from(random.below(TABLE as u64))?];
            line.push_str(&words[usize::from(rank)]);
            line.push(' ');
        }
        line.pop();
        line.push('\n');
        let bytes = &line.as_bytes()[..line.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        out.write_all(bytes)?;
        left -= bytes.len() as u64;
    }
    out.flush()?;
    Ok(())
}

/// Two to five syllables.
fn word(random: &mut SplitMix) -> String {
    const SYLLABLES: [&str; 32] = [
        "ba", "be", "bi", "da", "de", "do", "fa", "fi", "ga", "go", "ka", "ke", "ki", "la", "le",
        "lo", "ma", "me", "mi", "na", "ne", "no", "pa", "po", "ra", "ri", "sa", "se", "ta", "ti",
        "va", "zo",
    ];
    let count = 2 + random.below(4);
    (0..count).map(|_| SYLLABLES[usize::try_from(random.below(32)).unwrap_or(0)]).collect()
}

/// Ranks, each as often as its share: the word of rank r is 1/r as frequent as the first (Zipf
/// 1949, Human Behavior and the Principle of Least Effort).
fn zipf() -> Vec<u16> {
    let total: f64 = (1..=WORDS).map(|rank| 1.0 / rank as f64).sum();
    let mut table = Vec::with_capacity(TABLE);
    let mut share = 0.0;
    for rank in 1..=WORDS {
        share += 1.0 / rank as f64 / total;
        while (table.len() as f64) < share * TABLE as f64 {
            table.push(u16::try_from(rank - 1).unwrap_or(u16::MAX));
        }
    }
    table.resize(TABLE, 0);
    table
}

/// SplitMix64 (Steele, Lea and Flood 2014, Fast Splittable Pseudorandom Number Generators).
struct SplitMix(u64);

// === impl SplitMix ===

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        // Lemire's multiplication; the bias of at most 2^-48 does not matter here.
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(parse_size("256MiB"), Ok(256 << 20));
        assert_eq!(parse_size("17"), Ok(17));
        assert!(parse_size("1 TB").unwrap_err().contains("no unit"));
        assert!(parse_size("MiB").unwrap_err().contains("number"));
        assert!(parse_size("99999999999GiB").unwrap_err().contains("2^64"));
    }

    #[test]
    fn a_seed_gives_one_text() {
        let text = |seed| {
            let path = generate(seed, 10_000).unwrap();
            fs::read_to_string(path).unwrap()
        };
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
        assert_eq!(text(7).len(), 10_000);
    }
}
