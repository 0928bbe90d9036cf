//! Clients that connect to the addresses that were checked, and to no others.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use samara_store::resolver::Resolver;

/// How long it may take to connect.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Bytes of one answer by HTTP/2 that may come before the guest asks for them.
pub(super) const WINDOW_BYTES: u32 = 256 << 10;

/// Connections to one server that wait for another request.
const IDLE_MAX: usize = 8;

/// Clients for both kinds of grants. They share no connection, so that none that was made for who
/// may reach private addresses serves anybody else.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    public: OnceLock<Result<reqwest::Client, String>>,
    private: OnceLock<Result<reqwest::Client, String>>,
}

// === impl Clients ===

impl Clients {
    /// A client; with `private`, one that may reach private addresses too.
    pub(super) fn get(&self, private: bool) -> Result<&reqwest::Client, &str> {
        let client = if private { &self.private } else { &self.public };
        let made = || make(Resolver::new(private));
        client.get_or_init(made).as_ref().map_err(String::as_str)
    }
}

fn make(resolver: Resolver) -> Result<reqwest::Client, String> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may be quicker, with the same one.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
    reqwest::Client::builder()
        .dns_resolver(Arc::new(resolver))
        // Each step is the guest's own request, and checked.
        .redirect(reqwest::redirect::Policy::none())
        // A proxy would resolve names itself.
        .no_proxy()
        .referer(false)
        .connect_timeout(CONNECT_TIME)
        .pool_max_idle_per_host(IDLE_MAX)
        .http2_initial_stream_window_size(WINDOW_BYTES)
        .build()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use reqwest::dns::{Name, Resolve};
    use samara_store::resolver::Found;

    use super::*;

    fn io() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    /// Answers each question with the next of the answers, and the last for ever.
    fn rebinding(private: bool, answers: &'static [&'static [&'static str]]) -> Resolver {
        let asked = AtomicUsize::new(0);
        let look_up = move |_name| {
            let turn = asked.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            let all = answers[turn].iter().map(|it| SocketAddr::new(it.parse().unwrap(), 0));
            let all: Vec<SocketAddr> = all.collect();
            Box::pin(async move { Ok(all) }) as Found
        };
        Resolver::with(private, Arc::new(look_up))
    }

    fn resolved(io: &tokio::runtime::Runtime, resolver: &Resolver) -> Option<Vec<String>> {
        let resolving = resolver.resolve("rebinding.example".parse::<Name>().unwrap());
        let found = io.block_on(resolving).ok()?;
        Some(found.map(|address| address.ip().to_string()).collect())
    }

    #[test]
    fn what_a_name_means_is_checked_each_time_that_it_is_asked() {
        let io = io();
        let turns: &[&[&str]] = &[
            &["93.184.216.34"],
            &["127.0.0.1"],
            &["169.254.169.254", "93.184.216.34", "::ffff:169.254.169.254", "fd00:ec2::254"],
            &["169.254.169.254"],
        ];
        let only = |address: &str| Some(vec![address.to_owned()]);
        let public = rebinding(false, turns);
        assert_eq!(resolved(&io, &public), only("93.184.216.34"));
        assert_eq!(resolved(&io, &public), None, "it means this machine now");
        assert_eq!(resolved(&io, &public), only("93.184.216.34"), "one of four");
        assert_eq!(resolved(&io, &public), None, "it means the machine's credentials now");
        let private = rebinding(true, turns);
        let all: Vec<_> = (0..4).map(|_| resolved(&io, &private)).collect();
        assert_eq!(all[1], only("127.0.0.1"));
        assert_eq!((&all[2], &all[3]), (&only("93.184.216.34"), &None), "nobody's to grant");
    }

    #[test]
    fn a_name_that_changes_its_meaning_is_not_followed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let _read = stream.read(&mut [0; 4096]);
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
                let _gone = stream.write_all(answer.as_bytes());
            }
        });
        let io = io();
        let get = |client: &reqwest::Client| {
            let url = format!("http://rebinding.example:{port}/");
            io.block_on(async { client.get(url).send().await?.text().await })
        };
        // Granted with private addresses: here first, then where the machine's credentials are.
        let turns: &[&[&str]] = &[&["127.0.0.1"], &["169.254.169.254"], &["127.0.0.1"]];
        let private = make(rebinding(true, turns)).unwrap();
        assert_eq!(get(&private).unwrap(), "hi");
        let error = get(&private).unwrap_err();
        assert!(Resolver::has_refused(&error), "{error:?}");
        assert_eq!(get(&private).unwrap(), "hi");
        // Granted without: never, whatever comes first.
        let public = make(rebinding(false, &[&["127.0.0.1"], &["::1", "127.0.0.1"]])).unwrap();
        for _ in 0..2 {
            let error = get(&public).unwrap_err();
            assert!(Resolver::has_refused(&error), "{error:?}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}
