//! Where tasks run: one folder per runtime, one row per runtime in [`RUNTIMES`], nothing else.
//!
//! **Invariant:** no runtime knows the engine: where tasks run in this process, it is handed a
//! [`TaskHandler`]. No crate outside names a runtime: they are reached by URL through [`open`].

#[cfg(any(feature = "serve", feature = "slurm"))]
mod array;
#[cfg(any(feature = "lambda", feature = "signatures"))]
mod aws;
pub mod deploy;
mod fallback;
#[cfg(feature = "serve")]
pub mod host;
#[cfg(any(feature = "http", feature = "serve"))]
mod http;
#[cfg(any(feature = "http", feature = "lambda", feature = "queue", feature = "serve"))]
mod jitter;
#[cfg(feature = "lambda")]
mod lambda;
pub mod local;
#[cfg(any(feature = "mail", feature = "serve"))]
mod mail;
#[cfg(feature = "serve")]
pub mod push;
#[cfg(feature = "queue")]
mod queue;
#[cfg(any(feature = "http", feature = "lambda"))]
mod rate;
#[cfg(feature = "slurm")]
mod slurm;
#[cfg(test)]
mod testing;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use samara_core::{Clock, Depot, Error, ErrorKind, Runtime, SystemClock, TaskHandler};

/// What a runtime is opened with.
#[derive(Clone)]
#[non_exhaustive]
pub struct Context {
    /// Runs tasks in this process, for the runtimes that do so.
    pub handler: Option<Arc<dyn TaskHandler>>,
    /// Tasks that run at the same moment; none leaves it to the runtime.
    pub slots: Option<usize>,
    /// What lets this driver send batches to hosts.
    pub token: Option<String>,
    /// What opens the front door of a platform that wants a key.
    pub door_key: Option<String>,
    /// Who may have signed the certificates of hosts, beside those whom this machine trusts: a file
    /// in PEM.
    pub tls_ca: Option<PathBuf>,
    /// The certificate that this driver shows to hosts that want one, with its chain: a file in PEM.
    pub tls_cert: Option<PathBuf>,
    /// Its private key: a file in PEM.
    pub tls_key: Option<PathBuf>,
    /// What the environment says, of [`VARIABLES`].
    pub variables: BTreeMap<String, String>,
    /// The program of hosts that are processes of this machine.
    pub host_program: PathBuf,
    /// Variables that such hosts get beside those of this process.
    pub host_variables: Vec<(String, String)>,
    /// Where a runtime keeps what does not fit into a request; none where nobody else reaches it.
    pub depot: Option<Arc<dyn Depot>>,
    /// Tells how long things take.
    pub clock: Arc<dyn Clock>,
}

/// A kind of runtime.
#[derive(Debug)]
pub struct Row {
    /// The scheme of its URLs.
    pub scheme: &'static str,
    /// What it is, in a line.
    pub doc: &'static str,
    open: Open,
}

/// Opens a runtime by its URL.
type Open = fn(&str, &Context) -> Result<Arc<dyn Runtime>, Error>;

/// Every runtime there is.
pub const RUNTIMES: &[Row] = &[
    Row { scheme: "local", doc: "this process, one thread per slot", open: local::open },
    #[cfg(feature = "http")]
    Row { scheme: "http", doc: "hosts that are reached by HTTP", open: http::open },
    #[cfg(feature = "http")]
    Row { scheme: "https", doc: "the same, encrypted", open: http::open },
    #[cfg(feature = "lambda")]
    Row { scheme: "lambda", doc: "functions of AWS Lambda", open: lambda::open },
    #[cfg(feature = "queue")]
    Row { scheme: "queue", doc: "hosts that pull from a queue of NATS", open: queue::open },
    #[cfg(feature = "slurm")]
    Row { scheme: "slurm", doc: "job arrays of a Slurm cluster", open: slurm::open },
];

/// Variables that runtimes go by. AWS's SDK reads its own.
pub const VARIABLES: &[&str] = &[
    "GCE_METADATA_HOST",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "NATS_CA",
    "NATS_CERT",
    "NATS_CREDS",
    "NATS_KEY",
    "NATS_PASSWORD",
    "NATS_TOKEN",
    "NATS_USER",
];

/// Runtimes that this build could have: the scheme, and the feature that it is behind.
const FEATURES: &[(&str, &str)] = &[
    ("http", "http"),
    ("https", "http"),
    ("lambda", "lambda"),
    ("queue", "queue"),
    ("slurm", "slurm"),
];

// === impl Context ===

/// The token and the key are secret.
impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("handler", &self.handler)
            .field("slots", &self.slots)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .finish_non_exhaustive()
    }
}

impl Default for Context {
    fn default() -> Self {
        Self {
            handler: None,
            slots: None,
            token: None,
            door_key: None,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            variables: BTreeMap::new(),
            host_program: "samara-host".into(),
            host_variables: Vec::new(),
            depot: None,
            clock: Arc::new(SystemClock::new()),
        }
    }
}

/// Opens the runtime that `url` names; or several, `FIRST or SECOND`, of which jobs go to the first
/// that is there.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] where no runtime has that scheme, or the URL is malformed.
pub fn open(url: &str, context: &Context) -> Result<Arc<dyn Runtime>, Error> {
    if url.contains(fallback::OR) {
        return fallback::open(url, context);
    }
    let scheme = url.split_once(':').map_or(url, |(scheme, _)| scheme);
    match RUNTIMES.iter().find(|row| row.scheme == scheme) {
        Some(row) => (row.open)(url, context),
        None => {
            let known: Vec<String> =
                RUNTIMES.iter().map(|row| format!("{}:", row.scheme)).collect();
            let feature = FEATURES.iter().find(|(name, _)| *name == scheme);
            let way_out = feature.map_or_else(String::new, |(_, feature)| {
                format!("; build with the feature `{feature}` for it")
            });
            Err(Error::new(
                ErrorKind::Invalid,
                format!("`{url}` names no runtime; there are: {}{way_out}", known.join(", ")),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_scheme_lists_the_known_ones() {
        let error = open("lambada://x", &Context::default()).unwrap_err();
        assert!(error.message.contains("local:"), "{error}");
    }
}
