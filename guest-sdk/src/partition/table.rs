//! Rows of CSV, by the `csv` crate.

use std::io;
use std::marker::PhantomData;

use csv::{ReaderBuilder, StringRecord};
use serde::de::DeserializeOwned;

use super::{Description, Error, Partition, to_u64};

/// The reader that [`Partition::csv`] returns: an iterator of rows.
#[derive(Debug)]
pub struct Csv {
    reader: csv::Reader<Partition>,
    ended: bool,
}

/// The iterator that [`Partition::csv_rows`] returns.
#[derive(Debug)]
pub struct CsvRows<T> {
    csv: Csv,
    row: StringRecord,
    values: PhantomData<fn() -> T>,
}

impl Partition {
    /// Reads rows of CSV with commas, double quotes and a header.
    ///
    /// The job's objects should be [given as CSV](https://docs.rs/samara), so that every partition
    /// begins with the header and no quoted line end is cut.
    ///
    /// ```
    /// # use samara_guest::Partition;
    /// let mut table = Partition::from("city,people\nUlm,126\n\"Bath, UK\",94\n").csv();
    /// assert_eq!(table.header()?, vec!["city", "people"]);
    /// let cities: Vec<String> = table.map(|row| Ok(row?[0].to_owned())).collect::<Result<_, samara_guest::Error>>()?;
    /// assert_eq!(cities, ["Ulm", "Bath, UK"]);
    /// # Ok::<(), samara_guest::Error>(())
    /// ```
    pub fn csv(self) -> Csv {
        self.csv_with(&ReaderBuilder::new())
    }

    /// Reads rows of CSV that is written as `options` say.
    ///
    /// ```
    /// # use samara_guest::Partition;
    /// let mut options = samara_guest::csv::ReaderBuilder::new();
    /// options.delimiter(b';').has_headers(false);
    /// assert_eq!(Partition::from("a;b\nc;d\n").csv_with(&options).count(), 2);
    /// ```
    pub fn csv_with(mut self, options: &ReaderBuilder) -> Csv {
        let has_headers = options.from_reader(io::empty()).has_headers();
        self.see_mark(!has_headers && self.offset() > 0);
        Csv { reader: options.from_reader(self), ended: false }
    }

    /// Reads rows of CSV with a header as values, whose fields are found by the names in it.
    ///
    /// ```
    /// # use samara_guest::Partition;
    /// #[derive(serde::Deserialize)]
    /// struct City {
    ///     city: String,
    ///     people: u32,
    /// }
    ///
    /// let mut people = 0;
    /// for city in Partition::from("city,people\nUlm,126\nBath,94\n").csv_rows::<City>() {
    ///     people += city?.people;
    /// }
    /// assert_eq!(people, 220);
    /// # Ok::<(), samara_guest::Error>(())
    /// ```
    pub fn csv_rows<T: DeserializeOwned>(self) -> CsvRows<T> {
        self.csv().rows()
    }

    /// Sees to a byte-order mark: the `csv` crate takes one off, if more than it comes at once. With
    /// `keep` it is data, as anywhere but at the start of an object, and doubled for that reason.
    fn see_mark(&mut self, keep: bool) {
        const MARK: [u8; 3] = *b"\xef\xbb\xbf";
        let mut rest = self.piece.split_off(self.consumed);
        self.before += to_u64(self.consumed);
        (self.piece, self.consumed) = (Vec::new(), 0);
        while rest.len() <= MARK.len() {
            // An error comes again when it is read.
            let Ok(true) = self.pull() else { break };
            rest.append(&mut self.piece);
        }
        if keep && rest.starts_with(&MARK) {
            rest.splice(..0, MARK);
        }
        (self.piece, self.consumed) = (rest, 0);
    }
}

// === impl Csv ===

impl Csv {
    /// The first row, which `next` does not return.
    ///
    /// # Errors
    ///
    /// As for any row.
    pub fn header(&mut self) -> Result<&StringRecord, Error> {
        match self.reader.headers() {
            // Once more, because the borrow of a returned header would last.
            Err(error) => Err(Error::of_csv(error, self.reader.get_ref().describe())),
            Ok(_) => Ok(self.reader.headers().expect("the header was read")),
        }
    }

    /// Reads a row into one that is there, which saves the memory for each; false at the end.
    ///
    /// # Errors
    ///
    /// Where the host cannot read the object, or the row is no CSV, not UTF-8, or has another number
    /// of fields than those before.
    pub fn read(&mut self, row: &mut StringRecord) -> Result<bool, Error> {
        let read = self.reader.read_record(row);
        read.map_err(|error| Error::of_csv(error, self.reader.get_ref().describe()))
    }

    /// The rows as values.
    pub fn rows<T: DeserializeOwned>(self) -> CsvRows<T> {
        CsvRows { csv: self, row: StringRecord::new(), values: PhantomData }
    }

    /// The reader of the `csv` crate, for what is not here.
    pub fn into_reader(self) -> csv::Reader<Partition> {
        self.reader
    }
}

impl Iterator for Csv {
    type Item = Result<StringRecord, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let mut row = StringRecord::new();
        match self.read(&mut row) {
            Ok(true) => Some(Ok(row)),
            Ok(false) => {
                self.ended = true;
                None
            }
            Err(error) => {
                // A row that is wrong hides no other; a host that cannot read would go on failing.
                self.ended = error.is_of_storage();
                Some(Err(error))
            }
        }
    }
}

impl<T: DeserializeOwned> CsvRows<T> {
    fn read(&mut self) -> Result<Option<T>, Error> {
        let header = match self.csv.reader.has_headers() {
            true => Some(self.csv.header()?.clone()),
            false => None,
        };
        if !self.csv.read(&mut self.row)? {
            return Ok(None);
        }
        let value = self.row.deserialize(header.as_ref());
        let describe = || self.csv.reader.get_ref().describe();
        value.map(Some).map_err(|error| {
            let at = self.row.position().map_or(0, csv::Position::byte);
            Error::malformed(at, error.to_string(), describe())
        })
    }
}

impl<T: DeserializeOwned> Iterator for CsvRows<T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.csv.ended {
            return None;
        }
        let read = self.read();
        self.csv.ended = match &read {
            Ok(value) => value.is_none(),
            Err(error) => error.is_of_storage(),
        };
        read.transpose()
    }
}

// === impl Error ===

impl Error {
    fn of_csv(error: csv::Error, description: &Description) -> Self {
        let at = error.position().map_or(0, csv::Position::byte);
        let reason = error.to_string();
        if let csv::ErrorKind::Io(error) = error.into_kind()
            && let Ok(error) = error.downcast::<Self>()
        {
            return error;
        }
        Self::malformed(at, reason, description)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;

    use csv::ReaderBuilder;

    use crate::Partition;
    use crate::partition::Description;
    use crate::partition::tests::cuts;

    #[test]
    fn rows_are_the_same_wherever_pieces_are_cut() {
        for partition in cuts("\u{feff}a,b\r\n\"1\n\",\"2\"\"\"\r\n3,4".as_bytes()) {
            let rows: Vec<Vec<String>> = partition
                .csv()
                .map(|row| row.unwrap().iter().map(str::to_owned).collect())
                .collect();
            assert_eq!(rows, [["1\n", "2\""], ["3", "4"]]);
        }
        for partition in cuts(b"n,name\n1,x\n2,y\n") {
            let rows: Vec<(u8, char)> = partition.csv_rows().map(Result::unwrap).collect();
            assert_eq!(rows, [(1, 'x'), (2, 'y')]);
        }
    }

    #[test]
    fn rows_may_follow_what_was_read_otherwise() {
        for mut partition in cuts(b"# by hand\na\n1\n") {
            let mut comment = String::new();
            partition.read_line(&mut comment).unwrap();
            assert_eq!(partition.csv_rows::<(u8,)>().map(Result::unwrap).next(), Some((1,)));
        }
    }

    #[test]
    fn a_row_that_does_not_fit_says_where_and_hides_no_other() {
        let rows: Vec<Result<(u8,), _>> =
            Partition::from("n\n1\nx\n3\n").csv_rows::<(u8,)>().collect();
        let [Ok((1,)), Err(error), Ok((3,))] = rows.as_slice() else { panic!("{rows:?}") };
        assert!(error.to_string().contains("byte 4 of the partition"), "{error}");
        let rows: Vec<_> = Partition::from("a,b\n1\n2,3\n").csv().collect();
        let error = rows[0].as_ref().unwrap_err().to_string();
        assert!(error.contains("byte 4 of the partition"), "{error}");
        assert!(rows[1].is_ok());
    }

    #[test]
    fn what_looks_like_a_mark_is_data_but_at_the_objects_start() {
        let mut options = ReaderBuilder::new();
        options.has_headers(false);
        for (offset, expected) in [(0, "a"), (9, "\u{feff}a")] {
            let description = Description { offset, ..Description::default() };
            let partition = Partition::held(description, ["\u{feff}a\n".into()]);
            let row = partition.csv_with(&options).next().unwrap().unwrap();
            assert_eq!(&row[0], expected);
        }
    }
}
