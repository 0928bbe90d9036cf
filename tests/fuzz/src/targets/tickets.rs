//! Tickets: texts from anywhere, and claims of all kinds that were signed, wrongly signed, or changed
//! once they were.
//!
//! Whether a ticket is signed is found out by Ed25519 itself, beside the gate: none is good that no
//! key of its tenant's signed as it stands, and none allows what its tenant may not. The first byte
//! of an input says whether the rest is a ticket or what one is made of.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer as _, SigningKey};
use samara_core::{Access, Caller, Clock, Gate as _};
use samara_store::Locator;
use samara_tenants::{Canonical, Tenants};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::Target;
use crate::engine::{Draw, Seen};

/// See the module.
pub const TARGET: Target = Target {
    name: "tickets",
    seeds,
    words: &[
        "eyJ",
        ".",
        "==",
        "eyJhbGciOiJub25lIn0",
        "eyJhbGciOiJFZERTQSJ9",
        "\"alg\":\"none\"",
        "\"EdDSA\"",
        "\"samara\":{}",
    ],
    bytes_max: 4 << 10,
    time_max: Duration::from_secs(5),
    start: || {
        let mut place = Place::new();
        Box::new(move |input| place.check(input))
    },
};

/// What time it always is.
pub(super) const NOW: u64 = 1_800_000_000;

/// Keys of the tests: these tenants' own, and a stranger's.
pub(super) const ACME: [u8; 32] = [1; 32];
const BETA: [u8; 32] = [2; 32];
const STRANGER: [u8; 32] = [3; 32];

const FILE: &str = r#"
audience = "https://fuzz.test"
audit = "audit.jsonl"
[tenants.acme]
keys = ["acme.pem"]
objects = [
  { url = "s3://acme/", access = "read-write" },
  { url = "file:///data/in/", access = "read" },
]
http = ["https://*.acme.com", "http://10.0.0.7:8080"]
secrets = ["api-key"]
[tenants.beta]
keys = ["beta.pem"]
objects = [{ url = "mem://beta/", access = "read-write" }]
"#;

/// Objects that are looked at, whoever may use them.
const OBJECTS: &[&str] = &[
    "s3://acme/",
    "s3://acme/jobs/1",
    "s3://acme/../beta/x",
    "s3://acmeister/x",
    "file:///data/in/x",
    "file:///data/in/../out",
    "/data/in/../out",
    "mem://beta/x",
    "mem://beta",
    "s3://b/x",
];

/// Where it never gets later.
#[derive(Debug)]
pub(super) struct Stopped;

impl Clock for Stopped {
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn unix(&self) -> Duration {
        Duration::from_secs(NOW)
    }
}

/// A host's gate.
struct Place {
    tenants: Tenants,
    whole: Vec<(&'static str, Arc<dyn Caller>)>,
    _directory: TempDir,
}

// === impl Place ===

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        write(directory.path(), "acme.pem", &public_pem(ACME));
        write(directory.path(), "beta.pem", &public_pem(BETA));
        write(directory.path(), "tenants.toml", FILE);
        let locator = Locator::new("/work");
        let canonical: Canonical =
            Arc::new(move |url| locator.canonical(url).map_err(|error| error.to_string()));
        let path = directory.path().join("tenants.toml");
        let tenants = Tenants::open(&path, canonical, Arc::new(Stopped)).expect("a sound file");
        let whole = [("acme", ACME), ("beta", BETA)].map(|(name, key)| {
            let ticket = sign(&json!({ "alg": "EdDSA" }), &claims(name), key);
            (name, tenants.identify("http", Some(&ticket)).expect("a good ticket"))
        });
        Self { tenants, whole: whole.into(), _directory: directory }
    }

    fn check(&mut self, input: &[u8]) -> Seen {
        match input.split_first() {
            Some((kind, rest)) if kind % 2 == 0 => self.show(&String::from_utf8_lossy(rest)),
            Some((_, rest)) => self.show(&made(&mut Draw::new(rest))),
            None => Seen::of(self.tenants.identify("http", None).is_err()),
        }
    }

    /// Shows a ticket; where it is good, looks whether it may be.
    fn show(&self, ticket: &str) -> Seen {
        let caller = match self.tenants.identify("http", Some(ticket)) {
            Ok(caller) => caller,
            Err(error) => {
                let signature = ticket.rsplit('.').next().unwrap_or_default();
                let told = signature.len() > 20 && error.message.contains(signature);
                assert!(!told, "a refusal shows the ticket: {}", error.message);
                return Seen::text(&error.message);
            }
        };
        let name = caller.tenant();
        let key = match name {
            "acme" => ACME,
            "beta" => BETA,
            other => panic!("`{other}` is no tenant: {ticket}"),
        };
        let claims = signed(ticket, key).unwrap_or_else(|| panic!("no key signed {ticket}"));
        assert_eq!(claims["sub"], name, "{ticket}");
        let until = claims["exp"].as_f64().unwrap_or(0.0);
        #[allow(clippy::cast_precision_loss, reason = "seconds, far below what is exact")]
        let now = NOW as f64;
        assert!(
            until + 31.0 > now && until < now + 90_000.0,
            "it has ended, or is too long: {ticket}"
        );
        let whole = &self.whole.iter().find(|(of, _)| *of == name).expect("a tenant").1;
        let mut allowed = 0;
        for url in OBJECTS {
            for access in [Access::Read, Access::ReadWrite] {
                if caller.check_object(url, access).is_ok() {
                    let may = whole.check_object(url, access);
                    assert!(
                        may.is_ok(),
                        "{name} may not {access} {url}, and with {ticket} it does"
                    );
                    allowed += 1;
                }
            }
        }
        Seen::of((name.to_owned(), allowed, claims["samara"].is_null()))
    }
}

pub(super) fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).expect("a file");
}

pub(super) fn public_pem(key: [u8; 32]) -> String {
    const DER: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
    let public = SigningKey::from_bytes(&key).verifying_key().to_bytes();
    let body = STANDARD.encode([&DER[..], &public].concat());
    format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
}

/// The claims of a ticket, if this key signed it as it stands.
fn signed(ticket: &str, key: [u8; 32]) -> Option<Value> {
    let (message, signature) = ticket.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let signature = Signature::from_slice(&signature).ok()?;
    let public = SigningKey::from_bytes(&key).verifying_key();
    public.verify_strict(message.as_bytes(), &signature).ok()?;
    let claims = URL_SAFE_NO_PAD.decode(message.split_once('.')?.1).ok()?;
    serde_json::from_slice(&claims).ok()
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

pub(super) fn sign(header: &Value, claims: &Value, key: [u8; 32]) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = SigningKey::from_bytes(&key).sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

pub(super) fn claims(tenant: &str) -> Value {
    json!({ "sub": tenant, "aud": "https://fuzz.test", "iat": NOW, "exp": NOW + 3600 })
}

fn seeds() -> Vec<Vec<u8>> {
    let header = json!({ "alg": "EdDSA", "typ": "JWT" });
    let mut narrow = claims("acme");
    narrow["samara"] = json!({
        "objects": [{ "url": "s3://acme/jobs/", "access": "read-write" }],
        "http": ["https://api.acme.com"],
        "secrets": ["api-key"],
    });
    let mut wide = claims("acme");
    wide["samara"] = json!({ "objects": [{ "url": "s3://", "access": "read" }] });
    let tickets = [
        sign(&header, &claims("acme"), ACME),
        sign(&header, &claims("beta"), BETA),
        sign(&header, &narrow, ACME),
        sign(&header, &wide, ACME),
        sign(&header, &claims("acme"), STRANGER),
        sign(&json!({ "alg": "none" }), &claims("acme"), ACME),
        sign(&json!({ "alg": "HS256" }), &claims("acme"), ACME),
        sign(&json!({ "alg": "EdDSA", "crit": ["exp"] }), &claims("acme"), ACME),
        "..".to_owned(),
    ];
    let mut seeds: Vec<Vec<u8>> =
        tickets.iter().map(|ticket| [&[0], ticket.as_bytes()].concat()).collect();
    // What tickets are made of.
    seeds.extend(
        (0..24_u8).map(|n| (0..64).map(|at| n.wrapping_mul(37) ^ n.wrapping_mul(at) | 1).collect()),
    );
    seeds
}

/// A ticket out of choices.
fn made(draw: &mut Draw<'_>) -> String {
    let header = header(draw);
    let claims = any_claims(draw);
    // Mostly by the right key, so that what is behind the signature is looked at.
    let right = if claims["sub"] == "beta" { BETA } else { ACME };
    let key = draw.one(&[right, right, right, right, ACME, BETA, STRANGER]);
    let ticket = sign(&header, &claims, key);
    match draw.below(8) {
        0 => changed(draw, &ticket),
        _ => ticket,
    }
}

fn header(draw: &mut Draw<'_>) -> Value {
    let mut header = Map::new();
    let algorithm = draw.one(&["EdDSA", "EdDSA", "EdDSA", "none", "HS256", "Ed25519", "eddsa", ""]);
    header.insert("alg".to_owned(), algorithm.into());
    match draw.below(6) {
        0 => drop(header.insert("kid".to_owned(), draw.one(&["acme", "", "beta", "x"]).into())),
        1 => drop(header.insert("crit".to_owned(), json!([]))),
        2 => drop(header.insert("jku".to_owned(), "https://evil.test/keys".into())),
        _ => {}
    }
    Value::Object(header)
}

fn any_claims(draw: &mut Draw<'_>) -> Value {
    let mut claims = claims(draw.one(&["acme", "acme", "beta", "nobody", ""]));
    for _ in 0..draw.below(4) {
        let name = draw.one(&["aud", "exp", "nbf", "iat", "jti", "sub"]);
        claims[name] = match draw.below(9) {
            0 => Value::Null,
            1 => json!(draw.number()),
            2 => json!(NOW.wrapping_add(draw.number()).wrapping_sub(draw.number())),
            3 => json!(f64::from_bits(draw.number())),
            4 => json!(["https://fuzz.test", "other"]),
            5 => json!("https://fuzz.test"),
            6 => json!(-1),
            7 => json!({ "a": [] }),
            _ => json!(NOW + 60),
        };
    }
    if draw.flag() {
        claims["samara"] = narrower(draw);
    }
    claims
}

fn narrower(draw: &mut Draw<'_>) -> Value {
    const PLACES: &[&str] =
        &["s3://acme", "s3://acme/", "file:///data/in", "mem://beta", "s3:", ""];
    const WAYS: &[&str] = &["/", "/x", "/..", "/../", "//", "/.", "%2e", "a", "\u{0}", "/in"];
    let object = |draw: &mut Draw<'_>| {
        let url = draw.one(PLACES).to_owned() + &draw.text(WAYS, 4);
        json!({ "url": url, "access": draw.one(&["read", "read-write", "write"]) })
    };
    let count = draw.below(4);
    let objects: Vec<Value> = (0..count).map(|_| object(draw)).collect();
    let mut narrower = json!({ "objects": objects });
    if draw.flag() {
        let server = ["https://api.acme.com", "https://*.com", "http://10.0.0.7:8080 private", "x"];
        narrower["http"] = json!([draw.one(&server)]);
    }
    if draw.below(4) == 0 {
        narrower[draw.one(&["secrets", "precise-clock", "unknown"])] = draw.one(&[0, 1, 2]).into();
    }
    narrower
}

/// A ticket that is not what was signed.
fn changed(draw: &mut Draw<'_>, ticket: &str) -> String {
    let parts: Vec<&str> = ticket.split('.').collect();
    match (draw.below(5), &parts[..]) {
        (0, [head, claims, _]) => format!("{head}.{claims}."),
        (1, [head, _, signature]) => {
            let other = part(&claims_of_everything());
            format!("{head}.{other}.{signature}")
        }
        (2, [head, claims, signature]) => format!("{head}.{claims}.{signature}="),
        (3, [head, claims, signature]) => format!("{head}.{claims}.{signature}.{signature}"),
        _ => {
            let at = draw.below(ticket.len());
            let c = draw.one(&['A', 'B', '_', '-', '.', '=']);
            ticket.char_indices().map(|(n, own)| if n == at { c } else { own }).collect()
        }
    }
}

fn claims_of_everything() -> Value {
    let mut all = claims("acme");
    all["exp"] = json!(NOW + 80_000);
    all
}
