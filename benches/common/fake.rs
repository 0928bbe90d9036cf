//! A server that answers as S3 would, as fast as it can: bytes from memory, listings of keys that
//! are counted, and uploads that are forgotten. It checks nothing, and knows no more requests than
//! benches make. It is a process of its own, so that its time and memory are not ours.

use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crc_fast::CrcAlgorithm;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::say;

/// The argument that makes a bench this server.
pub const SERVE: &str = "--serve";

/// The size of every object but the large ones.
pub const OBJECT_BYTES: u64 = 1 << 30;

/// The size of objects whose path has [`LARGE`] in it.
pub const LARGE_BYTES: u64 = 4 << 30;

/// What the keys of large objects have in them.
pub const LARGE: &str = "large";

/// The bytes that objects repeat.
const BODY_BYTES: usize = 8 << 20;

/// Keys that every listing finds.
pub const KEYS: u64 = 1_000_000;

/// Keys of a page, as in S3.
const PAGE: u64 = 1_000;

/// The server, which ends with this value.
#[derive(Debug)]
pub struct Fake {
    /// Where it listens.
    pub endpoint: String,
    /// The certificate that its clients have to trust, where it speaks TLS.
    pub certificate: Option<PathBuf>,
    child: Child,
    _place: tempfile::TempDir,
}

// === impl Fake ===

impl Fake {
    /// Starts this program as the server.
    ///
    /// # Errors
    ///
    /// Where it does not start.
    pub fn start() -> Result<Self> {
        Self::start_in(tempfile::tempdir()?, None)
    }

    /// Starts it with TLS.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with_tls() -> Result<Self> {
        let place = tempfile::tempdir()?;
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
        let file = place.path().join("certificate.pem");
        std::fs::write(&file, made.cert.pem())?;
        std::fs::write(place.path().join(KEY), made.signing_key.serialize_pem())?;
        Self::start_in(place, Some(file))
    }

    fn start_in(place: tempfile::TempDir, certificate: Option<PathBuf>) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(SERVE)
            .args(&certificate)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let scheme = if certificate.is_some() { "https" } else { "http" };
        let endpoint = format!("{scheme}://127.0.0.1:{}", line.trim());
        Ok(Self { endpoint, certificate, child, _place: place })
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

/// The certificate's key, beside it.
const KEY: &str = "key.pem";

/// Serves until standard input ends, with TLS where there is a certificate.
///
/// # Errors
///
/// Where there is no port, or the certificate is none.
pub fn serve(certificate: Option<&Path>) -> Result<()> {
    let tls = certificate.map(acceptor).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    say(&listener.local_addr()?.port().to_string())?;
    let body = Arc::new(Body::new());
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (body, tls) = (Arc::clone(&body), tls.clone());
            tokio::spawn(async move {
                stream.set_nodelay(true)?;
                match tls {
                    Some(tls) => connection(tls.accept(stream).await?, body).await,
                    None => connection(stream, body).await,
                }
            });
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    runtime.shutdown_background();
    Ok(())
}

fn acceptor(certificate: &Path) -> Result<TlsAcceptor> {
    let key = PrivateKeyDer::from_pem_file(certificate.with_file_name(KEY))?;
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(chain, key)?)))
}

/// What is asked.
#[derive(Default)]
struct Asked {
    method: String,
    path: String,
    range: Option<Range<u64>>,
    body_bytes: u64,
    is_chunked: bool,
    waits: bool,
}

/// What all objects are made of.
struct Body {
    bytes: Vec<u8>,
    crc64: u64,
}

// === impl Body ===

impl Body {
    fn new() -> Self {
        let bytes: Vec<u8> = (0..BODY_BYTES).map(|n| n.to_le_bytes()[0]).collect();
        let crc64 = crc_fast::checksum(CRC, &bytes);
        Self { bytes, crc64 }
    }

    /// What Amazon says of an object of this size beside what all stores do.
    fn sum(&self, size: u64) -> String {
        let piece = self.bytes.len() as u64;
        let add = |crc64, _| crc_fast::checksum_combine(CRC, crc64, self.crc64, piece);
        let crc64 = (0..size / piece).fold(crc_fast::checksum(CRC, &[]), add).to_be_bytes();
        let crc64 = BASE64_STANDARD.encode(crc64);
        format!("x-amz-checksum-crc64nvme: {crc64}\r\nx-amz-checksum-type: FULL_OBJECT\r\n")
    }
}

/// The checksum that Amazon makes where a client announced none.
const CRC: CrcAlgorithm = CrcAlgorithm::Crc64Nvme;

/// Answers one request after the other, until one is not understood.
async fn connection(stream: impl AsyncRead + AsyncWrite, body: Arc<Body>) -> Result<()> {
    let (read, mut write) = tokio::io::split(stream);
    let mut read = tokio::io::BufReader::with_capacity(READ_BYTES, read);
    while let Some(asked) = head(&mut read).await? {
        if asked.waits {
            write.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            write.flush().await?;
        }
        match asked.is_chunked {
            true => skip_chunks(&mut read).await?,
            false => skip(&mut read, asked.body_bytes).await?,
        }
        match (asked.method.as_str(), asked.range) {
            ("GET", _) if asked.path.contains("list-type=2") => {
                write.write_all(text(&listing(&asked.path)).as_bytes()).await?;
            }
            ("GET" | "HEAD", range) => {
                let size = size(&asked.path);
                let range = range.map_or(0..size, |range| range.start..range.end.min(size));
                let is_get = asked.method == "GET";
                let sum = if is_get { String::new() } else { body.sum(size) };
                write.write_all(headers(&range, size, &sum).as_bytes()).await?;
                let mut left = if is_get { range.end - range.start } else { 0 };
                while left > 0 {
                    let piece = body.bytes.len().min(usize::try_from(left)?);
                    write.write_all(&body.bytes[..piece]).await?;
                    left -= piece as u64;
                }
            }
            ("POST", _) => {
                let is_end = asked.path.to_ascii_lowercase().contains("uploadid=");
                let answer = text(if is_end { COMPLETED } else { UPLOADED });
                write.write_all(answer.as_bytes()).await?;
            }
            _ => write.write_all(PUT.as_bytes()).await?,
        }
        // With TLS the last of it may still wait here.
        write.flush().await?;
    }
    Ok(())
}

/// Reads over so many bytes.
async fn skip(read: &mut (impl AsyncBufRead + Unpin), mut left: u64) -> Result<()> {
    while left > 0 {
        let come = read.fill_buf().await?.len().min(usize::try_from(left)?);
        ensure!(come > 0, "the body is too short");
        read.consume(come);
        left -= come as u64;
    }
    Ok(())
}

/// Reads over chunks up to the last, and over what trails them: awscli sends its checksum behind the
/// bytes where there is TLS.
async fn skip_chunks(read: &mut (impl AsyncBufRead + Unpin)) -> Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        read.read_line(&mut line).await?;
        let length = u64::from_str_radix(line.trim_end(), 16).context("no length of a chunk")?;
        if length == 0 {
            break;
        }
        skip(read, length + "\r\n".len() as u64).await?;
    }
    while !line.trim_end().is_empty() {
        line.clear();
        read.read_line(&mut line).await?;
    }
    Ok(())
}

/// What is read at once of a body.
const READ_BYTES: usize = 256 << 10;

/// The answer to an object or a part.
const PUT: &str = "HTTP/1.1 200 OK\r\nserver: fake\r\netag: \"fake\"\r\ncontent-length: 0\r\n\r\n";

/// The answers to the beginning of an upload and to its end.
const UPLOADED: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<InitiateMultipartUploadResult>\
    <Bucket>samara</Bucket><Key>fake</Key><UploadId>fake</UploadId>\
    </InitiateMultipartUploadResult>";

const COMPLETED: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <CompleteMultipartUploadResult><Bucket>samara</Bucket><Key>fake</Key>\
    <ETag>&quot;fake&quot;</ETag></CompleteMultipartUploadResult>";

/// The next request, up to its body.
async fn head(read: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Asked>> {
    let mut line = String::new();
    if read.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next(), words.next().context("no path")?);
    let mut asked = Asked { method: method.unwrap_or_default(), path, ..Asked::default() };
    loop {
        line.clear();
        read.read_line(&mut line).await?;
        let header = line.trim_end().to_ascii_lowercase();
        let (name, value) = header.split_once(':').unwrap_or_default();
        match (name, value.trim()) {
            ("", _) => return Ok(Some(asked)),
            ("range", value) => asked.range = Some(ranged(value).context("what range?")?),
            ("content-length", value) => asked.body_bytes = value.parse()?,
            ("transfer-encoding", value) => asked.is_chunked = value == "chunked",
            ("expect", _) => asked.waits = true,
            _ => {}
        }
    }
}

/// The size of what a path names.
fn size(path: &str) -> u64 {
    if path.contains(LARGE) { LARGE_BYTES } else { OBJECT_BYTES }
}

fn headers(range: &Range<u64>, size: u64, more: &str) -> String {
    let (length, last) = (range.end - range.start, range.end - 1);
    let (status, part) = match length == size {
        true => ("200 OK", String::new()),
        false => {
            let part = format!("content-range: bytes {}-{last}/{size}\r\n", range.start);
            ("206 Partial Content", part)
        }
    };
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\netag: \"fake\"\r\n\
         last-modified: Sat, 21 Nov 2026 00:00:00 GMT\r\naccept-ranges: bytes\r\n{part}{more}\r\n"
    )
}

fn text(xml: &str) -> String {
    let length = xml.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\n\r\n{xml}"
    )
}

/// `bytes=0-9`.
fn ranged(header: &str) -> Option<Range<u64>> {
    let (start, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let last = last.parse().unwrap_or(u64::MAX - 1);
    Some(start.parse().ok()?..last + 1)
}

/// A page of `ListObjectsV2`: the keys after the one that stands in the query.
fn listing(path: &str) -> String {
    let after = path.split(['?', '&']).find_map(|part| part.strip_prefix("start-after="));
    let digits = after.and_then(|after| after.rsplit('-').next());
    let first = digits.and_then(|digits| digits.parse::<u64>().ok()).map_or(0, |last| last + 1);
    let page = first..KEYS.min(first + PAGE);
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult \
         xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>fake</Name><KeyCount>{}</KeyCount>\
         <MaxKeys>{PAGE}</MaxKeys><EncodingType>url</EncodingType><IsTruncated>{}</IsTruncated>",
        page.end - page.start,
        page.end < KEYS
    );
    for n in page {
        xml += &format!(
            "<Contents><Key>some/place/of/a/usual/depth/part-{n:09}</Key>\
             <LastModified>2026-11-21T00:00:00.000Z</LastModified>\
             <ETag>&quot;{n:032x}&quot;</ETag><Size>{n}</Size>\
             <StorageClass>STANDARD</StorageClass></Contents>"
        );
    }
    xml += "</ListBucketResult>";
    xml
}
