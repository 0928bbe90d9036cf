//! Tickets: JWTs signed with Ed25519 (`EdDSA`), and with nothing else.
//!
//! What a ticket says of itself chooses no algorithm and no key from elsewhere: the header's `alg`
//! must be `EdDSA`, its `kid` only picks among the tenant's own keys, and `jwk`, `jku` and `x5c` are
//! not looked at. The claims `sub` (the tenant), `aud` and `exp` are needed; `samara` makes a ticket
//! narrower than its tenant, and never wider.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use samara_core::{Access, Error, ErrorKind, Grant, Grants, HttpGrant};
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, Serialize};

use crate::keys::Key;
use crate::roster::{KEYS_MAX, Member, Roster};

/// Bytes of a ticket at most: what HTTP servers take as headers, and hundreds of grants.
pub(crate) const TICKET_BYTES_MAX: usize = 16 << 10;

/// How far clocks may be apart.
const LEEWAY: Duration = Duration::from_secs(30);

/// Tickets that are remembered once checked.
const TICKETS_MAX: usize = 1024;

/// What a ticket says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The tenant.
    pub sub: String,
    /// What it is for: the `audience` of the hosts' files. One text, or a list.
    #[serde(deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    /// When it ends, in seconds since the Unix epoch.
    #[serde(deserialize_with = "seconds")]
    pub exp: u64,
    /// When it begins.
    #[serde(default, deserialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// When it was issued.
    #[serde(default, deserialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    pub iat: Option<u64>,
    /// Its name, for the audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// All that it allows, where that is less than the tenant may: what is not named is not allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samara: Option<Narrower>,
}

/// All that a narrower ticket allows, in the words of the tenants' file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Narrower {
    /// Objects. The store of the ticket's jobs has to be among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<NarrowerObject>,
    /// Servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpGrant>,
    /// Names of secrets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Whether clocks are as fine as the machine's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub precise_clock: bool,
}

/// Objects that a narrower ticket allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NarrowerObject {
    /// The URL of an object, or of all below it.
    pub url: String,
    /// What may be done there.
    #[serde(with = "access")]
    pub access: Access,
}

/// A ticket that was found good.
#[derive(Debug, Clone)]
pub(crate) struct Verified {
    pub(crate) member: Arc<Member>,
    /// What it allows.
    pub(crate) grants: Arc<Grants>,
    /// Its name, if it has one.
    pub(crate) name: Option<String>,
    /// When it ends: time since the Unix epoch.
    end: Duration,
}

/// A ticket that was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) whose: Whose,
    pub(crate) why: String,
}

/// Whose ticket it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whose {
    /// A tenant's: one of its keys signed it.
    Tenant(String),
    /// Nobody knows, for this kind of reason.
    Stranger(Kind),
}

/// Why a ticket is no tenant's. Strangers choose what they write, and not how many of these there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// None was shown.
    NoTicket,
    TooLong,
    NoJwt,
    Header,
    Algorithm,
    Claims,
    /// It is of a tenant that is none here.
    Tenant,
    /// It names a key that the tenant has not.
    Key,
    Withdrawn,
    Signature,
}

/// What is wrong with a ticket that is no tenant's. The text goes behind "the ticket".
type Wrong = (Kind, String);

/// Tickets that were found good, by the hash of their text.
#[derive(Debug, Default)]
pub(crate) struct Tickets(Mutex<BTreeMap<[u8; blake3::OUT_LEN], Verified>>);

/// What is looked at of a ticket's header.
#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
}

/// Signs a ticket with a private key in PEM (PKCS #8), as [`generate_keys`](crate::generate_keys)
/// and `openssl genpkey -algorithm ed25519` write it.
///
/// # Errors
///
/// Where the key is no such key.
pub fn issue(private_pem: &str, claims: &Claims) -> Result<String, Error> {
    let wrong = |error| {
        let text = format!("tickets are signed with a private Ed25519 key in PEM: {error}");
        Error::new(ErrorKind::Invalid, text)
    };
    let key = EncodingKey::from_ed_pem(private_pem.as_bytes()).map_err(wrong)?;
    let public = Jwk::from_encoding_key(&key, Algorithm::EdDSA).map_err(wrong)?;
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(public.thumbprint(ThumbprintHash::SHA256).map_err(wrong)?);
    jsonwebtoken::encode(&header, claims, &key).map_err(wrong)
}

/// Finds out whose a ticket is, and what it allows.
pub(crate) fn verify(
    roster: &Roster,
    canonical: &dyn Fn(&str) -> Result<String, String>,
    now: Duration,
    ticket: &str,
) -> Result<Verified, Bad> {
    if ticket.len() > TICKET_BYTES_MAX {
        let why = format!("has over {TICKET_BYTES_MAX} bytes");
        return Err(Bad::strange((Kind::TooLong, why)));
    }
    let hash = *blake3::hash(ticket.as_bytes()).as_bytes();
    if let Some(known) = roster.tickets.get(&hash) {
        let alive = check_end(known.end, now);
        return alive.map(|()| known.clone()).map_err(|why| Bad::of(&known.member, why));
    }
    let (member, claims) = signed(roster, ticket).map_err(Bad::strange)?;
    let verified = check(roster, canonical, now, (Arc::clone(&member), claims));
    let verified = verified.map_err(|why| Bad::of(&member, why))?;
    roster.tickets.insert(hash, &verified, now);
    Ok(verified)
}

/// The tenant whose key signed a ticket, and what the ticket says.
fn signed(roster: &Roster, ticket: &str) -> Result<(Arc<Member>, Claims), Wrong> {
    let parts = ticket.rsplit_once('.').and_then(|(message, signature)| {
        let (head, claims) = message.split_once('.')?;
        Some((message, head, claims, signature))
    });
    let no_jwt = || "is no JWT: three parts in base64url, with dots between".to_owned();
    let (message, head, claims, signature) = parts.ok_or_else(|| (Kind::NoJwt, no_jwt()))?;
    let head: Head =
        decode(head).map_err(|why| (Kind::Header, format!("has a header that {why}")))?;
    if head.alg != "EdDSA" {
        let why = format!("is signed by `{}`; tickets are by EdDSA", shown(&head.alg));
        return Err((Kind::Algorithm, why));
    }
    if head.crit {
        let why = "has a header with `crit`: extensions that this host does not know";
        return Err((Kind::Header, why.to_owned()));
    }
    let claims: Claims =
        decode(claims).map_err(|why| (Kind::Claims, format!("has claims that {why}")))?;
    let member = roster.member(&claims.sub);
    let member = member
        .ok_or_else(|| (Kind::Tenant, format!("is of `{}`, no tenant here", shown(&claims.sub))))?;
    check_signature(&member, head.kid.as_deref(), message, signature)?;
    Ok((member, claims))
}

fn check_signature(
    member: &Member,
    kid: Option<&str>,
    message: &str,
    signature: &str,
) -> Result<(), Wrong> {
    let name = &member.name;
    let is_meant = |key: &&Key| kid.is_none_or(|kid| key.is_called(kid));
    let mut meant = member.keys.iter().filter(is_meant).take(KEYS_MAX).peekable();
    if let (Some(kid), None) = (kid, meant.peek()) {
        let why = format!("is signed with a key `{}`, none of {name}'s", shown(kid));
        return Err((Kind::Key, why));
    }
    match meant.find(|key| key.signed(message, signature)) {
        Some(key) if member.is_withdrawn(key) => {
            let kid = shown(&key.kid);
            Err((
                Kind::Withdrawn,
                format!("is signed with {name}'s key `{kid}`, which was withdrawn"),
            ))
        }
        Some(_) => Ok(()),
        None => Err((Kind::Signature, format!("is not signed with a key of {name}'s"))),
    }
}

/// Checks what a tenant's ticket says.
fn check(
    roster: &Roster,
    canonical: &dyn Fn(&str) -> Result<String, String>,
    now: Duration,
    (member, claims): (Arc<Member>, Claims),
) -> Result<Verified, String> {
    if !claims.aud.contains(&roster.file.audience) {
        return Err(format!("is not for {}", roster.file.audience));
    }
    let end = Duration::from_secs(claims.exp);
    check_end(end, now)?;
    check_times(&claims, roster.file.ticket_time_max, now)?;
    let grants = match &claims.samara {
        None => Arc::clone(&member.grants),
        Some(narrower) => {
            let grants = narrower.grants(canonical)?;
            let wider = |wider| format!("allows more than {} may: {wider}", member.name);
            grants.within(&member.grants).map_err(wider)?;
            Arc::new(grants)
        }
    };
    Ok(Verified { member, grants, name: claims.jti, end })
}

fn check_end(end: Duration, now: Duration) -> Result<(), String> {
    match now < end.saturating_add(LEEWAY) {
        true => Ok(()),
        false => Err(format!("ended at {}: ask for a new one", time(end))),
    }
}

fn check_times(claims: &Claims, time_max: Duration, now: Duration) -> Result<(), String> {
    let soon = now.saturating_add(LEEWAY);
    for (name, begin) in [("nbf", claims.nbf), ("iat", claims.iat)] {
        if let Some(begin) = begin.map(Duration::from_secs).filter(|begin| *begin > soon) {
            return Err(format!("begins at {} only ({name})", time(begin)));
        }
    }
    let begin = claims.iat.or(claims.nbf).map_or(now, Duration::from_secs);
    let longest = begin.saturating_add(time_max).saturating_add(LEEWAY);
    match Duration::from_secs(claims.exp) > longest {
        true => {
            let most = humantime::format_duration(time_max);
            Err(format!("is good for longer than {most}, which is the most here"))
        }
        false => Ok(()),
    }
}

/// A part of a ticket. The error goes behind the part's name.
fn decode<T: DeserializeOwned>(part: &str) -> Result<T, String> {
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| "cannot be read: it is no base64url".to_owned())?;
    serde_json::from_slice(&bytes)
        .map_err(|error| format!("cannot be read: {}", shown(&error.to_string())))
}

/// A stranger's text in a message: without what disturbs terminals and logs, and not long.
pub(crate) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    let mut chars = text.chars();
    let mut shown: String = chars.by_ref().take(CHARS_MAX).flat_map(char::escape_debug).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

fn time(since_epoch: Duration) -> String {
    /// 9999-12-31T23:59:59Z, the last that can be written.
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    let time = std::time::UNIX_EPOCH + since_epoch.min(LAST);
    humantime::format_rfc3339_seconds(time).to_string()
}

// === impl Bad ===

impl Bad {
    fn strange((kind, why): Wrong) -> Self {
        Self { whose: Whose::Stranger(kind), why }
    }

    fn of(member: &Member, why: String) -> Self {
        Self { whose: Whose::Tenant(member.name.clone()), why }
    }
}

// === impl Narrower ===

impl Narrower {
    fn grants(&self, canonical: &dyn Fn(&str) -> Result<String, String>) -> Result<Grants, String> {
        let grant = |object: &NarrowerObject| {
            let prefix = canonical(&object.url)
                .map_err(|why| format!("names an object wrongly: {}", shown(&why)))?;
            Ok(Grant { prefix, access: object.access })
        };
        let objects = self.objects.iter().map(grant).collect::<Result<Vec<Grant>, String>>()?;
        let mut grants = Grants::of(objects);
        grants.http.clone_from(&self.http);
        let secrets = self.secrets.iter();
        grants.secrets = secrets.map(|secret| (secret.clone(), secret.clone())).collect();
        grants.precise_clock = self.precise_clock;
        Ok(grants)
    }
}

// === impl Tickets ===

impl Tickets {
    fn get(&self, hash: &[u8; blake3::OUT_LEN]) -> Option<Verified> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }

    fn insert(&self, hash: [u8; blake3::OUT_LEN], verified: &Verified, now: Duration) {
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() >= TICKETS_MAX {
            tickets.retain(|_, ticket| ticket.end.saturating_add(LEEWAY) > now);
        }
        if tickets.len() >= TICKETS_MAX {
            // The one that ends first is worth least.
            let first = tickets.iter().min_by_key(|(_, ticket)| ticket.end);
            if let Some(first) = first.map(|(hash, _)| *hash) {
                tickets.remove(&first);
            }
        }
        tickets.insert(hash, verified.clone());
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

// Numbers of seconds may have fractions (RFC 7519), which are dropped.

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let wrong = || D::Error::custom(format!("{number} is no time in seconds"));
    match (number.as_u64(), number.as_f64()) {
        (Some(seconds), _) => Ok(seconds),
        (None, Some(seconds)) => {
            let duration = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
            Ok(duration.as_secs())
        }
        (None, None) => Err(wrong()),
    }
}

fn maybe_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    seconds(deserializer).map(Some)
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Said {
        One(String),
        Many(Vec<String>),
    }
    let said = Said::deserialize(deserializer);
    match said.map_err(|_| D::Error::custom("`aud` is neither a text nor a list of texts"))? {
        Said::One(one) => Ok(vec![one]),
        Said::Many(many) => Ok(many),
    }
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// Access in the words of the tenants' file.
mod access {
    use samara_core::Access;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(access: &Access, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match access {
            Access::Read => "read",
            Access::ReadWrite => "read-write",
        })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Access, D::Error> {
        match String::deserialize(from)?.as_str() {
            "read" => Ok(Access::Read),
            "read-write" => Ok(Access::ReadWrite),
            _ => Err(D::Error::custom("`access` should be \"read\" or \"read-write\"")),
        }
    }
}

#[cfg(test)]
mod tests;
