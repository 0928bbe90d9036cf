//! Deployments: hosts that are made, changed and removed at a platform. One row per platform in
//! [`PLATFORMS`].
//!
//! Only the host is deployed, never a function: hosts fetch components by the hash of their
//! content. What is deployed is named by its content too, so a deployment of another host is
//! another deployment, and no driver can meet a version that it did not mean.

mod containers;
pub(crate) mod elf;
pub mod image;
pub mod package;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use samara_core::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

/// What is deployed, and how. The defaults are each platform's own.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Wanted {
    /// The program `samara-host`.
    pub host: Option<PathBuf>,
    /// What is not said stays as it is deployed, and nothing is made that is not there.
    pub is_update: bool,
    /// Removes what is deployed beside the newest.
    pub prune: bool,
    /// Memory of one host.
    pub memory_bytes: Option<u64>,
    /// How long a request may take.
    pub time: Option<Duration>,
    /// Hosts at the same moment, at most.
    pub concurrency: Option<u32>,
    /// Processors of one host, in thousandths.
    pub cpu_milli: Option<u32>,
    /// Variables of the host.
    pub variables: BTreeMap<String, String>,
    /// What hosts may read, by URL.
    pub reads: Vec<String>,
    /// What hosts may read and write, by URL.
    pub writes: Vec<String>,
    /// The store of jobs, by URL.
    pub store: Option<String>,
    /// As whom hosts run, in place of a role that is made for them.
    pub role: Option<String>,
    /// Where code passes through that is too large for a request.
    pub bucket: Option<String>,
    /// The image of the host.
    pub image: Option<String>,
    /// The secret with the tokens of drivers, by the platform's name for it.
    pub secret: Option<String>,
}

/// What would be done, or was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Plan {
    /// What is deployed, by URL: for whoever runs tasks.
    pub url: String,
    /// The same by its content, which no later deployment changes.
    pub exact_url: String,
    /// BLAKE3 of what is deployed.
    pub host: String,
    /// Each thing that is made or changed, in order; what stays as it is too.
    pub steps: Vec<Step>,
    /// Policies, or the manifest.
    pub documents: Vec<Document>,
    /// The command that applies the manifest, which it calls `FILE`, where Samara does not.
    pub by_hand: Option<String>,
}

/// One thing that is made, changed or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is done to it.
    pub verb: Verb,
    /// What it is.
    pub what: String,
}

/// What is done to a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// It is made.
    Create,
    /// It is there, and is made different.
    Change,
    /// It is there as it should be.
    Keep,
    /// It is removed.
    Remove,
}

/// A text that belongs to a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// What it is for.
    pub about: String,
    /// The text.
    pub text: String,
}

/// What is deployed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Deployment {
    /// Its name.
    pub name: String,
    /// Its URL, for whoever runs tasks.
    pub url: String,
    /// BLAKE3 of what is deployed.
    pub host: String,
    /// The version of Samara that deployed it.
    pub version: String,
    /// What the platform says of it.
    pub state: String,
    /// The processor that it is for.
    pub machine: String,
    /// Memory of one host.
    pub memory_bytes: u64,
    /// How long a request may take.
    pub time_seconds: u64,
    /// Hosts at the same moment, where there is a limit of its own.
    pub concurrency: Option<u32>,
    /// When it was changed, as the platform writes it.
    pub changed: String,
    /// Whether it is the host's program of this machine; none where that is not known.
    pub is_local: Option<bool>,
    /// Each content that can be reached.
    pub contents: Vec<Content>,
}

/// A content that is deployed under a name of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its URL.
    pub url: String,
    /// The platform's number of it.
    pub number: String,
    /// Whether it is the newest, which the deployment's own URL reaches.
    pub is_live: bool,
}

/// A line of what hosts said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, since the Unix epoch.
    pub milliseconds: u64,
    /// What tells it from other lines.
    pub id: String,
    /// The line.
    pub text: String,
}

/// Makes, changes and removes deployments at one platform.
#[async_trait]
pub trait Deployer: fmt::Debug + Send + Sync {
    /// What [`apply`](Self::apply) would do. Changes nothing.
    async fn plan(&self, wanted: &Wanted) -> Result<Plan, Error>;

    /// Makes what is wanted of what is there.
    async fn apply(&self, wanted: &Wanted) -> Result<Plan, Error>;

    /// What [`remove`](Self::remove) would do. Changes nothing.
    async fn plan_removal(&self, keep_logs: bool) -> Result<Vec<Step>, Error>;

    /// Removes what was made, and nothing else. Nothing there is no error.
    async fn remove(&self, keep_logs: bool) -> Result<Vec<Step>, Error>;

    /// The deployments at the platform.
    async fn list(&self) -> Result<Vec<Deployment>, Error>;

    /// What is deployed under this name, compared with a host's program of this machine.
    async fn status(&self, host: Option<&std::path::Path>) -> Result<Option<Deployment>, Error>;

    /// What hosts said from a moment on, since the Unix epoch, in order.
    async fn logs(&self, from: Duration) -> Result<Vec<Event>, Error>;
}

/// A kind of platform.
#[derive(Debug)]
pub struct Row {
    /// The scheme of its URLs.
    pub scheme: &'static str,
    /// What it is, in a line.
    pub doc: &'static str,
    open: Open,
}

/// Opens a platform by a URL.
type Open = fn(&str) -> Result<Box<dyn Deployer>, Error>;

/// Every platform there is.
pub const PLATFORMS: &[Row] = &[
    #[cfg(feature = "deploy")]
    Row { scheme: "lambda", doc: "AWS Lambda", open: crate::lambda::deploy::open },
    Row { scheme: "knative", doc: "Knative: a manifest for kubectl", open: containers::open },
    Row {
        scheme: "cloud-run",
        doc: "Google Cloud Run: a manifest for gcloud",
        open: containers::open,
    },
    Row {
        scheme: "container-apps",
        doc: "Azure Container Apps: a manifest for az",
        open: containers::open,
    },
    Row { scheme: "openfaas", doc: "OpenFaaS: a stack for faas-cli", open: containers::open },
    Row { scheme: "compose", doc: "Compose: a file for podman or docker", open: containers::open },
];

/// Platforms that this build could have: the scheme, and the feature that it is behind.
const FEATURES: &[(&str, &str)] = &[("lambda", "deploy")];

/// What tags name the deployment by.
#[cfg(feature = "deploy")]
pub(crate) const TAG_DEPLOYMENT: &str = "samara:deployment";

/// Hexadecimal digits of a content's hash that stand in names.
pub(crate) const DIGITS: usize = 12;

// === impl Wanted ===

/// Values of variables may be secret.
impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.variables.keys().collect();
        f.debug_struct("Wanted")
            .field("host", &self.host)
            .field("is_update", &self.is_update)
            .field("variables", &names)
            .finish_non_exhaustive()
    }
}

impl Wanted {
    /// The program that is to be deployed.
    #[cfg(feature = "deploy")]
    pub(crate) fn program(&self) -> Result<&std::path::Path, Error> {
        self.host.as_deref().ok_or_else(|| {
            let text = "there is no program `samara-host` beside this one or in PATH; \
                        say where it is with --host FILE";
            Error::new(ErrorKind::Invalid, text)
        })
    }
}

// === impl Step ===

impl Step {
    /// A step.
    pub fn new(verb: Verb, what: impl Into<String>) -> Self {
        Self { verb, what: what.into() }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<6}  {}", self.verb, self.what)
    }
}

// === impl Verb ===

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Keep => "keep",
            Self::Remove => "remove",
        })
    }
}

// === impl Plan ===

impl Plan {
    /// Whether anything is made or changed.
    pub fn changes(&self) -> bool {
        self.steps.iter().any(|step| step.verb != Verb::Keep)
    }
}

/// Opens the platform that a URL names.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] where no platform has that scheme, or the URL is malformed.
pub fn open(url: &str) -> Result<Box<dyn Deployer>, Error> {
    let scheme = url.split_once(':').map_or(url, |(scheme, _)| scheme);
    match PLATFORMS.iter().find(|row| row.scheme == scheme) {
        Some(row) => (row.open)(url),
        None => {
            let known: Vec<String> =
                PLATFORMS.iter().map(|row| format!("{}:", row.scheme)).collect();
            let feature = FEATURES.iter().find(|(name, _)| *name == scheme);
            let way_out = feature.map_or_else(String::new, |(_, feature)| {
                format!("; build with the feature `{feature}` for it")
            });
            let text = format!(
                "`{url}` names no platform that hosts are deployed to; there are: {}{way_out}",
                known.join(", ")
            );
            Err(Error::new(ErrorKind::Invalid, text))
        }
    }
}

/// The version of Samara, which deployments are marked with.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_platform_lists_the_known_ones() {
        let error = open("lambada://x").unwrap_err();
        assert!(error.message.contains("knative:, cloud-run:"), "{error}");
        #[cfg(not(feature = "deploy"))]
        assert!(open("lambda://x").unwrap_err().message.contains("feature `deploy`"));
    }

    #[test]
    fn values_of_variables_are_in_no_debug_text() {
        let mut wanted = Wanted::default();
        wanted.variables.insert("KEY".to_owned(), "hidden".to_owned());
        let text = format!("{wanted:?}");
        assert!(text.contains("KEY") && !text.contains("hidden"), "{text}");
    }
}
