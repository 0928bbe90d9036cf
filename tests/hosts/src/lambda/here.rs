//! Environments that are no processes: a machine has room for thousands of them at once.
//!
//! They take one event after the other and have an end to their time as others do; none is frozen,
//! and none ends half way.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::api::PAYLOAD_MAX;
use super::instance::{arn, id, unix};
use super::{Ran, State};

/// Makes environments, by their numbers.
#[derive(Clone)]
pub struct Here(pub Arc<dyn Fn(u64) -> Take + Send + Sync>);

/// An environment: takes an event, and answers.
pub type Take = Arc<dyn Fn(Handed) -> Pin<Box<dyn Future<Output = Bytes> + Send>> + Send + Sync>;

/// An event.
#[derive(Debug, Clone)]
pub struct Handed {
    /// Its name.
    pub id: String,
    /// The function that it is for.
    pub arn: String,
    /// When the function's time is over, since the Unix epoch.
    pub deadline: Duration,
    /// What it says.
    pub payload: Bytes,
}

impl fmt::Debug for Here {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Here")
    }
}

// === impl State ===

impl State {
    /// Runs an event in an environment of this process that is warm, or a new one.
    pub(super) async fn run_here(&self, here: &Here, payload: Bytes) -> Ran {
        let warm = self.pool().idle_here.pop();
        let take = match warm {
            Some(take) => take,
            None => {
                let mut pool = self.pool();
                let number = pool.counts.started;
                pool.counts.started += 1;
                drop(pool);
                (here.0)(number)
            }
        };
        let (id, timeout) = (id(self.number()), self.settings.timeout);
        let event = Handed { id, arn: arn(), deadline: unix() + timeout, payload };
        let Ok(payload) = tokio::time::timeout(timeout, take(event)).await else {
            let text = format!("Task timed out after {:.2} seconds", timeout.as_secs_f64());
            return Ran::failed("Sandbox.Timedout", &text);
        };
        self.pool().idle_here.push(take);
        match payload.len() > PAYLOAD_MAX {
            true => Ran::failed("Function.ResponseSizeTooLarge", "the response is too long"),
            false => Ran { payload, failed: false },
        }
    }
}
