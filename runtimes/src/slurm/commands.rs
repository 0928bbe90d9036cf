//! Slurm's commands, and what they say.

use std::process::{Output, Stdio};
use std::time::Duration;

use samara_core::{Error, ErrorKind};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// How long a command may take: a controller that is busy has others wait for some ten seconds.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// Of what a command said, at most.
const WORDS_MAX: usize = 500;

/// What Slurm says where it does not take for now what it would take later: the controller is away or
/// busy, or there are as many jobs as somebody may have.
const LATER: [&str; 8] = [
    "temporarily unable",
    "temporarily unavailable",
    "Unable to contact",
    "Connection refused",
    "timed out",
    "Zero Bytes",
    "MaxSubmit",
    "job count limit",
];

/// Variables of this process that a host does not get: what is meant for drivers, and what another
/// array is told.
const KEPT: [&str; 9] = [
    "SAMARA_TOKEN",
    "SAMARA_HOST_ARRAY",
    "SAMARA_HOST_ARRAY_HASH",
    "SAMARA_HOST_ARRAY_TICKET",
    "SAMARA_HOST_AS",
    "SAMARA_HOST_GRACE",
    "SAMARA_HOST_LISTEN",
    "SAMARA_HOST_SLOTS",
    "SAMARA_HOST_TOKENS",
];

/// A command of Slurm's.
pub(super) struct Asked<'a> {
    pub(super) program: &'static str,
    pub(super) arguments: Vec<String>,
    /// What a job gets beside the variables of this process.
    pub(super) variables: Vec<(&'a str, &'a str)>,
    pub(super) input: String,
}

// === impl Asked ===

impl<'a> Asked<'a> {
    pub(super) fn new(program: &'static str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { program, arguments, variables: Vec::new(), input: String::new() }
    }

    /// What the command answers.
    ///
    /// # Errors
    ///
    /// `Invalid` where the command is not there or refuses; `Throttled` where Slurm has no time now.
    pub(super) async fn answer(self) -> Result<String, Error> {
        let name = self.program;
        let output = match tokio::time::timeout(ANSWER_MAX, self.output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                let text = format!(
                    "there is no `{name}`: Slurm's commands have to be in PATH where the driver \
                     runs, as on a login node"
                );
                return Err(Error::new(ErrorKind::Invalid, text));
            }
            Ok(Err(error)) => {
                return Err(Error::new(ErrorKind::Invalid, format!("`{name}`: {error}")));
            }
            Err(_) => {
                let text = format!("`{name}` did not answer for {ANSWER_MAX:?}");
                return Err(Error::new(ErrorKind::Throttled, text));
            }
        };
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(refused(name, &output)),
        }
    }

    async fn output(self) -> std::io::Result<Output> {
        let mut command = Command::new(self.program);
        command.args(&self.arguments).kill_on_drop(true);
        for name in KEPT {
            command.env_remove(name);
        }
        command.envs(self.variables);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that ends before it has read all says why.
            let _unread = stdin.write_all(self.input.as_bytes()).await;
        }
        child.wait_with_output().await
    }
}

fn refused(name: &str, output: &Output) -> Error {
    let said = String::from_utf8_lossy(&output.stderr);
    let said: String = said.trim().chars().take(WORDS_MAX).collect();
    let text = format!("`{name}` ended with {}: {said}", output.status);
    let is_later = LATER.iter().any(|sign| said.contains(sign));
    let way_out = match () {
        () if is_later => "",
        () if said.contains("invalid partition") => "; `sinfo` lists the partitions",
        () if said.contains("account") => "; `?account=NAME` says on whose account",
        () if said.contains("--time") || said.contains("time limit") => {
            "; `?time=MINUTES` asks for another"
        }
        () => "",
    };
    let kind = if is_later { ErrorKind::Throttled } else { ErrorKind::Invalid };
    Error::new(kind, format!("{text}{way_out}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    #[tokio::test]
    async fn a_command_that_is_not_there_is_said_to_be_missing() {
        let error = Asked::new("samara-has-no-such", &[]).answer().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(
            error.message.contains("no `samara-has-no-such`") && error.message.contains("PATH")
        );
    }

    #[tokio::test]
    async fn a_command_reads_its_input_and_gets_no_ticket_of_another() {
        let mut asked = Asked::new("cat", &[]);
        asked.input = "words".to_owned();
        assert_eq!(asked.answer().await.unwrap(), "words");
    }

    #[test]
    fn what_slurm_refuses_for_now_is_asked_again() {
        let said = |stderr: &str| {
            let (stdout, stderr) = (Vec::new(), stderr.as_bytes().to_vec());
            refused("sbatch", &Output { status: ExitStatus::from_raw(256), stdout, stderr })
        };
        let later = "sbatch: error: Slurm temporarily unable to accept job";
        assert_eq!(said(later).kind, ErrorKind::Throttled);
        let error = said("sbatch: error: invalid partition specified: moon");
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.message.contains("moon") && error.message.contains("sinfo"), "{error}");
    }
}
