//! `lambda:` — functions of AWS Lambda: hosts that Amazon starts as they are needed.
//!
//! A batch goes as the payload of an invocation, and its frames come back as the answer. What is too
//! large for a payload, or takes too long for a connection, goes by way of the job's store: the
//! driver writes the batch there, or the function its frames, in parts (`mail/`). Where a driver has many
//! batches to start, it starts functions that start others.
//!
//! | file | does |
//! |---|---|
//! | `deploy/` | makes and removes functions |
//! | `config.rs` | reads the URL |
//! | `event.rs` | what goes to a function, and what comes back |
//! | `invoke.rs` | the driver's side: sends batches |
//! | `door.rs` | the way to a function, with patience |
//! | `sending.rs` | one invocation, and what AWS says to it |
//! | `wave.rs` | many batches that are started together |
//! | `serve.rs` | the host's side: takes events |
//! | `finish.rs` | the reply |
//! | `spread.rs` | a function that starts others |

mod config;
#[cfg(feature = "deploy")]
pub(crate) mod deploy;
mod door;
mod event;
#[cfg(feature = "lambda-serve")]
mod finish;
mod invoke;
mod sending;
#[cfg(feature = "lambda-serve")]
mod serve;
#[cfg(feature = "lambda-serve")]
mod spread;
mod wave;

pub(crate) use self::invoke::open;
#[cfg(feature = "lambda-serve")]
pub(crate) use self::serve::PLACE;
