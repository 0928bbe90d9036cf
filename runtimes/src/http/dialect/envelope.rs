//! What platforms with envelopes of JSON have in common.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value};

use crate::http::handle::{Body, answer};

/// A request's headers: texts, or arrays of texts, by name. What is no header is passed over.
pub(super) fn headers(said: Option<&Value>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, said) in said.and_then(Value::as_object).into_iter().flatten() {
        let Ok(name) = HeaderName::try_from(name) else { continue };
        let one = std::slice::from_ref(said);
        for said in said.as_array().map_or(one, Vec::as_slice) {
            if let Some(Ok(value)) = said.as_str().map(HeaderValue::from_str) {
                headers.append(&name, value);
            }
        }
    }
    headers
}

/// An answer's headers as an object of texts. Lengths are the platform's to say.
pub(super) fn object(headers: &HeaderMap) -> Value {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let pairs = headers.iter().map(|(name, said)| (name.to_string(), text(said).into()));
    Value::Object(pairs.collect::<Map<_, _>>())
}

/// The path of a URL, with or without the part before it.
pub(super) fn path(url: &str) -> String {
    let url = &url[..url.find(['?', '#']).unwrap_or(url.len())];
    match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]).to_owned(),
        None => url.to_owned(),
    }
}

/// Whether a body is text by what its headers say.
pub(super) fn is_text(headers: &HeaderMap) -> bool {
    kind(headers).starts_with("text/")
}

/// The media type of a body, in lower case.
pub(super) fn kind(headers: &HeaderMap) -> String {
    let said = headers.get(CONTENT_TYPE).and_then(|said| said.to_str().ok()).unwrap_or_default();
    said.to_ascii_lowercase()
}

/// An answer of JSON.
pub(super) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    answer(status, "application/json", Bytes::from(value.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn headers_are_read_and_written() {
        let said = json!({ "A": "1", "b": ["2", "3"], "c\n": "4", "d": 5, "e": "\n" });
        let headers = headers(Some(&said));
        let found: Vec<_> =
            headers.iter().map(|(name, said)| (name.as_str(), said.to_str().unwrap())).collect();
        assert_eq!(found, [("a", "1"), ("b", "2"), ("b", "3")]);
        assert_eq!(object(&headers), json!({ "a": "1", "b": "3" }));
    }

    #[test]
    fn paths_are_found_in_urls() {
        for (url, wanted) in [
            ("https://h:1/a/b?c=/d", "/a/b"),
            ("http://h", "/"),
            ("/a#b", "/a"),
            ("a?b://c/d", "a"),
            ("", ""),
        ] {
            assert_eq!(path(url), wanted, "{url}");
        }
    }
}
