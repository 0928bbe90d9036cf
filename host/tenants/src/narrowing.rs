//! No narrowing widens: for random grants, what the narrower ones allow, the wider ones do.
//!
//! Made of few names, so that grants often touch: random texts would hardly ever be within each
//! other. Each failure names its seed.

use std::time::Duration;

use samara_core::{Access, Grant, Grants, HttpGrant, Limits};

use crate::testing::Random;

const ROUNDS: u64 = 20_000;

fn grants(random: &mut Random) -> Grants {
    let objects =
        (0..random.below(4)).map(|_| Grant { prefix: url(random), access: access(random) });
    let mut grants = Grants::of(objects.collect());
    grants.http = (0..random.below(3)).map(|_| server(random)).collect();
    for _ in 0..random.below(3) {
        let name = random.one(&["a", "b", "c"]).to_owned();
        grants.secrets.insert(random.one(&["A", "B"]).to_owned(), name);
    }
    grants.precise_clock = random.below(2) == 0;
    grants
}

/// Some of the grants, each as it is or for less.
fn narrowed(random: &mut Random, whole: &Grants) -> Grants {
    let mut grants = whole.clone();
    grants.objects.retain(|_| random.below(3) > 0);
    for grant in &mut grants.objects {
        if random.below(2) == 0 {
            let joint = if grant.prefix.ends_with('/') { "" } else { "/" };
            grant.prefix =
                format!("{}{joint}{}", grant.prefix, random.one(&["a", "a/", "b/c", "/", ".."]));
        }
        if random.below(2) == 0 {
            grant.access = Access::Read;
        }
    }
    grants.http.retain(|_| random.below(3) > 0);
    for server in &mut grants.http {
        if random.below(2) == 0 {
            let text = server.to_string().replace("*.", random.one(&["a.", "b.a.", "*.a.", "*."]));
            *server = text.strip_suffix(" private").unwrap_or(&text).parse().unwrap();
        }
    }
    grants.secrets.retain(|_, _| random.below(2) == 0);
    grants.precise_clock &= random.below(2) == 0;
    grants
}

fn url(random: &mut Random) -> String {
    let mut url = format!("{}://{}", random.one(&["s3", "mem"]), random.one(&["a", "ab", "b"]));
    for _ in 0..random.below(4) {
        url += random.one(&["/", "/a", "/ab", "/b", "/..", "//", "/a/"]);
    }
    url
}

fn access(random: &mut Random) -> Access {
    random.one(&[Access::Read, Access::ReadWrite])
}

fn host(random: &mut Random) -> String {
    random
        .one(&["a.test", "b.a.test", "c.b.a.test", "xa.test", "test.test", "10.0.0.1", "8.8.8.8"])
        .to_owned()
}

fn server(random: &mut Random) -> HttpGrant {
    let host = host(random);
    let star = match host.ends_with("test") && random.below(2) == 0 {
        true => "*.",
        false => "",
    };
    let scheme = random.one(&["https", "http"]);
    let port = random.one(&["", ":80", ":443", ":8080"]);
    let private = random.one(&["", " private"]);
    format!("{scheme}://{star}{host}{port}{private}").parse().unwrap()
}

/// Whether a task with these grants may ask this server, at an address that its name means.
fn may_ask(grants: &Grants, (secure, host, port): (bool, &str, u16), address: &str) -> bool {
    let address = address.parse().unwrap();
    grants
        .http
        .iter()
        .any(|grant| grant.allows(secure, host, port) && grant.allows_address(address))
}

/// All that `narrow` allows of some random things, `whole` does.
fn check(random: &mut Random, (narrow, whole): (&Grants, &Grants), place: &str) -> usize {
    let mut allowed = 0;
    for _ in 0..8 {
        let (mut url, access) = (url(random), access(random));
        // Rarely by chance below what is granted.
        if !narrow.objects.is_empty() && random.below(2) == 0 {
            let grant = &narrow.objects[random.below(narrow.objects.len())];
            url = grant.prefix.clone() + random.one(&["", "/a", "a", "/../b", "/a/b"]);
        }
        if narrow.allow(&url, access) {
            assert!(whole.allow(&url, access), "{place}: {access} {url}: {narrow:?} in {whole:?}");
            allowed += 1;
        }
        let host = host(random);
        // A name may mean any address; an address means itself.
        let address = match host.parse::<std::net::IpAddr>() {
            Ok(_) => host.as_str(),
            Err(_) => random.one(&["8.8.8.8", "10.0.0.1", "169.254.169.254"]),
        };
        let server = (random.below(2) == 0, host.as_str(), random.one(&[80, 443, 8080]));
        if may_ask(narrow, server, address) {
            assert!(
                may_ask(whole, server, address),
                "{place}: {server:?}: {narrow:?} in {whole:?}"
            );
            allowed += 1;
        }
    }
    allowed
}

#[test]
fn what_narrower_grants_allow_the_wider_ones_do() {
    let (mut within, mut allowed) = (0, 0);
    for seed in 0..ROUNDS {
        let random = &mut Random(seed);
        let place = format!("seed {seed}");
        let whole = grants(random);
        let narrow = match random.below(2) {
            0 => narrowed(random, &whole),
            _ => grants(random),
        };
        if narrow.within(&whole).is_ok() {
            within += 1;
            allowed += check(random, (&narrow, &whole), &place);
            assert!(!narrow.precise_clock || whole.precise_clock, "{place}");
            for secret in narrow.secrets.values() {
                assert!(whole.secrets.values().any(|known| known == secret), "{place}");
            }
        }
    }
    // Else nothing was tried.
    assert!(within > 2_000 && allowed > 2_000, "{within} within, {allowed} allowed");
}

#[test]
fn within_is_reflexive_and_transitive() {
    let mut chains = 0;
    for seed in 0..ROUNDS {
        let random = &mut Random(seed);
        let whole = grants(random);
        // A prefix that climbs names nothing, so it is not within itself.
        if !whole.objects.iter().any(|grant| grant.prefix.split('/').any(|part| part == "..")) {
            assert_eq!(whole.within(&whole), Ok(()), "seed {seed}: {whole:?}");
        }
        let narrow = narrowed(random, &whole);
        let narrower = narrowed(random, &narrow);
        if narrow.within(&whole).is_ok() && narrower.within(&narrow).is_ok() {
            chains += 1;
            let text = format!("seed {seed}: {narrower:?} in {narrow:?} in {whole:?}");
            assert_eq!(narrower.within(&whole), Ok(()), "{text}");
        }
    }
    assert!(chains > 2_000, "{chains}");
}

#[test]
fn limits_are_never_raised() {
    let limits = |random: &mut Random| {
        let mut limits = Limits::default();
        for limit in [
            &mut limits.memory_bytes,
            &mut limits.output_bytes,
            &mut limits.log_bytes,
            &mut limits.storage_operations,
            &mut limits.storage_bytes,
            &mut limits.http_requests,
            &mut limits.http_bytes,
            &mut limits.buffer_bytes,
            &mut limits.host_call_bytes,
        ] {
            *limit = random.next() % 8;
        }
        (limits.time, limits.cpu) =
            (Duration::from_secs(random.next() % 8), Duration::from_secs(random.next() % 8));
        limits
    };
    for seed in 0..1_000 {
        let random = &mut Random(seed);
        let (asked, most) = (limits(random), limits(random));
        let given = asked.at_most(&most);
        assert_eq!(given.at_most(&most), given, "seed {seed}");
        assert_eq!(given.at_most(&asked), given, "seed {seed}");
    }
}
