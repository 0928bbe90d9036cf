//! What reads strangers' bytes: a file for each target.
//!
//! | target | what reads, and what has to hold beside that nothing panics |
//! |---|---|
//! | `wire` | frames and batches: the same however they are cut, and once more as they were |
//! | `values` | CBOR: what was read is written so that it reads the same |
//! | `urls` | stores', runtimes' and deployments' URLs, grants: no spelling leaves its prefix |
//! | `globs` | patterns over names, against a plain matcher |
//! | `tickets` | tickets: none is good that no key signed, and none allows more than its tenant |
//! | `files` | the tenants' file, files of keys, files of settings, sizes and times |
//! | `records` | where partitions are cut, against a plain splitter: each record once |
//! | `stored` | what drivers read of jobs in stores: manifests, logs, ends, results |
//! | `answers` | a driver's job over what a host answers: each task has one result |
//! | `dialects` | requests and envelopes of platforms, at a host's own door |
//! | `messages` | messages of a queue: seen to, or thrown away with nothing touched |
//! | `manifests` | manifests of arrays: each call is of one worker, and none of another manifest |
//! | `events` | events of AWS Lambda: answered within their places, or refused with nothing touched |
//! | `components` | components: inspected, compiled and run within bounds, or refused |
//! | `cache` | compiled code on disk: used as it was written, or not at all |
//!
//! `samples.rs` and `mail.rs` have what several of them begin with.

pub mod answers;
pub mod cache;
pub mod components;
pub mod dialects;
pub mod events;
pub mod files;
pub mod globs;
mod mail;
pub mod manifests;
pub mod messages;
pub mod records;
mod samples;
pub mod stored;
pub mod tickets;
pub mod urls;
pub mod values;
pub mod wire;

use crate::Target;

/// All of them.
pub const TARGETS: &[Target] = &[
    wire::TARGET,
    values::TARGET,
    urls::TARGET,
    globs::TARGET,
    tickets::TARGET,
    files::TARGET,
    records::TARGET,
    stored::TARGET,
    answers::TARGET,
    dialects::TARGET,
    messages::TARGET,
    manifests::TARGET,
    events::TARGET,
    components::TARGET,
    cache::TARGET,
];
