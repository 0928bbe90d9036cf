//! Keys that tickets are signed with: Ed25519, the public halves from PEM and JWKS files.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{SigningKey, VerifyingKey};
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, OctetKeyPairParameters,
    OctetKeyPairType, ThumbprintHash,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use samara_core::{Error, ErrorKind};
use serde::Deserialize;
use serde_json::Value;

/// What stands before the 32 bytes of a private key in PKCS #8 (RFC 8410).
const PRIVATE_DER: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// What stands before the 32 bytes of a public key (RFC 8410).
const PUBLIC_DER: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

/// A new pair of keys.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// What signs tickets; for whoever issues them, and for no host.
    pub private_pem: String,
    /// What hosts check tickets with.
    pub public_pem: String,
    /// The key's name: its thumbprint (RFC 7638).
    pub kid: String,
}

/// A public key.
#[derive(Clone)]
pub(crate) struct Key {
    /// As the JWKS calls it; else the thumbprint.
    pub(crate) kid: String,
    thumbprint: String,
    public: [u8; 32],
    decoding: DecodingKey,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Map<String, Value>>,
}

/// Makes a pair of keys.
///
/// # Errors
///
/// Where the machine has no random numbers.
pub fn generate_keys() -> Result<KeyPair, Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("no random numbers: {error}")))?;
    let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
    let kid =
        thumbprint(&public).map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
    let pem = |label: &str, der: &[u8]| {
        let body = STANDARD.encode(der);
        format!("-----BEGIN {label} KEY-----\n{body}\n-----END {label} KEY-----\n")
    };
    Ok(KeyPair {
        private_pem: pem("PRIVATE", &[&PRIVATE_DER[..], &seed].concat()),
        public_pem: pem("PUBLIC", &[&PUBLIC_DER[..], &public].concat()),
        kid,
    })
}

/// Reads a file of keys: a JWKS where its name ends so, else one key in PEM. The error goes behind
/// the file's name.
pub(crate) fn read(path: &Path, text: &str) -> Result<Vec<Key>, String> {
    match path.extension().is_some_and(|extension| extension == "json") {
        true => read_set(text),
        false => Ok(vec![read_pem(text)?]),
    }
}

fn read_pem(text: &str) -> Result<Key, String> {
    if text.contains("PRIVATE KEY-----") {
        return Err("has a private key: give hosts the public one, and keep that to those who \
                    issue tickets"
            .to_owned());
    }
    if text.matches("-----BEGIN ").count() != 1 || !text.contains("-----BEGIN PUBLIC KEY-----") {
        return Err("should have one public key in PEM, as `openssl pkey -pubout` writes it; \
                    several go into several files, or into a JWKS (.json)"
            .to_owned());
    }
    let key = DecodingKey::from_ed_pem(text.as_bytes());
    let key = key.map_err(|_| "has no Ed25519 key".to_owned())?;
    let bytes = key.try_get_as_bytes().map_err(|error| format!("has no key: {error}"))?;
    Key::new(bytes, None)
}

/// Keys of other kinds, and for other uses, are left out, as RFC 7517 asks.
fn read_set(text: &str) -> Result<Vec<Key>, String> {
    let set: KeySet = serde_json::from_str(text).map_err(|error| format!("is no JWKS: {error}"))?;
    let ours = set.keys.iter().filter(|key| is_ours(key));
    let keys = ours.map(read_jwk).collect::<Result<Vec<Key>, String>>()?;
    match keys.is_empty() && !set.keys.is_empty() {
        true => Err("has no key of kind OKP, curve Ed25519, for signatures".to_owned()),
        false => Ok(keys),
    }
}

fn is_ours(jwk: &serde_json::Map<String, Value>) -> bool {
    let is = |name: &str, values: &[&str], unsaid: bool| match jwk.get(name) {
        None => unsaid,
        Some(said) => said.as_str().is_some_and(|said| values.contains(&said)),
    };
    is("kty", &["OKP"], false)
        && is("crv", &["Ed25519"], false)
        && is("use", &["sig"], true)
        && is("alg", &["EdDSA", "Ed25519"], true)
}

fn read_jwk(jwk: &serde_json::Map<String, Value>) -> Result<Key, String> {
    if jwk.contains_key("d") {
        return Err("has a private key (`d`): give hosts the public part alone".to_owned());
    }
    let kid = match jwk.get("kid") {
        None => None,
        Some(Value::String(kid)) if !kid.is_empty() => Some(kid.clone()),
        Some(_) => return Err("has a `kid` that is no text, or an empty one".to_owned()),
    };
    let x = jwk.get("x").and_then(Value::as_str).and_then(|x| URL_SAFE_NO_PAD.decode(x).ok());
    let x = x.ok_or_else(|| "has a key whose `x` is no base64url".to_owned())?;
    Key::new(&x, kid)
}

/// The key's name by RFC 7638.
fn thumbprint(public: &[u8; 32]) -> jsonwebtoken::errors::Result<String> {
    let algorithm = AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
        key_type: OctetKeyPairType::OctetKeyPair,
        curve: EllipticCurve::Ed25519,
        x: URL_SAFE_NO_PAD.encode(public),
    });
    Jwk { common: CommonParameters::default(), algorithm }.thumbprint(ThumbprintHash::SHA256)
}

// === impl Key ===

impl Key {
    fn new(bytes: &[u8], kid: Option<String>) -> Result<Self, String> {
        let public: [u8; 32] = bytes
            .try_into()
            .map_err(|_| format!("has a key of {} bytes; one of Ed25519 has 32", bytes.len()))?;
        // What a weak key signed, everybody can sign.
        match VerifyingKey::from_bytes(&public) {
            Ok(key) if !key.is_weak() => {}
            _ => return Err("has a key that is no point of Ed25519, or a weak one".to_owned()),
        }
        let thumbprint = thumbprint(&public).map_err(|error| error.to_string())?;
        let kid = kid.unwrap_or_else(|| thumbprint.clone());
        Ok(Self { kid, thumbprint, public, decoding: DecodingKey::from_ed_der(&public) })
    }

    /// Whether a `kid` means this key.
    pub(crate) fn is_called(&self, kid: &str) -> bool {
        self.kid == kid || self.thumbprint == kid
    }

    /// Whether it is the same key, whatever it is called.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.public == other.public
    }

    /// Whether `signature`, in base64url, is this key's of `message`.
    pub(crate) fn signed(&self, message: &str, signature: &str) -> bool {
        let (message, algorithm) = (message.as_bytes(), Algorithm::EdDSA);
        let said = jsonwebtoken::crypto::verify(signature, message, &self.decoding, algorithm);
        said.unwrap_or(false)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.kid).finish()
    }
}

// === impl KeyPair ===

/// Without the private key.
impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("kid", &self.kid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037, appendix A: a key, and its thumbprint.
    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    const THUMBPRINT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

    fn set(text: &str) -> Result<Vec<Key>, String> {
        read(Path::new("a.json"), text)
    }

    #[test]
    fn keys_are_named_by_their_thumbprints() {
        let text = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{X}"}}]}}"#);
        assert_eq!(set(&text).unwrap()[0].kid, THUMBPRINT);
        let pair = generate_keys().unwrap();
        let key = &read(Path::new("a.pem"), &pair.public_pem).unwrap()[0];
        assert!(key.is_called(&pair.kid) && !key.is_called(THUMBPRINT));
        assert!(!format!("{pair:?}").contains(pair.private_pem.lines().nth(1).unwrap()));
    }

    #[test]
    fn a_set_may_have_keys_of_other_kinds_and_none() {
        let text = format!(
            r#"{{"keys":[
                {{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"a"}},
                {{"kty":"OKP","crv":"X25519","x":"{X}","kid":"b"}},
                {{"kty":"OKP","crv":"Ed25519","x":"{X}","kid":"c","use":"enc"}},
                {{"kty":"OKP","crv":"Ed25519","x":"{X}","kid":"d","use":"sig","alg":"EdDSA"}}]}}"#
        );
        let keys = set(&text).unwrap();
        assert_eq!(keys.len(), 1);
        assert!(keys[0].is_called("d") && keys[0].is_called(THUMBPRINT));
        assert!(set(r#"{"keys":[]}"#).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let pair = generate_keys().unwrap();
        let jwk = |rest: &str| format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519",{rest}}}]}}"#);
        let weak = URL_SAFE_NO_PAD.encode([0; 32]);
        for (name, text, why) in [
            ("a.pem", pair.private_pem.clone(), "private"),
            ("a.pem", pair.public_pem.repeat(2), "one public key"),
            ("a.pem", String::new(), "one public key"),
            ("a.pem", pair.public_pem.replace("PUBLIC KEY", "CERTIFICATE"), "one public key"),
            ("a.pem", pair.public_pem.replace("MCow", "XXXX"), "no Ed25519"),
            ("a.json", pair.public_pem.clone(), "no JWKS"),
            ("a.json", r#"{"keys":[{"kty":"RSA"}]}"#.to_owned(), "no key of kind OKP"),
            ("a.json", jwk(&format!(r#""x":"{X}","d":"AAAA""#)), "private"),
            ("a.json", jwk(r#""x":"AAAA""#), "3 bytes"),
            ("a.json", jwk(r#""x":"?""#), "base64url"),
            ("a.json", jwk(r#""y":"AAAA""#), "base64url"),
            ("a.json", jwk(&format!(r#""x":"{X}","kid":7"#)), "kid"),
            ("a.json", jwk(&format!(r#""x":"{weak}""#)), "weak"),
        ] {
            let error = read(Path::new(name), &text).unwrap_err();
            assert!(error.contains(why), "{why}: {error}");
        }
    }
}
