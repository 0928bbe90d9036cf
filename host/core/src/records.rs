//! What an object is a sequence of.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind};

/// What an object is a sequence of, which is how a range of it is aligned.
///
/// A record belongs to the range in which it begins, so that each is seen by exactly one task.
///
/// ```
/// use samara_core::{CsvOptions, Records, Terminator};
///
/// let paragraphs = Records::Terminated(Terminator::new(b"\n\n")?);
/// let table = Records::Csv(CsvOptions::new().delimiter(b';').header(false));
/// assert!(paragraphs.check().is_ok() && table.check().is_ok());
/// assert!(Records::Fixed(0).check().is_err());
/// # Ok::<(), samara_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Records {
    /// Lines that end in `\n`; so do those that end in `\r\n`. The last line needs no end.
    #[default]
    Lines,
    /// Records that end with these bytes. The last record needs no end.
    Terminated(Terminator),
    /// Rows of CSV, as RFC 4180 has them: a quoted field may hold line ends, and quotes in pairs.
    Csv(CsvOptions),
    /// One JSON value per line, so that the ends of lines are those of records.
    JsonLines,
    /// Records of this many bytes each. The object's size has to be a multiple of it.
    Fixed(u64),
    /// Bytes: ranges are exact.
    Bytes,
}

/// What a record ends with: 1 to [`Terminator::BYTES_MAX`] bytes.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct Terminator {
    length: u8,
    /// Zero past `length`.
    bytes: [u8; Self::BYTES_MAX],
}

/// How an object's CSV is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CsvOptions {
    /// What stands between fields. Default `,`.
    pub delimiter: u8,
    /// What stands around fields that hold delimiters or line ends. Default `"`.
    pub quote: u8,
    /// Whether the first row that is not blank is a header, which every partition then begins with.
    /// Default true.
    pub header: bool,
}

// === impl Records ===

impl Records {
    /// Checks that there can be such records.
    ///
    /// # Errors
    ///
    /// `Invalid`, with what is wrong and the way out.
    pub fn check(&self) -> Result<(), Error> {
        match self {
            Self::Fixed(0) => refuse("records of 0 bytes: give a size of at least 1".to_owned()),
            Self::Csv(options) => options.check(),
            _ => Ok(()),
        }
    }

    /// Checks that an object of `size` bytes can consist of such records.
    ///
    /// # Errors
    ///
    /// `Invalid`, without the object's name.
    pub fn check_size(&self, size: u64) -> Result<(), Error> {
        match self {
            Self::Fixed(bytes) if *bytes > 0 && !size.is_multiple_of(*bytes) => refuse(format!(
                "its {size} bytes are not a whole number of records of {bytes} bytes; {} are left \
                 over: give the size that its records have, or read it as bytes",
                size % bytes
            )),
            _ => Ok(()),
        }
    }
}

// === impl Terminator ===

impl Terminator {
    /// The longest terminator in bytes. Longer marks than this are rare, and a job's every partition
    /// holds its terminator.
    pub const BYTES_MAX: usize = 16;

    /// What records end with.
    ///
    /// # Errors
    ///
    /// `Invalid` for no bytes, and for more than [`BYTES_MAX`](Self::BYTES_MAX).
    pub fn new(terminator: &[u8]) -> Result<Self, Error> {
        let mut bytes = [0; Self::BYTES_MAX];
        match (terminator.len(), bytes.get_mut(..terminator.len())) {
            (1.., Some(room)) => room.copy_from_slice(terminator),
            (0, _) => {
                return refuse(
                    "records that end with no bytes: give a terminator of 1 to 16 bytes, or read \
                     as bytes"
                        .to_owned(),
                );
            }
            (length, _) => {
                return refuse(format!(
                    "a terminator of {length} bytes is too long; it may have up to {}",
                    Self::BYTES_MAX
                ));
            }
        }
        // At most `BYTES_MAX`, as just seen.
        Ok(Self { length: u8::try_from(terminator.len()).unwrap_or(u8::MAX), bytes })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Debug for Terminator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

impl TryFrom<Vec<u8>> for Terminator {
    type Error = Error;

    fn try_from(bytes: Vec<u8>) -> Result<Self, Error> {
        Self::new(&bytes)
    }
}

impl From<Terminator> for Vec<u8> {
    fn from(terminator: Terminator) -> Self {
        terminator.as_bytes().to_vec()
    }
}

// === impl CsvOptions ===

impl CsvOptions {
    /// Commas, double quotes, and a header.
    pub fn new() -> Self {
        Self { delimiter: b',', quote: b'"', header: true }
    }

    /// Sets what stands between fields.
    #[must_use]
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// Sets what stands around fields.
    #[must_use]
    pub fn quote(mut self, quote: u8) -> Self {
        self.quote = quote;
        self
    }

    /// Sets whether the first row is a header.
    #[must_use]
    pub fn header(mut self, header: bool) -> Self {
        self.header = header;
        self
    }

    fn check(self) -> Result<(), Error> {
        let Self { delimiter, quote, .. } = self;
        if delimiter == quote || [delimiter, quote].iter().any(|byte| b"\r\n".contains(byte)) {
            return refuse(format!(
                "CSV with delimiter '{}' and quote '{}': give two different bytes, neither of \
                 which ends a line",
                delimiter.escape_ascii(),
                quote.escape_ascii()
            ));
        }
        Ok(())
    }
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self::new()
    }
}

fn refuse<T>(text: String) -> Result<T, Error> {
    Err(Error::new(ErrorKind::Invalid, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminators_have_one_to_sixteen_bytes() {
        for bytes in [&b"\0"[..], b"\r\n", b"0123456789abcdef"] {
            assert_eq!(Terminator::new(bytes).unwrap().as_bytes(), bytes);
        }
        let error = Terminator::new(b"").unwrap_err().to_string();
        assert!(error.contains("1 to 16 bytes"), "{error}");
        let error = Terminator::new(&[b'x'; 17]).unwrap_err().to_string();
        assert!(error.contains("17") && error.contains("up to 16"), "{error}");
    }

    #[test]
    fn records_that_make_no_sense_are_refused() {
        for records in [
            Records::Fixed(0),
            Records::Csv(CsvOptions::new().quote(b',')),
            Records::Csv(CsvOptions::new().delimiter(b'\n')),
        ] {
            let error = records.check().unwrap_err();
            assert!(error.to_string().contains("give"), "{error}");
        }
        let error = Records::Fixed(4).check_size(10).unwrap_err().to_string();
        assert!(error.contains("10 bytes") && error.contains("2 are left over"), "{error}");
        assert_eq!(Records::Fixed(5).check_size(10), Ok(()));
    }
}
