//! What of the world outside reaches a guest through Rust's standard library.

use std::io::Read;
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use samara_guest::function;

use crate::Attempt;

/// Prints a line to standard output and one to standard error, where they have text.
#[function]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "that is what it is for")]
pub fn prints(out: Option<String>, err: Option<String>) {
    if let Some(line) = out {
        println!("{line}");
    }
    if let Some(line) = err {
        eprintln!("{line}");
    }
}

/// Prints this many lines.
#[function]
#[expect(clippy::print_stdout, reason = "that is what it is for")]
pub fn prints_lines(count: u64) {
    for line in 0..count {
        println!("line {line} of {count}");
    }
}

/// Reads standard input to its end.
#[function]
pub fn reads_standard_input() -> Attempt<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map(|_| text).into()
}

/// Lists the environment's variables.
#[function]
#[expect(clippy::disallowed_methods, reason = "shows that there are none")]
pub fn environment() -> Vec<(String, String)> {
    std::env::vars().collect()
}

/// Lists the command line.
#[function]
pub fn command_line() -> Vec<String> {
    std::env::args().collect()
}

/// Reads a file.
#[function]
pub fn reads_file(path: String) -> Attempt<String> {
    std::fs::read_to_string(path).into()
}

/// Writes a file.
#[function]
pub fn writes_file(path: String) -> Attempt<()> {
    std::fs::write(path, "written by a guest").into()
}

/// Lists a directory.
#[function]
pub fn lists_directory(path: String) -> Attempt<Vec<String>> {
    let names = |entries: std::fs::ReadDir| {
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    };
    std::fs::read_dir(path).and_then(names).into()
}

/// Connects to an address.
#[function]
pub fn connects(address: String) -> Attempt<()> {
    TcpStream::connect(address).map(drop).into()
}

/// Sends a datagram to an address.
#[function]
pub fn sends_datagram(address: String) -> Attempt<usize> {
    UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"hello", address)).into()
}

/// Resolves a host's name.
#[function]
pub fn resolves(host: String) -> Attempt<Vec<String>> {
    let texts = |addresses: std::vec::IntoIter<_>| {
        addresses.map(|address: std::net::SocketAddr| address.to_string()).collect()
    };
    (host, 80).to_socket_addrs().map(texts).into()
}

/// Starts a thread.
#[function]
pub fn starts_thread() -> Attempt<()> {
    std::thread::Builder::new().spawn(|| ()).map(drop).into()
}

/// Starts a process.
#[function]
pub fn starts_process(program: String) -> Attempt<()> {
    std::process::Command::new(program).spawn().map(drop).into()
}

/// Sleeps for some milliseconds in one call of the host, and returns how many passed.
#[function]
#[expect(clippy::disallowed_methods, reason = "measures by the clock that it tests")]
pub fn sleeps(ms: u64) -> u64 {
    let before = Instant::now();
    std::thread::sleep(Duration::from_millis(ms));
    u64::try_from(before.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Returns the time in milliseconds since the Unix epoch.
#[function]
#[expect(clippy::disallowed_methods, reason = "reads the clock that it tests")]
pub fn time_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Iterates over a `HashMap` of 32 numbers, whose order depends on random keys.
#[function]
#[expect(clippy::disallowed_types, reason = "that is what it is for")]
pub fn random_order() -> Vec<u64> {
    let map: std::collections::HashMap<u64, ()> = (0..32).map(|n| (n, ())).collect();
    map.into_keys().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_values() {
        let Attempt::Refused { case, .. } = reads_file("no such file".to_owned()) else {
            panic!("there is such a file");
        };
        assert_eq!(case, "NotFound");
    }

    #[test]
    fn a_random_order_is_an_order() {
        let mut numbers = random_order();
        numbers.sort_unstable();
        assert_eq!(numbers, Vec::from_iter(0..32));
    }
}
