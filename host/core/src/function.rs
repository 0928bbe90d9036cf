//! What is known of a function without calling it.

use serde::{Deserialize, Serialize};

/// What a component says of one of its functions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionInfo {
    /// Its name within the component.
    pub name: String,
    /// Its documentation, may be empty.
    pub doc: String,
    /// Whether it combines values.
    pub reduce: bool,
    /// Its signature as its author wrote it.
    pub signature: String,
    /// Number of arguments that are values.
    pub arity: u32,
    /// Whether it takes the task's partition.
    pub takes_partition: bool,
    /// Whether the same arguments always give the same output.
    pub pure: bool,
}
