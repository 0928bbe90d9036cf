//! The functions of {{name}}: natively a library, for `wasm32-wasip2` a component.

use samara_guest::storage::Writer;
use samara_guest::task::{self, Level};
use samara_guest::{Partition, Result, function};
use serde::{Deserialize, Serialize};

/// A row of the input. `data/` has two files of them.
#[derive(Debug, Deserialize)]
struct Order {
    id: u64,
    customer: String,
    amount: String,
}

/// A row of the output.
#[derive(Debug, Serialize)]
struct Clean<'a> {
    id: u64,
    customer: &'a str,
    cents: u64,
}

/// What cleaning some files came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Rows that were written.
    pub rows: u64,
    /// Rows that made no sense, and were dropped.
    pub dropped: u64,
    /// The sum of all amounts.
    pub cents: u64,
}

/// Cleans one file of orders, and writes what is left below `out`, a URL, under the file's name.
///
/// A task that runs again writes the same object again.
#[function]
pub fn clean(file: Partition, out: String) -> Result<Report> {
    let name = file.object().and_then(|url| url.rsplit('/').next()).unwrap_or("orders.csv");
    let target = format!("{}/{name}", out.trim_end_matches('/'));
    let mut output = csv::Writer::from_writer(Writer::create(&target)?);
    let mut report = Report::default();
    for row in csv::Reader::from_reader(file).deserialize() {
        let order: Order = row?;
        let Some(cents) = cents(&order.amount) else {
            let message = format!("order {}: `{}` is no amount", order.id, order.amount);
            task::log(Level::Warn, &message);
            report.dropped += 1;
            continue;
        };
        output.serialize(Clean { id: order.id, customer: order.customer.trim(), cents })?;
        report.rows += 1;
        report.cents += cents;
    }
    // What is not finished never appears.
    output.into_inner().map_err(|error| error.into_error())?.finish()?;
    Ok(report)
}

/// Adds two reports.
#[function(reduce, pure)]
pub fn add(a: Report, b: Report) -> Report {
    Report { rows: a.rows + b.rows, dropped: a.dropped + b.dropped, cents: a.cents + b.cents }
}

/// Reads an amount such as `12.30`.
fn cents(amount: &str) -> Option<u64> {
    let (whole, part) = amount.trim().split_once('.')?;
    let part: u64 = part.parse().ok().filter(|_| part.len() == 2)?;
    whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cleaned_and_written() {
        let file = Partition::from("id,customer,amount\n1, Ada ,12.30\n2,Bob,none\n");
        let report = clean(file, "mem://test/out".to_owned()).unwrap();
        assert_eq!(report, Report { rows: 1, dropped: 1, cents: 1230 });
        let written = samara_guest::storage::get("mem://test/out/orders.csv").unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), "id,customer,cents\n1,Ada,1230\n");
    }

    #[test]
    fn amounts_are_read_to_the_cent() {
        assert_eq!(cents("12.30"), Some(1230));
        for wrong in ["", "12", "12.3", "-1.00", "1.2x", "99999999999999999999.00"] {
            assert_eq!(cents(wrong), None, "{wrong}");
        }
    }
}
