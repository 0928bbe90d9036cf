//! Batches of real tasks, and what comes back.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use samara_build::{Options, Output};
use samara_core::wire::{self, Frame, Frames};
use samara_core::{
    Arguments, Batch, ComponentId, Error, Grants, JobId, Limits, Outcome, Report, Reports, Task,
    layout,
};

/// The guests under test, built once.
static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(|| {
    let options = Options::from_env().with_output(Output::Quiet);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs");
    samara_build::build(path, &options).expect("builds").path
});

/// A store in a directory of its own, with the component in it.
pub(crate) struct Place(tempfile::TempDir, ComponentId);

/// What came back of a batch.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) reports: Vec<Report>,
    pub(crate) failed: Option<Error>,
    pub(crate) is_done: bool,
}

// === impl Place ===

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let bytes = std::fs::read(&*PROGRAMS).expect("the component");
        let id = ComponentId::of(&bytes);
        let path = directory.path().join(layout::component(&id));
        std::fs::create_dir_all(path.parent().expect("below the store")).expect("a directory");
        std::fs::write(path, bytes).expect("the component");
        Self(directory, id)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.path().to_str().expect("a path of UTF-8")
    }

    /// A batch as it travels: a function of one number, and a number for each task.
    pub(crate) fn batch(&self, function: &str, numbers: &[u64]) -> Vec<u8> {
        batch(self.path(), self.1, (function, numbers))
    }
}

/// Where the component of the guests under test is.
pub(crate) fn path() -> &'static Path {
    &PROGRAMS
}

/// The component of the guests under test.
pub(crate) fn component() -> ComponentId {
    ComponentId::of(&std::fs::read(&*PROGRAMS).expect("the component"))
}

/// The same guests in a component that no host has seen: there is a section more, with this name.
pub(crate) fn component_called(name: &str) -> Vec<u8> {
    let length = |length: usize| u8::try_from(length).ok().filter(|it| *it < 0x80).expect("short");
    let mut bytes = std::fs::read(&*PROGRAMS).expect("the component");
    bytes.extend([0, length(name.len() + 1), length(name.len())]);
    bytes.extend_from_slice(name.as_bytes());
    bytes
}

/// Such a batch of a job whose store is a directory, or has this URL.
pub(crate) fn batch(
    store: &str,
    component: ComponentId,
    (function, numbers): (&str, &[u64]),
) -> Vec<u8> {
    let task = |(index, number): (u64, &u64)| Task {
        index,
        attempt: 0,
        arguments: Arguments::Encoded(
            samara_wit::value::encode(&(number,)).expect("a number").into(),
        ),
        partition: None,
    };
    let batch = Batch {
        job: JobId::new(1, 2),
        component,
        function: function.to_owned(),
        store: if store.contains("://") { store.to_owned() } else { format!("file://{store}") },
        limits: Limits::default(),
        grants: Grants::default(),
        task_count: numbers.len() as u64,
        reuse: false,
        depth: 0,
        payer: Default::default(),
        tasks: (0..).zip(numbers).map(task).collect(),
    };
    wire::encode_batch(&batch).expect("a batch").to_vec()
}

// === impl Done ===

impl Done {
    /// Reads the frames of an answer, of which all must be there.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let (mut frames, mut done) = (Frames::default(), Self::default());
        frames.push(bytes);
        while let Some(frame) = frames.next_frame().expect("a frame") {
            assert!(!done.is_done && done.failed.is_none(), "a frame follows the last one");
            match frame {
                Frame::Ended(Reports::Each(reports)) => done.reports.extend(reports),
                Frame::Done => done.is_done = true,
                Frame::Failed(error) => done.failed = Some(error),
                Frame::Started | Frame::Alive => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(!frames.is_within(), "the answer broke off");
        done
    }

    /// The numbers that tasks returned, by index.
    pub(crate) fn numbers(&self) -> Vec<(u64, u64)> {
        let number = |report: &Report| match &report.outcome {
            Outcome::Success(samara_core::Output::Inline(bytes)) => {
                (report.index, samara_wit::value::decode(bytes).expect("a number"))
            }
            other => panic!("{other:?}"),
        };
        let mut numbers: Vec<_> = self.reports.iter().map(number).collect();
        numbers.sort_unstable();
        numbers
    }
}
