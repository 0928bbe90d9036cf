//! `slurm:` — job arrays of a Slurm cluster: hosts that Slurm starts where it has room, each with an
//! index.
//!
//! Batches that come within a moment become one array. They and the list of them, the manifest, go to
//! the job's store, and so do the answers (`mail/`); what a host does with its index is in `array/`.
//! Slurm is spoken to by its own commands.
//!
//! | file | does |
//! |---|---|
//! | `config.rs` | reads the URL |
//! | `invoke.rs` | hands batches over, and waits for their answers |
//! | `gather.rs` | batches that become one array |
//! | `submit.rs` | writes an array down, and hands it to Slurm |
//! | `watch.rs` | what became of indexes that say nothing |
//! | `states.rs` | what Slurm says of its jobs |
//! | `commands.rs` | Slurm's commands, and what they say |

mod commands;
mod config;
mod gather;
mod invoke;
mod states;
mod submit;
mod watch;

pub(crate) use self::invoke::open;
