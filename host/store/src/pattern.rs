//! Patterns over keys: `*`, `?`, `[a-z]`, `{a,b}`, `**`.
//!
//! By characters, not bytes, so that `?` is one `ü`. That rules out the globset crate, which
//! matches bytes.

/// A parsed pattern over keys, or over names.
///
/// `?` is one character, `*` any number of them, `[a-z]` and `[!a-z]` one out of a set, none of them
/// `/`; `**` as a segment is any number of segments; `{a,b}` is either; `\` takes the next character
/// literally.
///
/// ```
/// use samara_store::Pattern;
///
/// let pattern = Pattern::parse("logs/**/*.{csv,txt}").unwrap();
/// assert!(pattern.matches("logs/2026/11/a.csv") && !pattern.matches("a.csv"));
/// assert_eq!(pattern.literal_prefix(), "logs/");
/// ```
#[derive(Clone, Debug)]
pub struct Pattern {
    literal_prefix: String,
    alternatives: Vec<Vec<Segment>>,
}

/// What one segment of a key must look like.
#[derive(Clone, Debug, PartialEq)]
enum Segment {
    /// `**`: any number of segments, whatever they look like.
    AnyNumber,
    /// One segment of these characters.
    One(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Char(char),
    AnyChar,
    AnyNumber,
    Set { negated: bool, ranges: Vec<(char, char)> },
}

/// Patterns that the braces of one pattern may stand for: each is tried on every key.
const ALTERNATIVES_MAX: usize = 1_000;

const UNCLOSED_SET: &str = "a `[` in the pattern is not closed";
const UNCLOSED_BRACE: &str = "a `{` in the pattern is not closed";
const TOO_MANY: &str = "the braces of the pattern stand for more than a thousand patterns";

/// Whether `key` says anything but itself.
pub(crate) fn is_pattern(key: &str) -> bool {
    key.contains(['*', '?', '[', '{'])
}

// === impl Pattern ===

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let literal_prefix = text.split(['*', '?', '[', '{', '\\']).next().unwrap_or_default();
        let alternatives =
            expand(text)?.iter().map(|text| segments(text)).collect::<Result<_, _>>()?;
        Ok(Self { literal_prefix: literal_prefix.to_owned(), alternatives })
    }

    /// What every key that matches begins with.
    pub fn literal_prefix(&self) -> &str {
        &self.literal_prefix
    }

    /// The most `/` that a key that matches can have after the literal prefix.
    pub fn slashes_max(&self) -> Option<usize> {
        let in_prefix = self.literal_prefix.matches('/').count();
        self.alternatives.iter().try_fold(0, |most, segments| {
            let unbounded = segments.contains(&Segment::AnyNumber);
            let slashes = segments.len().saturating_sub(1).saturating_sub(in_prefix);
            (!unbounded).then_some(slashes.max(most))
        })
    }

    /// Whether the whole key matches.
    pub fn matches(&self, key: &str) -> bool {
        let parts: Vec<_> = key.split('/').collect();
        self.alternatives.iter().any(|segments| {
            wild(segments, &parts, |s| *s == Segment::AnyNumber, |s, part| s.matches(part))
        })
    }
}

impl Segment {
    fn matches(&self, part: &str) -> bool {
        let Self::One(tokens) = self else { return true };
        let chars: Vec<_> = part.chars().collect();
        wild(tokens, &chars, |t| *t == Token::AnyNumber, |t, c| t.matches(*c))
    }
}

impl Token {
    fn matches(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::AnyChar | Self::AnyNumber => true,
            Self::Set { negated, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)) != *negated
            }
        }
    }
}

/// Matches all of `text` against `pattern`, where an `is_any` stands for any number of items.
///
/// Only the latest `is_any` is ever reconsidered, which suffices, so the time is at most the
/// product of both lengths.
fn wild<P, T>(
    pattern: &[P],
    text: &[T],
    is_any: impl Fn(&P) -> bool,
    matches: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut latest_any = None;
    while t < text.len() {
        if pattern.get(p).is_some_and(&is_any) {
            latest_any = Some((p, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|item| matches(item, &text[t])) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((any, taken)) = latest_any {
            latest_any = Some((any, taken + 1));
            (p, t) = (any + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(is_any)
}

/// The patterns without braces that `text` stands for.
fn expand(text: &str) -> Result<Vec<String>, &'static str> {
    let mut expanded = Vec::new();
    let mut pending = vec![text.to_owned()];
    while let Some(text) = pending.pop() {
        match first_brace(&text)? {
            None => expanded.push(text),
            Some((open, commas, close)) => {
                let mut from = open + 1;
                for end in commas.into_iter().chain([close]) {
                    let (head, tail) = (&text[..open], &text[close + 1..]);
                    pending.push(format!("{head}{}{tail}", &text[from..end]));
                    from = end + 1;
                }
            }
        }
        if expanded.len() + pending.len() > ALTERNATIVES_MAX {
            return Err(TOO_MANY);
        }
    }
    Ok(expanded)
}

/// Where the first outermost brace opens, its commas stand and it closes.
#[expect(clippy::type_complexity, reason = "one caller, next to it")]
fn first_brace(text: &str) -> Result<Option<(usize, Vec<usize>, usize)>, &'static str> {
    let mut chars = text.char_indices();
    let (mut open, mut depth, mut commas) = (None, 0, Vec::new());
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '[' => skip_set(&mut chars)?,
            '{' => {
                open = open.or(Some(at));
                depth += 1;
            }
            ',' if depth == 1 => commas.push(at),
            '}' if depth > 0 => depth -= 1,
            _ => {}
        }
        if let (Some(open), 0) = (open, depth) {
            return Ok(Some((open, commas, at)));
        }
    }
    if open.is_some() { Err(UNCLOSED_BRACE) } else { Ok(None) }
}

fn skip_set(chars: &mut std::str::CharIndices<'_>) -> Result<(), &'static str> {
    let rest = chars.as_str();
    let (_, length) = set(rest)?;
    let end = rest.len() - length;
    while chars.as_str().len() > end {
        chars.next();
    }
    Ok(())
}

/// Parses a set after its `[`; also the bytes that it takes, `]` included.
fn set(text: &str) -> Result<(Token, usize), &'static str> {
    let body = text.strip_prefix(['!', '^']);
    let negated = body.is_some();
    let mut chars = body.unwrap_or(text).chars().peekable();
    let mut used = usize::from(negated);
    let mut ranges = Vec::new();
    loop {
        let first = chars.next().ok_or(UNCLOSED_SET)?;
        used += first.len_utf8();
        if first == ']' && !ranges.is_empty() {
            return Ok((Token::Set { negated, ranges }, used));
        }
        let mut ahead = chars.clone();
        let last = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(last)) if last != ']' => {
                used += 1 + last.len_utf8();
                chars = ahead;
                last
            }
            _ => first,
        };
        ranges.push((first, last));
    }
}

/// Parses a pattern without braces.
fn segments(text: &str) -> Result<Vec<Segment>, &'static str> {
    let mut segments = vec![];
    let mut tokens = vec![];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let token = match c {
            '/' => {
                segments.push(Segment::of(std::mem::take(&mut tokens)));
                continue;
            }
            '*' => Token::AnyNumber,
            '?' => Token::AnyChar,
            '[' => {
                let rest = chars.as_str();
                let (token, length) = set(rest)?;
                chars = rest[length..].chars();
                token
            }
            '\\' => Token::Char(chars.next().unwrap_or('\\')),
            c => Token::Char(c),
        };
        tokens.push(token);
    }
    segments.push(Segment::of(tokens));
    if segments.last() == Some(&Segment::AnyNumber) {
        segments.push(Segment::One(vec![Token::AnyNumber])); // `a/**` is below `a`, not `a`
    }
    Ok(segments)
}

impl Segment {
    fn of(tokens: Vec<Token>) -> Self {
        match &tokens[..] {
            [Token::AnyNumber, Token::AnyNumber] => Self::AnyNumber,
            _ => Self::One(tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let parsed = Pattern::parse(pattern).unwrap();
        for key in yes {
            assert!(parsed.matches(key), "{pattern} should match {key}");
            assert!(key.starts_with(parsed.literal_prefix()), "{pattern}: prefix of {key}");
            let slashes = key[parsed.literal_prefix().len()..].matches('/').count();
            assert!(parsed.slashes_max().is_none_or(|most| slashes <= most), "{pattern}: {key}");
        }
        for key in no {
            assert!(!parsed.matches(key), "{pattern} should not match {key}");
        }
    }

    #[test]
    fn characters() {
        check("a?c", &["abc", "aüc", "a日c", "a😀c"], &["ac", "abbc", "a/c", "xabc", "abcx"]);
        check("*.txt", &[".txt", "a.txt", "a.b.txt"], &["a.txtx", "a/b.txt", "a.TXT"]);
        check("a*b*c", &["abc", "a1b2c", "abbcc", "abcbc"], &["ab", "acb"]);
        check("***", &["", "a"], &["a/b"]);
    }

    #[test]
    fn sets() {
        check("[abc]", &["a", "c"], &["d", "", "ab"]);
        check("[a-cx]", &["b", "x"], &["d", "-"]);
        check("[!a-c]", &["d", "ü"], &["a", "/"]);
        check("[^a-c]", &["d"], &["a"]);
        check("[]a]", &["]", "a"], &["b"]);
        check("[!]a]", &["b"], &["]"]);
        check("[a-]", &["a", "-"], &["b"]);
        check("[ä-ü]{x,y}", &["öx", "üy"], &["ax"]);
        check("[{,}]", &["{", ",", "}"], &["a"]);
    }

    #[test]
    fn segments() {
        check("**", &["a", "a/b", "a/b/c"], &[]);
        check("a/**", &["a/b", "a/b/c"], &["a", "ab", "b/a"]);
        check("**/a", &["a", "b/a", "c/b/a"], &["ba", "a/b"]);
        check("a/**/b", &["a/b", "a/x/b", "a/x/y/b", "a/b/b"], &["ab", "a/x", "a/xb"]);
        check("a/**/b/**/c*", &["a/b/c", "a/x/b/b/y/c1"], &["a/c", "a/b/x"]);
        check("a**b", &["ab", "axxb"], &["a/b"]);
    }

    #[test]
    fn braces() {
        check("{a,b}.txt", &["a.txt", "b.txt"], &["c.txt", ",.txt", "{a,b}.txt"]);
        check("a{,/b}", &["a", "a/b"], &["b"]);
        check("{a{1,2},b}{x,y}", &["a1x", "a2y", "bx"], &["ax", "a1", "b1x"]);
        check("{a}", &["a"], &["{a}"]);
        check("a}b,*", &["a}b,c"], &["a"]);
        check("{a,**/b}/c", &["a/c", "b/c", "x/b/c"], &["c"]);
    }

    #[test]
    fn escapes() {
        check("\\*\\?\\[\\{*", &["*?[{x"], &["abcdx"]);
        check("*\\", &["a\\"], &["a"]);
        check("{a\\,b,c}*", &["a,b", "c1"], &["a", "b"]);
    }

    #[test]
    fn depth_and_prefix_bound_the_listing() {
        let bounds = |text| {
            let pattern = Pattern::parse(text).unwrap();
            (pattern.literal_prefix().to_owned(), pattern.slashes_max())
        };
        assert_eq!(bounds("*.txt"), (String::new(), Some(0)));
        assert_eq!(bounds("a/b/part-*.txt"), ("a/b/part-".to_owned(), Some(0)));
        assert_eq!(bounds("a/*/c/?"), ("a/".to_owned(), Some(2)));
        assert_eq!(bounds("a/**/c/?"), ("a/".to_owned(), None));
        assert_eq!(bounds("a{b,/c/d}"), ("a".to_owned(), Some(2)));
    }

    #[test]
    fn malformed_patterns() {
        for text in ["[", "a[b", "[]", "[!]", "{[}"] {
            assert_eq!(Pattern::parse(text).unwrap_err(), UNCLOSED_SET, "{text}");
        }
        for text in ["{", "{a,b", "{a,{b}", "{\\}"] {
            assert_eq!(Pattern::parse(text).unwrap_err(), UNCLOSED_BRACE, "{text}");
        }
        assert_eq!(Pattern::parse(&"{a,b}".repeat(10)).unwrap_err(), TOO_MANY);
        assert!(Pattern::parse(&"{a,b}".repeat(9)).is_ok());
    }

    /// Every text is parsed or refused, and what is parsed keeps within its own bounds.
    #[test]
    fn any_text_is_a_pattern_or_refused() {
        let pieces = ["*", "**", "?", "[", "]", "{", "}", ",", "!", "-", "\\", "/", "a", "ü", "😀"];
        let mut random = 1_u64;
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            pieces[usize::try_from(random >> 33).unwrap() % pieces.len()]
        };
        for _ in 0..20_000 {
            let text: String = (0..8).map(|_| next()).collect();
            let key: String = (0..4).map(|_| next()).collect();
            let Ok(pattern) = Pattern::parse(&text) else { continue };
            if pattern.matches(&key) {
                check(&text, &[&key], &[]);
            }
            if !text.contains(['*', '?', '[', '{', '\\']) {
                check(&text, &[&text], &[]);
            }
        }
    }

    #[test]
    fn hostile_patterns_end() {
        let key = "a".repeat(5_000);
        let pattern = format!("{}b", "a*".repeat(2_000));
        assert!(!Pattern::parse(&pattern).unwrap().matches(&key));
    }
}
