//! Signed URLs, version 4: whether a signature is right, whose it is, and whether it still holds.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rsa::RsaPublicKey;
use rsa::pkcs1v15::{Signature, VerifyingKey};
use rsa::sha2::{Digest, Sha256};
use rsa::signature::Verifier;

use super::objects::refusal;
use super::wire::{Answer, Request};

/// The longest that a URL may hold.
const EXPIRES_MAX: u64 = 7 * 24 * 3_600;

/// Who may sign: accounts and their keys.
pub(super) type Signers = BTreeMap<String, RsaPublicKey>;

/// Whether the URL of a request is signed at all.
pub(super) fn is_signed(request: &Request) -> bool {
    request.query.keys().any(|name| name.starts_with("X-Goog-"))
}

/// Refuses a request whose signature is not right.
pub(super) fn check(signers: &Signers, request: &Request) -> Result<(), Answer> {
    let said = |name: &str| {
        let said = request.asked(name).filter(|said| !said.is_empty());
        said.ok_or_else(|| refusal(400, "invalid", &format!("Missing query parameter: {name}")))
    };
    if said("X-Goog-Algorithm")? != "GOOG4-RSA-SHA256" {
        return Err(refusal(400, "invalid", "X-Goog-Algorithm is not known."));
    }
    let (date, expires) = (said("X-Goog-Date")?, said("X-Goog-Expires")?);
    let expires = expires.parse::<u64>().ok().filter(|it| (1..=EXPIRES_MAX).contains(it));
    let (Some(expires), Some(signed_at)) = (expires, moment(date)) else {
        return Err(refusal(400, "invalid", "X-Goog-Date or X-Goog-Expires is not valid."));
    };
    let credential = said("X-Goog-Credential")?;
    let (account, scope) = credential.split_once('/').unwrap_or((credential, ""));
    let headers = said("X-Goog-SignedHeaders")?;
    let is_right = signers.get(account).is_some_and(|key| {
        let text = format!(
            "GOOG4-RSA-SHA256\n{date}\n{scope}\n{}",
            hex(&Sha256::digest(canonical(request, headers)))
        );
        let signature = said("X-Goog-Signature").ok().and_then(unhex);
        let signature = signature.and_then(|it| Signature::try_from(&it[..]).ok());
        let key = VerifyingKey::<Sha256>::new(key.clone());
        signature.is_some_and(|signature| key.verify(text.as_bytes(), &signature).is_ok())
    });
    if !is_right || !scope.starts_with(&date[..8]) || !scope.ends_with("/storage/goog4_request") {
        return Err(refusal(403, "SignatureDoesNotMatch", "Access denied."));
    }
    if now() > signed_at + Duration::from_secs(expires) {
        return Err(refusal(400, "ExpiredToken", "Invalid argument: the URL has expired."));
    }
    Ok(())
}

/// The request as it is signed.
fn canonical(request: &Request, headers: &str) -> String {
    let query = request.query.iter().filter(|(name, _)| *name != "X-Goog-Signature");
    let query: Vec<_> =
        query.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    let values = headers.split(';').fold(String::new(), |values, name| {
        format!("{values}{name}:{}\n", request.header(name).unwrap_or_default())
    });
    let (method, path) = (&request.method, &request.path);
    format!("{method}\n{path}\n{}\n{values}\n{headers}\nUNSIGNED-PAYLOAD", query.join("&"))
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                text.push(char::from(byte));
            }
            // Writing to a string does not fail.
            _ => drop(write!(text, "%{byte:02X}")),
        }
        text
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let byte = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// The moment of `20260131T235959Z`.
fn moment(date: &str) -> Option<SystemTime> {
    if date.len() != 16 || date.get(8..9) != Some("T") || !date.ends_with('Z') {
        return None;
    }
    let number = |from: usize, to: usize| date.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    // Days since March of the year 0, by which leap days come last.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    let days = days.checked_sub(719_469)?;
    Some(UNIX_EPOCH + Duration::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

#[allow(clippy::disallowed_methods, reason = "what is signed holds until a time of the day")]
fn now() -> SystemTime {
    SystemTime::now()
}
