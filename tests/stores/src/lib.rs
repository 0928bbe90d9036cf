//! Servers that the stores' tests run against: started by the scripts of `host/store`, each of
//! which stops what it started when its standard input ends, so that nothing outlives a test; and
//! one of our own, for what no server that can be installed does rightly. [`secrets`] listens to what
//! is logged meanwhile.

mod google;
mod proxy;
pub mod secrets;
mod server;
pub mod uploads;

pub use crate::google::Google;
pub use crate::proxy::{Fault, Proxy};
pub use crate::server::{FAST, HAPROXY, LAMBDA_EMULATOR, NATS, SERVERS, SLURM, Server, Spec};
