//! `--records`: what objects consist of, as it is written on a command line.

use samara::{CsvOptions, Records, Terminator};

/// What may be written.
const KINDS: &str = "lines, csv, csv-no-header, jsonl, fixed:BYTES, bytes, ended-by:TEXT";

/// Reads the value of `--records`.
pub(super) fn parse(text: &str) -> Result<Records, String> {
    let records = match text.split_once(':') {
        None => match text {
            "lines" => Records::Lines,
            "csv" => Records::Csv(CsvOptions::new()),
            "csv-no-header" => Records::Csv(CsvOptions::new().header(false)),
            "jsonl" => Records::JsonLines,
            "bytes" => Records::Bytes,
            _ => return Err(format!("it is one of {KINDS}")),
        },
        Some(("fixed", bytes)) => {
            let bytes = bytes
                .parse()
                .map_err(|_| format!("`{bytes}` is no number of bytes; write it like fixed:128"))?;
            Records::Fixed(bytes)
        }
        Some(("ended-by", text)) => {
            let terminator = Terminator::new(&unescape(text)?).map_err(|error| error.message)?;
            Records::Terminated(terminator)
        }
        Some(_) => return Err(format!("it is one of {KINDS}")),
    };
    records.check().map_err(|error| error.message)?;
    Ok(records)
}

/// Resolves `\n`, `\r`, `\t`, `\0`, `\\` and `\xHH`, which are hard to write in a shell.
fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'\\' {
            bytes.push(first);
            continue;
        }
        let (byte, length) = match rest {
            [b'n', ..] => (b'\n', 1),
            [b'r', ..] => (b'\r', 1),
            [b't', ..] => (b'\t', 1),
            [b'0', ..] => (0, 1),
            [b'\\', ..] => (b'\\', 1),
            [b'x', high, low, ..] => (hexadecimal(&[*high, *low]).ok_or_else(unknown)?, 3),
            _ => return Err(unknown()),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    Ok(bytes)
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits).ok()?;
    // `from_str_radix` would take a sign.
    let all = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u8::from_str_radix(digits, 16).ok().filter(|_| all)
}

fn unknown() -> String {
    r"after a backslash comes n, r, t, 0, xHH, or another backslash".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_records_are_read() {
        let ended_by = |bytes: &[u8]| Records::Terminated(Terminator::new(bytes).unwrap());
        for (text, records) in [
            ("lines", Records::Lines),
            ("csv", Records::Csv(CsvOptions::new())),
            ("csv-no-header", Records::Csv(CsvOptions::new().header(false))),
            ("jsonl", Records::JsonLines),
            ("fixed:128", Records::Fixed(128)),
            ("bytes", Records::Bytes),
            ("ended-by:;", ended_by(b";")),
            ("ended-by:a:b", ended_by(b"a:b")),
            (r"ended-by:\n\n", ended_by(b"\n\n")),
            (r"ended-by:\r\t\0\\\xfF", ended_by(b"\r\t\0\\\xff")),
        ] {
            assert_eq!(parse(text), Ok(records), "{text}");
        }
    }

    #[test]
    fn what_is_no_kind_of_records_is_refused() {
        for (text, says) in [
            ("", "one of lines, csv"),
            ("tsv", "one of lines, csv"),
            ("lines:3", "one of lines, csv"),
            ("fixed:x", "like fixed:128"),
            ("fixed:0", "at least 1"),
            ("ended-by:", "1 to 16 bytes"),
            ("ended-by:12345678901234567", "too long"),
            (r"ended-by:\q", "after a backslash"),
            (r"ended-by:\x+1", "after a backslash"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
