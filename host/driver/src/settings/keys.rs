//! Every setting there is: one table, from which all else follows.
//!
//! A new setting is a row. A name with a point (`retries.attempts`) is a key of a table in files,
//! and `SAMARA_RETRIES_ATTEMPTS` among variables.

use std::path::PathBuf;
use std::sync::Arc;

use samara_core::Limits;

use super::stores::stores_text;
use super::values::{Reading, Written, grants_text, nearest, pairs_text, texts_text};
use super::{Parsed, units};
use crate::dispatch::Policy;
use crate::{Backups, Builder, OnFailure, Retries};

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
        name: "cpu",
        doc: "time of one task on a processor",
        default: "15m",
        example: "\"60s\"",
        parse: |written, reading| {
            let cpu = reading.time(written)?;
            Some(Parsed::new(units::duration(cpu), move |mut builder| {
                builder.limits_mut().cpu = cpu;
                builder
            }))
        },
    },
    Key {
        name: "storage-operations",
        doc: "operations of one task on stores",
        default: "1000000",
        example: "10000",
        parse: |written, reading| {
            let count = reading.count(written)? as u64;
            Some(Parsed::new(count.to_string(), move |mut builder| {
                builder.limits_mut().storage_operations = count;
                builder
            }))
        },
    },
    Key {
        name: "storage-bytes",
        doc: "bytes that one task reads from stores and writes to them",
        default: "1TiB",
        example: "\"10GiB\"",
        parse: |written, reading| {
            Some(limit(reading.size(written)?, |limits| &mut limits.storage_bytes))
        },
    },
    Key {
        name: "http-requests",
        doc: "requests of one task to servers",
        default: "10000",
        example: "100",
        parse: |written, reading| {
            let count = reading.count(written)? as u64;
            Some(Parsed::new(count.to_string(), move |mut builder| {
                builder.limits_mut().http_requests = count;
                builder
            }))
        },
    },
    Key {
        name: "http-bytes",
        doc: "bytes that one task gets from servers and sends to them",
        default: "1TiB",
        example: "\"10GiB\"",
        parse: |written, reading| {
            Some(limit(reading.size(written)?, |limits| &mut limits.http_bytes))
        },
    },
    Key {
        name: "buffers",
        doc: "memory that is held for one task outside of its own: what it writes to objects, until it is stored, and its requests to servers",
        default: "256MiB",
        example: "\"64MiB\"",
        parse: |written, reading| {
            Some(limit(reading.size(written)?, |limits| &mut limits.buffer_bytes))
        },
    },
    Key {
        name: "retries.attempts",
        doc: "attempts of one task in all; 1 means no retries",
        default: "4",
        example: "8",
        parse: |written, reading| {
            let attempts = reading.count(written)?;
            let Ok(attempts) = u32::try_from(attempts) else {
                return reading.fault(&written.origin, "it is over 2^32");
            };
            Some(retries(&attempts, move |retries| retries.attempts(attempts)))
        },
    },
    Key {
        name: "retries.backoff",
        doc: "wait before a task's second attempt; doubles with each further one",
        default: "100ms",
        example: "\"500ms\"",
        parse: |written, reading| {
            let time = reading.time(written)?;
            Some(retries(&units::duration(time), move |retries| retries.backoff(time)))
        },
    },
    Key {
        name: "retries.backoff-max",
        doc: "the longest wait between two attempts",
        default: "30s",
        example: "\"5m\"",
        parse: |written, reading| {
            let time = reading.time(written)?;
            Some(retries(&units::duration(time), move |retries| retries.backoff_max(time)))
        },
    },
    Key {
        name: "retries.jitter",
        doc: "the part of each wait that is random, 0 to 1",
        default: "0.5",
        example: "0.2",
        parse: |written, reading| {
            let part = reading.number(written)?;
            let fault = Retries::default().jitter(part).check();
            reading.sound(written, fault)?;
            Some(retries(&part, move |retries| retries.jitter(part)))
        },
    },
    Key {
        name: "retries.budget",
        doc: "retries of a whole job, as a part of its tasks; ten are always allowed",
        default: "1",
        example: "0.1",
        parse: |written, reading| {
            let part = reading.number(written)?;
            let fault = Retries::default().budget(part).check();
            reading.sound(written, fault)?;
            Some(retries(&part, move |retries| retries.budget(part)))
        },
    },
    Key {
        name: "retries.user-errors",
        doc: "whether errors that functions return are tried again",
        default: "false",
        example: "true",
        parse: |written, reading| {
            let again = reading.flag(written)?;
            Some(retries(&again, move |retries| retries.user_errors(again)))
        },
    },
    Key {
        name: "retries.traps",
        doc: "whether panics and traps are tried again",
        default: "false",
        example: "true",
        parse: |written, reading| {
            let again = reading.flag(written)?;
            Some(retries(&again, move |retries| retries.traps(again)))
        },
    },
    Key {
        name: "retries.time-limits",
        doc: "whether tasks that ran out of time are tried again",
        default: "false",
        example: "true",
        parse: |written, reading| {
            let again = reading.flag(written)?;
            Some(retries(&again, move |retries| retries.time_limits(again)))
        },
    },
    Key {
        name: "retries.memory-max",
        doc: "memory up to which a task that ran out of it is tried again with twice as much",
        default: "none: it is not",
        example: "\"4GiB\"",
        parse: |written, reading| {
            let bytes = reading.size(written)?;
            reading.sound(written, Retries::default().memory_max(bytes).check())?;
            Some(retries(&units::size(bytes), move |retries| retries.memory_max(bytes)))
        },
    },
    Key {
        name: "backups.enabled",
        doc: "whether slow tasks get a second attempt beside the first",
        default: "true",
        example: "false",
        parse: |written, reading| {
            let enabled = reading.flag(written)?;
            Some(policy(&enabled, move |policy| match enabled {
                true => drop(policy.backups.get_or_insert_default()),
                false => policy.backups = None,
            }))
        },
    },
    Key {
        name: "backups.tasks-min",
        doc: "jobs of fewer tasks get no backups",
        default: "10",
        example: "100",
        parse: |written, reading| {
            let tasks = reading.count(written)? as u64;
            Some(backups(&tasks, move |backups| backups.tasks_min(tasks)))
        },
    },
    Key {
        name: "backups.done-min",
        doc: "the part of a job's tasks that must have ended before any gets a backup, 0 to 1",
        default: "0.5",
        example: "0.9",
        parse: |written, reading| {
            let number = reading.number(written)?;
            reading.sound(written, Backups::default().done_min(number).check())?;
            Some(backups(&number, move |backups| backups.done_min(number)))
        },
    },
    Key {
        name: "backups.slower",
        doc: "how many times the median time of the ended tasks one must take to get a backup",
        default: "3",
        example: "5",
        parse: |written, reading| {
            let number = reading.number(written)?;
            reading.sound(written, Backups::default().slower(number).check())?;
            Some(backups(&number, move |backups| backups.slower(number)))
        },
    },
    Key {
        name: "backups.time-min",
        doc: "tasks that have run for less get no backup",
        default: "1s",
        example: "\"10s\"",
        parse: |written, reading| {
            let time = reading.time(written)?;
            Some(backups(&units::duration(time), move |backups| backups.time_min(time)))
        },
    },
    Key {
        name: "on-failure",
        doc: "what becomes of a job when a task fails for good: continue, stop, or tolerate a percentage",
        default: "continue",
        example: "\"tolerate 5%\"",
        parse: |written, reading| {
            let text = reading.text(written, "\"continue\", \"stop\", or \"tolerate 5%\"")?;
            match text.parse::<OnFailure>() {
                Ok(is) => Some(policy(&is, move |policy| policy.on_failure = is)),
                Err(message) => reading.fault(&written.origin, message),
            }
        },
    },
    Key {
        name: "job-time",
        doc: "time of a whole job, after which the tasks that are left fail",
        default: "none",
        example: "\"2h\"",
        parse: |written, reading| {
            let time = reading.time(written)?;
            Some(policy(&units::duration(time), move |policy| policy.time = Some(time)))
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
        name: "http",
        doc: "servers that functions may ask, each a scheme, a host and a port; ` private` behind one allows addresses of private networks",
        default: "none",
        example: "[\"https://api.example.com\", \"http://db.internal:8080 private\"]",
        parse: |written, reading| {
            const WANTED: &str = "a list such as [\"https://api.example.com\"]";
            let origins = reading.texts(written, WANTED)?;
            for origin in &origins {
                let sound = origin.parse::<samara_core::HttpGrant>();
                if let Err(message) = sound {
                    return reading.fault(&written.origin, message);
                }
            }
            Some(Parsed::new(texts_text(&origins), move |builder| {
                origins.iter().fold(builder, |builder, origin| builder.grant_http(origin))
            }))
        },
    },
    Key {
        name: "variables",
        doc: "variables of the environment of functions; they stand in a job's record",
        default: "none",
        example: "{ LANG = \"C\" }",
        parse: |written, reading| {
            let pairs = reading.pairs(written, "a table such as { LANG = \"C\" }")?;
            Some(Parsed::new(pairs_text(&pairs), move |builder| {
                pairs.iter().fold(builder, |builder, (name, value)| builder.variable(name, value))
            }))
        },
    },
    Key {
        name: "secrets",
        doc: "variables of functions whose values are known where they run, each with the secret's name",
        default: "none",
        example: "{ API_KEY = \"partner-api\" }",
        parse: |written, reading| {
            const WANTED: &str = "a table such as { API_KEY = \"partner-api\" }";
            let pairs = reading.pairs(written, WANTED)?;
            Some(Parsed::new(pairs_text(&pairs), move |builder| {
                pairs.iter().fold(builder, |builder, (name, secret)| builder.secret(name, secret))
            }))
        },
    },
    Key {
        name: "secrets-dir",
        doc: "where secrets are for tasks on this machine, a directory with a file for each",
        default: "none",
        example: "\"/run/secrets\"",
        parse: |written, reading| {
            let dir = reading.path(written)?;
            Some(Parsed::new(dir.display().to_string(), move |builder| builder.secrets_dir(&dir)))
        },
    },
    Key {
        name: "precise-clock",
        doc: "whether functions have clocks as fine as the machine's; else they tell milliseconds",
        default: "false",
        example: "true",
        parse: |written, reading| {
            let precise = reading.flag(written)?;
            Some(Parsed::new(precise.to_string(), move |builder| builder.precise_clock(precise)))
        },
    },
    Key {
        name: "stores",
        doc: "how stores are reached, by a URL or by a scheme for all of its stores",
        default: "what the environment says",
        example: "{ \"s3://scratch\" = { endpoint = \"http://127.0.0.1:9000\" } }",
        parse: |written, reading| {
            let stores = reading.stores(written)?;
            Some(Parsed::new(stores_text(&stores), move |builder| {
                stores.iter().fold(builder, |builder, (place, name, value)| {
                    builder.store_setting(place, name, value)
                })
            }))
        },
    },
    Key {
        name: "token",
        doc: "what lets this driver send tasks to hosts that ask for it; better in a variable than \
              in a file",
        default: "none",
        example: "\"0123456789abcdef\"",
        parse: |written, reading| {
            let token = reading.text(written, "a text")?.to_owned();
            Some(Parsed::new("***".to_owned(), move |builder| builder.token(&token)))
        },
    },
    Key {
        name: "door-key",
        doc: "what opens a platform's front door where the runtime's URL says `door=bearer` or \
              `door=azure`; better in a variable than in a file",
        default: "none",
        example: "\"eyJhbGciOi…\"",
        parse: |written, reading| {
            let key = reading.text(written, "a text")?.to_owned();
            Some(Parsed::new("***".to_owned(), move |builder| builder.door_key(&key)))
        },
    },
    Key {
        name: "tls-ca",
        doc: "authorities that may have signed the certificates of https: hosts, beside those that \
              this machine trusts; a file in PEM",
        default: "none",
        example: "\"/etc/samara/ca.pem\"",
        parse: |written, reading| file(written, reading, Builder::tls_ca),
    },
    Key {
        name: "tls-cert",
        doc: "the certificate that is shown to https: hosts that want one, with its chain; a file in \
              PEM",
        default: "none",
        example: "\"/etc/samara/driver.pem\"",
        parse: |written, reading| file(written, reading, Builder::tls_cert),
    },
    Key {
        name: "tls-key",
        doc: "the private key of that certificate; a file in PEM",
        default: "none",
        example: "\"/etc/samara/driver.key\"",
        parse: |written, reading| file(written, reading, Builder::tls_key),
    },
    Key {
        name: "host-program",
        doc: "the program `samara-host`, for runtimes that start hosts on this machine",
        default: "the one beside this program, or in PATH",
        example: "\"/opt/samara/samara-host\"",
        parse: |written, reading| {
            let program = reading.text(written, "a path")?.to_owned();
            Some(Parsed::new(program.clone(), move |builder| builder.host_program(&program)))
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

/// A file that the builder is told of.
fn file(
    written: &Written,
    reading: &mut Reading,
    set: fn(Builder, PathBuf) -> Builder,
) -> Option<Parsed> {
    let file = reading.path(written)?;
    Some(Parsed::new(file.display().to_string(), move |builder| set(builder, file.clone())))
}

/// A limit that is a size.
fn limit(bytes: u64, field: fn(&mut Limits) -> &mut u64) -> Parsed {
    Parsed::new(units::size(bytes), move |mut builder| {
        *field(builder.limits_mut()) = bytes;
        builder
    })
}

fn policy(text: &impl ToString, set: impl Fn(&mut Policy) + Send + Sync + 'static) -> Parsed {
    Parsed::new(text.to_string(), move |mut builder| {
        set(builder.policy_mut());
        builder
    })
}

fn retries(
    text: &impl ToString,
    set: impl Fn(Retries) -> Retries + Send + Sync + 'static,
) -> Parsed {
    policy(text, move |policy| policy.retries = set(policy.retries))
}

/// Where there are to be none, how they would be has no say.
fn backups(
    text: &impl ToString,
    set: impl Fn(Backups) -> Backups + Send + Sync + 'static,
) -> Parsed {
    policy(text, move |policy| policy.backups = policy.backups.map(&set))
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
