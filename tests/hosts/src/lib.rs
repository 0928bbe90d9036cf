//! Platforms that no emulator plays well enough, for the tests of several packages.

pub mod lambda;
pub mod nats;
