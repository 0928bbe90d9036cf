//! Requests at a host's doors: of every platform's dialect, with their envelopes, headers and bodies.
//!
//! The doors are those that hosts have, in a process of their own (`src/host.rs`), because some
//! platforms want lines on standard output. Each request has an answer, whatever it says, and the
//! process goes on.
//!
//! An input is: the platform, the path, whether to send it as it is; headers up to a NUL; the body.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use samara_core::wire::encode_batch;
use samara_core::{Clock as _, SystemClock};
use serde_json::json;
use tempfile::TempDir;

use super::samples;
use crate::Target;
use crate::engine::Seen;

/// See the module.
pub const TARGET: Target = Target {
    name: "dialects",
    seeds,
    words: &[
        "\r\n",
        "samara-token: a-token-for-fuzzing\r\n",
        "samara-encoding: base64\r\n",
        "samara-wire: 2\r\n",
        "content-type: application/json\r\n",
        "content-type: application/vnd.samara.batch+cbor\r\n",
        "fn-http-method: ",
        "fn-http-request-url: ",
        "fn-http-h-",
        "fn-deadline: 9999-12-31T23:59:59+9223372036854775807:00\r\n",
        "x-fc-control-path: /invoke\r\n",
        "x-fc-request-id: ",
        "\"__ow_headers\":",
        "\"__ow_body\":",
        "\"deadline\":",
        "\"Data\":{\"req\":",
        "\"Headers\":{",
        "transfer-encoding: chunked\r\n",
        "expect: 100-continue\r\n",
        "/v1/batches",
        "\u{0}",
        "====",
    ],
    bytes_max: 4 << 10,
    time_max: Duration::from_secs(10),
    start: || {
        let mut doors = Doors::open();
        Box::new(move |input| doors.check(input))
    },
};

/// As `src/host.rs` has it.
const TOKEN: &str = "samara-token: a-token-for-fuzzing\r\n";

const PLATFORMS: &[&str] = &[
    "http",
    "azure-functions",
    "openfaas",
    "openwhisk",
    "fn",
    "function-compute",
    "container-apps",
    "knative",
];

/// Methods and paths.
const PATHS: &[(&str, &str)] = &[
    ("POST", "/v1/batches"),
    ("POST", "/run"),
    ("POST", "/init"),
    ("POST", "/call"),
    ("POST", "/invoke"),
    ("POST", "/initialize"),
    ("POST", "/samara"),
    ("GET", "/v1/host"),
    ("GET", "/metrics"),
    ("GET", "/healthz"),
    ("PUT", "/x/v1/batches/"),
    ("POST", "/"),
];

/// How long an answer may take, on a machine that does much else: below what counts as a hang.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// How long the process may take to listen.
const START_TIME: Duration = Duration::from_secs(60);

/// The process, and a connection to each of its doors.
struct Doors {
    child: Child,
    sockets: TempDir,
    connections: Vec<Option<BufReader<UnixStream>>>,
}

fn seeds() -> Vec<Vec<u8>> {
    let batch = encode_batch(&samples::batch()).expect("it can be encoded");
    let text = STANDARD.encode(&batch);
    let plain = format!("{TOKEN}content-type: application/vnd.samara.batch+cbor\r\n");
    let encoded = format!("{TOKEN}samara-encoding: base64\r\ncontent-type: text/plain\r\n");
    let json = format!("{TOKEN}content-type: application/json\r\n");
    let whisk = json!({
        "value": {
            "__ow_method": "post", "__ow_path": "/v1/batches", "__ow_query": "",
            "__ow_headers": {
                "content-type": "application/vnd.samara.batch+cbor",
                "samara-token": "a-token-for-fuzzing",
            },
            "__ow_body": text,
        },
        "deadline": "1900000000000",
    });
    let azure = json!({
        "Data": { "req": {
            "Url": "https://app.example/api/samara/v1/batches?code=x", "Method": "POST",
            "Headers": {
                "Content-Type": ["application/octet-stream"],
                "samara-token": ["a-token-for-fuzzing"],
            },
            "Body": text,
        } },
        "Metadata": {},
    });
    let fn_headers = format!(
        "fn-http-method: POST\r\nfn-http-request-url: /t/app/v1/batches\r\nfn-http-h-{TOKEN}\
         fn-deadline: 2030-01-01T00:00:00.5+01:00\r\n\
         content-type: application/vnd.samara.batch+cbor\r\n"
    );
    let compute = format!("{plain}x-fc-control-path: /invoke\r\nx-fc-request-id: 1\r\n");
    let of = |platform: u8, path: u8, headers: &str, body: &[u8]| {
        [&[platform, path, 0], headers.as_bytes(), &[0], body].concat()
    };
    let mut seeds = vec![
        of(0, 0, &plain, &batch),
        of(0, 0, &encoded, text.as_bytes()),
        of(0, 0, "", b"no token"),
        of(0, 7, TOKEN, b""),
        of(0, 8, "", b""),
        of(1, 6, &json, azure.to_string().as_bytes()),
        of(2, 0, &encoded, text.as_bytes()),
        of(3, 1, &json, whisk.to_string().as_bytes()),
        of(3, 2, &json, br#"{"value":{"name":"n","code":""}}"#),
        of(4, 3, &fn_headers, &batch),
        of(5, 4, &compute, &batch),
        of(6, 7, TOKEN, b""),
        of(7, 0, &plain, &batch),
    ];
    let raw = format!("POST /v1/batches HTTP/1.1\r\n{plain}content-length: 3\r\n\r\nabc");
    seeds.push([&[0, 0, 1], raw.as_bytes()].concat());
    seeds.push([&[0, 0, 1], &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..]].concat());
    seeds
}

/// Shows what the hosts say, but for the line that ends every activation's log.
fn pass_on(said: ChildStderr) {
    let lines = BufReader::new(said).lines().map_while(io::Result::ok);
    let lines = lines.filter(|line| !line.starts_with("XXX_THE_END_OF_A"));
    std::thread::spawn(move || lines.for_each(|line| drop(writeln!(io::stderr(), "{line}"))));
}

// === impl Doors ===

impl Doors {
    fn open() -> Self {
        let sockets = tempfile::tempdir().expect("a directory");
        let mut child = Command::new(program())
            .arg(sockets.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program().display()));
        pass_on(child.stderr.take().expect("piped"));
        let connections = PLATFORMS.iter().map(|_| None).collect();
        let doors = Self { child, sockets, connections };
        let clock = SystemClock::new();
        for name in PLATFORMS {
            while doors.connect(name).is_err() {
                assert!(clock.monotonic() < START_TIME, "nobody listens as {name}");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        doors
    }

    fn connect(&self, name: &str) -> io::Result<BufReader<UnixStream>> {
        let stream = UnixStream::connect(self.sockets.path().join(name))?;
        stream.set_read_timeout(Some(ANSWER_TIME))?;
        stream.set_write_timeout(Some(ANSWER_TIME))?;
        Ok(BufReader::new(stream))
    }

    fn check(&mut self, input: &[u8]) -> Seen {
        let [platform, path, raw, rest @ ..] = input else { return Seen::of(()) };
        let at = usize::from(*platform) % PLATFORMS.len();
        let seen = match raw % 4 {
            1 => self.send_raw(at, rest),
            _ => self.send(at, usize::from(*path) % PATHS.len(), rest),
        };
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("the host ended with {status}: what it said stands above");
        }
        seen.and(at)
    }

    /// Sends a request whose head is one, and reads its answer.
    fn send(&mut self, at: usize, path: usize, rest: &[u8]) -> Seen {
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
        let (headers, body) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
        let (method, path) = PATHS[path];
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: h\r\n").into_bytes();
        request.extend_from_slice(&sound(headers));
        request.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        request.extend_from_slice(body);
        for again in [true, false] {
            let name = PLATFORMS[at];
            let connection = match self.connections[at].take() {
                Some(connection) => connection,
                None => self.connect(name).unwrap_or_else(|error| panic!("as {name}: {error}")),
            };
            match exchange(connection, &request) {
                Ok((connection, status, goes_on)) => {
                    self.connections[at] = goes_on.then_some(connection);
                    return Seen::of((status, path));
                }
                // The other side may have closed a connection that was idle.
                Err(_) if again => {}
                Err(error) => panic!("no answer as {name}: {error}"),
            }
        }
        unreachable!("the second time is the last")
    }

    /// Sends bytes that may be no request; the host answers, or hangs up.
    fn send_raw(&self, at: usize, bytes: &[u8]) -> Seen {
        let connection = self.connect(PLATFORMS[at]).expect("it listens");
        let mut stream = connection.into_inner();
        // It may hang up while it is spoken to.
        let _hung_up = stream.write_all(bytes);
        let _hung_up = stream.shutdown(std::net::Shutdown::Write);
        let mut head = [0; 12];
        let read = stream.read(&mut head);
        let late = read.as_ref().is_err_and(|error| {
            matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
        });
        assert!(!late, "it neither answers nor hangs up");
        Seen::of(head.get(9..12).map(<[u8]>::to_vec))
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}

/// Where cargo has put `src/host.rs`: beside the directory of this test.
fn program() -> PathBuf {
    let this = std::env::current_exe().unwrap_or_default();
    let built = this.parent().and_then(Path::parent).unwrap_or_else(|| Path::new("."));
    built.join("samara-fuzz-host")
}

/// Headers as they may stand in a request: what cannot is for `send_raw`.
fn sound(headers: &[u8]) -> Vec<u8> {
    let mut sound = Vec::new();
    for line in headers.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = line[..colon].to_ascii_lowercase();
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        let is_text = |byte: &u8| *byte == b'\t' || (32..127).contains(byte) || *byte >= 128;
        // What says where the request ends is said by us.
        let is_framing = [&b"content-length"[..], b"transfer-encoding", b"connection", b"expect"]
            .contains(&&*name)
            || name == b"upgrade";
        let fits = !name.is_empty() && name.iter().all(is_token) && line.iter().all(is_text);
        if fits && !is_framing && sound.len() < 8000 {
            sound.extend_from_slice(line);
            sound.extend_from_slice(b"\r\n");
        }
    }
    sound
}

/// A request and its answer: the connection, the status, and whether it goes on.
fn exchange(
    mut connection: BufReader<UnixStream>,
    request: &[u8],
) -> io::Result<(BufReader<UnixStream>, u16, bool)> {
    connection.get_mut().write_all(request)?;
    let (mut status, mut length, mut chunked, mut closes) = (0, 0_usize, false, false);
    for number in 0.. {
        let mut line = Vec::new();
        if connection.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_ascii_lowercase();
        match line.split_once(": ") {
            _ if number == 0 => {
                status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
            }
            _ if line.is_empty() => break,
            Some(("content-length", said)) => length = said.parse().unwrap_or(0),
            Some(("transfer-encoding", said)) => chunked = said.contains("chunked"),
            Some(("connection", said)) => closes = said.contains("close"),
            _ => {}
        }
    }
    match chunked {
        true => while chunk(&mut connection)? > 0 {},
        false => drop(io::copy(&mut (&mut connection).take(length as u64), &mut io::sink())?),
    }
    Ok((connection, status, !closes))
}

/// Reads one chunk of a body, and says how long it was.
fn chunk(connection: &mut BufReader<UnixStream>) -> io::Result<u64> {
    let mut line = String::new();
    connection.read_line(&mut line)?;
    let length = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
    io::copy(&mut connection.by_ref().take(length + 2), &mut io::sink())?;
    Ok(length)
}
