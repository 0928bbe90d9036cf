//! What is said about an object that is written: its media type, and values of one's own.

use samara::storage::Attributes;

/// Media types of files by the end of their names, as far as data comes in such.
const TYPES: &[(&str, &str)] = &[
    ("avi", "video/x-msvideo"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("bz2", "application/x-bzip2"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ico", "image/vnd.microsoft.icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("md", "text/markdown"),
    ("mjs", "text/javascript"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("ndjson", "application/x-ndjson"),
    ("parquet", "application/vnd.apache.parquet"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("tsv", "text/tab-separated-values"),
    ("txt", "text/plain"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
    ("woff2", "font/woff2"),
    ("xml", "application/xml"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

/// What is said about each copy.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Said {
    /// Says of which media type the copies are. Without it, those of files of this machine are said
    /// to be of the type that their names end in.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,

    /// Says something more about the copies; repeatable. Stores that keep no such things leave it out.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
}

// === impl Said ===

impl Said {
    /// What is said about the copy of `from` at `to`, two URLs.
    pub(super) fn about(&self, from: &str, to: &str) -> Attributes {
        let guess = || guessed(from, to).map(str::to_owned);
        Attributes {
            content_type: self.content_type.clone().or_else(guess),
            user: self.metadata.iter().cloned().collect(),
        }
    }
}

/// The media type of a file of this machine that goes to a store elsewhere.
pub(super) fn guessed(from: &str, to: &str) -> Option<&'static str> {
    if !from.starts_with("file:") || to.starts_with("file:") {
        return None;
    }
    let name = from.rsplit('/').next().unwrap_or(from);
    let end = name.rsplit_once('.')?.1.to_ascii_lowercase();
    let at = TYPES.binary_search_by(|(known, _)| (*known).cmp(&end)).ok()?;
    Some(TYPES[at].1)
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("as in `--metadata name=value`")?;
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err("names are of lower-case letters, digits and `-`".to_owned());
    }
    if !value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err("values are of printable ASCII".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_of_files_that_leave_this_machine() {
        assert!(TYPES.is_sorted());
        assert_eq!(guessed("file:///a/b.CSV", "s3://b/x"), Some("text/csv"));
        assert_eq!(guessed("file:///a/b.csv.gz", "s3://b/x"), Some("application/gzip"));
        assert_eq!(guessed("file:///a.csv/b", "s3://b/x"), None);
        assert_eq!(guessed("file:///a/b.csv", "file:///x"), None);
        assert_eq!(guessed("s3://a/b.csv", "gs://b/x"), None);
    }

    #[test]
    fn values_are_what_all_stores_keep() {
        assert_eq!(pair("a-1=b=c d").unwrap(), ("a-1".to_owned(), "b=c d".to_owned()));
        for wrong in ["a", "=b", "A=b", "a_b=c", "a=ü"] {
            assert!(pair(wrong).is_err(), "{wrong}");
        }
    }
}
