//! What tests of this crate share: a clock by hand, keys, a file of tenants, random numbers.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use samara_core::{Batch, Clock, ComponentId, Grants, JobId, Limits, Payer, Task};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Canonical, KeyPair, Tenants, generate_keys};

/// Where the clock by hand begins: time since the Unix epoch.
pub(crate) const BEGIN: u64 = 1_800_000_000;

/// A clock that tests turn.
#[derive(Debug, Default)]
pub(crate) struct HandClock(Mutex<Duration>);

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

/// A host's tenants in a directory of their own.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) acme: KeyPair,
    pub(crate) beta: KeyPair,
}

// === impl HandClock ===

impl HandClock {
    pub(crate) fn advance(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

impl Clock for HandClock {
    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn unix(&self) -> Duration {
        Duration::from_secs(BEGIN) + self.monotonic()
    }
}

// === impl Random ===

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

// === impl Place ===

/// What tests take for [`Canonical`]: a scheme, and no way up.
pub(crate) fn canonical(url: &str) -> Result<String, String> {
    match url.contains("://") {
        true => Ok(url.to_owned()),
        false => Err(format!("`{url}` has no scheme")),
    }
}

impl Place {
    /// Two tenants: acme with much, beta with less.
    pub(crate) fn new() -> Self {
        let place = Self {
            directory: tempfile::tempdir().unwrap(),
            clock: Arc::new(HandClock::default()),
            acme: generate_keys().unwrap(),
            beta: generate_keys().unwrap(),
        };
        place.write("acme.pem", &place.acme.public_pem);
        place.write("beta.pem", &place.beta.public_pem);
        place.write(
            "tenants.toml",
            r#"
            audience = "https://samara.test"
            audit = "audit.jsonl"

            [tenants.acme]
            keys = ["acme.pem"]
            objects = [
              { url = "s3://acme/", access = "read-write" },
              { url = "s3://public/", access = "read" },
            ]
            http = ["https://*.acme.com"]
            secrets = ["api-key"]
            limits = { memory = "512MiB", time = "5m" }
            quota = { tasks = 8, memory = "4GiB", cpu = "10s", bytes = "1MiB", window = "1m" }

            [tenants.beta]
            keys = ["beta.pem"]
            objects = [{ url = "s3://beta/", access = "read-write" }]
            "#,
        );
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts a new file into the place of an old one, as those who look after files do.
    pub(crate) fn write(&self, name: &str, text: &str) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let new = self.path(&format!("{name}.{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.path(name)).unwrap();
    }

    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{from}");
        self.write(name, &text.replace(from, to));
    }

    pub(crate) fn try_open(&self) -> Result<Tenants, Vec<String>> {
        open(&self.path("tenants.toml"), Arc::clone(&self.clock) as Arc<dyn Clock>)
    }

    pub(crate) fn open(&self) -> Tenants {
        self.try_open().unwrap()
    }

    /// The audit log's lines.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("audit.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Tenants, Vec<String>> {
    let canonical: Canonical = Arc::new(canonical);
    Tenants::open(path, canonical, clock)
}

/// Claims of a ticket that is good for an hour.
pub(crate) fn claims(tenant: &str) -> Value {
    json!({
        "sub": tenant,
        "aud": "https://samara.test",
        "iat": BEGIN,
        "exp": BEGIN + 3600,
        "jti": "ticket-1",
    })
}

/// A JWT with any header and claims, signed with a private key in PEM.
pub(crate) fn sign(header: &Value, claims: &Value, private_pem: &str) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let key = jsonwebtoken::EncodingKey::from_ed_pem(private_pem.as_bytes()).unwrap();
    let algorithm = jsonwebtoken::Algorithm::EdDSA;
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// A part of a JWT.
pub(crate) fn part(value: &Value) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A good ticket of acme's or another's.
pub(crate) fn ticket(claims: &Value, keys: &KeyPair) -> String {
    sign(&json!({ "alg": "EdDSA", "typ": "JWT", "kid": keys.kid }), claims, &keys.private_pem)
}

/// A batch that acme may run.
pub(crate) fn batch(job: u64) -> Batch {
    let task = Task { index: 0, attempt: 0, arguments: Default::default(), partition: None };
    Batch {
        job: JobId::new(job, 0),
        component: ComponentId::of(b"component"),
        function: "count".to_owned(),
        store: "s3://acme/jobs".to_owned(),
        limits: Limits::default(),
        grants: Grants::default(),
        task_count: 1,
        reuse: false,
        depth: 0,
        payer: Payer::default(),
        tasks: vec![task],
    }
}
