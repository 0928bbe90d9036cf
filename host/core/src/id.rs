//! Names: of components, by content; of jobs, sortable by time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// A component's name: the BLAKE3 of its bytes, written `b3:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ComponentId([u8; blake3::OUT_LEN]);

/// A job's name: a ULID, so names sort by the time of submission.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobId(Ulid);

/// Text that is not the name it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct ParseIdError {
    text: String,
    wanted: &'static str,
}

// === impl ComponentId ===

impl ComponentId {
    /// Names a component by its bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The 64 hexadecimal digits without the `b3:`, for file and object names.
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b3:{}", self.hex())
    }
}

impl fmt::Debug for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ComponentId({self})")
    }
}

impl FromStr for ComponentId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        text.strip_prefix("b3:")
            .and_then(|hex| blake3::Hash::from_hex(hex).ok())
            .map(|hash| Self(*hash.as_bytes()))
            .ok_or_else(|| ParseIdError {
                text: text.to_owned(),
                wanted: "a component's name (b3: and 64 hexadecimal digits)",
            })
    }
}

impl TryFrom<String> for ComponentId {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, ParseIdError> {
        text.parse()
    }
}

impl From<ComponentId> for String {
    fn from(id: ComponentId) -> Self {
        id.to_string()
    }
}

// === impl JobId ===

impl JobId {
    /// Names a job by the time of its submission and 80 random bits.
    pub fn new(unix_ms: u64, random: u128) -> Self {
        Self(Ulid::from_parts(unix_ms, random))
    }

    /// This name, or, where `earlier` is of the same millisecond and sorts behind it, the one next
    /// to `earlier`: names that one submitter makes one by one sort in their order ([monotonicity]
    /// in the specification of ULIDs).
    ///
    /// [monotonicity]: https://github.com/ulid/spec#monotonicity
    #[must_use]
    pub fn behind(self, earlier: Self) -> Self {
        if self > earlier || self.0.timestamp_ms() != earlier.0.timestamp_ms() {
            return self;
        }
        // At the end of 80 bits the names of this millisecond are used up: any will do.
        earlier.0.increment().map_or(self, Self)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({self})")
    }
}

impl FromStr for JobId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        Ulid::from_string(text)
            .map(Self)
            .map_err(|_| ParseIdError { text: text.to_owned(), wanted: "a job's id (a ULID)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_named_by_its_content() {
        let id = ComponentId::of(b"");
        let text = "b3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(id.to_string(), text, "BLAKE3 of nothing, from its test vectors");
        assert_eq!(text.parse(), Ok(id));
        assert_ne!(ComponentId::of(b"a"), id);
    }

    #[test]
    fn damaged_names_are_refused_by_name() {
        for text in ["", "b3:", "b3:12", "sha256:00", "af1349"] {
            let error = text.parse::<ComponentId>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}` is not a component's name")), "{error}");
        }
        assert!("not a ulid".parse::<JobId>().is_err());
    }

    #[test]
    fn jobs_sort_by_time() {
        let (early, late) = (JobId::new(1, u128::MAX), JobId::new(2, 0));
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse(), Ok(early));
    }

    #[test]
    fn jobs_of_one_millisecond_sort_in_their_order() {
        let (first, second) = (JobId::new(5, 9), JobId::new(5, 3));
        let behind = second.behind(first);
        assert!(behind > first && behind.0.timestamp_ms() == 5, "{behind:?}");
        assert_eq!(first.behind(second), first, "already behind");
        assert_eq!(JobId::new(6, 0).behind(first), JobId::new(6, 0));
        // A clock that was set back names by the time that it tells.
        assert_eq!(JobId::new(4, 1).behind(first), JobId::new(4, 1));
        let last = JobId::new(5, u128::MAX);
        assert_eq!(second.behind(last), second);
    }
}
