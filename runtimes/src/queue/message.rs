//! What goes through the queue: JSON, with a batch as base64 in it or named by its URL.

#[cfg(feature = "serve")]
use samara_core::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

use super::config::Config;
use crate::mail::{Call, Ticket};

/// The version of the format.
const VERSION: u32 = 1;

/// Bytes of a message at most; a longer batch goes by the job's store. Brokers take 1 MiB unless they
/// are told otherwise, but what is in the queue is kept by them, and read whole where it is asked for.
pub(super) const MESSAGE_BYTES_MAX: usize = 128 << 10;

/// The subject on which hosts are asked who is there. It is no message of the queue: who is there
/// answers at once.
pub(super) fn hosts_subject(config: &Config) -> String {
    format!("samara.{}.hosts", config.stream)
}

/// A batch that somebody is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Message {
    /// The version of the format; a message without it is none of ours.
    samara: u32,
    /// Who asks, where the hosts know tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ticket: Option<Ticket>,
    #[serde(flatten)]
    pub(super) call: Call,
}

// === impl Message ===

impl Message {
    pub(super) fn new(ticket: Option<Ticket>, call: Call) -> Self {
        Self { samara: VERSION, ticket, call }
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are JSON")
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// `Invalid` where it is none of ours, or there is nowhere to answer to.
    #[cfg(feature = "serve")]
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Error> {
        let invalid = |text: String| Error::new(ErrorKind::Invalid, text);
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(invalid(format!("it has {} bytes", bytes.len())));
        }
        // What is wrong with it is a stranger's word.
        let message: Self = serde_json::from_slice(bytes)
            .map_err(|_| invalid("it is none of a driver's of Samara".to_owned()))?;
        if message.samara != VERSION {
            let text = format!("this host speaks version {VERSION}, not {}", message.samara);
            return Err(invalid(text));
        }
        match message.call.has_place() {
            true => Ok(message),
            false => Err(invalid("it says nowhere to answer to".to_owned())),
        }
    }
}

#[cfg(all(test, feature = "serve"))]
mod tests {
    use super::*;
    use crate::mail::Source;

    fn message(to: Option<&str>) -> Message {
        let call = Call { batch: Source::inline(b"abc"), to: to.map(str::to_owned) };
        Message::new(Some(Ticket("a.b.c".to_owned())), call)
    }

    /// Hosts and drivers of other versions read these.
    #[test]
    fn messages_are_written_as_ever() {
        let whole = message(Some("s3://b/to/"));
        let text = r#"{"samara":1,"ticket":"a.b.c","batch":{"inline":"YWJj"},"to":"s3://b/to/"}"#;
        assert_eq!(String::from_utf8(whole.to_json()).unwrap(), text);
        assert_eq!(Message::read(text.as_bytes()).unwrap(), whole);
        assert!(!format!("{whole:?}").contains("a.b.c"));
    }

    /// As a host of another kind, or one in between, may write it once more.
    #[test]
    fn messages_that_are_written_again_read_the_same() {
        let hash = format!("b3:{}", "5a".repeat(32));
        for text in [
            r#"{"samara":1,"batch":{"inline":""},"to":"/"}"#.to_owned(),
            r#"{"to":"s/","later":[1],"batch":{"inline":"\u0000!"},"ticket":null,"samara":1}"#
                .to_owned(),
            format!(
                r#"{{"samara":1,"ticket":"","to":"é\n/","batch":{{"stored":{{"url":"","hash":"{hash}",
                "range":{{"end":0,"start":{}}}}}}}}}"#,
                u64::MAX
            ),
            r#"{"samara":1,"batch":{"stored":["s/k",[1,2],null]},"to":"s/"}"#.to_owned(),
        ] {
            let message = Message::read(text.as_bytes()).expect(&text);
            assert_eq!(Message::read(&message.to_json()).unwrap(), message, "{text}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused_and_not_shown() {
        let other = String::from_utf8(message(Some("s/")).to_json()).unwrap();
        for (bytes, wanted) in [
            (b"secret".to_vec(), "none of a driver's"),
            (b"{}".to_vec(), "none of a driver's"),
            (other.replace(":1,", ":2,").into_bytes(), "version 1, not 2"),
            (message(None).to_json(), "nowhere to answer"),
            (message(Some("s")).to_json(), "nowhere to answer"),
            (vec![b' '; MESSAGE_BYTES_MAX + 1], "bytes"),
        ] {
            let error = Message::read(&bytes).unwrap_err();
            assert!(error.message.contains(wanted), "{error}");
            assert!(!error.message.contains("secret"), "{error}");
        }
    }
}
