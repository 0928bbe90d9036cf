//! What stands between users and a store far away: patience, restraint, and names for errors.
//!
//! | file | does |
//! |---|---|
//! | `guard.rs` | a [`Store`](crate::Store) around a store, that does all of the following |
//! | `retry.rs` | tries again what may pass, with growing waits, within a budget |
//! | `limiter.rs` | sends fewer requests to a store that asks for fewer |
//! | `body.rs` | cuts a body that stalls or trickles, and goes on where it ended |
//! | `copying.rs` | cuts a copy within a store that does not come on |
//! | `counts.rs` | counts requests |

mod body;
mod copying;
mod counts;
mod guard;
mod limiter;
mod retry;

/// The attribute that tells a conditional write from others', where its answer was lost.
pub(crate) const TICKET: &str = "samara-put";

#[allow(unused_imports, reason = "stores that are features use it")]
pub(crate) use self::copying::comes_on;
pub use self::counts::Counts;
pub use self::guard::Guard;
#[allow(unused_imports, reason = "stores that are features use it")]
pub(crate) use self::guard::UPLOAD_MIN;
pub(crate) use self::limiter::now;
#[allow(unused_imports, reason = "stores that are features use them")]
pub(crate) use self::retry::random;
pub use self::retry::{Patience, Policy, Request};
