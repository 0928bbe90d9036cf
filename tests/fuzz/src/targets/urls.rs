//! URLs: of stores and objects, of runtimes, of deployments; and what is granted by them.
//!
//! The first byte of an input says which. Nothing that is written another way leaves its prefix.

use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use samara_core::http_grant::{Network, network};
use samara_core::{Access, ComponentId, Grant, Grants, HttpGrant, JobId};
use samara_runtimes::Context;
use samara_store::Locator;

use crate::Target;
use crate::engine::{Draw, Seen};

/// See the module.
pub const TARGET: Target = Target {
    name: "urls",
    seeds,
    words: &[
        "file:",
        "mem:",
        "s3:",
        "http:",
        "https:",
        "local:",
        "lambda:",
        "knative:",
        "//",
        "/..",
        "../",
        "/./",
        "%2e",
        "?slots=",
        "&door=",
        "?processes=",
        " or ",
        "*.",
        " private",
        "[::1]",
        "127.0.0.1",
        "169.254.169.254",
        "example.com",
        "@",
        "\u{0}",
        "ü",
        "b3:",
        "queue:",
    ],
    bytes_max: 1 << 10,
    time_max: Duration::from_secs(5),
    start: || {
        let locator = Locator::new("/work/here");
        Box::new(move |input| check(&locator, input))
    },
};

const SEEDS: &[(u8, &str)] = &[
    (0, "s3://bucket/data/part-1.csv"),
    (0, "file:///data/in/../out"),
    (0, "file:/data//x/."),
    (0, "relative/path/./x"),
    (0, "../up"),
    (0, "mem://name"),
    (0, "HTTPS://h:1/a?b#c"),
    (1, "file:///data/in\nfile:///data/in/../out"),
    (1, "/data/in\n/data/in/x/../../out"),
    (1, "s3://b/in/\ns3://b/in/x"),
    (2, "https://*.example.com:8443"),
    (2, "http://10.0.0.7:8080 private"),
    (2, "https://[::1]:1"),
    (3, "http://a:1,b:2/x?slots=7&door=aws"),
    (3, "lambda://app:3?region=eu-central-1&endpoint=http://127.0.0.1:1"),
    (3, "local:8?processes=2"),
    (3, "http://a or local:2"),
    (4, "knative://app?namespace=jobs"),
    (4, "cloud-run://a?region=europe-west1"),
    (5, "b3:9a5b2d2b6e2c3f1f9a5b2d2b6e2c3f1f9a5b2d2b6e2c3f1f9a5b2d2b6e2c3f1f"),
    (5, "01KAB5N4Y8ZJX3M7Q2R9T6V0WC"),
];

fn seeds() -> Vec<Vec<u8>> {
    SEEDS.iter().map(|(kind, text)| [&[*kind], text.as_bytes()].concat()).collect()
}

fn check(locator: &Locator, input: &[u8]) -> Seen {
    let Some((kind, bytes)) = input.split_first() else { return Seen::of(()) };
    let text = String::from_utf8_lossy(bytes);
    let seen = match kind % 6 {
        0 => place(locator, &text),
        1 => granted(locator, &text),
        2 => server(bytes, &text),
        3 => runtime(&text),
        4 => deployment(&text),
        _ => names(&text),
    };
    seen.and(kind % 6)
}

/// Whatever a place was called, its canonical URL is a name that stays.
fn place(locator: &Locator, text: &str) -> Seen {
    let canonical = match locator.canonical(text) {
        Ok(canonical) => canonical,
        Err(error) => {
            assert!(locator.open(text).is_err(), "{text:?} is opened and has no name");
            return Seen::text(&error.to_string());
        }
    };
    let again = locator.canonical(&canonical).map_err(|error| error.to_string());
    assert_eq!(again.as_deref(), Ok(&*canonical), "{text:?} is {canonical:?}");
    // Stores far away are not opened: each is a client of its own.
    if !canonical.starts_with("file:") && !canonical.starts_with("mem:") {
        return Seen::of(canonical.split(':').next());
    }
    match locator.open(text) {
        Ok(location) => {
            assert_eq!(location.url(), canonical, "{text:?}");
            let below = location.join("x").url();
            assert!(below.starts_with(&canonical) && below.ends_with('x'), "{below:?}");
            Seen::of(canonical.matches('/').count().min(8))
        }
        Err(error) => Seen::text(&error.to_string()),
    }
}

/// What is allowed by a grant of a directory is a file below it, for the machine too.
fn granted(locator: &Locator, text: &str) -> Seen {
    let (prefix, asked) = text.split_once('\n').unwrap_or((text, text));
    let (Ok(prefix), Ok(url)) = (locator.canonical(prefix), locator.canonical(asked)) else {
        return Seen::of(0);
    };
    let grant =
        |prefix: &str| Grants::of(vec![Grant { prefix: prefix.into(), access: Access::Read }]);
    let grants = grant(&prefix);
    assert!(!grants.allow(&url, Access::ReadWrite), "reading is no leave to write");
    if !grants.allow(&url, Access::Read) {
        return Seen::of(1);
    }
    assert!(url.starts_with(&prefix), "{url:?} is not below {prefix:?}");
    if let (Some(root), Some(path)) = (url_path(&prefix), url_path(&url)) {
        let (root, path) = (plain(&root), plain(&path));
        assert!(path.starts_with(&root), "{path:?} is not below {root:?}");
    }
    // A narrower grant is within the wider one, and allows no more.
    assert!(grant(&url).within(&grants).is_ok(), "{url:?} within {prefix:?}");
    Seen::of((2, prefix.len() == url.len()))
}

fn url_path(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("file://")?;
    // What no file can be called reaches no file.
    (!path.contains('\0')).then(|| PathBuf::from(path))
}

/// A path without `.`, `..` and doubled slashes, as the machine takes it where there are no links.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// A grant of a server is read as it is written, and is of what it says.
fn server(bytes: &[u8], text: &str) -> Seen {
    let grant: HttpGrant = match text.parse() {
        Ok(grant) => grant,
        Err(why) => return Seen::text(&why),
    };
    let written = grant.to_string();
    assert_eq!(written.parse().as_ref(), Ok(&grant), "{text:?} is written {written:?}");
    assert!(grant.is_within(&grant), "{written:?} within itself");
    let mut draw = Draw::new(bytes);
    let address: IpAddr = match draw.flag() {
        true => {
            std::net::Ipv4Addr::from_bits(u32::try_from(draw.number() >> 32).unwrap_or(0)).into()
        }
        false => std::net::Ipv6Addr::from_bits(
            (u128::from(draw.number()) << 64) | u128::from(draw.number()),
        )
        .into(),
    };
    if grant.allows_address(address) {
        let is_itself = written.contains(&address.to_string());
        let reserved = network(address) == Network::Reserved;
        assert!(is_itself || !reserved, "{written:?} leads to {address}");
        let private = network(address) == Network::Private;
        assert!(is_itself || !private || grant.is_private(), "{written:?} leads to {address}");
    }
    let secure = written.starts_with("https:");
    for port in [80, 443, 8080] {
        assert!(!grant.allows(!secure, "example.com", port), "{written:?} is of one scheme");
        if grant.allows(secure, "example.com", port) {
            assert!(written.to_ascii_lowercase().contains("com"), "{written:?} is of one name");
        }
    }
    Seen::of((secure, written.contains('*'), written.contains('['), grant.is_private()))
}

fn runtime(text: &str) -> Seen {
    // One of processes of this machine, and one with AWS's clients, is more than a name.
    let opens = text.contains("processes=") || text.contains("lambda:");
    match samara_runtimes::open(text, &Context::default()) {
        Ok(runtime) => Seen::of((opens, runtime.capacity().slots.min(8))),
        Err(error) => {
            assert!(!error.message.is_empty(), "an error says what is wrong");
            Seen::text(&error.message)
        }
    }
}

fn deployment(text: &str) -> Seen {
    match samara_runtimes::deploy::open(text) {
        Ok(_) => Seen::of(text.split(':').next()),
        Err(error) => Seen::text(&error.message),
    }
}

/// Names of components and jobs.
fn names(text: &str) -> Seen {
    let component = text.parse::<ComponentId>();
    if let Ok(id) = &component {
        assert_eq!(id.to_string().parse().as_ref(), Ok(id));
        assert_eq!(id.hex().len(), 64);
    }
    let job = text.parse::<JobId>();
    if let Ok(id) = &job {
        let shown = id.to_string();
        assert_eq!(shown.parse().as_ref(), Ok(id), "{text:?} is {shown:?}");
        assert!(shown.chars().all(|c| c.is_ascii_alphanumeric()), "a key of a store: {shown:?}");
    }
    Seen::of((component.is_ok(), job.is_ok()))
}
