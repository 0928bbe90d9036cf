//! A process for each tenant: the host itself runs no guest, and what one tenant's process comes to
//! is no other tenant's affair.
//!
//! The host starts a process when a tenant has work, hands it that tenant's batches by a pair of
//! sockets that have no name, and ends it when it has been idle for a while. What a process says is
//! believed as far as its own tenant is concerned.
//!
//! | file | does |
//! |---|---|
//! | `workers.rs` | which process a batch goes to; starts, ends and restarts them |
//! | `worker.rs` | one process, as the host sees it |
//! | `shares.rs` | with how many slots each of them may compute |
//! | `inside.rs` | the host, as such a process sees it |
//! | `stream.rs` | messages on their way |

mod inside;
mod shares;
mod stream;
mod worker;
mod workers;

use std::fmt::Debug;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use samara_core::Error;
use samara_core::link::{Protection, Question};

pub use self::inside::{Line, Outgoing};
pub use self::workers::{Terms, Workers};

/// Starts processes, and does for them what they cannot do, or must not have, themselves.
pub trait Launch: Debug + Send + Sync + 'static {
    /// What a process of the tenant's is to be like now. Where it is another one than the last time,
    /// the process is replaced. Asked for each batch.
    ///
    /// # Errors
    ///
    /// Where there can be none.
    fn orders(&self, tenant: &str) -> Result<Arc<Orders>, Error>;

    /// Starts a process that has the other end of `link`. Blocks.
    ///
    /// # Errors
    ///
    /// Where it does not start.
    fn start(&self, orders: &Orders, link: UnixStream) -> Result<Box<dyn Process>, Error>;

    /// Looks at what a process says of itself before it is given anything.
    ///
    /// # Errors
    ///
    /// Where it must not run anything like this.
    fn accept(&self, tenant: &str, protections: &[Protection]) -> Result<(), Error>;

    /// Answers a question of the tenant's process. Blocks.
    ///
    /// # Errors
    ///
    /// Goes back to the process.
    fn answer(&self, tenant: &str, question: Question) -> Result<Bytes, Error>;
}

/// What one process is to be like.
#[derive(Clone, PartialEq, Eq)]
pub struct Orders {
    /// Whose tasks it runs.
    pub tenant: String,
    /// What it is told first, as [`Launch`] knows it. May be secret.
    pub first: Bytes,
    /// Its environment. May be secret.
    pub environment: Vec<(String, String)>,
}

/// A process that was started.
pub trait Process: Send + 'static {
    /// Waits a moment until it ends by itself, because its link is closed, and otherwise ends it.
    /// Blocks.
    fn end(self: Box<Self>) -> Exit;
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// In words.
    pub status: String,
    /// Processor time of all its threads, where it is known.
    pub cpu: Option<Duration>,
}

// === impl Orders ===

impl Debug for Orders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Orders").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
