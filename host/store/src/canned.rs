//! A server for tests, whose answers are written before.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What is answered to the head and body of a request: nothing where that is empty, and no more is
/// read either where it is none.
type Answers = dyn Fn(&str, &str) -> Option<String> + Send + Sync;

/// A server on loopback, for as long as the process lives.
pub(crate) struct Canned {
    pub(crate) endpoint: String,
    seen: Arc<Mutex<Vec<String>>>,
}

// === impl Canned ===

impl Canned {
    pub(crate) fn start(
        answers: impl Fn(&str, &str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answers, lines): (Arc<Answers>, _) = (Arc::new(answers), Arc::clone(&seen));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (answers, lines) = (Arc::clone(&answers), Arc::clone(&lines));
                std::thread::spawn(move || serve(client, &*answers, &lines));
            }
        });
        Self { endpoint, seen }
    }

    /// The first lines of all requests.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// An answer of this status, with further lines of its head.
pub(crate) fn answer(status: u16, head: &str, body: &str) -> Option<String> {
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {status} Canned\r\nContent-Length: {length}\r\nConnection: close\r\n{head}\r\n{body}"
    ))
}

/// One request, and with it the connection. What has no length is not read any further.
fn serve(mut client: TcpStream, answers: &Answers, seen: &Mutex<Vec<String>>) {
    let mut bytes = Vec::new();
    let mut piece = [0; 16 << 10];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        match client.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        value.trim().parse::<usize>().ok().filter(|_| is_length)
    });
    while bytes.len() < end + length.unwrap_or_default() {
        match client.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
    }
    seen.lock().unwrap().push(head.lines().next().unwrap_or_default().to_owned());
    match answers(&head, &String::from_utf8_lossy(&bytes[end..])) {
        Some(answer) if answer.is_empty() => drop(std::io::copy(&mut client, &mut std::io::sink())),
        Some(answer) => drop(client.write_all(answer.as_bytes())),
        // Whoever waits sees no end of the connection.
        None => std::mem::forget(client),
    }
}
