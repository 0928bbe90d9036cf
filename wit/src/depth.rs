//! How deep a value is nested, found out without going deep: before a reader does, which goes one
//! call deeper with each array or map.

use crate::value::{DEPTH_MAX, Error};

/// Major types of CBOR (RFC 8949, section 3.1).
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;

/// What has no length, and the end of it.
const INDEFINITE: u8 = 31;

/// Refuses a value that is nested deeper than [`DEPTH_MAX`]. What is no CBOR is for the reader to
/// say.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Error> {
    // Texts, bytes and numbers are most of what there is, and no deeper than one.
    if !bytes.first().is_some_and(|first| is_nesting(*first)) {
        return Ok(());
    }
    // With so few bytes that could begin a level there are not more levels.
    if bytes.iter().filter(|byte| is_nesting(**byte)).count() <= DEPTH_MAX {
        return Ok(());
    }
    match is_deep(bytes) {
        Some(true) => Err(Error::new(format_args!("it is nested deeper than {DEPTH_MAX} levels"))),
        _ => Ok(()),
    }
}

fn is_nesting(byte: u8) -> bool {
    (ARRAY..=TAG).contains(&(byte >> 5))
}

/// Whether the first value is nested too deep; none where it is no CBOR before that is seen.
fn is_deep(bytes: &[u8]) -> Option<bool> {
    // For each level, the items that are still to come in it; none where its end will tell.
    let mut levels: Vec<Option<u64>> = Vec::new();
    let mut rest = bytes;
    loop {
        let (first, after) = rest.split_first()?;
        let (major, info) = (first >> 5, first & 0x1f);
        let (argument, mut after) = argument(info, after)?;
        if let Some(Some(left)) = levels.last_mut() {
            *left -= 1;
        }
        match (major, argument) {
            (BYTES | TEXT, Some(length)) => {
                after = after.get(usize::try_from(length).ok()?..)?;
            }
            (ARRAY, items) => levels.push(items),
            (MAP, items) => levels.push(items.map(|pairs| pairs.saturating_mul(2))),
            (TAG, Some(_)) => levels.push(Some(1)),
            // Its pieces are as flat as it is.
            (BYTES | TEXT, None) => levels.push(None),
            (SIMPLE, None) => match levels.pop()? {
                None => {}
                Some(_) => return None,
            },
            (_, None) => return None,
            _ => {}
        }
        if levels.len() > DEPTH_MAX {
            return Some(true);
        }
        while levels.last() == Some(&Some(0)) {
            levels.pop();
        }
        if levels.is_empty() {
            return Some(false);
        }
        rest = after;
    }
}

/// The number behind an item's first byte, and what follows; no number where there is none.
fn argument(info: u8, rest: &[u8]) -> Option<(Option<u64>, &[u8])> {
    let width = match info {
        0..24 => return Some((Some(info.into()), rest)),
        24..28 => 1_usize << (info - 24),
        INDEFINITE => return Some((None, rest)),
        _ => return None,
    };
    let (number, rest) = rest.split_at_checked(width)?;
    let number = number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    Some((Some(number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{decode, encode};

    /// A type that holds itself, as trees do.
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Tree(Vec<Self>);

    fn tree(depth: usize) -> Tree {
        (1..depth).fold(Tree(Vec::new()), |tree, _| Tree(vec![tree]))
    }

    #[test]
    fn values_are_read_up_to_a_depth() {
        let deepest = tree(DEPTH_MAX);
        assert_eq!(decode::<Tree>(&encode(&deepest).unwrap()).unwrap(), deepest);
        let error = decode::<Tree>(&encode(&tree(DEPTH_MAX + 1)).unwrap()).unwrap_err();
        assert!(error.to_string().contains("deeper than 128 levels"), "{error}");
        // As deep as a megabyte can be: no stack holds that.
        for byte in [0x81, 0x9f, 0xa1, 0xbf, 0xc1] {
            assert!(decode::<Tree>(&vec![byte; 1 << 20]).is_err(), "{byte:#x}");
        }
    }

    #[test]
    fn what_is_wide_is_not_deep() {
        let wide: Vec<Vec<Vec<u64>>> = vec![vec![vec![7, u64::MAX]; 3]; 1000];
        assert_eq!(decode::<Vec<Vec<Vec<u64>>>>(&encode(&wide).unwrap()).unwrap(), wide);
        // Letters whose bytes look like the beginning of levels.
        let texts = vec!["\u{f6}\u{20ac}".repeat(500); 3];
        assert_eq!(decode::<Vec<String>>(&encode(&texts).unwrap()).unwrap(), texts);
        // Without lengths, and with pieces: a list of two in a map, many times.
        let item = [0xbf, 0x61, b'a', 0x9f, 1, 0xf9, 0, 0, 0xff, 0x61, b'b', 0x80, 0xff];
        let mut many = vec![0x9f];
        (0..300).for_each(|_| many.extend_from_slice(&item));
        many.push(0xff);
        assert_eq!(is_deep(&many), Some(false));
        assert_eq!(check(&many), Ok(()));
    }

    #[test]
    fn what_is_no_cbor_is_for_the_reader_to_say() {
        for bytes in [&[0x9f][..], &[0xff; 300], &[0x9c; 300], &[0x9b; 300], &[0x5b; 300]] {
            assert_eq!(check(bytes), Ok(()), "{:#x}", bytes[0]);
        }
    }
}
