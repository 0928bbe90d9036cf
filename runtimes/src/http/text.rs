//! Bodies as text, for platforms that carry no bytes: base64 (RFC 4648), which the header
//! `samara-encoding` tells.
//!
//! A host says of itself that it needs it (`HostInfo::text`); its own answers are read by the header
//! alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;

/// The header that says how a body is to be read.
pub(super) const ENCODING: &str = "samara-encoding";

/// What it says of a body that is base64.
pub(super) const BASE64: &str = "base64";

/// The media type of such a body: what platforms leave as it is.
pub(super) const TEXT_TYPE: &str = "text/plain; charset=utf-8";

/// Characters that stand for whole bytes.
#[cfg(feature = "http")]
const QUANTUM: usize = 4;

/// Reads a body as it comes.
#[cfg(feature = "http")]
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// Characters that do not stand for whole bytes yet.
    rest: Vec<u8>,
}

/// Whether a body is base64.
pub(super) fn is_base64(headers: &HeaderMap) -> bool {
    headers.get(ENCODING).is_some_and(|said| said.as_bytes() == BASE64.as_bytes())
}

pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn decode(text: &[u8]) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| format!("the body is no base64: {error}"))
}

// === impl Decoder ===

#[cfg(feature = "http")]
impl Decoder {
    /// The bytes that are whole.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<Vec<u8>, String> {
        self.rest.extend_from_slice(piece);
        let whole = self.rest.len() / QUANTUM * QUANTUM;
        let bytes = decode(&self.rest[..whole])?;
        self.rest.drain(..whole);
        Ok(bytes)
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_however_it_is_cut() {
        for length in [0, 1, 2, 3, 4, 255] {
            let bytes: Vec<u8> = (0..=255).rev().take(length).collect();
            let text = encode(&bytes);
            for step in [1, 2, 3, 5, 1000] {
                let mut decoder = Decoder::default();
                let pieces = text.as_bytes().chunks(step);
                let read: Vec<u8> = pieces.flat_map(|piece| decoder.push(piece).unwrap()).collect();
                assert_eq!((read, decoder.rest.len()), (bytes.clone(), 0));
            }
        }
    }

    #[test]
    fn what_is_no_base64_is_said_to_be_none() {
        assert!(decode(b"a").is_err());
        assert!(Decoder::default().push(b"AA==AAAA").is_err());
        assert!(Decoder::default().push(b"\xff\xff\xff\xff").is_err());
    }
}
