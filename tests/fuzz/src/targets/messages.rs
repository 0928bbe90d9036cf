//! Messages of a queue: what a host that pulls them does with each, by each of its doors.
//!
//! What is no message is thrown away, and nothing of it is told; nothing is read or written for who may
//! not have that; a message that is seen to has one answer, with an end, below the place that it
//! names, and comes to the same when it is written again.
//!
//! An input is how often the message was given out, and the message. In it `TICKET`, `BATCH` and `HASH`
//! stand for a good ticket, a good batch and its hash.

use std::sync::Arc;
use std::time::Duration;

use samara_runtimes::host::{Given, Take, Variables, named};
use serde_json::{Value, json};

use super::mail::{
    Asked, BATCH, CANCELLED, Door, Mail, Named, OTHERS, OWN, What, check_asked, is_cancelled, kind,
};
use crate::Target;
use crate::engine::Seen;

/// See the module.
pub const TARGET: Target = Target {
    name: "messages",
    seeds,
    words: &[
        "TICKET",
        "BATCH",
        "HASH",
        "\"samara\":1,",
        "\"ticket\":\"TICKET\",",
        "\"batch\":{\"inline\":\"BATCH\"},",
        "\"stored\":{\"url\":",
        "\"range\":{\"start\":8,\"end\":",
        "\"hash\":\"HASH\"",
        "\"to\":\"mem://own/data/1/\"",
        "mem://own/data",
        "mem://own/database/",
        "/../",
        "/gone/",
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

/// How often a host gives a message back for which it has no room, or no store.
const GIVEN_MAX: u8 = 8;

/// Digits of a run's name.
const RUN_LENGTH: usize = 16;

/// What a host says of what is no message of ours, but for digits: nothing that stands in it.
const UNREAD: [&str; 4] = [
    "never: it is none of a driver's of Samara",
    "never: it says nowhere to answer to",
    "never: it has  bytes",
    "never: this host speaks version , not ",
];

/// A host of a pool, by each of its doors.
struct Place {
    mail: Mail,
    takes: Vec<(Door, Take)>,
}

fn seeds() -> Vec<Vec<u8>> {
    let stored = |place: &str, start: u64, end: u64, hash: Option<&str>| {
        let url = format!("{place}{BATCH}");
        let mut stored = json!({ "url": url, "range": { "start": start, "end": end } });
        if let Some(hash) = hash {
            stored["hash"] = hash.into();
        }
        json!({ "stored": stored })
    };
    let range = Mail::new("queue").range();
    let good = stored(OWN, range.start, range.end, Some("HASH"));
    let inline = json!({ "inline": "BATCH" });
    let own = format!("{OWN}/jobs/1/calls/1/");
    let message = |given: u8, ticket: Option<&str>, batch: &Value, to: Value| {
        let mut message = json!({ "samara": 1, "batch": batch, "to": to });
        if let Some(ticket) = ticket {
            message["ticket"] = ticket.into();
        }
        [&[given], message.to_string().as_bytes()].concat()
    };
    let ticket = Some("TICKET");
    let of = |batch: &Value| message(0, ticket, batch, own.clone().into());
    let to = |to: Value| message(0, ticket, &inline, to);
    let mut seeds = vec![
        of(&inline),
        of(&good),
        of(&stored(OWN, range.start, range.end, None)),
        of(&stored(OWN, range.start, range.end - 1, Some("HASH"))),
        of(&stored(OWN, 0, u64::MAX, None)),
        of(&stored(OWN, u64::MAX, 0, None)),
        of(&stored(OWN, u64::MAX - 1, u64::MAX, None)),
        of(&stored(OTHERS, range.start, range.end, Some("HASH"))),
        of(&stored("s3://b", range.start, range.end, Some("HASH"))),
        of(&json!({ "inline": "!" })),
        of(&json!({ "inline": "YWJj" })),
        of(&json!({})),
        message(1, None, &inline, own.clone().into()),
        message(0, Some("a.b.c"), &inline, own.clone().into()),
        message(5, ticket, &inline, own.clone().into()),
        message(1, ticket, &inline, format!("{OWN}{CANCELLED}").into()),
        to(OWN.into()),
        to(format!("{OTHERS}/1/").into()),
        to(format!("{OWN}/../database/1/").into()),
        to("s3://b/1/".into()),
        to("file:///nowhere/1/".into()),
        to("/".into()),
        to(Value::Null),
    ];
    let first = String::from_utf8(seeds[0].clone()).expect("JSON");
    for (from, to) in
        [("\"samara\":1", "\"samara\":2"), ("\"samara\":1", "\"samara\":4294967296"), ("}", "}}")]
    {
        seeds.push(first.replace(from, to).into_bytes());
    }
    // The batch itself, so that it is changed as well.
    let whole = Mail::new("queue").expand(&seeds[0]);
    seeds.extend([whole, b"\0".to_vec(), b"\0[1,null]".to_vec(), b"\0no message".to_vec()]);
    seeds
}

// === impl Place ===

impl Place {
    fn new() -> Self {
        let mail = Mail::new("queue");
        let queue = named("queue").expect("a row");
        let take =
            |door| queue.embed(mail.host(door, Variables::new())).expect("it takes messages");
        let takes = Door::ALL.map(|door| (door, take(door))).into();
        let place = Self { mail, takes };
        // Else nothing but refusals would be tried.
        for seed in &seeds()[..2] {
            let message = place.mail.expand(&seed[1..]);
            for door in [Door::Tenants, Door::Open] {
                let (said, asked) = place.hand(door, 1, &message);
                let is_answered = asked.iter().any(|asked| matches!(asked.what, What::Put(..)));
                assert!(said == "done" && is_answered, "{door:?}: {said}");
            }
        }
        place
    }

    /// Hands a message to a host: what it says, and what it asks of its store.
    fn hand(&self, door: Door, times: u8, message: &[u8]) -> (String, Vec<Asked>) {
        let (_, take) = self.takes.iter().find(|(of, _)| *of == door).expect("each is there");
        let given = Given {
            id: times.to_string(),
            function: String::new(),
            deadline: Duration::ZERO,
            payload: message.to_vec(),
        };
        let (said, asked) = self.mail.run(&[], Arc::clone(take)(given));
        (String::from_utf8(said).expect("a text"), asked)
    }

    fn check(&self, input: &[u8]) -> Seen {
        let Some((times, message)) = input.split_first() else { return Seen::of(()) };
        let (times, message) = (1 + times % GIVEN_MAX, self.mail.expand(message));
        let mut seen = Seen::of(times > 1);
        for door in Door::ALL {
            let (said, asked) = self.hand(door, times, &message);
            self.mail.check_door(door, &asked);
            self.mail.check_unseen(&message, said.as_bytes(), &asked);
            let answers = match door {
                Door::Shut => {
                    assert!(said.starts_with("never: "), "who may not come has it seen to: {said}");
                    None
                }
                _ => check_seen_to(times, &message, &said, &asked),
            };
            if door == Door::Open && answers.is_some() {
                self.check_again(times, &message, (&said, &asked));
            }
            seen = seen.and((kind(&said), answers, asked.len()));
        }
        seen
    }

    /// Checks that a message that was seen to comes to the same once more, written in another way.
    fn check_again(&self, times: u8, message: &[u8], (said, asked): (&str, &[Asked])) {
        let value: Value = serde_json::from_slice(message).expect("it was read");
        let again = serde_json::to_vec_pretty(&value).expect("it is JSON");
        let (said_again, asked_again) = self.hand(Door::Open, times, &again);
        assert_eq!(unnamed(said, asked), unnamed(&said_again, &asked_again), "written again");
    }
}

/// What a host says and asks without the names of runs, of which each is another.
fn unnamed(said: &str, asked: &[Asked]) -> (String, Vec<What>) {
    let runs = asked.iter().filter_map(|asked| asked.url.rsplit('/').nth(1));
    let runs = runs.filter(|run| run.len() == RUN_LENGTH);
    let said = runs.fold(said.to_owned(), |said, run| said.replace(run, ""));
    (said, asked.iter().map(|asked| asked.what.clone()).collect())
}

/// Checks what a host did with a message; what it answered, where it saw to it.
fn check_seen_to(times: u8, message: &[u8], said: &str, asked: &[Asked]) -> Option<Vec<Seen>> {
    if UNREAD.contains(&&*said.replace(|c: char| c.is_ascii_digit(), "")) {
        assert!(asked.is_empty(), "a store is asked for what is no message: {asked:?}");
        return None;
    }
    let value: Value = serde_json::from_slice(message).expect("what is no JSON is no message");
    let call = Named::of(&value);
    assert_eq!(value["samara"], 1, "another version: {said}");
    let to = call.to.clone().unwrap_or_default();
    assert!(to.ends_with('/'), "there is nowhere to answer to: {said}");
    let answers = check_asked(asked, &[call], None);
    let answers: Vec<Seen> = answers.into_values().flatten().collect();
    let is_taken = |asked: &&Asked| matches!(asked.what, What::Put(_, true));
    let taken = asked.iter().filter(is_taken).count();
    match said {
        "done" if times > 1 && is_cancelled(&to) => assert!(answers.is_empty(), "it was cancelled"),
        "done" => assert_eq!((answers.len(), taken), (1, 1), "one answer, and the store has it"),
        "back" => assert_eq!(taken, 0, "it is answered, and comes again"),
        _ => assert!(said.starts_with("never: ") && taken == 0, "{said}"),
    }
    Some(answers)
}
