//! Real things that targets begin with: batches and reports as drivers and hosts make them.

use std::time::Duration;

use bytes::Bytes;
use samara_core::wire::Frame;
use samara_core::{
    Access, Argument, Arguments, Batch, ComponentId, CsvOptions, Error, ErrorKind, Exceeded, Grant,
    Grants, JobId, Level, Limits, LogLine, Outcome, Output, Partition, Payer, Records, Report,
    Reports, Shared, Stats, Task, Terminator, Trap, UserError, UserErrorKind,
};

/// A batch with a bit of everything.
pub(super) fn batch() -> Batch {
    let kinds = [
        Records::Lines,
        Records::Csv(CsvOptions::new()),
        Records::Fixed(7),
        Records::Terminated(Terminator::new(b"\n\n").expect("two bytes")),
    ];
    let task = |(index, records): (u64, Records)| Task {
        index,
        attempt: u32::from(index == 1),
        arguments: match index {
            0 => Arguments::default(),
            _ => Arguments::Parts(vec![
                Argument::Inline(Bytes::from_static(&[0x18, 0x2a])),
                Argument::Stored { job: job(), index, size: 9, content: Some("ab".into()) },
            ]),
        },
        partition: Some(Box::new(Partition {
            object: "s3://bucket/data/part-1.csv".to_owned(),
            offset: index * 100,
            length: 100,
            object_size: 1000,
            etag: "\"e\"".to_owned(),
            records,
        })),
    };
    let mut grants = Grants::of(vec![
        Grant { prefix: "s3://bucket/data/".to_owned(), access: Access::Read },
        Grant { prefix: "mem://out/".to_owned(), access: Access::ReadWrite },
    ]);
    grants.http = vec!["https://*.example.com".parse().expect("a server")];
    grants.variables.insert("NAME".to_owned(), "value".to_owned());
    grants.secrets.insert("KEY".to_owned(), "api-key".to_owned());
    Batch {
        job: job(),
        component: ComponentId::of(b"component"),
        function: "count".to_owned(),
        store: "s3://bucket/jobs".to_owned(),
        limits: Limits::default(),
        grants,
        task_count: 4,
        reuse: false,
        depth: 1,
        payer: Payer::default(),
        tasks: (0..).zip(kinds).map(task).collect(),
    }
}

/// Always the same.
pub(super) fn job() -> JobId {
    JobId::new(1_800_000_000_000, 7)
}

/// Frames of all kinds.
pub(super) fn frames() -> Vec<Frame> {
    let report = |outcome| Report {
        index: 1,
        attempt: 0,
        outcome,
        log: vec![LogLine { level: Level::Info, message: "began".to_owned() }],
        log_dropped: 1,
        stats: Stats { wall: Duration::from_millis(7), fuel: Some(9), ..Stats::default() },
    };
    let user = UserError {
        kind: UserErrorKind::Returned,
        message: "no such word".to_owned(),
        causes: vec!["it is empty".to_owned()],
    };
    let trap = Trap {
        message: "index out of bounds".to_owned(),
        location: Some("src/lib.rs:1:2".to_owned()),
        backtrace: vec!["count".to_owned()],
    };
    let limit = Exceeded::Time { limit: Duration::from_secs(1) };
    let outcomes = [
        Outcome::Success(Output::Inline(Bytes::from_static(&[0x18, 0x2a]))),
        Outcome::Success(Output::Stored { size: 1 << 30, content: None }),
        Outcome::Failed(user),
        Outcome::Trapped(trap),
        Outcome::LimitExceeded(limit),
        Outcome::Platform(Error::new(ErrorKind::Store, "the store is full")),
    ];
    let shared = Shared {
        indices: vec![0, 1, 2],
        outputs: Bytes::from_static(&[1, 2, 3]),
        ends: vec![1, 2, 3],
        ..Shared::default()
    };
    vec![
        Frame::Started,
        Frame::Ended(Reports::Each(outcomes.map(report).into())),
        Frame::Alive,
        Frame::Ended(Reports::Shared(Box::new(shared))),
        Frame::Failed(Error::new(ErrorKind::HandedBack, "about to end")),
        Frame::Done,
    ]
}
