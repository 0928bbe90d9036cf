//! Guests under test: one component with a function for all that the engine and the driver must
//! cope with.
//!
//! A function does one thing and returns what it saw; what is right is for the test to say. Where a
//! refusal is an expected end, it is returned as a value ([`Attempt`]), so that a function's own
//! error stays apart from it.

pub mod ends;
pub mod granted;
pub mod input;
pub mod isolation;
pub mod nested;
pub mod objects;
pub mod records;
pub mod reduce;
pub mod reuse;
pub mod sandbox;
pub mod store;
pub mod task;
pub mod values;

use serde::{Deserialize, Serialize};

/// How something went that the host may refuse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attempt<T> {
    /// It was done.
    Did(T),
    /// It was refused.
    Refused {
        /// Name of the error's case.
        case: String,
        /// The error's message.
        text: String,
    },
}

impl<T> From<std::io::Result<T>> for Attempt<T> {
    fn from(result: std::io::Result<T>) -> Self {
        match result {
            Ok(value) => Self::Did(value),
            Err(error) => {
                Self::Refused { case: format!("{:?}", error.kind()), text: error.to_string() }
            }
        }
    }
}

impl<T> From<samara_guest::Result<T>> for Attempt<T> {
    fn from(result: samara_guest::Result<T>) -> Self {
        match result {
            Ok(value) => Self::Did(value),
            Err(error) => Self::Refused { case: String::new(), text: format!("{error:#}") },
        }
    }
}

impl<T> From<samara_guest::storage::Result<T>> for Attempt<T> {
    fn from(result: samara_guest::storage::Result<T>) -> Self {
        match result {
            Ok(value) => Self::Did(value),
            Err(error) => {
                let debug = format!("{error:?}");
                let case = debug.split('(').next().unwrap_or_default().to_owned();
                Self::Refused { case, text: error.to_string() }
            }
        }
    }
}
