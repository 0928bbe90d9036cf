//! The host's side: where a host is, and how it is served there. One row per place,
//! [`surroundings`], nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use samara_core::{Clock, Depot, Error, ErrorKind};
use tokio::sync::watch;

pub use crate::http::Tls;
pub use crate::push::{Nesting, Service};

/// What a host reads of its environment, by name.
pub type Variables = BTreeMap<String, String>;

/// A place that a host can find itself in.
pub struct Surroundings {
    /// Its name, as in `--as`.
    pub name: &'static str,
    /// What it is, in a line.
    pub doc: &'static str,
    /// The variable by which it is told; none where it is only served on request.
    pub told_by: Option<&'static str>,
    /// How long what is under way may take once the host is told to end: what the platform waits
    /// before it kills, less what it takes to give the rest back.
    pub grace: Duration,
    /// What the place suggests by its variables, where settings say nothing.
    pub defaults: fn(&Variables) -> Defaults,
    pub(crate) check: Check,
    pub(crate) serve: Serve,
    pub(crate) embed: Option<fn(Host) -> Take>,
}

/// What of a host's settings says where it would listen, and who could run tasks there.
#[derive(Debug, Clone, Copy)]
pub struct Planned<'a> {
    /// What the environment says.
    pub variables: &'a Variables,
    /// Where to listen, where that was said.
    pub listen: Option<&'a str>,
    /// Whether there are tokens or tenants, so that not everybody may send batches.
    pub knows_some: bool,
    /// What TLS is spoken with.
    pub tls: Option<&'a Tls>,
}

/// Says what makes no sense there, without listening.
type Check = fn(&Planned<'_>) -> Result<(), Error>;

/// Settings that a place suggests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// Tasks at the same moment.
    pub slots: Option<usize>,
    /// Where compiled components are kept.
    pub cache_dir: Option<PathBuf>,
    /// Where the key for them is, which is made if it is not there.
    pub cache_key_file: Option<PathBuf>,
}

/// An event as a platform hands it to a function, or a message of a queue.
#[derive(Debug, Clone)]
pub struct Given {
    /// The event's name, which no other has; of a message of a queue, how often it was given out by
    /// now.
    pub id: String,
    /// The function that it is for, as the platform names it.
    pub function: String,
    /// When the platform ends the function: time since the Unix epoch.
    pub deadline: Duration,
    /// What the platform passes on.
    pub payload: Vec<u8>,
}

/// Takes an event, and answers with what the platform passes back.
pub type Take = Arc<dyn Fn(Given) -> BoxFuture<'static, Vec<u8>> + Send + Sync>;

/// Serves until it is told to stop, and says where it listens.
type Serve = fn(Host) -> BoxFuture<'static, Result<Ended, Error>>;

/// Everything that a host is served with.
pub struct Host {
    /// Takes the batches.
    pub service: Arc<Service>,
    /// What the environment says.
    pub variables: Variables,
    /// Where to listen, where that was said: `ADDRESS:PORT`, or `unix:PATH`.
    pub listen: Option<String>,
    /// Who may send batches; none where the platform sees to it, or nobody else can reach the host.
    pub tokens: Vec<String>,
    /// What TLS is spoken with; none where it is not, or by the platform.
    pub tls: Option<Arc<Tls>>,
    /// How long batches that are under way may take, once the host is told to stop.
    pub grace: Duration,
    /// Becomes true when the host is to stop.
    pub stop: watch::Receiver<bool>,
    /// Tells how long a request has until its deadline.
    pub clock: Arc<dyn Clock>,
    /// The stores of jobs.
    pub depot: Arc<dyn Depot>,
    /// Told where the host listens, as soon as it does.
    pub listening: Box<dyn FnOnce(&str) + Send>,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All that was taken was done.
    Done,
    /// What was not done in time went back to its driver.
    HandedBack,
}

/// Every place there is, in the order in which they are looked for.
pub fn surroundings() -> impl Iterator<Item = &'static Surroundings> {
    let first: &[Surroundings] = &[
        #[cfg(feature = "lambda-serve")]
        crate::lambda::PLACE,
        #[cfg(feature = "queue")]
        crate::queue::PLACE,
    ];
    first.iter().chain(crate::array::SURROUNDINGS).chain(crate::http::SURROUNDINGS)
}

/// Finds out where this host is: the first place whose variable is there; plain HTTP otherwise.
pub fn detect(variables: &Variables) -> &'static Surroundings {
    let is_told = |place: &&Surroundings| {
        place.told_by.is_some_and(|name| variables.get(name).is_some_and(|said| !said.is_empty()))
    };
    let plain = surroundings().last().expect("the table has rows");
    surroundings().find(is_told).unwrap_or(plain)
}

/// The place of that name.
///
/// # Errors
///
/// `Invalid` where there is none.
pub fn named(name: &str) -> Result<&'static Surroundings, Error> {
    surroundings().find(|place| place.name == name).ok_or_else(|| {
        let names: Vec<&str> = surroundings().map(|place| place.name).collect();
        let text = format!("`{name}` names no surroundings; there are: {}", names.join(", "));
        Error::new(ErrorKind::Invalid, text)
    })
}

// === impl Surroundings ===

impl Surroundings {
    /// Says what [`serve`](Self::serve) would refuse of these settings, without listening.
    ///
    /// # Errors
    ///
    /// `Invalid`, with the way out.
    pub fn check(&self, planned: &Planned<'_>) -> Result<(), Error> {
        (self.check)(planned)
    }

    /// Serves there until the host is told to stop.
    ///
    /// # Errors
    ///
    /// `Invalid` where a setting makes no sense; `Store` where it cannot listen.
    pub async fn serve(&self, host: Host) -> Result<Ended, Error> {
        (self.serve)(host).await
    }

    /// The function that a host is there, for who plays the platform in a process of its own, with
    /// thousands of them: everything but what asks for events. Of a queue it takes messages, and
    /// answers with what the broker would be told. None where no events are handed over.
    pub fn embed(&self, host: Host) -> Option<Take> {
        self.embed.map(|embed| embed(host))
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Surroundings").field(&self.name).finish()
    }
}

// === impl Host ===

/// Tokens are secret.
impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("service", &self.service)
            .field("listen", &self.listen)
            .field("tokens", &self.tokens.len())
            .field("tls", &self.tls)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}
