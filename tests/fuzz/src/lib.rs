//! Whatever reads what others wrote, fed with what nobody would write.
//!
//! A [`Target`] is one thing that reads strangers' bytes: frames, tickets, components. It gets its
//! corpus first, which is stored in `corpus/`, and then changed copies of it for as long as there is
//! time. It must never panic, never take long, never take much memory, and keep what it promises;
//! each target checks its promises by itself.
//!
//! | module | does |
//! |---|---|
//! | `engine` | runs a target: the corpus, changed copies, and what is said where one fails |
//! | `sevens` | what runs tasks where it is not the tasks that are tried |
//! | `targets` | a file for each target |
//!
//! `CONTRIBUTING.md` says how to run one for long, and how to add one.

pub mod engine;
mod sevens;
pub mod targets;

pub use crate::engine::{Settings, Target, run};
