//! Runs programs and keeps what they said.

use std::io::{self, BufRead as _, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use crate::Output;

/// How much of what a failed program said goes into an error; the end tells most.
const SAID_BYTES_MAX: usize = 4096;

/// What becomes of a program's standard error, beside being kept.
#[derive(Clone, Copy)]
pub(crate) enum Stderr<'a> {
    /// Nothing more.
    Keep,
    /// Its lines are shown as they come.
    Show(&'a Output),
    /// It is the terminal itself, so that colours and progress bars work; nothing is kept.
    Terminal,
}

/// A program that ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs to the end, with no standard input.
pub(crate) fn run(command: &mut Command, stderr: Stderr<'_>) -> io::Result<Finished> {
    run_on(command, Stdio::null(), stderr)
}

/// Runs two programs, the second on what the first writes. The first is told apart by its place.
pub(crate) fn pipe(from: &mut Command, to: &mut Command) -> io::Result<[Finished; 2]> {
    from.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = from.spawn()?;
    let stream = child.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| child.wait_with_output());
        let second = run_on(to, stream, Stderr::Keep);
        (first.join().unwrap_or_else(|_panic| Err(io::Error::other("reader panicked"))), second)
    });
    let first = first?;
    let stderr = String::from_utf8_lossy(&first.stderr).into_owned();
    Ok([Finished { status: first.status, stdout: String::new(), stderr }, second?])
}

fn run_on(command: &mut Command, stdin: Stdio, stderr: Stderr<'_>) -> io::Result<Finished> {
    command.stdin(stdin).stdout(Stdio::piped());
    command.stderr(match stderr {
        Stderr::Terminal => Stdio::inherit(),
        Stderr::Keep | Stderr::Show(_) => Stdio::piped(),
    });
    let spawned = command.spawn();
    // The command keeps the end of a pipe it was given; while it is open here too, a writer would
    // not learn that its reader is gone.
    command.stdin(Stdio::null());
    let mut child = spawned?;
    let (stdout_pipe, stderr_pipe) = (child.stdout.take(), child.stderr.take());
    // Both pipes are read at once: a program that fills one while we wait on the other would hang.
    let (stdout, said) = thread::scope(|scope| {
        let stdout = scope.spawn(|| read_lines(stdout_pipe, |_line| {}));
        let said = read_lines(stderr_pipe, |line| {
            if let Stderr::Show(output) = stderr {
                output.say(line);
            }
        });
        (stdout.join().unwrap_or_else(|_panic| Err(io::Error::other("reader panicked"))), said)
    });
    let status = child.wait()?;
    Ok(Finished { status, stdout: stdout?, stderr: said? })
}

impl Finished {
    /// The end of what the program said, for an error message.
    pub(crate) fn said(&self) -> String {
        let said = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let said = said.trim_end();
        let mut from = said.len().saturating_sub(SAID_BYTES_MAX);
        while !said.is_char_boundary(from) {
            from += 1;
        }
        said[from..].to_owned()
    }
}

/// Reads a pipe to its end, which need not be UTF-8.
fn read_lines(pipe: Option<impl Read>, mut each: impl FnMut(&str)) -> io::Result<String> {
    let Some(pipe) = pipe else { return Ok(String::new()) };
    let mut reader = BufReader::new(pipe);
    let mut all = String::new();
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        each(text.trim_end_matches(['\r', '\n']));
        all.push_str(&text);
        line.clear();
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_are_kept_and_lines_are_shown() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let output = Output::lines(move |line| sink.lock().unwrap().push(line.to_owned()));
        let finished =
            run(&mut shell("echo out; echo one >&2; echo two >&2; exit 3"), Stderr::Show(&output))
                .unwrap();
        assert_eq!(finished.status.code(), Some(3));
        assert_eq!(finished.stdout, "out\n");
        assert_eq!(finished.stderr, "one\ntwo\n");
        assert_eq!(*lines.lock().unwrap(), ["one", "two"]);
    }

    #[test]
    fn the_second_program_reads_the_first() {
        let [first, second] =
            pipe(&mut shell("echo data; echo said >&2"), &mut shell("cat")).unwrap();
        assert_eq!((first.stderr.as_str(), second.stdout.as_str()), ("said\n", "data\n"));
        let [first, second] = pipe(&mut shell("yes"), &mut shell("exit 3")).unwrap();
        assert_eq!((first.status.success(), second.status.code()), (false, Some(3)));
        let missing = pipe(&mut shell("yes"), &mut Command::new("/no/such/program"));
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn much_output_on_both_streams_does_not_hang() {
        let script = "yes | head -c 1000000; yes | head -c 1000000 >&2";
        let finished = run(&mut shell(script), Stderr::Keep).unwrap();
        assert_eq!((finished.stdout.len(), finished.stderr.len()), (1_000_000, 1_000_000));
        assert!(finished.said().len() <= SAID_BYTES_MAX);
    }
}
