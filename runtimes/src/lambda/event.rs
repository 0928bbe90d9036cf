//! What goes to a function, and what comes back: JSON, because payloads of Lambda have to be, with
//! batches and frames as base64.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
#[cfg(feature = "lambda-serve")]
use samara_core::Depot;
use samara_core::wire::{Frame, Frames};
use samara_core::{Error, ErrorKind, Observer};
use serde::{Deserialize, Serialize};

/// The version of the format.
pub(super) const VERSION: u32 = 1;

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

/// A tenant's ticket, which is not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Ticket(pub(super) String);

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

/// A batch, and where its frames go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Call {
    pub(super) batch: Source,
    /// The URL that parts of the answer are named after, where it cannot go as a whole.
    pub(super) to: Option<String>,
}

/// Where the bytes of a batch are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Source {
    /// Here, as base64.
    Inline(String),
    /// In an object.
    Stored { url: String, range: Range<u64> },
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

/// Tells an observer of frames as they come.
pub(super) struct Told {
    frames: Frames,
    observer: Arc<dyn Observer>,
}

// === impl Event ===

impl Event {
    pub(super) fn new(ask: Ask) -> Self {
        Self { samara: VERSION, ticket: None, ask }
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are JSON")
    }
}

// === impl Ticket ===

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

// === impl Source ===

impl Source {
    pub(super) fn inline(bytes: &[u8]) -> Self {
        Self::Inline(encode(bytes))
    }

    /// The bytes of the batch.
    ///
    /// # Errors
    ///
    /// `Invalid` where they are none; what the store says; `Lost` where the object is gone.
    #[cfg(feature = "lambda-serve")]
    pub(super) async fn bytes(&self, depot: &Arc<dyn Depot>) -> Result<Bytes, Error> {
        match self {
            Self::Inline(text) => decode(text),
            Self::Stored { url, range } => {
                let found = depot.get(url, Some(range.clone())).await?;
                found.ok_or_else(|| {
                    Error::new(ErrorKind::Lost, format!("the batch was removed from {url}"))
                })
            }
        }
    }
}

// === impl Told ===

impl Told {
    pub(super) fn new(observer: Arc<dyn Observer>) -> Self {
        Self { frames: Frames::default(), observer }
    }

    /// Takes bytes that came; says how the batch ended, where they say so.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<Result<(), Error>> {
        self.frames.push(bytes);
        loop {
            match self.frames.next_frame() {
                Ok(Some(Frame::Started)) => self.observer.started(),
                Ok(Some(Frame::Ended(reports))) => self.observer.ended(reports),
                Ok(Some(Frame::Alive)) => {}
                Ok(Some(Frame::Done)) => return Some(Ok(())),
                Ok(Some(Frame::Failed(error))) | Err(error) => return Some(Err(error)),
                Ok(Some(_)) => {
                    let text = "the function sent a frame that is not known";
                    return Some(Err(Error::new(ErrorKind::Lost, text)));
                }
                Ok(None) => return None,
            }
        }
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

pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn decode(text: &str) -> Result<Bytes, Error> {
    STANDARD.decode(text).map(Bytes::from).map_err(|error| {
        Error::new(ErrorKind::Invalid, format!("the payload holds no base64: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Functions and drivers of other versions read these.
    #[test]
    fn events_and_replies_are_written_as_ever() {
        let stored = Source::Stored { url: "s3://b/k".to_owned(), range: 2..5 };
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

    /// Told of a batch.
    #[cfg(feature = "lambda-serve")]
    struct Nobody;

    #[cfg(feature = "lambda-serve")]
    impl Observer for Nobody {
        fn ended(&self, _: samara_core::Reports) {}
    }

    #[cfg(feature = "lambda-serve")]
    #[tokio::test]
    async fn a_batch_that_the_store_does_not_give_for_now_is_to_be_sent_again() {
        let depot: Arc<dyn Depot> = Arc::new(crate::testing::Shelf::away(1));
        let stored = Source::Stored { url: "s3://b/k".to_owned(), range: 0..5 };
        let error = stored.bytes(&depot).await.unwrap_err();
        // As a function says it.
        let frame = crate::push::encoded(&Frame::Failed(error.clone()));
        let told = Told::new(Arc::new(Nobody)).push(&frame);
        assert_eq!(told, Some(Err(error.clone())));
        assert_eq!((error.kind, error.retry), (ErrorKind::Store, samara_core::Retry::Later));
    }
}
