//! Where a host listens: a TCP address, or a Unix socket.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use samara_core::{Error, ErrorKind};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
    /// A Unix socket that every user may write to, and that is there only once it answers.
    Shared(PathBuf),
}

/// A socket that listens.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, Socket),
}

/// A connection that came in.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// The file of a Unix socket, which ends with this value.
#[derive(Debug)]
pub(super) struct Socket(PathBuf);

// === impl Address ===

impl Address {
    /// Reads `127.0.0.1:8080`, `[::1]:8080`, `:8080` (every interface), or `unix:PATH`.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.is_empty() {
                false => Ok(Self::Unix(path.into())),
                true => Err(Error::new(ErrorKind::Invalid, "`unix:` needs a path behind it")),
            };
        }
        let whole = match text.strip_prefix(':') {
            Some(port) => format!("0.0.0.0:{port}"),
            None => text.to_owned(),
        };
        whole.parse().map(Self::Tcp).map_err(|_| {
            let text = format!(
                "`{text}` is no address to listen on; say it as 127.0.0.1:8080, [::1]:8080, :8080 \
                 for every interface, or unix:PATH"
            );
            Error::new(ErrorKind::Invalid, text)
        })
    }

    /// A port on every interface, as platforms have it.
    pub(super) fn everywhere(port: u16) -> Self {
        Self::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
    }

    /// A port for programs of this machine.
    pub(super) fn here(port: u16) -> Self {
        Self::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }

    /// Whether only this machine reaches it.
    pub(super) fn is_here(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) | Self::Shared(_) => true,
        }
    }

    pub(super) async fn listen(&self) -> Result<Listener, Error> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Invalid, format!("cannot listen on {self}: {error}"))
        };
        match self {
            Self::Tcp(address) => {
                TcpListener::bind(address).await.map(Listener::Tcp).map_err(failed)
            }
            Self::Unix(path) => {
                let socket = Socket(path.clone());
                remove_dead(path).map_err(failed)?;
                let listener = UnixListener::bind(path).map_err(failed)?;
                Ok(Listener::Unix(listener, socket))
            }
            Self::Shared(path) => share(path).map_err(failed),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) | Self::Shared(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Removes a socket that a process left when it was killed; one that somebody listens on stays.
fn remove_dead(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    match is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        true => std::fs::remove_file(path),
        false => Ok(()),
    }
}

/// Listens under another name, lets everybody write, and then takes the name.
fn share(path: &Path) -> std::io::Result<Listener> {
    use std::os::unix::fs::PermissionsExt;
    remove_dead(path)?;
    if path.exists() {
        return Err(std::io::ErrorKind::AddrInUse.into());
    }
    // Short: the name of a socket has a hundred bytes or so, with its directory's.
    let before = Socket(path.with_file_name(".samara"));
    remove_dead(&before.0)?;
    let listener = UnixListener::bind(&before.0)?;
    std::fs::set_permissions(&before.0, std::fs::Permissions::from_mode(0o666))?;
    std::fs::rename(&before.0, path)?;
    Ok(Listener::Unix(listener, Socket(path.to_owned())))
}

// === impl Listener ===

impl Listener {
    /// Where it listens, with the port that it was given.
    pub(super) fn address(&self) -> std::io::Result<Address> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Self::Unix(_, socket) => Ok(Address::Unix(socket.0.clone())),
        }
    }

    pub(super) async fn accept(&self) -> std::io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Frames are small, and waited for.
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Self::Unix(listener, _) => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

// === impl Socket ===

impl Drop for Socket {
    fn drop(&mut self) {
        let _gone_already = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_shared_socket_is_seen_once_it_can_be_written_to() {
        use std::os::unix::fs::PermissionsExt;
        let name = format!("samara-listen-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let address = Address::Shared(directory.join("lsnr.sock"));
        let listener = address.listen().await.unwrap();
        let names = || {
            let entries = std::fs::read_dir(&directory).unwrap();
            entries.map(|entry| entry.unwrap()).collect::<Vec<_>>()
        };
        let found = names();
        assert_eq!((found.len(), found[0].file_name().to_str()), (1, Some("lsnr.sock")));
        assert_eq!(found[0].metadata().unwrap().permissions().mode() & 0o777, 0o666);
        std::os::unix::net::UnixStream::connect(found[0].path()).unwrap();
        assert!(address.listen().await.is_err(), "somebody is there");
        drop(listener);
        assert!(names().is_empty());
        std::fs::remove_dir(&directory).unwrap();
    }

    #[test]
    fn addresses_are_read_or_refused_by_name() {
        for (text, shown, here) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            (":80", "0.0.0.0:80", false),
            ("[::1]:80", "[::1]:80", true),
            ("unix:/tmp/s", "unix:/tmp/s", true),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.to_string().as_str(), address.is_here()), (shown, here));
        }
        for text in ["80", "localhost", "1.2.3.4", "unix:", ":x", "1.2.3.4:99999"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
