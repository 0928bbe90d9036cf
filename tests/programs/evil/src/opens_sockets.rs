//! Tries to reach the network without `wasi:http`.

use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

use samara_guest::function;

use crate::Loot;

/// What it comes to to reach an address.
#[function]
pub fn reaches(address: String) -> Vec<Loot> {
    vec![
        TcpStream::connect(&address).into(),
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.accept()).into(),
        UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"x", &address)).into(),
        "localhost:80".to_socket_addrs().map(|all| all.count()).into(),
    ]
}

/// Opens as many sockets as there are, and says how many there were.
#[function]
pub fn opens_sockets_without_end() -> usize {
    let open = |_| UdpSocket::bind("0.0.0.0:0").or_else(|_| UdpSocket::bind("[::]:0"));
    (0..100_000).map_while(|n| open(n).ok()).map(std::mem::forget).count()
}
