//! Servers that the stores' tests run against: started by the scripts of `host/store`, each of
//! which stops what it started when its standard input ends, so that nothing outlives a test.

mod proxy;
mod server;

pub use crate::proxy::{Fault, Proxy};
pub use crate::server::{FAST, SERVERS, Server, Spec};
