//! Patterns over the names of objects, against a plain matcher that tries all there is to try.
//!
//! An input is a pattern, and behind each line's end a name.

use std::time::Duration;

use samara_store::{Error, Location, Locator, PutOptions};
use tokio::runtime::Runtime;

use crate::Target;
use crate::engine::Seen;

/// See the module.
pub const TARGET: Target = Target {
    name: "globs",
    seeds,
    words: &[
        "*", "**", "?", "[", "]", "{", "}", ",", "!", "^", "-", "\\", "/", "a", "b", "ü", "😀",
        "\n", "/**/", "[!a-c]", "{a,b}", "a/b", ".", "..",
    ],
    bytes_max: 512,
    time_max: Duration::from_secs(5),
    start: || {
        let io = tokio::runtime::Builder::new_current_thread().build().expect("a thread");
        let locator = Locator::default();
        Box::new(move |input| check(&io, &locator, input))
    },
};

/// The store; its objects are put for each input, and removed.
const ROOT: &str = "mem://fuzz-globs/";

/// Characters of a pattern and of a name up to which all is tried.
const TRIED_MAX: usize = 16;

fn seeds() -> Vec<Vec<u8>> {
    [
        "*.txt\na.txt\nb.csv\na/b.txt",
        "**/*.txt\na.txt\nx/y/b.txt",
        "a/**\na\na/b\na/b/c",
        "a/{1.txt,b/3.*}\na/1.txt\na/b/3.x",
        "b[0-9].txt\nb1.txt\nbx.txt",
        "[!a-c]?\ndx\nax",
        "\\*\\[{a,b\\,c}\n*[a\n*[b,c",
        "{a{1,2},b}{x,y}\na1x\nby",
        "a**b\naxxb\na/b",
        "?\u{fc}[\u{e4}-\u{fc}]\nxü\u{f6}",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect()
}

fn check(io: &Runtime, locator: &Locator, input: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.split('\n');
    let pattern = lines.next().unwrap_or_default();
    let root = locator.open(ROOT).expect("a store in memory");
    let mut names: Vec<&str> = lines.take(8).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| io.block_on(put(&root, name)));
    let found = io.block_on(locator.discover(&format!("{ROOT}{pattern}")));
    for name in &names {
        let at = root.join(name);
        io.block_on(at.store.delete(&at.key)).expect("it is there");
    }
    let found = found.map(|found| {
        let keys = found.into_iter().map(|found| found.url[ROOT.len()..].to_owned());
        keys.collect::<Vec<String>>()
    });
    compare(pattern, &names, found)
}

async fn put(root: &Location, name: &str) -> bool {
    let at = root.join(name);
    at.store.put(&at.key, "1".into(), PutOptions::default()).await.is_ok()
}

fn compare(pattern: &str, names: &[&str], found: Result<Vec<String>, Error>) -> Seen {
    if !pattern.contains(['*', '?', '[', '{']) {
        return Seen::of((0, found.is_ok()));
    }
    if names.contains(&pattern) {
        assert_eq!(found.expect("it is there"), [pattern], "the object of exactly this name");
        return Seen::of(1);
    }
    let small = |text: &str| text.chars().count() <= TRIED_MAX;
    if !small(pattern) || !names.iter().all(|name| small(name)) {
        return Seen::of((2, found.is_ok()));
    }
    let wanted = matcher::expanded(pattern).map(|patterns| {
        let matches = |name: &&&str| patterns.iter().any(|pattern| matcher::matches(pattern, name));
        names.iter().filter(matches).map(|name| (*name).to_owned()).collect::<Vec<String>>()
    });
    match (wanted, found) {
        (None, Err(Error::InvalidUrl { reason, .. })) => Seen::text(reason),
        (Some(wanted), Err(Error::NotFound { .. })) => {
            assert!(wanted.is_empty(), "{pattern:?} finds nothing, and should {wanted:?}");
            Seen::of(3)
        }
        (Some(wanted), Ok(found)) => {
            assert_eq!(found, wanted, "{pattern:?} of {names:?}");
            Seen::of((4, found.len(), pattern.contains("**"), pattern.contains('{')))
        }
        // A name that begins with a slash, or has two of them, is none.
        (wanted, Err(Error::InvalidKey { reason, .. })) => {
            assert!(wanted.is_none_or(|wanted| wanted.is_empty()), "{pattern:?} of {names:?}");
            Seen::text(reason)
        }
        (wanted, found) => panic!("{pattern:?} of {names:?}: {found:?}, and not {wanted:?}"),
    }
}

/// The same rules in the plainest words: every way to match is tried.
mod matcher {
    /// One item of a pattern without braces.
    #[derive(Debug, Clone, PartialEq)]
    pub(super) enum Item {
        Char(char),
        One,
        Any,
        Set(bool, Vec<(char, char)>),
        Slash,
    }

    /// The patterns that the braces stand for; none where a set or a brace is not closed.
    pub(super) fn expanded(text: &str) -> Option<Vec<Vec<Item>>> {
        let chars: Vec<char> = text.chars().collect();
        let (all, end) = alternatives(&chars, 0, false)?;
        assert!(end >= chars.len(), "all of it is read");
        Some(all)
    }

    /// What stands from `at` on, up to the end, or to the `}` of the brace that it is within.
    fn alternatives(text: &[char], mut at: usize, within: bool) -> Option<(Vec<Vec<Item>>, usize)> {
        let (mut done, mut now) = (Vec::new(), vec![Vec::new()]);
        while at < text.len() {
            let mut push = |item: Item| now.iter_mut().for_each(|one| one.push(item.clone()));
            match text[at] {
                '\\' => {
                    push(Item::Char(text.get(at + 1).copied().unwrap_or('\\')));
                    at += 1;
                }
                '*' => push(Item::Any),
                '?' => push(Item::One),
                '/' => push(Item::Slash),
                '[' => {
                    let (set, end) = set(text, at + 1)?;
                    push(set);
                    at = end;
                }
                '{' => {
                    let (inner, end) = alternatives(text, at + 1, true)?;
                    let joined = now.iter().flat_map(|before: &Vec<Item>| {
                        inner.iter().map(|behind| [&before[..], &behind[..]].concat())
                    });
                    now = joined.collect();
                    at = end;
                }
                ',' if within => done.append(&mut std::mem::replace(&mut now, vec![Vec::new()])),
                '}' if within => {
                    done.append(&mut now);
                    return Some((done, at));
                }
                c => push(Item::Char(c)),
            }
            at += 1;
        }
        (!within).then_some((now, at))
    }

    /// A set from behind its `[`, and where its `]` is.
    fn set(text: &[char], mut at: usize) -> Option<(Item, usize)> {
        let negated = matches!(text.get(at)?, '!' | '^');
        at += usize::from(negated);
        let mut ranges = Vec::new();
        loop {
            let first = *text.get(at)?;
            if first == ']' && !ranges.is_empty() {
                return Some((Item::Set(negated, ranges), at));
            }
            match (text.get(at + 1), text.get(at + 2)) {
                (Some('-'), Some(last)) if *last != ']' => {
                    ranges.push((first, *last));
                    at += 3;
                }
                _ => {
                    ranges.push((first, first));
                    at += 1;
                }
            }
        }
    }

    /// Whether all of a name matches.
    pub(super) fn matches(pattern: &[Item], name: &str) -> bool {
        let segments: Vec<&[Item]> = pattern.split(|item| *item == Item::Slash).collect();
        let names: Vec<Vec<char>> = name.split('/').map(|part| part.chars().collect()).collect();
        below(&segments, &names)
    }

    fn below(pattern: &[&[Item]], name: &[Vec<char>]) -> bool {
        match pattern {
            [] => name.is_empty(),
            // What ends so is below, and not the directory itself.
            [[Item::Any, Item::Any]] => !name.is_empty(),
            [[Item::Any, Item::Any], rest @ ..] => {
                (0..=name.len()).any(|skipped| below(rest, &name[skipped..]))
            }
            [first, rest @ ..] => name
                .split_first()
                .is_some_and(|(own, others)| part(first, own) && below(rest, others)),
        }
    }

    fn part(pattern: &[Item], name: &[char]) -> bool {
        match pattern {
            [] => name.is_empty(),
            [Item::Any, rest @ ..] if rest.first() == Some(&Item::Any) => part(rest, name),
            [Item::Any, rest @ ..] => (0..=name.len()).any(|skipped| part(rest, &name[skipped..])),
            [item, rest @ ..] => name
                .split_first()
                .is_some_and(|(own, others)| one(item, *own) && part(rest, others)),
        }
    }

    fn one(item: &Item, c: char) -> bool {
        match item {
            Item::Char(own) => *own == c,
            Item::Set(negated, ranges) => {
                ranges.iter().any(|(first, last)| *first <= c && c <= *last) != *negated
            }
            Item::One | Item::Any => true,
            Item::Slash => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Random;

    /// Longer ones than are compared end too.
    #[test]
    fn hostile_patterns_end() {
        let mut random = Random::new(7);
        let io = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let locator = Locator::default();
        for _ in 0..200 {
            let words: String = (0..150).map(|_| random.one(TARGET.words)).collect();
            check(&io, &locator, words.as_bytes());
        }
    }
}
