//! Work on its way to a worker.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{ComponentId, Grants, JobId, Limits, Payer, Records};

/// Tasks of one job that travel together: tiny tasks share a batch, long ones go alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The job.
    pub job: JobId,
    /// The component that holds the function.
    pub component: ComponentId,
    /// The function's name.
    pub function: String,
    /// URL of the store that holds the component and takes large outputs.
    pub store: String,
    /// What each task may use.
    pub limits: Limits,
    /// What each task may touch.
    pub grants: Grants,
    /// Number of tasks in the whole job; 0 while it is not known, because inputs still come.
    pub task_count: u64,
    /// Whether tasks of this batch may share an instance: quicker, and no longer isolated from each
    /// other.
    pub reuse: bool,
    /// How many jobs this one is inside of: 0 where a driver's program started it, one more than
    /// its parent's where a task did.
    pub depth: u32,
    /// Who it runs for. It does not travel: whoever admits a batch to a host sets it.
    #[serde(skip)]
    pub payer: Payer,
    /// The tasks.
    pub tasks: Vec<Task>,
}

/// One task of a job. It may run more than once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Number within the job, from 0.
    pub index: u64,
    /// Number of this attempt, from 0.
    pub attempt: u32,
    /// The arguments that are values.
    pub arguments: Arguments,
    /// The part of the input, where the function takes one.
    pub partition: Option<Box<Partition>>,
}

/// A task's arguments that are values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arguments {
    /// One CBOR array of all of them.
    Encoded(Bytes),
    /// Each for itself, because some are outputs of other tasks that lie in the store: they go from
    /// store to worker, not through the driver.
    Parts(Vec<Argument>),
}

/// One argument that is a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Argument {
    /// One CBOR data item.
    Inline(Bytes),
    /// The output of a task, under [`layout::output`](crate::layout::output) in the batch's store.
    Stored {
        /// The job of that task.
        job: JobId,
        /// The task's number.
        index: u64,
        /// Size in bytes.
        size: u64,
        /// The hash of its bytes, where the store could not promise to keep the first of several
        /// outputs, so that each is kept under a name of its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Box<str>>,
    },
}

/// A byte range of an object, to be aligned to records by the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// URL of the object.
    pub object: String,
    /// First byte of the range.
    pub offset: u64,
    /// Length of the range in bytes.
    pub length: u64,
    /// Size of the whole object when the job was planned.
    pub object_size: u64,
    /// The object's version when the job was planned; a task never reads another.
    pub etag: String,
    /// How the range is aligned.
    pub records: Records,
}

// === impl Task ===

impl Task {
    /// About how many bytes the task has on its way to a worker.
    pub fn travel_bytes(&self) -> u64 {
        /// Names of fields, numbers, and a partition without its texts.
        const FIXED: usize = 160;
        let arguments = match &self.arguments {
            Arguments::Encoded(bytes) => bytes.len(),
            Arguments::Parts(parts) => parts
                .iter()
                .map(|part| match part {
                    Argument::Inline(bytes) => bytes.len() + FIXED,
                    Argument::Stored { .. } => FIXED * 2,
                })
                .sum(),
        };
        let texts = |partition: &Partition| partition.object.len() + partition.etag.len();
        let partition = self.partition.as_deref().map_or(0, texts);
        (arguments + partition + FIXED) as u64
    }
}

// === impl Arguments ===

impl Default for Arguments {
    /// An empty CBOR array.
    fn default() -> Self {
        Self::Encoded(Bytes::from_static(&[0x80]))
    }
}

impl From<Bytes> for Arguments {
    fn from(encoded: Bytes) -> Self {
        Self::Encoded(encoded)
    }
}

impl From<Vec<u8>> for Arguments {
    fn from(encoded: Vec<u8>) -> Self {
        Self::Encoded(encoded.into())
    }
}

// === impl Partition ===

impl std::fmt::Display for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = self.offset.saturating_add(self.length);
        match self.offset == 0 && end >= self.object_size {
            true => f.write_str(&self.object),
            false => write!(f, "{} bytes {}..{end}", self.object, self.offset),
        }
    }
}
