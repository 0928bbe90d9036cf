//! Reads the machine's own apt sources, to learn where its Debian archive is.
//!
//! Both formats of `sources.list(5)` are read: one line per source, and the newer stanzas.
//! Only what is needed to write one source of our own is kept.

use std::fs;
use std::path::Path;

/// Releases of Debian; other archives, such as a vendor's, call their suites otherwise.
const RELEASES: &[&str] = &[
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldstable",
    "stable",
    "testing",
    "unstable",
];

/// One archive that apt knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    uri: String,
    suites: Vec<String>,
    components: Vec<String>,
    /// A path, a fingerprint or a whole key, as the machine's owner wrote it.
    signed_by: Option<String>,
}

/// The archive of Debian itself that this machine uses.
pub(crate) fn debian_archive(configuration: &Path) -> Option<Source> {
    read_all(configuration).into_iter().find(Source::is_debian)
}

// === impl Source ===

impl Source {
    /// A sources file, in the newer format, that names this archive with one suite only.
    pub(crate) fn with_suite(&self, suite: &str) -> String {
        let signed_by = match &self.signed_by {
            Some(key) => format!("Signed-By: {key}\n"),
            None => String::new(),
        };
        format!("Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n{signed_by}", self.uri)
    }

    /// Whether this is Debian's main archive: not one of its security updates, not a vendor's.
    fn is_debian(&self) -> bool {
        let fetched = !self.uri.starts_with("cdrom:");
        let main = self.components.iter().any(|component| component == "main");
        fetched && main && self.suites.iter().any(|suite| is_release(suite))
    }
}

/// Whether the suite is a release, or its updates or backports, which lie in the same archive.
fn is_release(suite: &str) -> bool {
    let release = ["-updates", "-backports"]
        .iter()
        .find_map(|suffix| suite.strip_suffix(suffix))
        .unwrap_or(suite);
    RELEASES.contains(&release)
}

/// All sources, in apt's order.
fn read_all(configuration: &Path) -> Vec<Source> {
    let mut files = vec![configuration.join("sources.list")];
    let parts = fs::read_dir(configuration.join("sources.list.d")).into_iter().flatten().flatten();
    let mut parts: Vec<_> = parts.map(|entry| entry.path()).collect();
    parts.sort_unstable();
    files.extend(parts);
    let mut sources = Vec::new();
    for file in files {
        // A file that cannot be read is one source less; whether one is left shows later.
        let Ok(bytes) = fs::read(&file) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(text.lines().filter_map(parse_line)),
            Some("sources") => sources.extend(parse_stanzas(&text)),
            _ => {}
        }
    }
    sources
}

/// Parses `deb [option=value …] URI suite component…`.
fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let rest = line.strip_prefix("deb")?;
    let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => ("", rest),
    };
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source {
        uri: words.next()?,
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: signed_by.map(str::to_owned),
    })
}

/// Parses stanzas of `Field: value`, divided by empty lines.
fn parse_stanzas(text: &str) -> Vec<Source> {
    // Comment lines may stand within a stanza, and even within a value.
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.split(|line| line.trim().is_empty()).flat_map(parse_stanza).collect()
}

/// Parses one stanza, which may name several archives.
fn parse_stanza(lines: &[&str]) -> Vec<Source> {
    let words = |name: &str| -> Vec<String> {
        field(lines, name).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    let off = field(lines, "Enabled").is_some_and(|enabled| {
        ["no", "false", "off", "0", "without", "disable"].contains(&enabled.to_lowercase().as_str())
    });
    if off || !words("Types").iter().any(|kind| kind == "deb") {
        return Vec::new();
    }
    let source = |uri| Source {
        uri,
        suites: words("Suites"),
        components: words("Components"),
        signed_by: field(lines, "Signed-By"),
    };
    words("URIs").into_iter().map(source).collect()
}

/// A field's value; lines that go on with it keep their indent, as a key in the file needs.
fn field(lines: &[&str], name: &str) -> Option<String> {
    let (first, value) = lines.iter().enumerate().find_map(|(index, line)| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some((index, value.trim()))
    })?;
    let more = lines[first + 1..].iter().take_while(|line| line.starts_with([' ', '\t']));
    let mut value = value.to_owned();
    for line in more {
        value.push('\n');
        value.push_str(line.trim_end());
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(uri: &str, suites: &[&str], signed_by: Option<&str>) -> Source {
        Source {
            uri: uri.to_owned(),
            suites: suites.iter().map(|&suite| suite.to_owned()).collect(),
            components: vec!["main".to_owned()],
            signed_by: signed_by.map(str::to_owned),
        }
    }

    #[test]
    fn lines_are_parsed() {
        let cases = [
            ("deb http://m.example/debian trixie main", Some((None, "trixie"))),
            ("deb\t[arch=amd64 signed-by=/k.gpg]  http://m.example/debian sid main # ours", {
                Some((Some("/k.gpg"), "sid"))
            }),
            ("deb [ signed-by=/k.gpg ] http://m.example/debian sid main", {
                Some((Some("/k.gpg"), "sid"))
            }),
            ("deb-src http://m.example/debian trixie main", None),
            ("# deb http://m.example/debian trixie main", None),
            ("deb http://m.example/debian", None),
            ("deb [signed-by=/k.gpg http://m.example/debian trixie main", None),
            ("", None),
        ];
        for (line, expected) in cases {
            let expected =
                expected.map(|(key, suite)| source("http://m.example/debian", &[suite], key));
            assert_eq!(parse_line(line), expected, "{line}");
        }
    }

    #[test]
    fn stanzas_are_parsed() {
        let text = "\
# the archive
Types: deb deb-src
# http://old.example/debian
URIs: http://m.example/debian http://n.example/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /k.gpg

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main

types: deb
uris: http://key.example/debian
suites: sid
components: main
signed-by:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb-src
URIs: http://src.example/debian
Suites: sid
Components: main
";
        let suites = ["trixie", "trixie-updates"];
        let key = "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n -----END PGP PUBLIC KEY BLOCK-----";
        assert_eq!(
            parse_stanzas(text),
            [
                source("http://m.example/debian", &suites, Some("/k.gpg")),
                source("http://n.example/debian", &suites, Some("/k.gpg")),
                source("http://key.example/debian", &["sid"], Some(key)),
            ]
        );
    }

    #[test]
    fn a_source_of_our_own_keeps_address_and_key() {
        let text = source("http://m.example/debian", &["sid"], Some("/k.gpg"));
        assert_eq!(
            text.with_suite("trixie-backports"),
            "Types: deb\nURIs: http://m.example/debian\nSuites: trixie-backports\n\
             Components: main\nSigned-By: /k.gpg\n"
        );
        let read_again = parse_stanzas(&text.with_suite("trixie-backports"));
        let expected = source("http://m.example/debian", &["trixie-backports"], Some("/k.gpg"));
        assert_eq!(read_again, [expected]);
    }

    #[test]
    fn debians_own_archive_is_told_from_others() {
        let cases = [
            ("http://m.example/debian", "bookworm", true),
            ("mirror+file:///etc/apt/mirrors/debian.list", "trixie", true),
            ("http://m.example/debian", "trixie-backports", true),
            ("http://m.example/debian", "stable", true),
            ("http://m.example/debian-security", "bookworm-security", false),
            ("http://m.example/ubuntu", "noble", false),
            ("https://vendor.example/apt", "bookworm-vendor", false),
            ("cdrom:[Debian GNU/Linux 12]/", "bookworm", false),
        ];
        for (uri, suite, expected) in cases {
            assert_eq!(source(uri, &[suite], None).is_debian(), expected, "{uri} {suite}");
        }
    }

    #[test]
    fn the_first_fitting_file_wins() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(debian_archive(dir.path()), None);
        let parts = dir.path().join("sources.list.d");
        fs::create_dir(&parts).unwrap();
        fs::write(parts.join("a.list"), "deb http://v.example stable-v main\n").unwrap();
        fs::write(parts.join("b.list.disabled"), "deb http://x.example sid main\n").unwrap();
        fs::write(
            parts.join("debian.sources"),
            "Types: deb\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main\n",
        )
        .unwrap();
        let found = debian_archive(dir.path());
        assert_eq!(found, Some(source("http://m.example/debian", &["bookworm"], None)));
    }
}
