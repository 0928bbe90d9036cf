//! Files that people write: of tenants, of keys, of settings; and what is in them by itself: sizes,
//! times.
//!
//! The first byte of an input says which.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use samara::settings::{Reader, units};
use samara_core::{Clock as _, SystemClock};
use samara_engine::CacheKey;
use samara_store::Locator;
use samara_tenants::{Canonical, Tenants};
use tempfile::TempDir;

use crate::Target;
use crate::engine::Seen;

/// See the module.
pub const TARGET: Target = Target {
    name: "files",
    seeds,
    words: &[
        "[tenants.a]",
        "[profile.x]",
        "[default]",
        "audience = ",
        "keys = [",
        "objects = [{ url = ",
        "access = \"read\"",
        "limits = { ",
        "quota = { ",
        "memory = ",
        "time = ",
        "store = ",
        "runtime = ",
        "slots = ",
        "18446744073709551616",
        "-1",
        "1e400",
        "\"\"\"",
        "[[",
        "]]",
        "1TiB",
        "292471208677y",
        "ns",
        "-----BEGIN PUBLIC KEY-----",
        "\"kty\":\"OKP\"",
        "\\u0000",
        "\u{feff}",
    ],
    bytes_max: 4 << 10,
    time_max: Duration::from_secs(5),
    start: || {
        let place = Place::new();
        Box::new(move |input| place.check(input))
    },
};

const TENANTS: &str = r#"
host-version-min = "0.1.0"
audience = "https://samara.test"
audit = "stderr"
ticket-time-max = "12h"
[tenants.acme]
keys = ["key.pem"]
withdrawn = ["old"]
objects = [{ url = "s3://acme/", access = "read-write" }, { url = "/data", access = "read" }]
http = ["https://*.acme.com", "http://10.0.0.7:8080 private"]
secrets = ["api-key"]
precise-clock = true
limits = { memory = "512MiB", time = "5m", cpu = "1m", storage-operations = 7 }
quota = { tasks = 8, memory = "4GiB", cpu = "10s", bytes = "1MiB", window = "1m" }
[tenants.beta]
keys = ["keys.json"]
"#;

const SETTINGS: &str = r#"
default-profile = "far"
store = "s3://bucket/jobs"
slots = 4
memory = "512MiB"
[default]
runtime = "local:"
[profile.far]
runtime = "http://a:1,b:2"
token = "abc"
time = "15m"
[stores."s3:"]
region = "eu-central-1"
"#;

const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
MCowBQYDK2VwAyEAIVIzuQMHcAEQyVqxNsevfZ0ABp4UiYqHW53TSBRC+OI=\n\
-----END PUBLIC KEY-----\n";

const JWKS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","use":"sig","kid":"a",
"x":"IVIzuQMHcAEQyVqxNsevfZ0ABp4UiYqHW53TSBRC-OI"},{"kty":"RSA"}]}"#;

fn seeds() -> Vec<Vec<u8>> {
    let of = |kind: u8, text: &str| [&[kind], text.as_bytes()].concat();
    vec![
        of(0, TENANTS),
        of(0, "audience = \"a\"\n[tenants.a]\nkeys = [\"key.pem\"]"),
        of(1, PEM),
        of(2, JWKS),
        of(3, SETTINGS),
        of(4, "memory=512MiB"),
        of(4, "grants=[\"s3://a=read\"]"),
        of(5, "512MiB"),
        of(5, "1h"),
        of(6, "9a5b2d2b6e2c3f1f9a5b2d2b6e2c3f1f9a5b2d2b6e2c3f1f9a5b2d2b6e2c3f1f"),
    ]
}

/// Where files are written before they are read.
struct Place {
    directory: TempDir,
    canonical: Canonical,
}

// === impl Place ===

impl Place {
    fn new() -> Self {
        let locator = Locator::new("/work");
        let canonical: Canonical =
            Arc::new(move |url| locator.canonical(url).map_err(|error| error.to_string()));
        let place = Self { directory: tempfile::tempdir().expect("a directory"), canonical };
        place.reset();
        place
    }

    /// Files as they should be.
    fn reset(&self) {
        for (name, text) in [("tenants.toml", TENANTS), ("key.pem", PEM), ("keys.json", JWKS)] {
            self.write(name, text.as_bytes());
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("a file");
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn check(&self, input: &[u8]) -> Seen {
        let Some((kind, bytes)) = input.split_first() else { return Seen::of(()) };
        let seen = match kind % 7 {
            0 => self.tenants("tenants.toml", bytes),
            1 => self.tenants("key.pem", bytes),
            2 => self.tenants("keys.json", bytes),
            3 => self.settings(bytes),
            4 => given(&String::from_utf8_lossy(bytes)),
            5 => sizes_and_times(&String::from_utf8_lossy(bytes)),
            _ => self.cache_key(bytes),
        };
        seen.and(kind % 7)
    }

    /// The file of tenants, or one of keys, in the place of a sound one.
    fn tenants(&self, name: &str, bytes: &[u8]) -> Seen {
        // An audit log is a file of the operator's choice, and is opened: nowhere but here.
        let text = String::from_utf8_lossy(bytes);
        if name == "tenants.toml" && text.contains("audit") && !text.contains("audit = \"stderr\"")
        {
            return Seen::of(0);
        }
        self.write(name, bytes);
        let clock = Arc::new(SystemClock::new());
        let opened = Tenants::open(&self.path("tenants.toml"), Arc::clone(&self.canonical), clock);
        self.reset();
        match opened {
            Ok(tenants) => Seen::of((1, tenants.refuses_version("0.0.1").is_some())),
            Err(faults) => {
                assert!(!faults.is_empty(), "what is wrong is said");
                for fault in &faults {
                    assert!(!fault.trim().is_empty(), "what is wrong has a name: {faults:?}");
                }
                Seen::text(&faults[0]).and(faults.len().min(4))
            }
        }
    }

    fn settings(&self, bytes: &[u8]) -> Seen {
        self.write("samara.toml", bytes);
        let reader = Reader::new().working_directory(self.directory.path());
        let read = reader.variable("SAMARA_CONFIG", self.path("samara.toml")).read();
        match read {
            Ok(settings) => {
                for setting in settings.all() {
                    assert!(!setting.key.name.is_empty(), "a setting has a name");
                }
                Seen::of((2, settings.all().len().min(8), settings.profile().is_some()))
            }
            Err(error) => {
                let text = error.to_string();
                assert!(text.lines().count() > 1, "each fault has a line: {text}");
                Seen::text(text.lines().nth(1).unwrap_or_default())
            }
        }
    }

    /// A key is 32 bytes, or 64 digits, and nothing else.
    fn cache_key(&self, bytes: &[u8]) -> Seen {
        use std::os::unix::fs::PermissionsExt as _;
        let path: &Path = &self.path("key");
        std::fs::write(path, bytes).expect("a file");
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, private).expect("it is ours");
        let read = CacheKey::read(path).is_ok();
        let text = std::str::from_utf8(bytes).unwrap_or_default().trim_end();
        let is_digits = text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit());
        assert!(!read || bytes.len() == 32 || is_digits, "{} bytes are a key", bytes.len());
        Seen::of((read, bytes.len().min(70)))
    }
}

/// A setting as a command line or a variable gives it.
fn given(text: &str) -> Seen {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let flag = Reader::new().set(name, value, "--flag").read();
    let variable = name.to_uppercase().replace('-', "_");
    let fits = !value.contains('\0');
    let said = fits.then(|| Reader::new().variable(format!("SAMARA_{variable}"), value).read());
    let of = |read: Result<samara::Settings, samara::Error>| match read {
        Ok(settings) => Seen::of(settings.all().len().min(40)),
        Err(error) => Seen::text(error.to_string().lines().nth(1).unwrap_or_default()),
    };
    let seen = of(flag);
    said.map_or(seen, |said| seen.and(format!("{:?}", of(said))))
}

/// What is read is written so that it reads the same.
fn sizes_and_times(text: &str) -> Seen {
    let size = units::parse_size(text);
    if let Ok(bytes) = size {
        assert_eq!(units::parse_size(&units::size(bytes.get())), Ok(bytes), "{text:?}");
    }
    let time = units::parse_duration(text);
    if let Ok(time) = time {
        assert!(!time.is_zero());
        assert_eq!(units::parse_duration(&units::duration(time)), Ok(time), "{text:?}");
        // It can be added to what clocks say.
        let _later = SystemClock::new().unix().checked_add(time);
    }
    match (size, time) {
        (Err(why), Err(other)) => Seen::text(&why).and(other.len().min(60)),
        (size, time) => Seen::of((size.is_ok(), time.is_ok())),
    }
}
