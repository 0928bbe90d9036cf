//! Ways to read records that are no lines.

use std::io::Read;

use samara_guest::csv::ReaderBuilder;
use samara_guest::{Bytes, Partition, Result, function};
use serde::{Deserialize, Serialize};

/// A row of a table of orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Who ordered.
    pub name: String,
    /// How many.
    pub count: u64,
    /// What was said.
    pub note: String,
}

/// Returns all rows of CSV, with or without a header before them.
#[function(pure)]
pub fn collect_rows(table: Partition, header: bool) -> Result<Vec<Vec<String>>> {
    let mut options = ReaderBuilder::new();
    options.has_headers(header).flexible(true);
    let row = |row: samara_guest::csv::StringRecord| row.iter().map(str::to_owned).collect();
    table.csv_with(&options).map(|it| Ok(row(it?))).collect()
}

/// Returns all rows of CSV with a header as values.
#[function(pure)]
pub fn collect_orders(table: Partition) -> Result<Vec<Order>> {
    table.csv_rows().map(|order| Ok(order?)).collect()
}

/// Returns all values of JSON lines.
#[function(pure)]
pub fn collect_json(lines: Partition) -> Result<Vec<Order>> {
    lines.json_lines().map(|order| Ok(order?)).collect()
}

/// Returns all records that end with `terminator`.
#[function(pure)]
pub fn collect_ended_by(data: Partition, terminator: Bytes) -> Result<Vec<Bytes>> {
    data.records_ended_by(&*terminator).map(|record| Ok(record?.to_vec().into())).collect()
}

/// Returns all records of `size` bytes.
#[function(pure)]
pub fn collect_fixed(data: Partition, size: usize) -> Result<Vec<Bytes>> {
    data.fixed_records(size).map(|record| Ok(record?.to_vec().into())).collect()
}

/// Adds numbers of four bytes.
#[function(pure)]
pub fn sum_numbers(data: Partition) -> Result<u64> {
    data.fixed_arrays().try_fold(0, |sum, bytes| Ok(sum + u64::from(u32::from_le_bytes(bytes?))))
}

/// Returns all bytes, read `size` at a time.
#[function(pure)]
pub fn read_by(mut data: Partition, size: usize) -> Result<Bytes> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; size]);
    loop {
        match data.read(&mut buffer)? {
            0 => return Ok(all.into()),
            read => all.extend_from_slice(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_every_kind_are_read() {
        let order = Order { name: "Ada".to_owned(), count: 2, note: "a\nb".to_owned() };
        let table = "name,count,note\nAda,2,\"a\nb\"\n";
        assert_eq!(collect_orders(table.into()).unwrap(), std::slice::from_ref(&order));
        assert_eq!(collect_rows(table.into(), true).unwrap()[0][0], "Ada");
        assert_eq!(collect_rows(table.into(), false).unwrap().len(), 2);
        let json = r#"{"name": "Ada", "count": 2, "note": "a\nb"}"#;
        assert_eq!(collect_json(json.into()).unwrap(), [order]);
        let ended = collect_ended_by("a;b".into(), Bytes::from(&b";"[..])).unwrap();
        assert_eq!(ended.len(), 2);
        assert_eq!(collect_fixed("aabb".into(), 2).unwrap()[1], Bytes::from(&b"bb"[..]));
        assert_eq!(sum_numbers((&[1, 0, 0, 0, 2, 0, 0, 0][..]).into()).unwrap(), 3);
        assert_eq!(&*read_by("abc".into(), 2).unwrap(), b"abc");
    }
}
