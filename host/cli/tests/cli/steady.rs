//! Replaces in a text what differs from run to run.

/// Replaces ids and quantities word by word; spaces and line ends stay as they are.
///
/// A word ends where punctuation does, so that an id is one wherever it stands.
pub(super) fn steady(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find([' ', '\n', '(', ')', ',', '/', ':']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let unit = after.strip_prefix(' ').and_then(quantity).filter(|_| is_number(word));
        match unit {
            Some((name, after_unit)) => {
                out.push_str(name);
                rest = after_unit;
            }
            None => {
                out.push_str(replace(word));
                let mut next = after.chars();
                out.extend(next.next());
                rest = next.as_str();
            }
        }
    }
    out
}

fn replace(word: &str) -> &str {
    match word {
        word if is_hash(word.trim_end_matches(".wasm")) => "[ID]",
        word if is_job(word) => "[JOB]",
        word => word,
    }
}

fn is_hash(word: &str) -> bool {
    word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A ULID: 26 digits of base 32.
fn is_job(word: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    word.len() == 26 && word.starts_with('0') && word.bytes().all(is_digit)
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit()) && word.parse::<f64>().is_ok()
}

/// A unit at the start of the text, and what follows it.
fn quantity(text: &str) -> Option<(&'static str, &str)> {
    const UNITS: [(&str, &str); 6] = [
        ("µs", "[TIME]"),
        ("ms", "[TIME]"),
        ("s", "[TIME]"),
        ("KiB", "[SIZE]"),
        ("bytes", "[SIZE]"),
        ("MB/s", "[RATE]"),
    ];
    UNITS.iter().find_map(|(unit, name)| {
        let rest = text.strip_prefix(unit)?;
        let ends = !rest.starts_with(|c: char| c.is_alphanumeric());
        ends.then_some((*name, rest))
    })
}

#[test]
fn what_differs_is_replaced() {
    let id = format!("b3:{}", "0a".repeat(32));
    assert_eq!(
        steady(&format!("1 task in 2.10 ms (12 µs), {id},\n job 01KAHZ0000000000000000000X (`f`)")),
        "1 task in [TIME] ([TIME]), b3:[ID],\n job [JOB] (`f`)"
    );
    assert_eq!(steady("3 tasks, 5 steps 7"), "3 tasks, 5 steps 7");
}
