//! Keys of tenants, and the tickets that they sign.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::Place;

/// The claims of a ticket, which is what a host reads of it.
fn claims(ticket: &str) -> Value {
    let parts: Vec<&str> = ticket.trim().split('.').collect();
    assert_eq!(parts.len(), 3, "{ticket}");
    serde_json::from_slice(&base64_url(parts[1])).unwrap()
}

/// Base64 of RFC 4648, section 5, without padding.
fn base64_url(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for c in text.bytes() {
        let digit = DIGITS.iter().position(|digit| *digit == c).unwrap();
        bits = (bits << 6) | u32::try_from(digit).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count).to_le_bytes()[0]);
        }
    }
    bytes
}

#[test]
fn keys_are_made_once_and_the_private_one_is_private() {
    let place = Place::new();
    let said = place.samara(&["ticket", "keys", "acme"]).ok();
    assert!(said.contains("acme.key signs tickets") && said.contains("kid "), "{said}");
    let mode = |name: &str| {
        let metadata = std::fs::metadata(place.path(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode("acme.key"), 0o600);
    let public = std::fs::read_to_string(place.path("acme.pem")).unwrap();
    assert!(public.starts_with("-----BEGIN PUBLIC KEY-----"), "{public}");
    let before = std::fs::read(place.path("acme.key")).unwrap();
    let again = place.samara(&["ticket", "keys", "acme"]);
    assert_eq!(again.code, Some(3), "{again:?}");
    assert!(again.stderr.contains("acme.key"), "{again:?}");
    assert_eq!(std::fs::read(place.path("acme.key")).unwrap(), before);
}

#[test]
fn a_ticket_says_what_was_asked_for() {
    let place = Place::new();
    place.samara(&["ticket", "keys", "acme"]).ok();
    let to = ["ticket", "issue", "--key", "acme.key", "--tenant", "acme", "--audience", "fleet"];
    let whole = claims(&place.samara(&to).ok());
    assert_eq!((&whole["sub"], &whole["samara"]), (&"acme".into(), &Value::Null), "{whole}");
    let time = |claim: &str| whole[claim].as_u64().unwrap();
    assert_eq!(time("exp") - time("iat"), 3600);
    let more = [
        "--expires",
        "10m",
        "--id",
        "nightly",
        "--read",
        "s3://in/",
        "--write",
        "s3://out/",
        "--http",
        "https://api.example.com",
        "--secret",
        "key",
        "--json",
    ];
    let said = place.samara(&[&to[..], &more].concat()).ok();
    let said: Value = serde_json::from_str(&said).unwrap();
    let narrow = claims(said["ticket"].as_str().unwrap());
    assert_eq!((&narrow["jti"], &narrow["exp"]), (&"nightly".into(), &said["expires"]));
    let allowed = &narrow["samara"];
    assert_eq!(allowed["objects"][1]["url"], "s3://out/", "{allowed}");
    assert_eq!(allowed["objects"][1]["access"], "read-write", "{allowed}");
    assert_eq!(allowed["http"][0], "https://api.example.com", "{allowed}");
    assert_eq!(allowed["secrets"][0], "key", "{allowed}");
}

#[test]
fn what_cannot_be_signed_is_named() {
    let place = Place::new();
    place.samara(&["ticket", "keys", "acme"]).ok();
    let issue = |key: &str, more: &[&str]| {
        let to = ["ticket", "issue", "--key", key, "--tenant", "acme", "--audience", "fleet"];
        let ended = place.samara(&[&to[..], more].concat());
        assert_ne!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.stdout, "", "{ended:?}");
        ended.stderr
    };
    assert!(issue("none.key", &[]).contains("none.key"));
    // The public one signs nothing.
    assert!(issue("acme.pem", &[]).contains("acme.pem"));
    assert!(issue("acme.key", &["--expires", "0s"]).contains("0s"));
    assert!(issue("acme.key", &["--http", "example.com"]).contains("https://"));
    assert!(issue("acme.key", &["--write", "jobs/"]).contains("jobs/ is no URL"));
}
