//! Every setting there is: one table, from which all else follows.
//!
//! A new setting is a row. A name with a point (`retries.attempts`) is a key of a table in files,
//! and `SAMARA_RETRIES_ATTEMPTS` among variables.

use std::sync::Arc;

use samara_core::Limits;

use super::values::{Reading, Written, grants_text, nearest};
use super::{Parsed, units};
use crate::Builder;

/// A setting: its name and what it is.
pub struct Key {
    /// Its name in files: `host-call`.
    pub name: &'static str,
    /// What it sets.
    pub doc: &'static str,
    /// The default, in words.
    pub default: &'static str,
    /// A value as a file would say it.
    pub example: &'static str,
    pub(super) parse: fn(&Written, &mut Reading) -> Option<Parsed>,
}

/// Every setting there is.
pub const KEYS: &[Key] = &[
    Key {
        name: "runtime",
        doc: "where tasks run, a URL",
        default: "local:",
        example: "\"local:4\"",
        parse: |written, reading| {
            let url = reading.text(written, "a URL, such as \"local:\"")?.to_owned();
            reading.fault_in_use = runtime_fault(&url);
            Some(Parsed::new(url.clone(), move |builder| builder.runtime(&url)))
        },
    },
    Key {
        name: "store",
        doc: "where components and large outputs are kept, a URL or path",
        default: "memory of the process",
        example: "\"/data/samara\"",
        parse: |written, reading| {
            let url = reading.place(written)?;
            Some(Parsed::new(url.clone(), move |builder| builder.store(&url)))
        },
    },
    Key {
        name: "slots",
        doc: "tasks that run at the same moment",
        default: "what the runtime allows; one per core for local:",
        example: "4",
        parse: |written, reading| {
            let slots = reading.count(written)?;
            Some(Parsed::new(slots.to_string(), move |builder| builder.slots(slots)))
        },
    },
    Key {
        name: "memory",
        doc: "memory of one task, at most 4GiB",
        default: "1GiB",
        example: "\"512MiB\"",
        parse: |written, reading| {
            let memory_bytes = reading.size(written)?;
            let mut limits = Limits::default();
            limits.memory_bytes = memory_bytes;
            if let Err(error) = limits.check() {
                return reading.fault(&written.origin, error.message);
            }
            Some(limit(memory_bytes, |limits| &mut limits.memory_bytes))
        },
    },
    Key {
        name: "time",
        doc: "time of one task",
        default: "15m",
        example: "\"90s\"",
        parse: |written, reading| {
            let time = reading.time(written)?;
            Some(Parsed::new(units::duration(time), move |mut builder| {
                builder.limits_mut().time = time;
                builder
            }))
        },
    },
    Key {
        name: "output",
        doc: "size of one task's encoded output",
        default: "64MiB",
        example: "\"8MiB\"",
        parse: |written, reading| {
            Some(limit(reading.size(written)?, |limits| &mut limits.output_bytes))
        },
    },
    Key {
        name: "log",
        doc: "size of one task's log; later lines are dropped and counted",
        default: "1MiB",
        example: "\"64KiB\"",
        parse: |written, reading| {
            Some(limit(reading.size(written)?, |limits| &mut limits.log_bytes))
        },
    },
    Key {
        name: "host-call",
        doc: "bytes that one call of a function into the host may pass",
        default: "64MiB",
        example: "\"16MiB\"",
        parse: |written, reading| {
            Some(limit(reading.size(written)?, |limits| &mut limits.host_call_bytes))
        },
    },
    Key {
        name: "grants",
        doc: "what functions may touch: URLs or paths, each with access read or read-write",
        default: "nothing",
        example: "[{ url = \"/data/in\", access = \"read\" }]",
        parse: |written, reading| {
            let grants = reading.grants(written)?;
            Some(Parsed::new(grants_text(&grants), move |builder| {
                grants.iter().fold(builder, |builder, (url, access)| builder.grant(url, *access))
            }))
        },
    },
    Key {
        name: "progress",
        doc: "whether to draw a progress bar",
        default: "where standard error is a terminal",
        example: "false",
        parse: |written, reading| {
            let show = reading.flag(written)?;
            Some(Parsed::new(show.to_string(), move |builder| builder.progress(show)))
        },
    },
    Key {
        name: "cache-dir",
        doc: "where compiled code is kept, a path; \"none\" compiles anew in each process",
        default: "samara/compiled in the user's cache directory",
        example: "\"/var/cache/samara\"",
        parse: |written, reading| {
            let dir = match reading.text(written, "a path, or \"none\"")? {
                NO_CACHE => None,
                _ => Some(reading.path(written)?),
            };
            let text =
                dir.as_ref().map_or_else(|| NO_CACHE.to_owned(), |dir| dir.display().to_string());
            Some(Parsed::new(text, move |builder| builder.cache_dir(dir.clone())))
        },
    },
];

/// The directory that is none.
const NO_CACHE: &str = "none";

// === impl Key ===

impl Key {
    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        let name = self.name.to_uppercase().replace(['-', '.'], "_");
        format!("{}{name}", super::reader::PREFIX)
    }

    /// The setting of this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }
}

/// A key goes by its name.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Key {}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

// === impl Parsed ===

impl Parsed {
    fn new(text: String, apply: impl Fn(Builder) -> Builder + Send + Sync + 'static) -> Self {
        Self { text, apply: Arc::new(apply) }
    }
}

/// A limit that is a size.
fn limit(bytes: u64, field: fn(&mut Limits) -> &mut u64) -> Parsed {
    Parsed::new(units::size(bytes), move |mut builder| {
        *field(builder.limits_mut()) = bytes;
        builder
    })
}

fn runtime_fault(url: &str) -> Option<String> {
    let scheme = url.split_once(':').map_or(url, |(scheme, _)| scheme);
    let schemes = || samara_runtimes::RUNTIMES.iter().map(|row| row.scheme);
    if schemes().any(|known| known == scheme) {
        return None;
    }
    let known: Vec<String> = schemes().map(|scheme| format!("{scheme}:")).collect();
    let hint = match nearest(scheme, schemes()) {
        Some(scheme) => format!("did you mean `{scheme}:`?"),
        None => format!("there are: {}", known.join(", ")),
    };
    Some(format!("no runtime of this build is called `{scheme}:`; {hint}"))
}
