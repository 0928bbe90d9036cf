//! Guests that reach for servers that were not granted, and above all for the machine's credentials.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use samara_core::Exceeded;
use samara_evil::Loot;

use super::host::{Host, SLACK};
use crate::common::arguments;

/// A server that answers everything alike, for as long as the process lives.
struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

// === impl Server ===

impl Server {
    fn start(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut head = [0; 4096];
                let _read = stream.read(&mut head);
                let _gone = stream.write_all(answer.as_bytes());
            }
        });
        Self { address, asked }
    }

    fn saying(text: &str) -> Self {
        let length = text.len();
        Self::start(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}"
        ))
    }

    fn sending_to(url: &str) -> Self {
        Self::start(format!(
            "HTTP/1.1 302 Found\r\nlocation: {url}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        ))
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[track_caller]
fn nothing(loot: &Loot, what: &str) {
    assert!(matches!(loot, Loot::Nothing(_)), "{what}: {loot:?}");
}

/// Spellings of an IPv4 address, as some read them.
fn spellings([a, b, c, d]: [u8; 4]) -> Vec<String> {
    let whole = u32::from_be_bytes([a, b, c, d]);
    let low = u32::from_be_bytes([0, b, c, d]);
    vec![
        format!("{a}.{b}.{c}.{d}"),
        format!("{whole}"),
        format!("{whole:#x}"),
        format!("0{whole:o}"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("{a}.{low}"),
        format!("{a}.{b}.{}", u32::from(c) * 256 + u32::from(d)),
        format!("{a}.{b}.{c}.{d}."),
        format!("[::ffff:{a}.{b}.{c}.{d}]"),
        format!("[::ffff:{:x}:{:x}]", whole >> 16, whole & 0xffff),
        format!("[0:0:0:0:0:ffff:{:04x}:{:04x}]", whole >> 16, whole & 0xffff),
        format!("[64:ff9b::{a}.{b}.{c}.{d}]"),
        format!("[2002:{:x}:{:x}::]", whole >> 16, whole & 0xffff),
        format!("[::{a}.{b}.{c}.{d}]"),
        format!("%31{}", &format!("{a}.{b}.{c}.{d}")[1..]),
        format!("granted.example@{a}.{b}.{c}.{d}"),
        format!("{a}\u{3002}{b}\u{3002}{c}\u{3002}{d}"),
    ]
}

pub(super) fn asks_by_address(host: &Host) {
    let server = Server::saying("credentials");
    let port = server.address.port();
    let mut urls: Vec<String> =
        spellings([127, 0, 0, 1]).iter().map(|it| format!("http://{it}:{port}/")).collect();
    urls.extend(spellings([169, 254, 169, 254]).iter().map(|it| format!("http://{it}/latest/")));
    urls.extend(spellings([100, 100, 100, 200]).iter().map(|it| format!("http://{it}/latest/")));
    urls.extend(["http://[fd00:ec2::254]/latest/", "http://[fe80::1%25eth0]/"].map(str::to_owned));
    for grants in [
        &[][..],
        &["http://granted.example"],
        &["http://*.example private", "https://127.0.0.1", "http://127.0.0.2"],
    ] {
        let loot: Vec<Loot> = host.asking(grants, "asks_each", arguments((&urls,)));
        for (url, loot) in urls.iter().zip(&loot) {
            nothing(loot, url);
        }
    }
    assert_eq!(server.asked(), 0);
    // The one spelling of the one address that is granted, and others that mean it by all rules.
    let granted = format!("http://127.0.0.1:{port}");
    let loot: Vec<Loot> = host.asking(&[&granted], "asks_each", arguments((&urls[..1],)));
    assert_eq!(loot, [Loot::Got("\"credentials\"".to_owned())]);
}

pub(super) fn asks_by_name(host: &Host) {
    let server = Server::saying("credentials");
    let port = server.address.port();
    let url = |name: &str| format!("http://{name}:{port}/");
    // The name leads to this machine, which a grant of a name alone does not cover.
    for name in ["localhost", "LOCALHOST", "localhost.", "a.localhost"] {
        let grants = [format!("http://localhost:{port}"), format!("http://*.localhost:{port}")];
        let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
        let loot: Loot = host.asking(&grants, "asks_name", arguments((url(name),)));
        nothing(&loot, name);
    }
    for name in ["metadata", "metadata.google.internal", "instance-data", "169.254.169.254.nip.io"]
    {
        let loot: Loot = host.asking(&[], "asks_name", arguments((format!("http://{name}/"),)));
        nothing(&loot, name);
    }
    assert_eq!(server.asked(), 0);
}

pub(super) fn asks_by_redirect(host: &Host) {
    let inner = Server::saying("credentials");
    for target in [
        inner.url(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://2852039166/".to_owned(),
        "http://[::ffff:a9fe:a9fe]/".to_owned(),
        format!("//127.0.0.1:{}/", inner.address.port()),
        "file:///etc/passwd".to_owned(),
        "gopher://127.0.0.1/".to_owned(),
    ] {
        let door = Server::sending_to(&target);
        let granted = door.url();
        let origin = granted.trim_end_matches('/');
        let loot: Loot = host.asking(&[origin], "follows_to_the_end", arguments((door.url(),)));
        nothing(&loot, &target);
        assert_eq!((door.asked(), inner.asked()), (1, 0), "{target}");
    }
}

pub(super) fn asks_without_end(host: &Host) {
    let server = Server::saying("again");
    let origin = server.url();
    let origin = origin.trim_end_matches('/');
    let mut batch = host.asking_batch(&[origin], "asks_for_ever", arguments((server.url(),)));
    (batch.limits.http_requests, batch.limits.buffer_bytes) = (50, 1 << 30);
    host.run(batch).exceeded(Exceeded::HttpRequests { limit: 50 });
    assert!(server.asked() <= 50);
    // Answers that it keeps take room, for fewer than it may ask.
    let batch = host.asking_batch(&[origin], "asks_for_ever", arguments((server.url(),)));
    let limit = batch.limits.buffer_bytes;
    host.run(batch).exceeded(Exceeded::Buffers { limit });
}

pub(super) fn waits_for_server(host: &Host) {
    // It accepts nothing, and keeps connections in its queue.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let origin = url.trim_end_matches('/');
    let limit = Duration::from_millis(300);
    let mut batch = host.asking_batch(&[origin], "waits_for_answer", arguments((&url,)));
    batch.limits.time = limit;
    host.run(batch).out_of_time(limit);
    let batch = host.asking_batch(&[origin], "waits_for_answer", arguments((&url,)));
    let (report, after) = host.cancelled(batch);
    assert!(!report.outcome.is_success() && after < SLACK, "{after:?}: {report:?}");
}

pub(super) fn opens_sockets(host: &Host) {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind(tcp.local_addr().unwrap()).unwrap();
    tcp.set_nonblocking(true).unwrap();
    udp.set_nonblocking(true).unwrap();
    let address = tcp.local_addr().unwrap().to_string();
    let grants = [format!("http://{address}")];
    let batch = host.asking_batch(&[&grants[0]], "reaches", arguments((address,)));
    let loot: Vec<Loot> = host.run(batch).value();
    loot.iter().for_each(|loot| nothing(loot, "a socket"));
    assert!(tcp.accept().is_err() && udp.recv(&mut [0; 8]).is_err(), "nothing came");
    let descriptors = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let before = descriptors();
    let ended = host.one("opens_sockets_without_end", arguments(()));
    assert!(ended.report.outcome.is_success() || !ended.trapped().message.is_empty());
    assert!(descriptors() < before + 200, "sockets of the machine's: {}", descriptors());
}

pub(super) fn starts_jobs(host: &Host) {
    let ended = host.one("multiplies", arguments((0_u64,)));
    nothing(&ended.value(), "no driver, no jobs");
}
