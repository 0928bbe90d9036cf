//! Every ticket that is refused, and why; keys that come and go.

use samara_core::Gate;
use serde_json::{Value, json};

use super::*;
use crate::testing::{BEGIN, HandClock, Place, claims, part, sign, ticket};
use crate::{KeyPair, Tenants, generate_keys};

fn show(tenants: &Tenants, ticket: &str) -> Result<String, String> {
    match tenants.identify("http", Some(ticket)) {
        Ok(caller) => Ok(caller.tenant().to_owned()),
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::Denied);
            let parts = ticket.split('.').filter(|part| part.len() > 20);
            assert!(!{ parts }.any(|part| error.message.contains(part)), "{error}");
            Err(error.message)
        }
    }
}

/// Refused, for a reason that says `why`.
#[track_caller]
fn refused(tenants: &Tenants, ticket: &str, why: &str) {
    let error = show(tenants, ticket).unwrap_err();
    assert!(error.contains(why), "{why}: {error}");
}

/// Acme's good claims with one of them otherwise; `null` takes it out.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims("acme");
    let all = claims.as_object_mut().unwrap();
    match value {
        Value::Null => drop(all.remove(name)),
        value => drop(all.insert(name.to_owned(), value)),
    }
    claims
}

/// Acme's good claims under another header.
fn headed(place: &Place, header: &Value) -> String {
    sign(header, &claims("acme"), &place.acme.private_pem)
}

#[test]
fn a_good_ticket_is_its_tenants() {
    let place = Place::new();
    let tenants = place.open();
    assert_eq!(show(&tenants, &ticket(&claims("acme"), &place.acme)), Ok("acme".to_owned()));
    assert_eq!(show(&tenants, &ticket(&claims("beta"), &place.beta)), Ok("beta".to_owned()));
    let bare = headed(&place, &json!({ "alg": "EdDSA" }));
    assert_eq!(show(&tenants, &bare), Ok("acme".to_owned()), "no kid, no typ");
    for good in [
        with("aud", json!(["https://other.test", "https://samara.test"])),
        with("iat", Value::Null),
        with("jti", Value::Null),
        with("nbf", json!(BEGIN + 29)),
        with("iat", json!(BEGIN + 29)),
        with("exp", json!(BEGIN - 29)),
        with("exp", json!(BEGIN as f64 + 0.5)),
        with("exp", json!(BEGIN + 24 * 3600)),
        with("iss", json!("somebody")),
        with("samara", json!({})),
        with(
            "samara",
            json!({
                "objects": [{ "url": "s3://acme/job/", "access": "read" }],
                "http": ["https://api.acme.com"],
                "secrets": ["api-key"],
            }),
        ),
    ] {
        assert_eq!(show(&tenants, &ticket(&good, &place.acme)), Ok("acme".to_owned()), "{good}");
    }
}

#[test]
fn who_shows_no_ticket_is_refused() {
    let place = Place::new();
    let error = place.open().identify("http", None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.message.contains("asks for a ticket"));
}

#[test]
fn unsigned_tickets_are_refused() {
    let place = Place::new();
    let tenants = place.open();
    for alg in ["none", "None", "NONE", "nOnE"] {
        let message = format!("{}.{}", part(&json!({ "alg": alg })), part(&claims("acme")));
        refused(&tenants, &format!("{message}."), "tickets are by EdDSA");
        refused(&tenants, &message, "is no JWT");
    }
    let good = ticket(&claims("acme"), &place.acme);
    let (message, _) = good.rsplit_once('.').unwrap();
    refused(&tenants, &format!("{message}."), "not signed with a key of acme's");
}

#[test]
fn the_public_key_is_no_secret_to_sign_with() {
    let place = Place::new();
    let tenants = place.open();
    let raw = jsonwebtoken::DecodingKey::from_ed_pem(place.acme.public_pem.as_bytes()).unwrap();
    let secrets = [place.acme.public_pem.as_bytes(), raw.try_get_as_bytes().unwrap(), b""];
    for (secret, alg) in secrets.into_iter().flat_map(|secret| {
        [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512].map(|alg| (secret, alg))
    }) {
        let mut header = Header::new(alg);
        header.kid = Some(place.acme.kid.clone());
        let key = EncodingKey::from_secret(secret);
        let forged = jsonwebtoken::encode(&header, &claims("acme"), &key).unwrap();
        refused(&tenants, &forged, "tickets are by EdDSA");
        // The same signature, and a header that says what is wanted.
        let message = format!("{}.{}", part(&json!({ "alg": "EdDSA" })), part(&claims("acme")));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, alg).unwrap();
        refused(&tenants, &format!("{message}.{signature}"), "not signed with a key of acme's");
    }
}

#[test]
fn other_algorithms_are_refused_whatever_signed() {
    let place = Place::new();
    let tenants = place.open();
    for alg in ["RS256", "PS256", "ES256", "ES384", "HS256", "Ed448", "EDDSA", "eddsa", "", "A\nB"]
    {
        let header = json!({ "alg": alg, "kid": place.acme.kid });
        refused(&tenants, &headed(&place, &header), "tickets are by EdDSA");
    }
    for header in [json!({}), json!({ "alg": null }), json!({ "alg": ["EdDSA"] }), json!("EdDSA")] {
        refused(&tenants, &headed(&place, &header), "has a header that cannot be read");
    }
}

#[test]
fn headers_with_extensions_are_refused() {
    let place = Place::new();
    let tenants = place.open();
    for crit in [json!(["b64"]), json!(["exp"]), json!([]), json!("x"), Value::Null] {
        let header = json!({ "alg": "EdDSA", "crit": crit, "b64": false });
        refused(&tenants, &headed(&place, &header), "crit");
    }
}

#[test]
fn keys_that_a_ticket_brings_are_not_used() {
    let (place, own) = (Place::new(), generate_keys().unwrap());
    let tenants = place.open();
    let encoding = EncodingKey::from_ed_pem(own.private_pem.as_bytes()).unwrap();
    let jwk = Jwk::from_encoding_key(&encoding, Algorithm::EdDSA).unwrap();
    for header in [
        json!({ "alg": "EdDSA", "jwk": jwk }),
        json!({ "alg": "EdDSA", "jwk": jwk, "kid": place.acme.kid }),
        json!({ "alg": "EdDSA", "jku": "https://evil.test/keys.json" }),
        json!({ "alg": "EdDSA", "x5u": "https://evil.test/cert.pem" }),
        json!({ "alg": "EdDSA", "x5c": ["AAAA"] }),
    ] {
        let forged = sign(&header, &claims("acme"), &own.private_pem);
        refused(&tenants, &forged, "not signed with a key of acme's");
    }
    let header = json!({ "alg": "EdDSA", "jwk": jwk, "kid": own.kid });
    let forged = sign(&header, &claims("acme"), &own.private_pem);
    refused(&tenants, &forged, "none of acme's");
    for kid in ["../../dev/null", "' OR 1=1", "\u{0}", ""] {
        let forged =
            sign(&json!({ "alg": "EdDSA", "kid": kid }), &claims("acme"), &own.private_pem);
        refused(&tenants, &forged, "none of acme's");
    }
}

#[test]
fn a_key_of_another_tenant_is_refused() {
    let place = Place::new();
    let tenants = place.open();
    refused(&tenants, &ticket(&claims("acme"), &place.beta), "none of acme's");
    let header = json!({ "alg": "EdDSA", "kid": place.acme.kid });
    let forged = sign(&header, &claims("acme"), &place.beta.private_pem);
    refused(&tenants, &forged, "not signed with a key of acme's");
    let forged = sign(&json!({ "alg": "EdDSA" }), &claims("acme"), &place.beta.private_pem);
    refused(&tenants, &forged, "not signed with a key of acme's");
}

#[test]
fn what_is_changed_after_it_was_signed_is_refused() {
    let place = Place::new();
    let tenants = place.open();
    let good = ticket(&claims("acme"), &place.acme);
    let parts: Vec<&str> = good.split('.').collect();
    let longer = part(&with("exp", json!(BEGIN + 7200)));
    let changed = format!("{}.{longer}.{}", parts[0], parts[2]);
    refused(&tenants, &changed, "not signed with a key of acme's");
    let header = part(&json!({ "alg": "EdDSA", "kid": place.acme.kid }));
    refused(&tenants, &format!("{header}.{}.{}", parts[1], parts[2]), "not signed");
    let other = ticket(&with("jti", json!("other")), &place.acme);
    let (_, signature) = other.rsplit_once('.').unwrap();
    refused(&tenants, &format!("{}.{}.{signature}", parts[0], parts[1]), "not signed");
}

#[test]
fn claims_that_do_not_fit_are_refused() {
    let place = Place::new();
    let tenants = place.open();
    let day = 24 * 3600;
    for (claims, why) in [
        (with("exp", json!(BEGIN - 30)), "ended at 2027-01-15T07:59:30Z"),
        (with("exp", json!(0)), "ended"),
        (with("exp", Value::Null), "missing field `exp`"),
        (with("exp", json!("soon")), "cannot be read"),
        (with("exp", json!(-1)), "no time"),
        (with("exp", json!(1e300)), "no time"),
        (with("nbf", json!(BEGIN + 31)), "begins at 2027-01-15T08:00:31Z only (nbf)"),
        (with("iat", json!(BEGIN + 31)), "(iat)"),
        (with("iat", json!(u64::MAX)), "(iat)"),
        (with("exp", json!(BEGIN + day + 31)), "longer than 1day"),
        (with("exp", json!(u64::MAX)), "longer than 1day"),
        (with("iat", json!(0)), "longer than 1day"),
        (with("iat", json!(BEGIN - day)), "longer than 1day"),
        (with("aud", json!("https://other.test")), "not for https://samara.test"),
        (with("aud", json!([])), "not for"),
        (with("aud", json!("https://samara.test/")), "not for"),
        (with("aud", Value::Null), "missing field `aud`"),
        (with("aud", json!(7)), "`aud` is neither"),
        (with("sub", json!("nobody")), "`nobody`, no tenant here"),
        (with("sub", json!("")), "no tenant here"),
        (with("sub", json!("ACME")), "no tenant here"),
        (with("sub", Value::Null), "missing field `sub`"),
        (with("sub", json!("x\u{1b}[31m".repeat(1000))), "no tenant here"),
        (json!([]), "has claims that cannot be read"),
    ] {
        refused(&tenants, &ticket(&claims, &place.acme), why);
    }
    let without_begin = |exp: u64| {
        let mut claims = with("exp", json!(exp));
        claims.as_object_mut().unwrap().remove("iat");
        ticket(&claims, &place.acme)
    };
    refused(&tenants, &without_begin(BEGIN + day + 31), "longer than 1day");
    show(&tenants, &without_begin(BEGIN + day)).unwrap();
}

#[test]
fn tickets_that_are_wider_than_their_tenant_are_refused() {
    let place = Place::new();
    let tenants = place.open();
    let object = |url: &str, access: &str| json!({ "objects": [{ "url": url, "access": access }] });
    for (narrower, why) in [
        (object("s3://beta/", "read"), "more than acme may: to read s3://beta/"),
        (object("s3://public/", "read-write"), "to write s3://public/"),
        (object("s3://", "read"), "to read s3://"),
        (object("s3://acme", "read"), "to read s3://acme"),
        (object("s3://acme/../beta/", "read"), "to read"),
        (object("nothing", "read"), "names an object wrongly"),
        (object("s3://acme/", "all"), "`access` should be"),
        (json!({ "http": ["https://acme.com"] }), "https://acme.com"),
        (json!({ "http": ["http://api.acme.com"] }), "http://api.acme.com"),
        (json!({ "http": ["https://api.acme.com private"] }), "private"),
        (json!({ "http": ["nothing"] }), "cannot be read"),
        (json!({ "secrets": ["other"] }), "the secret `other`"),
        (json!({ "precise-clock": true }), "precise clock"),
        (json!({ "precise_clock": false }), "unknown field"),
        (json!({ "object": [] }), "unknown field"),
        (json!([["s3://acme/"]]), "cannot be read"),
    ] {
        refused(&tenants, &ticket(&with("samara", narrower), &place.acme), why);
    }
}

#[test]
fn garbage_is_refused() {
    let place = Place::new();
    let tenants = place.open();
    let good = ticket(&claims("acme"), &place.acme);
    let deep = URL_SAFE_NO_PAD.encode("[".repeat(4_000));
    for (garbage, why) in [
        (String::new(), "is no JWT"),
        ("a".to_owned(), "is no JWT"),
        ("..".to_owned(), "has a header that cannot be read"),
        ("a.b.c".to_owned(), "no base64url"),
        (good.replace('.', "-"), "is no JWT"),
        (format!("{good}.{good}"), "cannot be read"),
        (format!(" {good}"), "cannot be read"),
        (format!("{good}\n"), "not signed"),
        (format!("{good}="), "not signed"),
        (format!("{good}AAAA"), "not signed"),
        (format!("{deep}.{deep}.{deep}"), "cannot be read"),
        (format!("{}.AAAA.AAAA", part(&json!({ "alg": "EdDSA" }))), "claims that cannot be read"),
        ("é".repeat(100), "is no JWT"),
        (format!("{good}{}", "A".repeat(TICKET_BYTES_MAX)), "has over 16384 bytes"),
    ] {
        refused(&tenants, &garbage, why);
    }
    let twice = r#"{"alg":"EdDSA","alg":"none"}"#;
    let (_, rest) = good.split_once('.').unwrap();
    refused(&tenants, &format!("{}.{rest}", URL_SAFE_NO_PAD.encode(twice)), "cannot be read");
}

#[test]
fn no_cut_and_no_changed_byte_makes_a_good_ticket() {
    let place = Place::new();
    let tenants = place.open();
    let good = ticket(&claims("acme"), &place.acme);
    for end in 0..good.len() {
        assert!(show(&tenants, &good[..end]).is_err(), "{end}");
    }
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        assert!(show(&tenants, &String::from_utf8(bytes).unwrap()).is_err(), "{at}");
    }
}

#[test]
fn a_remembered_ticket_ends_when_it_says() {
    let place = Place::new();
    let tenants = place.open();
    let good = ticket(&claims("acme"), &place.acme);
    show(&tenants, &good).unwrap();
    place.clock.advance(Duration::from_secs(3600 + 29));
    show(&tenants, &good).unwrap();
    place.clock.advance(Duration::from_secs(1));
    refused(&tenants, &good, "ended at 2027-01-15T09:00:00Z");
}

#[test]
fn tickets_are_remembered_within_bounds() {
    let tickets = Tickets::default();
    let place = Place::new();
    let source = crate::roster::Source {
        path: place.path("tenants.toml"),
        canonical: Arc::new(crate::testing::canonical),
        clock: Arc::new(HandClock::default()),
    };
    let member = Roster::open(&source).unwrap().member("acme").unwrap();
    let verified = |end: u64| Verified {
        grants: Arc::clone(&member.grants),
        member: Arc::clone(&member),
        name: None,
        end: Duration::from_secs(end),
    };
    let hash = |n: u64| *blake3::hash(&n.to_le_bytes()).as_bytes();
    for n in 0..3 * TICKETS_MAX as u64 {
        tickets.insert(hash(n), &verified(10_000 + n), Duration::ZERO);
    }
    assert_eq!(tickets.len(), TICKETS_MAX);
    assert!(tickets.get(&hash(0)).is_none() && tickets.get(&hash(3 * 1024 - 1)).is_some());
    tickets.insert(hash(u64::MAX), &verified(99_999), Duration::from_secs(50_000));
    assert_eq!(tickets.len(), 1, "what ended goes first");
}

#[test]
fn tickets_that_we_issue_are_good() {
    let place = Place::new();
    let claims: Claims = serde_json::from_value(with(
        "samara",
        json!({
            "objects": [{ "url": "s3://acme/job/", "access": "read-write" }],
        }),
    ))
    .unwrap();
    let issued = issue(&place.acme.private_pem, &claims).unwrap();
    assert_eq!(show(&place.open(), &issued), Ok("acme".to_owned()));
    for wrong in ["", &place.acme.public_pem, "-----BEGIN PRIVATE KEY-----"] {
        assert_eq!(issue(wrong, &claims).unwrap_err().kind, ErrorKind::Invalid);
    }
}

/// A JWKS of these keys, by their names.
fn set(keys: &[(&KeyPair, &str)]) -> String {
    let jwk = |(pair, kid): &(&KeyPair, &str)| {
        let key = EncodingKey::from_ed_pem(pair.private_pem.as_bytes()).unwrap();
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::EdDSA).unwrap();
        jwk.common.key_id = Some((*kid).to_owned());
        jwk
    };
    json!({ "keys": keys.iter().map(jwk).collect::<Vec<Jwk>>() }).to_string()
}

#[test]
fn keys_rotate_without_a_restart() {
    let (place, new) = (Place::new(), generate_keys().unwrap());
    place.write("acme.json", &set(&[(&place.acme, "old")]));
    place.edit("tenants.toml", "acme.pem", "acme.json");
    let tenants = place.open();
    let named = |keys: &KeyPair, kid: &str| {
        sign(&json!({ "alg": "EdDSA", "kid": kid }), &claims("acme"), &keys.private_pem)
    };
    let (by_old, by_new) = (named(&place.acme, "old"), named(&new, "new"));
    show(&tenants, &by_old).unwrap();
    show(&tenants, &ticket(&claims("acme"), &place.acme)).unwrap();
    refused(&tenants, &by_new, "`new`, none of acme's");

    // Both, for as long as old tickets are about.
    place.write("acme.json", &set(&[(&place.acme, "old"), (&new, "new")]));
    refused(&tenants, &by_new, "none of acme's");
    place.clock.advance(Duration::from_secs(5));
    show(&tenants, &by_new).unwrap();
    show(&tenants, &by_old).unwrap();

    // The old one goes, and with it what was remembered.
    place.write("acme.json", &set(&[(&new, "new")]));
    place.clock.advance(Duration::from_secs(5));
    show(&tenants, &by_new).unwrap();
    refused(&tenants, &by_old, "`old`, none of acme's");
}

#[test]
fn a_withdrawn_key_signs_no_more() {
    let place = Place::new();
    let tenants = place.open();
    let good = ticket(&claims("acme"), &place.acme);
    show(&tenants, &good).unwrap();
    let withdrawn = format!("withdrawn = [\"{}\"]\nkeys = [\"acme.pem\"]", place.acme.kid);
    place.edit("tenants.toml", "keys = [\"acme.pem\"]", &withdrawn);
    place.clock.advance(Duration::from_secs(5));
    refused(&tenants, &good, "was withdrawn");
    let bare = headed(&place, &json!({ "alg": "EdDSA" }));
    refused(&tenants, &bare, "was withdrawn");
    refused(&place.open(), &good, "was withdrawn");
}

#[test]
fn broken_files_change_nothing() {
    let place = Place::new();
    let tenants = place.open();
    let good = |claims: &Value| {
        show(&tenants, &ticket(claims, &place.acme)).unwrap();
        show(&tenants, &ticket(&with("sub", json!("beta")), &place.beta)).unwrap();
    };
    let later = || place.clock.advance(Duration::from_secs(5));
    good(&claims("acme"));
    place.write("acme.pem", "-----BEGIN PUB");
    later();
    good(&claims("acme"));
    std::fs::remove_file(place.path("acme.pem")).unwrap();
    later();
    good(&claims("acme"));
    place.write("tenants.toml", "[tenants.acme]\nkeys = [");
    later();
    good(&claims("acme"));
    std::fs::remove_file(place.path("tenants.toml")).unwrap();
    later();
    good(&claims("acme"));

    // What is right again counts again.
    let new = generate_keys().unwrap();
    place.write("acme.pem", &new.public_pem);
    later();
    show(&tenants, &ticket(&claims("acme"), &new)).unwrap();
    refused(&tenants, &ticket(&claims("acme"), &place.acme), "none of acme's");
}

#[test]
fn a_broken_file_of_one_tenant_does_not_hold_up_anothers() {
    let (place, new) = (Place::new(), generate_keys().unwrap());
    let tenants = place.open();
    place.write("acme.pem", "");
    place.write("beta.pem", &new.public_pem);
    place.clock.advance(Duration::from_secs(5));
    show(&tenants, &ticket(&claims("acme"), &place.acme)).unwrap();
    show(&tenants, &ticket(&claims("beta"), &new)).unwrap();
    refused(&tenants, &ticket(&claims("beta"), &place.beta), "none of beta's");
}

#[test]
fn a_tenant_that_is_taken_out_is_refused() {
    let place = Place::new();
    let tenants = place.open();
    show(&tenants, &ticket(&claims("beta"), &place.beta)).unwrap();
    place.edit("tenants.toml", "[tenants.beta]", "[tenants.gamma]");
    place.clock.advance(Duration::from_secs(5));
    refused(&tenants, &ticket(&claims("beta"), &place.beta), "`beta`, no tenant here");
}

#[test]
fn a_tenant_has_a_bounded_number_of_keys() {
    let place = Place::new();
    let keys: Vec<KeyPair> = (0..=KEYS_MAX).map(|_| generate_keys().unwrap()).collect();
    let named: Vec<(&KeyPair, &str)> = keys.iter().map(|keys| (keys, keys.kid.as_str())).collect();
    place.edit("tenants.toml", "acme.pem", "acme.json");
    place.write("acme.json", &set(&named[1..]));
    let tenants = place.open();
    place.write("acme.json", &set(&named));
    assert!(place.try_open().unwrap_err()[0].contains("over 16 keys"));
    place.clock.advance(Duration::from_secs(5));
    let header = json!({ "alg": "EdDSA" });
    show(&tenants, &sign(&header, &claims("acme"), &keys[0].private_pem)).unwrap();
    let last = &keys[KEYS_MAX];
    refused(&tenants, &sign(&header, &claims("acme"), &last.private_pem), "not signed");
    show(&tenants, &ticket(&claims("acme"), last)).unwrap();
}

/// The page's ticket, made by hand: it has to be right as it stands.
#[test]
fn the_guides_example_is_a_ticket() {
    const PAGE: &str = include_str!("../../../../docs/guide/tenants.md");
    let (_, rest) = PAGE.split_once("```json\n").unwrap();
    let claims: Claims = serde_json::from_str(rest.split_once("```").unwrap().0).unwrap();
    let narrower = claims.samara.unwrap();
    assert_eq!(narrower.objects[0].access, Access::ReadWrite);
    assert_eq!(claims.exp - claims.iat.unwrap(), 3600);
}

#[test]
fn all_that_is_wrong_with_files_is_said_at_the_start() {
    let place = Place::new();
    place.write("beta.pem", &place.acme.public_pem);
    place.write("twice.json", &set(&[(&place.acme, "a"), (&place.beta, "a")]));
    place.edit("tenants.toml", "[\"acme.pem\"]", "[\"acme.pem\", \"none.pem\", \"twice.json\"]");
    place.edit("tenants.toml", "\"5m\"", "\"soon\"");
    let faults = place.try_open().unwrap_err();
    for why in [
        "tenants.acme.limits.time is `soon`",
        "none.pem cannot be read",
        "tenants.acme.keys: the key `a` is there twice",
        "is acme's too: each needs its own",
    ] {
        assert!(faults.iter().any(|fault| fault.contains(why)), "{why}: {faults:#?}");
    }
    std::fs::remove_file(place.path("tenants.toml")).unwrap();
    let faults = place.try_open().unwrap_err();
    assert!(faults[0].contains("tenants.toml cannot be read"), "{faults:?}");
}
