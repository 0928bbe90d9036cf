//! Builds a Rust crate to a component: [`build`], and [`ensure_target`] for what that needs.
//!
//! Used by whatever needs a component made from source: the driver, the `samara` command, build
//! scripts and the repository's own tasks.
//! It runs cargo as a program and knows nothing of what runs components.
//!
//! ```no_run
//! let options = samara_build::Options::from_env();
//! let built = samara_build::build("examples/word-count/function", &options)?;
//! println!("{} ({} bytes)", built.path.display(), built.size);
//! # Ok::<(), samara_build::Error>(())
//! ```
//!
//! In a build script, the component is rebuilt when its sources change:
//!
//! ```no_run
//! let built = samara_build::build("function", &samara_build::Options::from_env())?;
//! for input in &built.inputs {
//!     println!("cargo:rerun-if-changed={}", input.display());
//! }
//! println!("cargo:rustc-env=COMPONENT={}", built.path.display());
//! # Ok::<(), samara_build::Error>(())
//! ```
//!
//! # The target
//!
//! Components are built for [`TARGET`], whose standard library is not part of a Rust toolchain.
//! [`build`] gets it by itself, once, under a lock between processes:
//!
//! 1. it looks whether the rustc in use has it;
//! 2. else it asks rustup, unless `RUSTUP_AUTO_INSTALL=0` says that this machine must not;
//! 3. else it builds it from Debian's packaged Rust source, where apt is at hand.
//!
//! Where none of them works, [`Error::TargetUnavailable`] says what was tried and what to do.
//!
//! # Why a target directory of its own
//!
//! Cargo locks its target directory while it runs. A build script that ran cargo in the directory
//! of the cargo that runs it would wait for it forever, so guests are built in `samara/` under it.

mod apt;
mod cargo_output;
mod debian;
mod environment;
mod error;
mod guest;
mod output;
mod process;
mod std_install;
mod target;
mod toolchain;

pub use environment::Environment;
pub use error::{Attempt, Error, Obstacle, Step};
pub use guest::{Built, Options, build};
pub use output::Output;
pub use target::ensure_target;
pub use toolchain::Toolchain;

/// The target that components are compiled for.
pub const TARGET: &str = "wasm32-wasip2";
