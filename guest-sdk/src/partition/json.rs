//! One JSON value per line.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::blocks::{Aligned, first_line};
use super::{Error, Partition, to_u64};

/// The iterator that [`Partition::json_lines`] returns.
#[derive(Debug)]
pub struct JsonLines<T> {
    aligned: Aligned,
    /// Bytes of the partition before the block.
    before: u64,
    block: Vec<u8>,
    at: usize,
    ended: bool,
    values: PhantomData<fn() -> T>,
}

impl Partition {
    /// Reads one JSON value per line. Blank lines are passed over, and so is a byte-order mark at
    /// the start of the object.
    ///
    /// A line that is no such value is an error that says where it is; those after it still come.
    ///
    /// ```
    /// # use samara_guest::Partition;
    /// #[derive(serde::Deserialize)]
    /// struct Visit {
    ///     page: String,
    ///     seconds: f64,
    /// }
    ///
    /// let log = "{\"page\": \"/\", \"seconds\": 1.5}\n{\"page\": \"/a\", \"seconds\": 2}\n";
    /// let mut seconds = 0.0;
    /// for visit in Partition::from(log).json_lines::<Visit>() {
    ///     seconds += visit?.seconds;
    /// }
    /// assert_eq!(seconds, 3.5);
    /// # Ok::<(), samara_guest::Error>(())
    /// ```
    pub fn json_lines<T: DeserializeOwned>(self) -> JsonLines<T> {
        JsonLines {
            before: self.position(),
            aligned: Aligned::new(self),
            block: Vec::new(),
            at: 0,
            ended: false,
            values: PhantomData,
        }
    }
}

impl<T: DeserializeOwned> JsonLines<T> {
    /// Moves on to the next lines; false at the end.
    fn advance(&mut self) -> Result<bool, Error> {
        self.before += to_u64(self.block.len());
        self.at = 0;
        let next = self.aligned.next_lines();
        self.ended = !matches!(next, Ok(Some(_)));
        self.block = next?.unwrap_or_default();
        Ok(!self.ended)
    }
}

impl<T: DeserializeOwned> Iterator for JsonLines<T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            if self.at == self.block.len() {
                match self.advance() {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => return Some(Err(error)),
                }
            }
            let at = self.before + to_u64(self.at);
            let (length, next) = first_line(&self.block[self.at..]);
            let mut line = &self.block[self.at..self.at + length];
            self.at += next;
            let partition = self.aligned.partition();
            if at == 0 && partition.offset() == 0 {
                line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            return Some(serde_json::from_slice(line).map_err(|error| {
                Error::malformed(at, format!("no such JSON: {error}"), partition.describe())
            }));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use crate::partition::tests::cuts;

    #[test]
    fn json_lines_are_the_same_wherever_pieces_are_cut() {
        for partition in cuts("\u{feff}[1]\r\n\n [2, 3]\n \t\n[]".as_bytes()) {
            let values: Vec<Vec<u8>> = partition.json_lines().map(Result::unwrap).collect();
            assert_eq!(values, [vec![1], vec![2, 3], vec![]]);
        }
    }

    #[test]
    fn a_line_that_is_no_json_says_where_and_hides_no_other() {
        for partition in cuts(b"1\n22\nx\n3") {
            let values: Vec<Result<u8, _>> = partition.json_lines().collect();
            let [Ok(1), Ok(22), Err(error), Ok(3)] = values.as_slice() else {
                panic!("{values:?}");
            };
            assert!(error.to_string().contains("byte 5 of the partition"), "{error}");
        }
    }
}
