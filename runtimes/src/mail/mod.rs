//! Mail: what every runtime needs whose batches and answers go by way of the job's store.
//!
//! A driver writes batches, and looks for parts of their answers; a host that nobody waits for on a
//! connection runs them, and writes those parts. How a host comes to know of a batch is each
//! runtime's own.
//!
//! | file | does |
//! |---|---|
//! | `call.rs` | a batch, and where its answer goes |
//! | `told.rs` | the driver's side: what the frames of an answer tell |
//! | `inbox.rs` | parts of answers as they come |
//! | `wanted.rs` | waits that end when the batch is cancelled |
//! | `names.rs` | names that nobody else has |
//! | `desk.rs` | the host's side: runs a batch, and passes its frames on |
//! | `outgoing.rs` | frames on their way back |

#![cfg_attr(
    not(all(feature = "lambda-serve", feature = "queue", feature = "slurm")),
    allow(dead_code, unused_imports, reason = "no runtime alone needs all of it")
)]

mod call;
#[cfg(feature = "serve")]
mod desk;
#[cfg(feature = "mail")]
mod inbox;
mod names;
#[cfg(feature = "serve")]
mod outgoing;
#[cfg(feature = "mail")]
mod told;
#[cfg(feature = "mail")]
mod wanted;

#[cfg(feature = "mail")]
pub(crate) use self::call::below;
pub(crate) use self::call::{Call, Source, Ticket, decode, encode, hash_of};
#[cfg(feature = "serve")]
pub(crate) use self::desk::{Begun, Desk, Pace, check_places, pass_on};
#[cfg(feature = "mail")]
pub(crate) use self::inbox::{Inbox, Part, Parts};
pub(crate) use self::names::Names;
#[cfg(feature = "serve")]
pub(crate) use self::outgoing::{Outgoing, PART_BYTES_MAX};
#[cfg(feature = "mail")]
pub(crate) use self::told::{Runs, Told};
#[cfg(feature = "mail")]
pub(crate) use self::wanted::{cancelled, wanted};
