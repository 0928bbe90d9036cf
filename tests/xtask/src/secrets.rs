//! No credential of a test stands in what the tests say, whichever program said it.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

/// Names the file to which tests append each credential that they use, on a line of its own.
pub(crate) const VARIABLE: &str = "SAMARA_TEST_SECRETS";

/// What of a line is shown that has a credential in it, from its beginning.
const SHOWN: usize = 60;

/// All that a run says, kept until its credentials are known.
#[derive(Debug)]
pub(crate) struct Transcript {
    directory: TempDir,
    said: Mutex<File>,
}

// === impl Transcript ===

impl Transcript {
    pub(crate) fn new() -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("samara-tests-").tempdir()?;
        let said = Mutex::new(File::create(directory.path().join("said"))?);
        Ok(Self { directory, said })
    }

    /// Where tests say their credentials.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.directory.path().join("secrets")
    }

    pub(crate) fn add(&self, bytes: &[u8]) -> io::Result<()> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).write_all(bytes)
    }

    /// Passes on what comes, and keeps it.
    pub(crate) fn pass(&self, from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
        let mut piece = [0; 8 << 10];
        loop {
            match from.read(&mut piece)? {
                0 => return Ok(()),
                count => {
                    to.write_all(&piece[..count])?;
                    self.add(&piece[..count])?;
                }
            }
        }
    }

    /// How many credentials there were, and the beginnings of lines that have one in them.
    pub(crate) fn found(&self) -> io::Result<(usize, Vec<String>)> {
        let said = match fs::read_to_string(self.secrets()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, Vec::new())),
            said => said?,
        };
        let mut secrets: Vec<&str> = said.lines().filter(|secret| !secret.is_empty()).collect();
        secrets.sort_unstable();
        secrets.dedup();
        let mut lines = BufReader::new(File::open(self.directory.path().join("said"))?);
        let (mut found, mut line) = (Vec::new(), Vec::new());
        while lines.read_until(b'\n', &mut line)? > 0 {
            let text = String::from_utf8_lossy(&line);
            if let Some(at) = secrets.iter().filter_map(|secret| text.find(secret)).min() {
                let before: String = text[..at].chars().take(SHOWN).collect();
                found.push(format!("{before}…"));
            }
            line.clear();
        }
        Ok((secrets.len(), found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_a_credential_are_found_and_not_shown() {
        let transcript = Transcript::new().unwrap();
        let (mut to, mut from) = (Vec::new(), &b"first\nthe key is hidden-word\nlast\n"[..]);
        transcript.pass(&mut from, &mut to).unwrap();
        assert_eq!(to, b"first\nthe key is hidden-word\nlast\n");
        assert_eq!(transcript.found().unwrap(), (0, vec![]));
        fs::write(transcript.secrets(), "other\nhidden-word\n\nother\n").unwrap();
        assert_eq!(transcript.found().unwrap(), (2, vec!["the key is …".to_owned()]));
    }
}
