//! The host's side: one message, from when it is pulled until the broker is told what became of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::Message as Pulled;
use samara_core::wire::{Frame, HostInfo};
use samara_core::{Caller, Error, ErrorKind, Retry};
use tokio::time::{MissedTickBehavior, interval};

use super::broker::PROGRESS_EVERY;
use super::lines::Lines;
use super::message::Message;
use crate::mail::{Begun, Call, Desk, Names, Outgoing, Pace, pass_on};
use crate::push::{encoded, undone};

/// How often a batch is begun at most. Where hosts die of it, again and again, its driver is told: it
/// counts as one attempt of its tasks.
const BEGUN_MAX: i64 = 5;

/// How often it is given back to the queue at most, because a host is busy or a quota is used up. Then
/// it goes back to its driver, which sends it again without counting an attempt.
const GIVEN_BACK_MAX: i64 = BEGUN_MAX - 1;

/// How long the broker keeps a batch back for which there is no room now.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// The same where a quota is used up, or the store is away.
const QUOTA_WAIT: Duration = Duration::from_secs(5);

/// When the first part is written of an answer that has no end by then: most have one.
const PART_FROM: Duration = Duration::from_secs(5);

/// How often the broker is told that an answer is stored, where it does not say that it heard.
const TOLD_MAX: u32 = 5;

/// Takes messages.
pub(super) struct Hand {
    desk: Desk,
    /// Makes names of runs that no other run has.
    names: Names,
    /// What is said of messages, which anybody may cause who publishes some.
    lines: Lines,
}

/// What the broker is to do with a message.
#[derive(Debug)]
pub(super) enum Fate {
    /// Its answer has its end.
    Done,
    /// Another host may have it, after this time.
    Back(Option<Duration>),
    /// Nobody may have it, and there is no answer.
    Never(Error),
}

// === impl Hand ===

impl Hand {
    pub(super) fn new(desk: Desk) -> Self {
        let lines = Lines::new(|line| tracing::warn!("{line}"));
        Self { desk, names: Names::default(), lines }
    }

    pub(super) fn info(&self) -> HostInfo {
        self.desk.service.info()
    }

    /// Sees to a message, and tells the broker what became of it. Meanwhile the broker is told that it
    /// is seen to.
    pub(super) async fn take(&self, message: Pulled) {
        let Ok(given) = message.info().map(|info| info.delivered) else {
            // What became of it would be told to whoever it says, and it is not the broker that says it.
            self.lines.say("a message is passed over that the broker did not give");
            return;
        };
        let mut beats = interval(PROGRESS_EVERY);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beats.reset();
        let fate = self.see_to(&message.payload, given);
        tokio::pin!(fate);
        let fate = loop {
            tokio::select! {
                fate = &mut fate => break fate,
                _ = beats.tick() => say(&message, AckKind::Progress).await,
            }
        };
        match fate {
            Fate::Done => self.done(&message).await,
            Fate::Back(wait) => say(&message, AckKind::Nak(wait)).await,
            Fate::Never(error) => {
                self.lines.say(&format!("a message is thrown away: {error}"));
                say(&message, AckKind::Term).await;
            }
        }
    }

    /// A message that came when it was too late to begin.
    pub(super) async fn give_back(&self, message: &Pulled) {
        say(message, AckKind::Nak(None)).await;
    }

    /// Sees to what a message says, which was given out so many times by now, this one among them.
    pub(super) async fn see_to(&self, payload: &[u8], given: i64) -> Fate {
        let message = match Message::read(payload) {
            Ok(message) => message,
            Err(error) => return Fate::Never(error),
        };
        let Message { ticket, call, .. } = message;
        // What is refused here, the audit log has. Nothing is written on behalf of who is refused: not
        // even that.
        let caller = match self.desk.identify(ticket.as_ref(), std::slice::from_ref(&call)) {
            Ok(caller) => caller,
            Err(error) => return Fate::Never(error),
        };
        let mut outgoing = Outgoing::new(&self.desk.depot, call.to.clone(), &self.run());
        if given > 1 && outgoing.is_cancelled().await {
            return Fate::Done;
        }
        if let Err(fate) = self.run_batch(&call, caller, given, &mut outgoing).await {
            return fate;
        }
        // The end, or all that there is.
        match outgoing.write_part().await {
            Ok(()) => Fate::Done,
            Err(error) if given <= GIVEN_BACK_MAX => {
                let text = format!("an answer is not stored, and its batch goes back: {error}");
                self.lines.say(&text);
                Fate::Back(Some(QUOTA_WAIT))
            }
            Err(error) => Fate::Never(error.context("an answer is not stored")),
        }
    }

    /// Runs a batch, and leaves the rest of its answer in `outgoing`. An error is what becomes of a
    /// message that did not begin.
    async fn run_batch(
        &self,
        call: &Call,
        caller: Option<Arc<dyn Caller>>,
        given: i64,
        outgoing: &mut Outgoing,
    ) -> Result<(), Fate> {
        if given > BEGUN_MAX {
            let text = format!("{BEGUN_MAX} hosts were given the batch, and none lived to its end");
            outgoing.add(&encoded(&Frame::Failed(Error::new(ErrorKind::Lost, text))));
            return Ok(());
        }
        let (why, wait) = match self.desk.begin(call, caller, |_| {}).await {
            Ok(answer) => {
                let pace = Pace { first: PART_FROM, looks: false, left: None };
                pass_on(answer, outgoing, pace).await;
                return Ok(());
            }
            Err(Begun::Ending) if self.desk.service.is_draining() => {
                return Err(Fate::Back(None));
            }
            Err(Begun::Ending) => ("the host has no room".to_owned(), BUSY_WAIT),
            Err(Begun::Refused(why)) => (why, QUOTA_WAIT),
            Err(Begun::Failed(error)) if error.retry == Retry::Later && given <= GIVEN_BACK_MAX => {
                self.lines.say(&format!("a batch goes back: {error}"));
                return Err(Fate::Back(Some(QUOTA_WAIT)));
            }
            Err(Begun::Failed(error)) => {
                outgoing.add(&encoded(&Frame::Failed(error)));
                return Ok(());
            }
        };
        if given <= GIVEN_BACK_MAX {
            tracing::debug!("a batch goes back: {why}");
            return Err(Fate::Back(Some(wait)));
        }
        outgoing.add(&undone(&why));
        Ok(())
    }

    /// The answer is stored: the message may go. Where the broker does not hear of it, it gives the
    /// message to somebody else, who does the same once more.
    async fn done(&self, message: &Pulled) {
        for _ in 0..TOLD_MAX {
            match message.double_ack().await {
                Ok(()) => return,
                Err(error) => tracing::debug!("the broker did not hear of an answer: {error}"),
            }
        }
        tracing::warn!("the broker did not hear of an answer, and may have it made again");
    }

    fn run(&self) -> String {
        self.names.next()
    }
}

// === impl Fate ===

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Back(_) => f.write_str("back"),
            Self::Never(error) => write!(f, "never: {error}"),
        }
    }
}

/// Tells the broker something that it does not confirm.
async fn say(message: &Pulled, what: AckKind) {
    if let Err(error) = message.ack_with(what).await {
        tracing::debug!("the broker is not told: {error}");
    }
}
