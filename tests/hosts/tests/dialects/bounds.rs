//! What clients may take of a host, whoever they are: plain and with TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use rustls::version::TLS13;
use samara_core::{Clock as _, SystemClock};

use crate::authority::{Authority, For, Stream, client, connect};
use crate::host::{Host, TOKEN};

/// By name.
pub(crate) const CHECKS: &[(&str, fn())] = &[
    ("heads_of_requests_are_bounded", heads),
    ("a_client_that_takes_its_time_is_cut_off", slow),
    ("a_client_that_never_speaks_tls_is_cut_off_and_keeps_nobody_out", silent),
    ("connections_are_counted_and_one_more_waits", connections),
    ("bodies_of_strangers_take_a_bounded_memory", bodies),
];

/// What a host gives a head, and a handshake, with room for a busy machine.
const HEAD_TIME: Duration = Duration::from_secs(30);
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
const ROOM: Duration = Duration::from_secs(10);

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a client of HTTP/2 says first.
const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A host with TLS, and who signed its certificate.
struct Safe {
    host: Host,
    hosts: Authority,
    _directory: tempfile::TempDir,
}

/// A connection, in the clear or not.
enum Open {
    Plain(TcpStream),
    Tls(Box<Stream>),
}

// === impl Safe ===

impl Safe {
    fn start(files: Option<u32>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let hosts = Authority::new(directory.path(), "authority");
        let pair = hosts.sign("host", For::Host);
        let (certificate, key) = (pair.certificate.to_str(), pair.key.to_str());
        let tls = [
            ("SAMARA_HOST_TLS_CERT", certificate.expect("UTF-8")),
            ("SAMARA_HOST_TLS_KEY", key.expect("UTF-8")),
        ];
        let variables = [&HERE[..], &tls].concat();
        let host = match files {
            Some(files) => Host::start_with_files(&variables, files),
            None => Host::start(&variables),
        };
        Self { host, hosts, _directory: directory }
    }

    fn open(&self) -> Open {
        let config = client(&self.hosts, &TLS13, &["http/1.1"]);
        Open::Tls(Box::new(connect(&self.host.address, &config).unwrap()))
    }
}

// === impl Open ===

impl Open {
    fn plain(host: &Host) -> Self {
        Self::Plain(socket(host))
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    /// Whether somebody answers in that time.
    fn lives(&mut self, time: Duration) -> bool {
        self.tcp().set_read_timeout(Some(time)).unwrap();
        let asked = self.write_all(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n");
        let mut answer = [0; 15];
        asked.is_ok() && self.read_exact(&mut answer).is_ok() && &answer == b"HTTP/1.1 200 OK"
    }

    /// What comes until the other side closes, which it does in this time.
    fn rest(&mut self, time: Duration) -> String {
        self.tcp().set_read_timeout(Some(time)).unwrap();
        let mut rest = Vec::new();
        match self.read_to_end(&mut rest) {
            Ok(_) => {}
            // One that is cut off says no goodbye.
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset),
                "{error}"
            ),
        }
        String::from_utf8_lossy(&rest).into_owned()
    }
}

impl Read for Open {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Open {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

const HERE: [(&str, &str); 3] = [
    ("SAMARA_HOST_AS", "http"),
    ("SAMARA_HOST_LISTEN", "127.0.0.1:0"),
    ("SAMARA_HOST_TOKENS", TOKEN),
];

fn socket(host: &Host) -> TcpStream {
    TcpStream::connect(&host.address).unwrap()
}

fn heads() {
    let (plain, safe) = (Host::start(&HERE), Safe::start(None));
    let long = format!("GET /healthz HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "x".repeat(70 << 10));
    let line = format!("GET /{} HTTP/1.1\r\nhost: h\r\n\r\n", "x".repeat(70 << 10));
    let many = format!("GET /healthz HTTP/1.1\r\nhost: h\r\n{}\r\n", "x: x\r\n".repeat(101));
    let fits = format!("GET /healthz HTTP/1.1\r\nhost: h\r\n{}\r\n", "x: x\r\n".repeat(99));
    for open in [&(|| Open::plain(&plain)) as &dyn Fn() -> Open, &|| safe.open()] {
        for (head, status) in [(&long, "431"), (&line, "414"), (&many, "431"), (&fits, "200")] {
            let mut stream = open();
            stream.tcp().set_read_timeout(Some(PATIENCE)).unwrap();
            // It may be refused before all of it was sent.
            let _refused = stream.write_all(head.as_bytes());
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).unwrap();
            let answer = String::from_utf8_lossy(&answer).into_owned();
            // A line that is too long is a head that is, where it does not fit in the buffer.
            let also = if status == "414" { "431" } else { status };
            assert!(answer.ends_with(status) || answer.ends_with(also), "{status}: {answer}");
        }
        assert!(open().lives(PATIENCE));
    }
    plain.stop();
    safe.host.stop();
}

/// How long it takes until the other side closes, while these pieces come every now and then.
fn cut_after(mut stream: Open, pieces: &[&str]) -> Duration {
    let (clock, before) = (SystemClock::new(), SystemClock::new().monotonic());
    let took = || clock.monotonic().saturating_sub(before);
    for piece in pieces {
        stream.tcp().set_read_timeout(Some(Duration::from_secs(4))).unwrap();
        let wrote = stream.write_all(piece.as_bytes());
        match wrote.and_then(|()| stream.read(&mut [0])) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(0) | Err(_) => return took(),
            Ok(_) => {}
        }
    }
    stream.rest(PATIENCE);
    took()
}

fn slow() {
    let (plain, safe) = (Host::start(&HERE), Safe::start(None));
    let mut drip = vec!["GET /healthz HTTP/1.1\r\nhost: h\r\n"];
    drip.extend(["x: x\r\n"; 20]);
    let cases: [&[&str]; 5] = [&[], &["GET"], &drip, &["PR"], &[PREFACE]];
    thread::scope(|scope| {
        for open in [&(|| Open::plain(&plain)) as &dyn Fn() -> Open, &|| safe.open()] {
            for pieces in cases {
                let stream = open();
                scope.spawn(move || {
                    let took = cut_after(stream, pieces);
                    let times = HEAD_TIME - ROOM..HEAD_TIME + ROOM;
                    assert!(times.contains(&took), "{took:?}: {pieces:?}");
                });
            }
        }
    });
    // Nobody else was kept from anything.
    assert!(Open::plain(&plain).lives(PATIENCE) && safe.open().lives(PATIENCE));
    assert_eq!(plain.stop().code, Some(0));
    assert_eq!(safe.host.stop().code, Some(0));
}

fn silent() {
    let safe = Safe::start(None);
    // A record of a handshake that says that 512 bytes follow; and what is no record.
    let halves: [&[u8]; 3] = [b"", b"\x16\x03\x01\x02\x00\x01", b"\x16\xff\xff\xff\xff\xff"];
    let (clock, before) = (SystemClock::new(), SystemClock::new().monotonic());
    let streams: Vec<TcpStream> = (0..60)
        .map(|n| {
            let mut stream = socket(&safe.host);
            stream.write_all(halves[n % halves.len()]).unwrap();
            stream
        })
        .collect();
    // Before the silent ones are cut off.
    assert!(safe.open().lives(HANDSHAKE_TIME - Duration::from_secs(1)), "they keep others out");
    for stream in streams {
        Open::Plain(stream).rest(PATIENCE);
    }
    let took = clock.monotonic().saturating_sub(before);
    assert!(took < HANDSHAKE_TIME + ROOM, "{took:?}");
    assert!(safe.open().lives(PATIENCE));
    assert_eq!(safe.host.stop().code, Some(0));
}

/// Files that such a host may have open; half of them are connections.
const FILES: u32 = 200;

fn connections() {
    let plain = Host::start_with_files(&HERE, FILES);
    let mut open: Vec<Open> = (0..FILES / 2).map(|_| Open::plain(&plain)).collect();
    assert!(open.iter_mut().all(|stream| stream.lives(PATIENCE)), "all have a place");
    let mut late = Open::plain(&plain);
    assert!(!late.lives(Duration::from_secs(3)), "there is no place");
    // One that ends makes room for one that waits.
    open.pop().unwrap().tcp().shutdown(Shutdown::Both).unwrap();
    let mut answer = [0; 15];
    late.tcp().set_read_timeout(Some(HEAD_TIME)).unwrap();
    late.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    drop((open, late));
    let ended = plain.stop();
    assert!(ended.code == Some(0) && !ended.stderr.contains("not taken"), "{ended:?}");
    // Those who take all places and say nothing have them for no longer than a handshake may take.
    let safe = Safe::start(Some(FILES));
    let silent: Vec<TcpStream> = (0..FILES / 2).map(|_| socket(&safe.host)).collect();
    let (clock, before) = (SystemClock::new(), SystemClock::new().monotonic());
    assert!(safe.open().lives(PATIENCE));
    let took = clock.monotonic().saturating_sub(before);
    assert!((HANDSHAKE_TIME / 2..HANDSHAKE_TIME + ROOM).contains(&took), "{took:?}");
    drop(silent);
    assert_eq!(safe.host.stop().code, Some(0));
}

/// Bodies that are almost there, of which two fit.
const BODY: usize = 100 << 20;

/// Where the ticket is in an envelope, as with Azure's.
const WRAPPED: [(&str, &str); 3] = [
    ("SAMARA_HOST_AS", "azure-functions"),
    ("SAMARA_HOST_LISTEN", "127.0.0.1:0"),
    ("SAMARA_HOST_TOKENS", TOKEN),
];

fn posts(host: &Host, path: &str, bytes: usize) -> Open {
    let mut stream = Open::plain(host);
    let head = format!("POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: {BODY}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    // Who is refused in the middle of it may not get all of it away.
    let _refused = stream.write_all(&vec![b' '; bytes]);
    stream
}

fn status(stream: &mut Open) -> String {
    let mut answer = [0; 12];
    stream.tcp().set_read_timeout(Some(HEAD_TIME)).unwrap();
    stream.read_exact(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[9..]).into_owned()
}

fn bodies() {
    let wrapped = Host::start(&WRAPPED);
    let held = [posts(&wrapped, "/run", BODY - 1), posts(&wrapped, "/run", BODY - 1)];
    assert_eq!(status(&mut posts(&wrapped, "/run", BODY - 1)), "503");
    assert!(Open::plain(&wrapped).lives(PATIENCE), "who sends no body is served");
    drop(held);
    let (clock, before) = (SystemClock::new(), SystemClock::new().monotonic());
    // That the others are gone may take a moment to be known.
    while status(&mut posts(&wrapped, "/run", BODY)) == "503" {
        assert!(clock.monotonic().saturating_sub(before) < PATIENCE, "memory is free again");
    }
    assert_eq!(wrapped.stop().code, Some(0));
    // Where the ticket is in the head, nothing is waited for.
    let plain = Host::start(&HERE);
    for (path, expected) in [("/v1/batches", "401"), ("/", "404"), ("/run", "404")] {
        assert_eq!(status(&mut posts(&plain, path, 0)), expected, "{path}");
    }
    plain.stop();
}
