//! A broker with a queue: NATS from its script, one that fails and comes again, and a client that speaks
//! its protocol as it is documented, with nothing that the host or the driver has.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;

use samara_stores::{NATS, Server};
use serde_json::{Value, json};

/// What drivers and hosts are told of the broker's user.
pub const LOGIN: [(&str, &str); 2] = [("NATS_USER", "samara"), ("NATS_PASSWORD", "samara-secret")];

/// A broker, which ends with this value.
#[derive(Debug)]
pub struct Nats {
    server: Option<Server>,
    port: String,
    files: tempfile::TempDir,
}

/// A connection to it.
#[derive(Debug)]
pub struct Client(BufReader<TcpStream>);

// === impl Nats ===

impl Nats {
    /// Whether it can be started.
    pub fn is_installed() -> bool {
        NATS.is_installed()
    }

    /// Starts one.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    pub fn start() -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let mut this = Self { server: None, port: String::new(), files };
        // A port that nobody has.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        this.port = listener.local_addr().expect("an address").port().to_string();
        drop(listener);
        this.again();
        this
    }

    /// Kills it, as a machine that fails.
    ///
    /// # Panics
    ///
    /// Where it has ended.
    pub fn kill(&mut self) {
        let server = self.server.take().expect("it runs");
        let killed = Command::new("kill").args(["-KILL", &server.said["PIDS"]]).status();
        assert!(killed.expect("kill").success());
    }

    /// Starts it again, with what it had on its disk.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    pub fn again(&mut self) {
        let files = self.files.path().join("js");
        let arguments = [self.port.as_str(), files.to_str().expect("UTF-8")];
        self.server = Some(NATS.start_with(&arguments).expect("it starts"));
    }

    /// Its URL, for drivers and hosts.
    pub fn url(&self) -> String {
        format!("queue://127.0.0.1:{}", self.port)
    }

    /// A connection to it.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub fn client(&self) -> Client {
        let stream = TcpStream::connect(format!("127.0.0.1:{}", self.port)).expect("a connection");
        let mut client = Client(BufReader::new(stream));
        let user = json!({ "verbose": false, "user": LOGIN[0].1, "pass": LOGIN[1].1 });
        client.write(&format!("CONNECT {user}\r\n"));
        client
    }

    /// Messages that are in the queue.
    ///
    /// # Panics
    ///
    /// Where there is no queue.
    pub fn left(&self) -> u64 {
        let info = self.client().ask("$JS.API.STREAM.INFO.samara", b"");
        info["state"]["messages"].as_u64().unwrap_or_else(|| panic!("{info}"))
    }

    /// Puts a message into the queue.
    ///
    /// # Panics
    ///
    /// Where it is not taken.
    pub fn put(&self, message: &[u8]) {
        let taken = self.client().ask("samara.samara.batches", message);
        assert!(taken["seq"].is_u64(), "{taken}");
    }
}

// === impl Client ===

impl Client {
    fn write(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("it listens");
    }

    /// Puts something on a subject, with an answer to go to another.
    ///
    /// # Panics
    ///
    /// Where the broker hung up.
    pub fn say(&mut self, subject: &str, to: &str, body: &str) {
        self.write(&format!("PUB {subject} {to} {}\r\n{body}\r\nPING\r\n", body.len()));
        let mut line = String::new();
        while line.trim() != "PONG" {
            line.clear();
            assert!(self.0.read_line(&mut line).expect("a line") > 0, "the broker hung up");
        }
    }

    /// Asks on a subject, and waits for the answer: null where it is no JSON.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub fn ask(&mut self, subject: &str, body: &[u8]) -> Value {
        let inbox = "_INBOX.test";
        self.write(&format!("SUB {inbox} 1\r\nPUB {subject} {inbox} {}\r\n", body.len()));
        self.0.get_mut().write_all(body).expect("it listens");
        self.write("\r\n");
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).expect("a line") > 0, "the broker hung up");
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["PING"] => self.write("PONG\r\n"),
                ["MSG", .., length] => {
                    let mut body = vec![0; length.parse().expect("a number")];
                    self.0.read_exact(&mut body).expect("a body");
                    return serde_json::from_slice(&body).unwrap_or_default();
                }
                ["-ERR", ..] => panic!("{line}"),
                _ => {}
            }
        }
    }
}
