//! Deployments: hosts that are made, changed and removed at a platform, by URL.
//!
//! Only the host's program is deployed, or its image; functions never are, because hosts fetch
//! components by the hash of their content.
//!
//! ```no_run
//! use samara::blocking::Wait;
//! use samara::deploy::{Place, Wanted};
//!
//! # fn main() -> Result<(), samara::Error> {
//! let place = Place::open("lambda://words?region=eu-central-1")?;
//! let mut wanted = Wanted::default();
//! wanted.host = place.local_host();
//! wanted.writes.push("s3://scratch/jobs".to_owned());
//! let plan = place.apply(wanted).wait()?;
//! println!("{}", plan.url);
//! for step in place.remove(false).wait()? {
//!     println!("{step}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! AWS Lambda is the feature `deploy`. For platforms that run images a plan has a manifest, and says
//! which command applies it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use samara_core::{Clock as _, ErrorKind, SystemClock};
pub use samara_runtimes::deploy::{
    Content, Deployer, Deployment, Document, Event, PLATFORMS, Plan, Step, Verb, Wanted,
};

use crate::builder::Io;
use crate::environment::Environment;
use crate::{Builder, Error, Settings};

/// Where a deployment is, or many are. Clones share their threads.
///
/// Its futures may be awaited in any async runtime, or in none.
#[derive(Debug, Clone)]
pub struct Place {
    deployer: Arc<dyn Deployer>,
    io: Arc<Io>,
    host: Option<PathBuf>,
}

// === impl Place ===

impl Place {
    /// The place that a URL names, such as `lambda://NAME` or `knative://NAME`.
    ///
    /// # Errors
    ///
    /// Where no platform has that scheme, the URL is malformed, or the machine starts no threads.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = samara::deploy::Place::open("lambada://words").unwrap_err();
    /// assert!(error.to_string().contains("there are: "));
    /// ```
    pub fn open(url: &str) -> Result<Self, Error> {
        Self::opened(url, &Builder::new())
    }

    /// The same, with the host's program that settings name.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn from_settings(url: &str, settings: &Settings) -> Result<Self, Error> {
        Self::opened(url, &Builder::from_settings(settings))
    }

    fn opened(url: &str, builder: &Builder) -> Result<Self, Error> {
        let deployer = Arc::from(samara_runtimes::deploy::open(url).map_err(said)?);
        let host = builder.host_program_said().or_else(Environment::find_host_program);
        Ok(Self { deployer, io: Arc::new(Io::start()?), host })
    }

    /// The host's program of this machine: the one that settings name, the one beside this program,
    /// or the one in `PATH`.
    pub fn local_host(&self) -> Option<PathBuf> {
        self.host.clone()
    }

    /// What [`apply`](Self::apply) would do. Changes nothing.
    ///
    /// # Errors
    ///
    /// Where the platform does not answer, or something there is somebody else's; so for all that
    /// follow.
    pub async fn plan(&self, wanted: Wanted) -> Result<Plan, Error> {
        self.on(move |deployer| async move { deployer.plan(&wanted).await }.boxed()).await
    }

    /// Makes what is wanted of what is there; twice the same changes nothing the second time.
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan).
    pub async fn apply(&self, wanted: Wanted) -> Result<Plan, Error> {
        self.on(move |deployer| async move { deployer.apply(&wanted).await }.boxed()).await
    }

    /// What [`remove`](Self::remove) would do. Changes nothing.
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan).
    pub async fn plan_removal(&self, keep_logs: bool) -> Result<Vec<Step>, Error> {
        self.on(move |deployer| async move { deployer.plan_removal(keep_logs).await }.boxed()).await
    }

    /// Removes all that was made, and nothing else. Nothing there is no error.
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan).
    pub async fn remove(&self, keep_logs: bool) -> Result<Vec<Step>, Error> {
        self.on(move |deployer| async move { deployer.remove(keep_logs).await }.boxed()).await
    }

    /// The deployments at the place.
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan).
    pub async fn list(&self) -> Result<Vec<Deployment>, Error> {
        self.on(|deployer| async move { deployer.list().await }.boxed()).await
    }

    /// What is deployed, compared with this machine's host; none where nothing is.
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan).
    pub async fn status(&self) -> Result<Option<Deployment>, Error> {
        let host = self.local_host();
        self.on(move |deployer| async move { deployer.status(host.as_deref()).await }.boxed()).await
    }

    /// What hosts said in the last so much time, in order.
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan).
    pub async fn logs(&self, since: Duration) -> Result<Vec<Event>, Error> {
        let from = SystemClock::new().unix().saturating_sub(since);
        self.on(move |deployer| async move { deployer.logs(from).await }.boxed()).await
    }

    /// Runs a request on the place's threads.
    async fn on<T: Send + 'static>(
        &self,
        request: impl FnOnce(Arc<dyn Deployer>) -> BoxFuture<'static, Result<T, samara_core::Error>>,
    ) -> Result<T, Error> {
        let spawned = self.io.handle().spawn(request(Arc::clone(&self.deployer)));
        match spawned.await {
            Ok(ended) => ended.map_err(said),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(Error::Invalid(format!("the request ended: {error}"))),
            },
        }
    }
}

/// Writes a directory that `buildah`, `podman` or `docker` makes the host's image of: a
/// `Containerfile`, the program, the shared libraries that it needs, and certificates.
///
/// # Errors
///
/// Where something cannot be read or written, or the directory is not empty.
pub fn write_image_context(directory: &Path, host: &Path) -> Result<(), Error> {
    samara_runtimes::deploy::image::write_context(directory, host).map_err(said)
}

/// What the caller said wrongly is told from what the platform failed at.
fn said(error: samara_core::Error) -> Error {
    match error.kind {
        ErrorKind::Invalid => Error::Invalid(error.message),
        _ => Error::Platform(error),
    }
}
