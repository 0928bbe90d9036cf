//! Ways to read a partition.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};

use samara_guest::{Bytes, Partition, Result, function};
use serde::{Deserialize, Serialize};

/// What a partition says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// URL of the object.
    pub object: Option<String>,
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
    /// Number of the partition.
    pub index: u64,
    /// Number of partitions.
    pub count: u64,
    /// Size of the whole object.
    pub object_size: u64,
}

/// Says where the partition lies, without reading it.
#[function]
pub fn describe_partition(partition: Partition) -> Description {
    let it = partition.describe().clone();
    Description {
        object: it.object,
        offset: it.offset,
        length: it.length,
        index: it.index,
        count: it.count,
        object_size: it.object_size,
    }
}

/// Counts lines.
#[function(pure)]
pub fn count_lines(text: Partition) -> Result<u64> {
    text.lines().try_fold(0, |count, line| Ok(line.map(|_| count + 1)?))
}

/// Counts lines without a count of references.
#[function(pure)]
pub fn count_lines_of_blocks(text: Partition) -> Result<u64> {
    let mut count = 0;
    text.for_each_line(|_| {
        count += 1;
        Ok(())
    })?;
    Ok(count)
}

/// Counts words.
#[function(pure)]
pub fn count_words(text: Partition) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        for word in line?.split_whitespace() {
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => drop(counts.insert(word.to_owned(), 1)),
            }
        }
    }
    Ok(counts)
}

/// Sums all bytes.
#[function(pure)]
pub fn sum_bytes(partition: Partition) -> Result<u64> {
    let mut sum = 0;
    for chunk in partition.chunks() {
        sum += chunk?.iter().copied().map(u64::from).sum::<u64>();
    }
    Ok(sum)
}

/// Returns all bytes.
#[function(pure)]
pub fn collect_bytes(partition: Partition) -> Result<Bytes> {
    Ok(partition.bytes()?.into())
}

/// Returns all lines.
#[function(pure)]
pub fn collect_lines(text: Partition) -> Result<Vec<String>> {
    text.lines().map(|line| Ok(line?.into())).collect()
}

/// Returns all lines as bytes.
#[function(pure)]
pub fn collect_records(partition: Partition) -> Result<Vec<Bytes>> {
    partition.records().map(|record| Ok(record?.to_vec().into())).collect()
}

/// Returns the first line and reads no further.
#[function(pure)]
pub fn first_line(text: Partition) -> Result<Option<String>> {
    Ok(text.lines().next().transpose()?.map(String::from))
}

/// Returns the first line, and the number of those after it.
#[function(pure)]
pub fn header_and_rest(mut text: Partition) -> Result<(String, u64)> {
    let mut header = String::new();
    text.read_line(&mut header)?;
    Ok((header.trim_end().to_owned(), count_lines(text)?))
}

/// Returns the lengths of the chunks as the host gave them.
#[function]
pub fn chunk_lengths(partition: Partition) -> Result<Vec<usize>> {
    partition.chunks().map(|chunk| Ok(chunk?.len())).collect()
}

/// Reads to the end, then once more: the numbers of bytes that came.
#[function]
pub fn read_twice(mut partition: Partition) -> Result<(usize, usize)> {
    let first = partition.read_to_end(&mut Vec::new())?;
    let second = partition.read_to_end(&mut Vec::new())?;
    Ok((first, second))
}

/// Returns the numbers of the lines that contain `needle`, at most `limit` of them.
#[function(pure)]
pub fn find_lines(needle: String, text: Partition, limit: usize) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line?.contains(&needle) && found.len() < limit {
            found.push(number);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_read_agree() {
        let text = "one two\r\ntwo\n\nthree";
        assert_eq!(count_lines(text.into()).unwrap(), 4);
        assert_eq!(count_lines_of_blocks(text.into()).unwrap(), 4);
        assert_eq!(collect_lines(text.into()).unwrap(), ["one two", "two", "", "three"]);
        assert_eq!(collect_records(text.into()).unwrap()[3], Bytes::from(&b"three"[..]));
        assert_eq!(count_words(text.into()).unwrap()["two"], 2);
        assert_eq!(first_line(text.into()).unwrap().as_deref(), Some("one two"));
        assert_eq!(header_and_rest(text.into()).unwrap(), ("one two".to_owned(), 3));
        assert_eq!(read_twice(text.into()).unwrap(), (text.len(), 0));
        assert_eq!(find_lines("two".to_owned(), text.into(), 9).unwrap(), [1, 2]);
        let sum = text.bytes().map(u64::from).sum::<u64>();
        assert_eq!(sum_bytes(text.into()).unwrap(), sum);
    }
}
