//! `queue:` — hosts that pull batches from a queue: JetStream of NATS, which somebody runs already.
//!
//! The driver puts a message for each batch into a stream. Hosts pull as many as they have slots free,
//! write the answer to the job's store in parts, and acknowledge when its end is written. What a host
//! does not acknowledge, because it died or is cut off, the broker gives to another one. That is all
//! there is to a pool: hosts know of no driver, and drivers of no host.
//!
//! | file | does |
//! |---|---|
//! | `config.rs` | reads the URL |
//! | `login.rs` | what opens the broker |
//! | `message.rs` | what goes through the queue |
//! | `broker.rs` | the connection, the stream and its consumer |
//! | `pool.rs` | the driver's side: what the broker knows of the hosts |
//! | `invoke.rs` | the driver's side: sends batches |
//! | `serve.rs` | the host's side: pulls messages, from the first to the drain |
//! | `hand.rs` | the host's side: one message |
//! | `lines.rs` | the host's side: what is said of messages, in bounds |

mod broker;
mod config;
#[cfg(feature = "serve")]
mod hand;
mod invoke;
#[cfg(feature = "serve")]
mod lines;
mod login;
mod message;
mod pool;
#[cfg(feature = "serve")]
mod serve;

pub(crate) use self::invoke::open;
#[cfg(feature = "serve")]
pub(crate) use self::serve::PLACE;
