//! Test binaries as Rust's own harness makes them: which tests there are, and each by itself.

use std::collections::BTreeSet;
use std::io::{self, Write};

use samara_core::Clock;
use samara_engine::{Exit, Ran};

use crate::{FAILED, Program};

/// What is in every binary of the harness, and hardly in another.
const MARK: &[u8] = b"test result: ";

/// Options of the harness that take a value of their own.
const WITH_VALUE: [&str; 5] = ["--skip", "--test-threads", "--color", "--format", "--logfile"];

/// Which tests are to be run, and how they are told.
pub(crate) struct Selection {
    /// Filters and `--skip`, as the harness has them.
    filters: Vec<String>,
    ignored: Ignored,
    /// Whether tests write to our output at once.
    no_capture: bool,
    /// Whether what passing tests wrote is shown as well.
    show_output: bool,
}

/// What becomes of tests that are marked `#[ignore]`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ignored {
    Skipped,
    Included,
    Alone,
}

/// What a test came to.
enum Verdict {
    Passed,
    Ignored,
    Failed,
}

/// What a test came to, and what it wrote.
struct Told {
    verdict: Verdict,
    text: String,
}

#[derive(Default)]
struct Count {
    /// Whether what passing tests wrote is shown as well.
    show_output: bool,
    passed: usize,
    ignored: usize,
    /// Names, and what each wrote.
    failed: Vec<(String, String)>,
}

// === impl Selection ===

impl Selection {
    /// None where the program is no test binary, or is asked for something other than tests.
    pub(crate) fn of(program: &[u8], arguments: &[String]) -> Option<Self> {
        if !program.windows(MARK.len()).any(|window| window == MARK) {
            return None;
        }
        let mut selection = Self {
            filters: Vec::new(),
            ignored: Ignored::Skipped,
            no_capture: false,
            show_output: false,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let (option, value) = match argument.split_once('=') {
                Some((option, value)) if option.starts_with("--") => (option, Some(value)),
                _ => (argument.as_str(), None),
            };
            match option {
                "--nocapture" | "--no-capture" => selection.no_capture = true,
                "--show-output" => selection.show_output = true,
                "--ignored" => selection.ignored = Ignored::Alone,
                "--include-ignored" => selection.ignored = Ignored::Included,
                "--exact" => selection.filters.push(argument.clone()),
                "-q" | "--quiet" => {}
                _ if WITH_VALUE.contains(&option) => {
                    let value = value.map(str::to_owned).or_else(|| arguments.next().cloned())?;
                    if option == "--skip" {
                        selection.filters.extend(["--skip".to_owned(), value]);
                    }
                }
                // Lists, benchmarks, help, and what is not known here: the harness answers.
                _ if option.starts_with('-') => return None,
                _ => selection.filters.push(argument.clone()),
            }
        }
        Some(selection)
    }
}

/// Runs the tests that are selected, each in an instance of its own, and returns the exit code.
pub(crate) fn run(
    program: &Program,
    selection: &Selection,
    out: &mut dyn Write,
) -> io::Result<i32> {
    let all = match list(program, &selection.filters, false) {
        Ok(names) => names,
        Err(ran) => return broken(&ran, out),
    };
    let ignored = match list(program, &selection.filters, true) {
        Ok(names) => BTreeSet::from_iter(names),
        Err(ran) => return broken(&ran, out),
    };
    let alone = selection.ignored == Ignored::Alone;
    let names: Vec<String> =
        all.into_iter().filter(|name| !alone || ignored.contains(name)).collect();
    writeln!(out, "\nrunning {} test{}", names.len(), if names.len() == 1 { "" } else { "s" })?;
    let started = program.clock.monotonic();
    let mut count = Count { show_output: selection.show_output, ..Count::default() };
    for name in names {
        write!(out, "test {name} ... ")?;
        out.flush()?;
        let skip = selection.ignored == Ignored::Skipped && ignored.contains(&name);
        let told = match skip {
            true => Told { verdict: Verdict::Ignored, text: String::new() },
            false => one(program, &name, selection.no_capture),
        };
        count.enter(name, told, out)?;
    }
    let took = program.clock.monotonic().saturating_sub(started).as_secs_f64();
    count.close(took, out)
}

/// The names of the tests; the run itself where it told none.
fn list(program: &Program, filters: &[String], ignored: bool) -> Result<Vec<String>, Box<Ran>> {
    let mut arguments = filters.to_vec();
    arguments.extend(["--list", "--format=terse"].map(str::to_owned));
    arguments.extend(ignored.then(|| "--ignored".to_owned()));
    let ran = program.run(&arguments, false);
    if ran.exit != Exit::Code(0) {
        return Err(Box::new(ran));
    }
    let name = |line: &str| line.strip_suffix(": test").map(str::to_owned);
    Ok(ran.log.iter().filter_map(|line| name(&line.message)).collect())
}

/// A harness that does not even list its tests.
fn broken(ran: &Ran, out: &mut dyn Write) -> io::Result<i32> {
    for line in &ran.log {
        writeln!(out, "{}", line.message)?;
    }
    writeln!(out, "cannot list the tests: {}", ran.exit)?;
    Ok(FAILED)
}

/// Runs one test.
fn one(program: &Program, name: &str, no_capture: bool) -> Told {
    // The harness must not capture: a panic aborts the instance, and what was captured is lost.
    let options = ["--exact", "--nocapture", "--include-ignored"].map(str::to_owned);
    let arguments: Vec<String> = options.into_iter().chain([name.to_owned()]).collect();
    let ran = program.run(&arguments, false);
    let said = |text: &str| ran.log.iter().any(|line| line.message.starts_with(text));
    let verdict = match &ran.exit {
        Exit::Code(0) if said("test result: ok. 1 passed") => Verdict::Passed,
        // Tests that should panic cannot be told from others where a panic aborts.
        Exit::Code(0) if said("test result: ok. 0 passed; 0 failed; 1 ignored") => Verdict::Ignored,
        _ => Verdict::Failed,
    };
    let mut text = written(&ran, name);
    let panicked = text.contains("panicked at");
    match &ran.exit {
        Exit::Ended(_) if !panicked => text.push_str(&format!("{}\n", ran.exit)),
        _ => {}
    }
    if no_capture && !text.is_empty() {
        let _nobody_reads = io::stderr().write_all(text.as_bytes());
    }
    Told { verdict, text }
}

/// What the test wrote, without what the harness said around it.
fn written(ran: &Ran, name: &str) -> String {
    let begins = format!("test {name} ... ");
    let lines = ran.log.iter().map(|line| line.message.as_str());
    let lines = lines.map(|line| line.strip_prefix(&begins).unwrap_or(line));
    let own = lines.filter(|line| {
        !line.is_empty()
            && *line != "ok"
            && *line != "running 1 test"
            && !line.starts_with("test result: ")
    });
    own.map(|line| format!("{line}\n")).collect()
}

// === impl Count ===

impl Count {
    fn enter(&mut self, name: String, told: Told, out: &mut dyn Write) -> io::Result<()> {
        let Told { verdict, text } = told;
        match verdict {
            Verdict::Passed => {
                self.passed += 1;
                writeln!(out, "ok")?;
                if self.show_output && !text.is_empty() {
                    write!(out, "---- {name} ----\n{text}")?;
                }
            }
            Verdict::Ignored => {
                self.ignored += 1;
                writeln!(out, "ignored")?;
            }
            Verdict::Failed => {
                writeln!(out, "FAILED")?;
                self.failed.push((name, text));
            }
        }
        Ok(())
    }

    fn close(&self, took: f64, out: &mut dyn Write) -> io::Result<i32> {
        if !self.failed.is_empty() {
            writeln!(out, "\nfailures:\n")?;
            for (name, text) in &self.failed {
                writeln!(out, "---- {name} ----\n{text}")?;
            }
            writeln!(out, "failures:")?;
            for (name, _) in &self.failed {
                writeln!(out, "    {name}")?;
            }
        }
        let (passed, failed, ignored) = (self.passed, self.failed.len(), self.ignored);
        let result = if failed == 0 { "ok" } else { "FAILED" };
        writeln!(
            out,
            "\ntest result: {result}. {passed} passed; {failed} failed; {ignored} ignored; \
             finished in {took:.2}s, each in a sandbox of its own\n"
        )?;
        Ok(if failed == 0 { 0 } else { FAILED })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(arguments: &[&str]) -> Option<Selection> {
        let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
        Selection::of(b"... test result: ...", &arguments)
    }

    #[test]
    fn what_selects_tests_is_told_from_other_questions() {
        let all = selection(&["name", "--exact", "--skip", "x", "--test-threads=1", "--nocapture"]);
        let all = all.unwrap();
        assert_eq!(all.filters, ["name", "--exact", "--skip", "x"]);
        assert!(all.no_capture && all.ignored == Ignored::Skipped);
        assert!(selection(&["--ignored"]).unwrap().ignored == Ignored::Alone);
        assert!(selection(&["--color", "always", "-q"]).unwrap().filters.is_empty());
        for other in [&["--list"][..], &["--help"], &["--bench"], &["--skip"]] {
            assert!(selection(other).is_none(), "{other:?}");
        }
        assert!(Selection::of(b"some program", &[]).is_none());
    }
}
