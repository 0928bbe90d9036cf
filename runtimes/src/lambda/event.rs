//! What goes to a function, and what comes back: JSON, because payloads of Lambda have to be, with
//! batches and frames as base64.

use std::time::Duration;

use samara_core::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
#[cfg(feature = "lambda-serve")]
use serde_json::Value;

use crate::mail::{Call, Ticket};

/// The version of the format.
const VERSION: u32 = 1;

/// Bytes of a batch, or of frames, that fit into a payload: AWS takes 6 MB of JSON, and base64 makes
/// four bytes of three.
pub(super) const PAYLOAD_BYTES_MAX: u64 = 4_400_000;

/// The same for invocations that are not waited for, which may have 256 KB in every region.
#[cfg(feature = "lambda-serve")]
pub(super) const QUEUED_BYTES_MAX: u64 = 180_000;

/// Why a function takes no batch, where it is no fault of anybody's.
pub(super) const ENDING: &str = "the function is about to end";

/// Why a batch was not begun that another function was to be started with: its driver starts them by
/// itself from then on. Functions and drivers of other versions write and read it as well.
const NOT_STARTED: &str = "a function could not start another";

/// From then on a function that still runs writes what it has to say to the store, and a driver
/// looks there too: a connection on which nothing comes is cut by many networks after some minutes.
pub(super) const PARTS_FROM: Duration = Duration::from_mins(1);

/// What a function is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Event {
    /// The version of the format; a payload without it is none of ours.
    pub(super) samara: u32,
    /// Who asks, where the host knows tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ticket: Option<Ticket>,
    pub(super) ask: Ask,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Ask {
    /// What it is.
    Host,
    /// To run a batch; somebody waits for the reply.
    Batch(Call),
    /// To run a batch; nobody waits, and its frames go to the store.
    Queued(Call),
    /// To start other functions with the rest of these, and to run the first.
    Wave(Vec<Call>),
}

/// What a function answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reply {
    /// What it is, as base64.
    Host(String),
    /// All frames of the batch, as base64.
    Frames(String),
    /// The frames are in the store.
    Parts,
    /// The batch was not taken; it can be sent again.
    Refused(String),
    /// It was asked for what it does not understand.
    Invalid(String),
    /// Who asks may not do that.
    Denied(Error),
}

// === impl Event ===

impl Event {
    pub(super) fn new(ask: Ask) -> Self {
        Self { samara: VERSION, ticket: None, ask }
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are JSON")
    }

    /// Reads an event.
    ///
    /// # Errors
    ///
    /// Why it is none of ours, or there is nowhere to answer to.
    #[cfg(feature = "lambda-serve")]
    pub(super) fn read(payload: Value) -> Result<Self, String> {
        let event: Self = serde_json::from_value(payload).map_err(|error| {
            format!("this is a host of Samara's, and takes events of its drivers alone: {error}")
        })?;
        if event.samara != VERSION {
            let said = event.samara;
            return Err(format!("this host speaks version {VERSION} of events, not {said}"));
        }
        match event.ask.has_places() {
            true => Ok(event),
            false => Err("it names no place for an answer that ends with `/`".to_owned()),
        }
    }
}

// === impl Ask ===

#[cfg(feature = "lambda-serve")]
impl Ask {
    /// What it is about.
    pub(super) fn calls(&self) -> &[Call] {
        match self {
            Self::Host => &[],
            Self::Batch(call) | Self::Queued(call) => std::slice::from_ref(call),
            Self::Wave(calls) => calls,
        }
    }

    /// Whether each answer has a place. Who waits for it needs none.
    fn has_places(&self) -> bool {
        let is_waited_for = matches!(self, Self::Batch(_));
        let needs_none = |call: &Call| is_waited_for && call.to.is_none();
        self.calls().iter().all(|call| call.has_place() || needs_none(call))
    }
}

/// Why the function of a batch was not started by another one.
#[cfg(feature = "lambda-serve")]
pub(super) fn not_started(why: &str) -> String {
    format!("{NOT_STARTED}: {why}")
}

/// Whether that is why a batch was given back: a quota that is used up for now, or a function that is
/// about to end, is no reason to start none.
pub(super) fn is_not_started(error: &Error) -> bool {
    error.kind == ErrorKind::HandedBack && error.message.contains(NOT_STARTED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Source;

    /// Functions and drivers of other versions read these.
    #[test]
    fn events_and_replies_are_written_as_ever() {
        let stored = Source::Stored { url: "s3://b/k".to_owned(), range: 2..5, hash: None };
        let call = Call { batch: stored, to: Some("s3://b/to/".to_owned()) };
        let written = |ask| String::from_utf8(Event::new(ask).to_json()).unwrap();
        assert_eq!(written(Ask::Host), r#"{"samara":1,"ask":"host"}"#);
        let ticket = Some(Ticket("a.b.c".to_owned()));
        let with_ticket = Event { ticket, ..Event::new(Ask::Host) };
        let text = r#"{"samara":1,"ticket":"a.b.c","ask":"host"}"#;
        assert_eq!(with_ticket.to_json(), text.as_bytes());
        assert!(!format!("{with_ticket:?}").contains("a.b.c"));
        let inline = Call { batch: Source::inline(b"abc"), to: None };
        assert_eq!(
            written(Ask::Batch(inline)),
            r#"{"samara":1,"ask":{"batch":{"batch":{"inline":"YWJj"},"to":null}}}"#
        );
        let wave = Ask::Wave(vec![call]);
        let text = written(wave.clone());
        assert_eq!(
            text,
            r#"{"samara":1,"ask":{"wave":[{"batch":{"stored":{"url":"s3://b/k","range":{"start":2,"end":5}}},"to":"s3://b/to/"}]}}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap().ask, wave);
        let reply = |reply: &Reply| serde_json::to_string(reply).unwrap();
        assert_eq!(reply(&Reply::Parts), r#""parts""#);
        assert_eq!(reply(&Reply::Frames("YWJj".to_owned())), r#"{"frames":"YWJj"}"#);
    }

    /// What is granted may be a name without a `/` at its end.
    #[cfg(feature = "lambda-serve")]
    #[test]
    fn answers_have_places_below_what_was_granted_and_not_beside_it() {
        let call = |to: Option<&str>| {
            let batch = Source::inline(b"abc");
            Call { batch, to: to.map(str::to_owned) }
        };
        let read = |ask| Event::read(serde_json::from_slice(&Event::new(ask).to_json()).unwrap());
        let (good, beside) = (Some("s3://b/to/"), Some("s3://b/to"));
        for ask in [
            Ask::Batch(call(None)),
            Ask::Batch(call(good)),
            Ask::Queued(call(good)),
            Ask::Wave(vec![call(good), call(good)]),
            Ask::Wave(Vec::new()),
        ] {
            assert_eq!(read(ask.clone()).unwrap().ask, ask);
        }
        for ask in [
            Ask::Batch(call(beside)),
            Ask::Queued(call(beside)),
            Ask::Queued(call(None)),
            Ask::Wave(vec![call(good), call(beside)]),
            Ask::Wave(vec![call(good), call(None)]),
        ] {
            assert!(read(ask.clone()).unwrap_err().contains("ends with `/`"), "{ask:?}");
        }
    }
}
