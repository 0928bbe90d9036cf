//! Events of AWS Lambda: what a host that is a function answers to each, by each of its doors.
//!
//! Each event has a reply that drivers read; what is no event is refused, and nothing is read or written
//! for who may not have that; answers have an end, and lie below the places that an event names.
//!
//! An input is when the function ends, and the event. In it `TICKET`, `BATCH` and `HASH` stand for a
//! good ticket, a good batch and its hash. Functions that start others ask AWS for that, so of those
//! lists that are longer than one none is tried that would be let in.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use samara_runtimes::host::{Given, Take, Variables, named};
use serde_json::{Value, json};

use super::mail::{
    Asked, BATCH, Door, Mail, Named, OTHERS, OWN, What, check_asked, ended, field, kind,
};
use super::tickets::NOW;
use crate::Target;
use crate::engine::Seen;

/// See the module.
pub const TARGET: Target = Target {
    name: "events",
    seeds,
    words: &[
        "TICKET",
        "BATCH",
        "HASH",
        "\"samara\":1,",
        "\"ticket\":\"TICKET\",",
        "\"ask\":{\"batch\":",
        "\"ask\":{\"queued\":",
        "\"ask\":{\"wave\":[",
        "\"ask\":\"host\"",
        "\"batch\":{\"inline\":\"BATCH\"},",
        "\"stored\":{\"url\":",
        "\"range\":{\"start\":8,\"end\":",
        "\"to\":\"mem://own/data/1/\"",
        "mem://own/data",
        "mem://own/database/",
        "/../",
        "s3://b/",
        "null",
        "18446744073709551615",
    ],
    bytes_max: 4 << 10,
    time_max: Duration::from_secs(10),
    start: || {
        let place = Place::new();
        Box::new(move |input| place.check(input))
    },
};

/// When a function ends that has its time before it, that had it, and of which nothing is known.
const DEADLINES: [u64; 3] = [NOW + 900, NOW, 0];

/// A function, by each of its doors.
struct Place {
    mail: Mail,
    takes: Vec<(Door, Take)>,
}

fn seeds() -> Vec<Vec<u8>> {
    let range = Mail::new("lambda").range();
    let stored = |place: &str, start: u64, end: u64| {
        let range = json!({ "start": start, "end": end });
        json!({ "stored": { "url": format!("{place}{BATCH}"), "range": range, "hash": "HASH" } })
    };
    let inline = json!({ "inline": "BATCH" });
    let call = |batch: &Value, to: &str| json!({ "batch": batch, "to": to });
    let own = format!("{OWN}/jobs/1/calls/1/");
    let good = call(&inline, &own);
    let by_store = call(&stored(OWN, range.start, range.end), &own);
    let event = |ask: Value| {
        let event = json!({ "samara": 1, "ticket": "TICKET", "ask": ask });
        [&[0], event.to_string().as_bytes()].concat()
    };
    let batch = |call: &Value| event(json!({ "batch": call }));
    let queued = |call: &Value| event(json!({ "queued": call }));
    let wave = |calls: &[&Value]| event(json!({ "wave": calls }));
    let unplaced = json!({ "batch": inline, "to": null });
    let foreign = call(&inline, &format!("{OTHERS}/1/"));
    let beside = call(&inline, OWN);
    let mut seeds = vec![
        batch(&good),
        queued(&by_store),
        batch(&by_store),
        queued(&good),
        event("host".into()),
        batch(&unplaced),
        queued(&unplaced),
        batch(&beside),
        queued(&beside),
        batch(&foreign),
        wave(&[&good]),
        wave(&[&good, &by_store]),
        wave(&[&good, &foreign]),
        wave(&[]),
        queued(&call(&stored(OTHERS, range.start, range.end), &own)),
        queued(&call(&stored(OWN, 0, u64::MAX), &own)),
        queued(&call(&stored(OWN, u64::MAX, 0), &own)),
        queued(&call(&stored("s3://b", range.start, range.end), &own)),
        queued(&call(&json!({ "inline": "!" }), &own)),
        queued(&call(&inline, "s3://b/1/")),
        batch(&call(&inline, &format!("{OWN}/../database/1/"))),
    ];
    let mut late = seeds[0].clone();
    late[0] = 1;
    let text = String::from_utf8(seeds[0].clone()).expect("JSON");
    for (from, to) in [
        ("\"samara\":1", "\"samara\":2"),
        ("\"ticket\":\"TICKET\",", ""),
        ("TICKET", "a.b.c"),
        ("\"TICKET\"", "[\"TICKET\"]"),
        ("}", "}}"),
    ] {
        seeds.push(text.replace(from, to).into_bytes());
    }
    // The batch itself, so that it is changed as well.
    seeds.extend([Mail::new("lambda").expand(&seeds[0]), late, b"\0[1,null,\"host\"]".to_vec()]);
    seeds.extend([b"\0{\"version\":\"2.0\"}".to_vec(), b"\0".to_vec()]);
    seeds
}

// === impl Place ===

impl Place {
    fn new() -> Self {
        let mail = Mail::new("lambda");
        let said =
            [("AWS_LAMBDA_FUNCTION_NAME", "fuzz"), ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")];
        let variables: Variables =
            said.map(|(name, said)| (name.to_owned(), said.to_owned())).into();
        let lambda = named("lambda").expect("a row");
        let take =
            |door| lambda.embed(mail.host(door, variables.clone())).expect("it takes events");
        let takes = Door::ALL.map(|door| (door, take(door))).into();
        let place = Self { mail, takes };
        // Else nothing but refusals would be tried.
        for (seed, wanted) in seeds().iter().zip(["\"frames\"", "\"parts\""]) {
            for door in [Door::Tenants, Door::Open] {
                let (said, _) = place.hand(door, DEADLINES[0], &place.mail.expand(&seed[1..]));
                assert!(said.contains(wanted), "{door:?}: {said}");
            }
        }
        place
    }

    /// Hands an event to a function: what it replies, and what it asks of its store.
    fn hand(&self, door: Door, deadline: u64, event: &[u8]) -> (String, Vec<Asked>) {
        let (_, take) = self.takes.iter().find(|(of, _)| *of == door).expect("each is there");
        let given = Given {
            id: "4e0b-fuzz".to_owned(),
            function: "fuzz".to_owned(),
            deadline: Duration::from_secs(deadline),
            payload: event.to_vec(),
        };
        let (said, asked) = self.mail.run(&[], Arc::clone(take)(given));
        (String::from_utf8(said).expect("JSON"), asked)
    }

    fn check(&self, input: &[u8]) -> Seen {
        let Some((late, event)) = input.split_first() else { return Seen::of(()) };
        let deadline = DEADLINES[usize::from(*late) % DEADLINES.len()];
        let event = self.mail.expand(event);
        let value = serde_json::from_slice::<Value>(&event).unwrap_or_default();
        let calls = calls(&value);
        let mut seen = Seen::of(deadline);
        for door in Door::ALL {
            let is_let_in = match door {
                Door::Shut => false,
                Door::Tenants => {
                    field(&value, "ticket", 1) == self.mail.ticket()
                        && calls.iter().all(Named::is_own)
                }
                Door::Open => true,
            };
            if calls.len() > 1 && is_let_in {
                seen = seen.and("it would start functions");
                continue;
            }
            let (said, asked) = self.hand(door, deadline, &event);
            self.mail.check_door(door, &asked);
            self.mail.check_unseen(&event, said.as_bytes(), &asked);
            let reply: Value = serde_json::from_str(&said).expect("a reply is JSON");
            seen = seen.and(check_reply(&reply, &value, &asked));
            assert!(is_let_in || !is_taken(&reply), "it does what it should not: {said}");
            let answers = check_asked(&asked, &calls, None);
            seen = seen.and(answers.into_values().collect::<Vec<_>>());
        }
        seen
    }
}

/// The calls of an event.
fn calls(event: &Value) -> Vec<Named> {
    let ask = field(event, "ask", 2);
    let one = ["batch", "queued"].into_iter().filter_map(|name| ask.get(name));
    let more = ask.get("wave").and_then(Value::as_array).into_iter().flatten();
    one.chain(more).map(Named::of).collect()
}

/// Whether the function did what it was asked.
fn is_taken(reply: &Value) -> bool {
    reply == "parts" || reply.get("frames").is_some() || reply.get("host").is_some()
}

/// Checks a reply against what the event asks, and what the store was asked.
fn check_reply(reply: &Value, event: &Value, asked: &[Asked]) -> Seen {
    let is_put = |asked: &&Asked| matches!(asked.what, What::Put(_, true));
    let text = |name: &str| reply.get(name).and_then(Value::as_str);
    if is_taken(reply) {
        assert_eq!(field(event, "samara", 0), 1, "another version: {reply}");
    } else {
        assert!(asked.is_empty(), "a store is asked for what is refused: {reply}: {asked:?}");
    }
    if reply == "parts" {
        let is_wave = field(event, "ask", 2).get("wave").is_some();
        assert!(is_wave || asked.iter().any(|asked| is_put(&asked)), "there are no parts");
        return Seen::of("parts");
    }
    if let Some(frames) = text("frames") {
        let bytes = STANDARD.decode(frames).expect("base64");
        return ended(&bytes).and("frames");
    }
    if let Some(why) = text("invalid").or_else(|| text("refused")) {
        return kind(why);
    }
    let denied = &reply["denied"];
    assert!(denied["message"].is_string() || text("host").is_some(), "it is no reply: {reply}");
    kind(denied["message"].as_str().unwrap_or("host"))
}
