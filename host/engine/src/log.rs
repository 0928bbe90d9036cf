//! What a task logs, kept within its limit.

use std::io::Write;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use samara_core::{Level, LogLine, Secret};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Memory that one kept line costs beside its text.
const LINE_OVERHEAD: u64 = size_of::<LogLine>() as u64;

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// A task's log. Clones share one log.
#[derive(Debug, Clone)]
pub(crate) struct Log(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    lines: Vec<LogLine>,
    dropped: u64,
    bytes_left: u64,
    levels: Levels,
    /// Secrets, which no line shows.
    hidden: Vec<Secret>,
    /// Standard output and error, each up to its next line end.
    unfinished: [Vec<u8>; 2],
}

/// A guest's standard output or standard error as lines of its log.
#[derive(Debug, Clone)]
pub(crate) struct Stdio {
    log: Log,
    source: Source,
}

/// Which of the two streams.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// Standard output: lines of level info.
    Out,
    /// Standard error: lines of level warn.
    Err,
}

/// What becomes of a logged line's level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Levels {
    /// It is kept beside the text.
    Kept,
    /// It stands in the text, as among printed lines.
    Said,
    /// The same, and the line goes to standard error at once.
    Echoed,
}

// === impl Log ===

impl Log {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            lines: Vec::new(),
            dropped: 0,
            bytes_left: bytes_max,
            levels: Levels::Kept,
            hidden: Vec::new(),
            unfinished: Default::default(),
        })))
    }

    /// Keeps secrets out of the lines that follow. One that a guest writes in another form is not
    /// known again.
    pub(crate) fn hide(&self, secrets: Vec<Secret>) {
        self.lock().hidden = secrets;
    }

    /// A text of the guest's that is shown elsewhere, as its lines are.
    pub(crate) fn without_secrets(&self, text: String) -> String {
        without(&self.lock().hidden, text)
    }

    /// Adds a line that the guest logged.
    pub(crate) fn push(&self, level: Level, message: String) {
        let mut inner = self.lock();
        match inner.levels {
            Levels::Kept => inner.push(level, message),
            Levels::Said => inner.push(level, format!("{}: {message}", name(level))),
            Levels::Echoed => {
                let line = format!("{}: {message}\n", name(level));
                let _nobody_reads = std::io::stderr().write_all(line.as_bytes());
            }
        }
    }

    /// Puts levels into the text, for a program's log, which stands among what it prints. With
    /// `echo` lines go to standard error, and are not kept.
    pub(crate) fn say_levels(&self, echo: bool) {
        self.lock().levels = if echo { Levels::Echoed } else { Levels::Said };
    }

    pub(crate) fn stdio(&self, source: Source) -> Stdio {
        Stdio { log: self.clone(), source }
    }

    /// Takes the lines and the number of those that were dropped.
    pub(crate) fn take(&self) -> (Vec<LogLine>, u64) {
        let mut inner = self.lock();
        for source in [Source::Out, Source::Err] {
            inner.end_line(source);
        }
        (std::mem::take(&mut inner.lines), inner.dropped)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

fn without(secrets: &[Secret], text: String) -> String {
    secrets.iter().map(Secret::reveal).filter(|secret| !secret.is_empty()).fold(
        text,
        |text, secret| {
            if text.contains(secret) { text.replace(secret, HIDDEN) } else { text }
        },
    )
}

// === impl Inner ===

impl Inner {
    fn push(&mut self, level: Level, message: String) {
        let message = without(&self.hidden, message);
        let cost = message.len() as u64 + LINE_OVERHEAD;
        match self.bytes_left.checked_sub(cost) {
            Some(left) => {
                self.bytes_left = left;
                self.lines.push(LogLine { level, message });
            }
            None => self.dropped += 1,
        }
    }

    fn write(&mut self, source: Source, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            let line = &mut self.unfinished[source as usize];
            // A line longer than the whole log is dropped in the end; only its length matters.
            if (line.len() as u64) <= self.bytes_left {
                line.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                self.end_line(source);
            }
        }
    }

    fn end_line(&mut self, source: Source) {
        let line = std::mem::take(&mut self.unfinished[source as usize]);
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if !text.is_empty() {
            self.push(source.level(), String::from_utf8_lossy(text).into_owned());
        }
    }
}

// === impl Source ===

impl Source {
    fn level(self) -> Level {
        match self {
            Self::Out => Level::Info,
            Self::Err => Level::Warn,
        }
    }
}

// === impl Stdio ===

impl IsTerminal for Stdio {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stdio {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Stdio {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log.lock().write(self.source, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        // What std writes at once; there is nothing to wait for.
        const WRITE_BYTES_MAX: usize = 64 << 10;
        Ok(WRITE_BYTES_MAX)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stdio {
    async fn ready(&mut self) {}
}

impl tokio::io::AsyncWrite for Stdio {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.log.lock().write(self.source, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(log: &Log) -> (Vec<String>, u64) {
        let (lines, dropped) = log.take();
        (lines.into_iter().map(|line| line.message).collect(), dropped)
    }

    #[test]
    fn pieces_of_a_stream_become_lines() {
        let log = Log::new(1 << 20);
        let mut out = log.stdio(Source::Out);
        for piece in ["a", "b\nc\n", "\n", "d"] {
            out.write(Bytes::from_static(piece.as_bytes())).unwrap();
        }
        assert_eq!(texts(&log), (vec!["ab".to_owned(), "c".to_owned(), "d".to_owned()], 0));
    }

    #[test]
    fn lines_past_the_limit_are_dropped_and_counted() {
        let log = Log::new(2 * (LINE_OVERHEAD + 10));
        for _ in 0..5 {
            log.push(Level::Info, "0123456789".to_owned());
        }
        let (lines, dropped) = texts(&log);
        assert_eq!((lines.len(), dropped), (2, 3));
    }

    #[test]
    fn secrets_are_not_shown() {
        let log = Log::new(1 << 10);
        log.hide(vec!["hush".to_owned().into(), String::new().into()]);
        log.push(Level::Info, "the word is hush, hush".to_owned());
        log.stdio(Source::Out).write(Bytes::from_static(b"hu")).unwrap();
        log.stdio(Source::Out).write(Bytes::from_static(b"sh\n")).unwrap();
        assert_eq!(texts(&log).0, ["the word is ***, ***", "***"]);
    }

    #[test]
    fn a_line_without_an_end_takes_no_more_than_the_limit() {
        let log = Log::new(1 << 10);
        let mut out = log.stdio(Source::Out);
        for _ in 0..1000 {
            out.write(Bytes::from(vec![b'x'; 1000])).unwrap();
        }
        assert!(log.lock().unfinished[0].len() <= 2024);
        assert_eq!(texts(&log), (vec![], 1));
    }
}
