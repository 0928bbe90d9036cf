//! The host's side: runs a batch, and passes its frames on.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use samara_core::wire::Frame;
use samara_core::{Access, Batch, Caller, Depot, Error, ErrorKind, Retry, wire};
use tokio::time::sleep;

use super::{Call, Outgoing, Ticket};
use crate::push::{Answer, Refusal, Service, Why, encoded, undone};

/// How long before a host's end what it did is on its way: guests stop within some 10 ms, and the
/// store or the reply takes its time.
const MARGIN: Duration = Duration::from_secs(2);

/// How often a host that runs on says what it did, or that it lives.
const PART_EVERY: Duration = Duration::from_secs(10);

/// When one that nobody waits for says so first: most are done by then, and write once.
const QUEUED_FROM: Duration = Duration::from_secs(5);

/// When one that somebody waits for looks first whether it is still wanted: it writes nothing by then.
const LOOKED_FROM: Duration = Duration::from_secs(5);

/// Parts in a row that the store may refuse, before what was not done goes back: a driver gives a
/// host up that says nothing for the time of three.
const UNWRITTEN_MAX: u32 = 2;

/// Runs batches whose answers go by way of the store.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) service: Arc<Service>,
    pub(crate) depot: Arc<dyn Depot>,
}

/// How the frames of a batch are passed on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// When the first part is written of a batch that has not ended by then.
    pub(crate) first: Duration,
    /// Whether it is looked before that whether the batch is still wanted.
    pub(crate) looks: bool,
    /// How long the host has from now on, where that is known.
    pub(crate) left: Option<Duration>,
}

/// Why a batch did not begin.
#[derive(Debug)]
pub(crate) enum Begun {
    /// It is none, or the store does not give it.
    Failed(Error),
    /// A quota is used up for now.
    Refused(String),
    /// The host is about to end.
    Ending,
}

// === impl Desk ===

impl Desk {
    /// Finds out who holds a ticket, and whether the objects that its calls are about may be used on
    /// its behalf; nobody in particular where there is no gate.
    ///
    /// # Errors
    ///
    /// What the gate says. Nothing of the calls was read or written then, nor may it be.
    pub(crate) fn identify(
        &self,
        ticket: Option<&Ticket>,
        calls: &[Call],
    ) -> Result<Option<Arc<dyn Caller>>, Error> {
        let caller = self.service.identify(ticket.map(|ticket| ticket.0.as_str()))?;
        check_places(caller.as_deref(), calls)?;
        Ok(caller)
    }

    /// Whether a driver does not want a batch any more that has not begun.
    pub(crate) async fn is_cancelled(&self, call: &Call) -> bool {
        Outgoing::new(&self.depot, call.to.clone(), "").is_cancelled().await
    }

    /// Runs a batch that nobody waits for: its frames go to the store, from the first to the last.
    /// `run` names this run of it, and `bound` lowers what the host cannot give.
    ///
    /// # Errors
    ///
    /// What the store says where the answer's end is not written. Its driver sees that nothing comes.
    pub(crate) async fn run_queued(
        &self,
        call: &Call,
        caller: Option<Arc<dyn Caller>>,
        (run, left): (&str, Option<Duration>),
        bound: impl FnOnce(&mut Batch),
    ) -> Result<(), Error> {
        let mut outgoing = Outgoing::new(&self.depot, call.to.clone(), run);
        match self.begin(call, caller, bound).await {
            Ok(answer) => {
                let pace = Pace { first: QUEUED_FROM, looks: false, left };
                pass_on(answer, &mut outgoing, pace).await;
            }
            Err(Begun::Refused(why)) => outgoing.add(&undone(&why)),
            Err(Begun::Ending) => outgoing.add(&undone("the host is about to end")),
            // Its driver knows whether it makes sense to try again.
            Err(Begun::Failed(error)) => outgoing.add(&encoded(&Frame::Failed(error))),
        }
        outgoing.write_part().await
    }

    /// Takes a batch whose caller was identified.
    ///
    /// # Errors
    ///
    /// Where it is none, or cannot be taken.
    pub(crate) async fn begin(
        &self,
        call: &Call,
        caller: Option<Arc<dyn Caller>>,
        bound: impl FnOnce(&mut Batch),
    ) -> Result<Answer, Begun> {
        let bytes = call.batch.bytes(&self.depot).await.map_err(Begun::Failed)?;
        let mut batch = wire::decode_batch(&bytes).map_err(Begun::Failed)?;
        bound(&mut batch);
        self.service.begin_alone(batch, caller).map_err(|refusal| match refusal {
            Refusal::Denied(error) if error.kind == ErrorKind::Throttled => {
                Begun::Refused(error.message)
            }
            Refusal::Denied(error) | Refusal::TooMany(error) => Begun::Failed(error),
            Refusal::Busy | Refusal::Draining => Begun::Ending,
        })
    }
}

/// Checks whether the objects that calls are about may be used on their caller's behalf.
///
/// # Errors
///
/// What the gate says.
pub(crate) fn check_places(caller: Option<&dyn Caller>, calls: &[Call]) -> Result<(), Error> {
    let Some(caller) = caller else { return Ok(()) };
    let mut places = calls.iter().flat_map(Call::places);
    places.try_for_each(|url| caller.check_object(url, Access::ReadWrite))
}

/// Takes frames as they come, until the last, or the end of the host's time. What was not written as
/// a part is left in `outgoing`.
pub(crate) async fn pass_on(mut answer: Answer, outgoing: &mut Outgoing, pace: Pace) {
    let next_part = sleep(pace.first);
    let next_look = sleep(LOOKED_FROM);
    let had = pace.left.map(|left| left.saturating_sub(MARGIN));
    let late = async {
        match had {
            Some(had) => sleep(had).await,
            None => std::future::pending().await,
        }
    };
    let mut unwritten = 0;
    tokio::pin!(late, next_part, next_look);
    loop {
        tokio::select! {
            biased;
            () = &mut late => {
                let why = Why::Time(had.unwrap_or_default());
                return answer.hand_back(outgoing.frames(), why).await;
            }
            frame = answer.next() => match frame {
                Some(frame) => outgoing.add(&frame),
                None => return,
            },
            () = &mut next_look, if pace.looks && outgoing.can_be_parts() => {
                next_look.set(sleep(PART_EVERY));
                if outgoing.is_cancelled().await {
                    tracing::info!("nobody waits for the batch any more: it was cancelled");
                    return answer.hand_back(outgoing.frames(), Why::Untold).await;
                }
            }
            () = &mut next_part, if outgoing.can_be_parts() => {
                next_part.set(sleep(PART_EVERY));
                match outgoing.write_part().await {
                    Ok(()) => unwritten = 0,
                    // The task goes on: what was not written goes with the next part.
                    Err(error) if error.retry == Retry::Later && unwritten < UNWRITTEN_MAX => {
                        tracing::warn!("a part of the answer was not written: {error}");
                        unwritten += 1;
                        continue;
                    }
                    Err(_) => return answer.hand_back(outgoing.frames(), Why::Untold).await,
                }
                if !pace.looks && outgoing.is_cancelled().await {
                    return answer.hand_back(outgoing.frames(), Why::Untold).await;
                }
            }
        }
        if outgoing.is_long() && outgoing.can_be_parts() {
            next_part.set(sleep(Duration::ZERO));
        }
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("service", &self.service).finish_non_exhaustive()
    }
}
