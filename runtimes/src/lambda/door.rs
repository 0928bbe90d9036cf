//! A function of Lambda, with the patience that it needs: that AWS has too many under way, or
//! trouble of its own, loses nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use samara_core::{Error, ErrorKind};
use tokio::sync::OnceCell;
use tokio::time::sleep;

use super::config::Config;
use super::event::{Ask, ENDING, Event, Reply};
use super::sending::{Function, Unsent};
use crate::jitter::jitter;
use crate::mail::{Names, Ticket};

/// The first wait where AWS refuses and says no time; doubles with each further refusal.
const AGAIN_FIRST: Duration = Duration::from_millis(100);

/// The longest such wait.
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// The wait where AWS is not reached.
const UNREACHED_WAIT: Duration = Duration::from_secs(1);

/// How long AWS may be out of reach before a batch is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// The way to a function.
#[derive(Debug)]
pub(super) struct Door {
    config: Config,
    function: OnceCell<Function>,
    ticket: Option<Ticket>,
    /// Whether it was said that functions refuse batches.
    waits: AtomicBool,
    names: Names,
}

// === impl Door ===

impl Door {
    /// To the function of a URL, with a ticket where it asks for one. AWS's settings are read with
    /// the first request.
    pub(super) fn new(config: Config, ticket: Option<Ticket>) -> Self {
        let (waits, names) = (AtomicBool::new(false), Names::default());
        Self { config, function: OnceCell::new(), ticket, waits, names }
    }

    async fn function(&self) -> &Function {
        self.function.get_or_init(|| self.connect()).await
    }

    async fn connect(&self) -> Function {
        // What finds the settings takes tens of kilobytes.
        let shared = Box::pin(self.config.connect()).await;
        Function {
            client: aws_sdk_lambda::Client::new(&shared),
            name: self.config.name.clone(),
            qualifier: self.config.qualifier.clone(),
        }
    }

    /// Invokes the function and waits for its reply, however often AWS refuses.
    ///
    /// # Errors
    ///
    /// `Lost` where the function failed as a whole, or AWS is out of reach; `Denied` and `Invalid`
    /// where no repetition would help.
    pub(super) async fn ask(&self, ask: Ask) -> Result<Reply, Error> {
        let (function, mut patience) = (self.function().await, Patience::default());
        let event = self.event(ask);
        loop {
            let unsent = match function.ask(&event).await {
                Ok(Reply::Refused(why)) => {
                    self.is_kept_waiting(function, &why);
                    Unsent::Refused(None)
                }
                Ok(Reply::Denied(error)) => return Err(error.context(&function.name)),
                Ok(Reply::Invalid(why)) => return Err(function.error(ErrorKind::Invalid, &why)),
                Ok(reply) => {
                    self.waits.store(false, Ordering::Relaxed);
                    return Ok(reply);
                }
                Err(unsent) => unsent,
            };
            patience.wait(unsent).await?;
        }
    }

    /// Says once why nothing goes on for now, but for functions that are about to end: others take
    /// their place.
    fn is_kept_waiting(&self, function: &Function, why: &str) {
        if why != ENDING && !self.waits.swap(true, Ordering::Relaxed) {
            tracing::warn!("{function} has the job wait: {why}");
        }
    }

    /// Hands an event to Lambda's queue, however often AWS refuses.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    pub(super) async fn queue(&self, ask: Ask) -> Result<(), Error> {
        let (function, mut patience) = (self.function().await, Patience::default());
        let event = self.event(ask);
        while let Err(unsent) = function.queue(&event).await {
            patience.wait(unsent).await?;
        }
        Ok(())
    }

    fn event(&self, ask: Ask) -> Event {
        Event { ticket: self.ticket.clone(), ..Event::new(ask) }
    }

    /// A name that no other batch or function has.
    pub(super) fn name(&self) -> String {
        self.names.next()
    }
}

/// What was waited for so far.
#[derive(Debug, Default)]
struct Patience {
    refusals: u32,
    /// How long AWS was waited for since it was reached last.
    unreached: Duration,
}

// === impl Patience ===

impl Patience {
    /// Waits until it makes sense to try again.
    async fn wait(&mut self, unsent: Unsent) -> Result<(), Error> {
        match unsent {
            Unsent::Refused(said) => {
                self.unreached = Duration::ZERO;
                let wait = (AGAIN_FIRST * 2_u32.saturating_pow(self.refusals)).min(AGAIN_MAX);
                self.refusals = (self.refusals + 1).min(16);
                sleep(said.unwrap_or(wait).mul_f64(jitter())).await;
            }
            Unsent::Unreached(error) => {
                if self.unreached >= PATIENCE {
                    return Err(error);
                }
                tracing::debug!("{error}");
                let wait = UNREACHED_WAIT.mul_f64(jitter());
                self.unreached += wait;
                sleep(wait).await;
            }
            Unsent::TooLarge(error) | Unsent::Lost(error) | Unsent::Never(error) => {
                return Err(error);
            }
        }
        Ok(())
    }
}
