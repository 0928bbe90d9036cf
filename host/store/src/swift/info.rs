//! What a Swift says of itself by `GET /info`, which needs no token.

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use super::SwiftStore;
use crate::{Result, http};

/// What is there, as far as it is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Info {
    /// Objects in segments, and how many a list may have.
    pub(super) segments: Option<usize>,
    /// Removals of many by one request, and of how many.
    pub(super) removals: Option<usize>,
    /// Signed URLs; not known where nothing is said at all.
    pub(super) signs: Option<Signs>,
}

/// How URLs may be signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Signs {
    /// Nothing where signed URLs are not there.
    pub(super) methods: Vec<String>,
    pub(super) digests: Vec<String>,
}

/// What a list of segments has at most where nothing else is said: Swift's own default.
const SEGMENTS_MAX: usize = 1_000;

/// As that, of removals by one request. Larger requests are not made: each is to end in time.
const REMOVALS_MAX: usize = 1_000;

impl SwiftStore {
    /// What the server can do, which is asked once.
    pub(super) async fn info(&self, location: &str) -> Result<&Info> {
        self.0.info.get_or_try_init(|| self.ask_info(location)).await
    }

    async fn ask_info(&self, location: &str) -> Result<Info> {
        let ask = |client: &Client, storage: &str| {
            client.request(Method::GET, format!("{}/info", root(storage)))
        };
        let response = self.0.account.ask(location, ask).await?;
        match response.status() {
            StatusCode::TOO_MANY_REQUESTS => {}
            status if status.is_client_error() => return Ok(Info::default()),
            _ => {}
        }
        let response = http::check(location, response).await?;
        let bytes = response.bytes().await.map_err(|error| http::unanswered(location, error))?;
        // Who answers something else is not Swift itself, and has said nothing.
        Ok(serde_json::from_slice(&bytes).map_or_else(|_| Info::default(), |said| Info::of(&said)))
    }
}

/// What stands before the version in the URL of an account.
fn root(storage: &str) -> &str {
    let host = storage.find("://").map_or(0, |at| at + 3);
    let path = storage[host..].find('/').map_or(storage.len(), |at| host + at);
    &storage[..storage[path..].find("/v1").map_or(path, |at| path + at)]
}

// === impl Info ===

impl Info {
    fn of(said: &Value) -> Self {
        let number = |service: &str, name: &str, otherwise: usize| {
            let service = said.get(service)?;
            let number = service[name].as_u64().and_then(|number| usize::try_from(number).ok());
            Some(number.unwrap_or(otherwise))
        };
        let texts = |name: &str| -> Vec<String> {
            let list = said["tempurl"][name].as_array().map_or(&[][..], Vec::as_slice);
            list.iter().filter_map(|text| Some(text.as_str()?.to_owned())).collect()
        };
        let signs = Signs { methods: texts("methods"), digests: texts("allowed_digests") };
        Self {
            segments: number("slo", "max_manifest_segments", SEGMENTS_MAX).map(|max| max.max(2)),
            removals: number("bulk_delete", "max_deletes_per_request", REMOVALS_MAX)
                .map(|max| max.clamp(1, REMOVALS_MAX)),
            signs: said.is_object().then_some(signs),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_server_says_of_itself_is_read() {
        let said = json!({
            "swift": { "version": "2.30.1" },
            "slo": { "max_manifest_segments": 12, "min_segment_size": 1 },
            "bulk_delete": { "max_deletes_per_request": 10_000 },
            "tempurl": { "methods": ["GET", "PUT"], "allowed_digests": ["sha256"] },
        });
        let found = Info::of(&said);
        assert_eq!((found.segments, found.removals), (Some(12), Some(REMOVALS_MAX)));
        let signs = found.signs.unwrap();
        assert_eq!((signs.methods.len(), signs.digests), (2, vec!["sha256".to_owned()]));
        let none = Info::of(&json!({ "swift": {} }));
        assert_eq!(none, Info { signs: Some(Signs::default()), ..Info::default() });
        assert_eq!(Info::of(&json!({ "slo": {} })).segments, Some(SEGMENTS_MAX));
        assert_eq!(Info::of(&json!(7)), Info::default());
    }

    #[test]
    fn it_is_asked_for_beside_the_accounts() {
        for (storage, root) in [
            ("http://h:1/v1/AUTH_a", "http://h:1"),
            ("https://h/swift/v1", "https://h/swift"),
            ("https://v1.h/swift/v1/a", "https://v1.h/swift"),
            ("http://h", "http://h"),
        ] {
            assert_eq!(super::root(storage), root);
        }
    }
}
