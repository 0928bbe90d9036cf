//! Tests that are built for the sandbox, as a module of a crate; `../runner.rs` runs them there.

#[cfg(test)]
mod sandbox {
    use std::io::{ErrorKind, Read};
    use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
    use std::time::{Duration, Instant, SystemTime};

    #[test]
    fn arguments_and_environment() {
        assert_eq!(std::env::vars().count(), 0);
        assert!(std::env::var("PATH").is_err());
    }

    #[test]
    fn standard_input() {
        let mut text = String::new();
        assert_eq!(std::io::stdin().read_to_string(&mut text).unwrap_or(0), 0);
    }

    #[test]
    fn files() {
        for path in ["/etc/passwd", "Cargo.toml", "../x"] {
            println!("{path}: {:?}", std::fs::read(path));
            assert_eq!(std::fs::read(path).unwrap_err().kind(), ErrorKind::NotFound);
            assert_eq!(std::fs::write(path, "x").unwrap_err().kind(), ErrorKind::NotFound);
        }
    }

    #[test]
    fn directories() {
        assert_eq!(std::fs::read_dir("/").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(std::fs::create_dir("/tmp/x").unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn sockets() {
        let refused = |kind: ErrorKind| kind == ErrorKind::PermissionDenied;
        let connected = TcpStream::connect("127.0.0.1:80").unwrap_err();
        println!("{connected:?}");
        assert!(refused(connected.kind()));
        let listening = TcpListener::bind("127.0.0.1:0").unwrap_err();
        println!("{listening:?}");
        assert!(refused(listening.kind()));
        let bound = UdpSocket::bind("127.0.0.1:0").unwrap_err();
        println!("{bound:?}");
        assert!(refused(bound.kind()));
        let resolved = "localhost:80".to_socket_addrs().map(|all| all.count());
        println!("{resolved:?}");
        assert!(resolved.is_err());
    }

    #[test]
    fn processes_and_threads() {
        let spawned = std::process::Command::new("/bin/true").spawn().map(drop).unwrap_err();
        assert_eq!(spawned.kind(), ErrorKind::Unsupported);
        let spawned = std::thread::Builder::new().spawn(|| ()).map(drop).unwrap_err();
        assert_eq!(spawned.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn clocks_and_random_numbers() {
        let (before, now) = (Instant::now(), SystemTime::now());
        std::thread::sleep(Duration::from_millis(10));
        assert!(before.elapsed() >= Duration::from_millis(10));
        assert!(now > SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30));
        let map = || std::collections::HashMap::<u32, ()>::from_iter((0..64).map(|n| (n, ())));
        let order = |map: std::collections::HashMap<u32, ()>| map.into_keys().collect::<Vec<_>>();
        assert_ne!(order(map()), order(map()));
    }
}

#[cfg(test)]
mod host {
    use std::io::{Read, Write};

    use samara_guest::storage::{self, Error};
    use samara_guest::task::{self, Identity};
    use samara_guest::{ObjectRef, Partition, testing};

    #[test]
    fn any_url_is_storage_of_the_test() {
        for url in ["mem:///a", "s3://bucket/a/b", "file:///etc/passwd"] {
            assert!(matches!(storage::get(url), Err(Error::NotFound(_))), "{url}");
            storage::put(url, b"hello").unwrap();
            assert_eq!(storage::get(url).unwrap(), b"hello");
        }
        let mut writer = storage::create("s3://bucket/a/c").unwrap();
        writer.write_all(b"12").unwrap();
        writer.finish().unwrap();
        let listed: Vec<String> = storage::list("s3://bucket/a/").map(|e| e.unwrap().url).collect();
        assert_eq!(listed, ["s3://bucket/a/b", "s3://bucket/a/c"]);
        assert!(storage::put("no url", b"").is_err());
    }

    #[test]
    fn the_storage_of_a_test_is_its_own() {
        assert!(!storage::exists("mem:///a").unwrap());
    }

    #[test]
    fn objects_go_by_reference() {
        let object = ObjectRef::put(b"abc").unwrap();
        let mut text = String::new();
        object.open().read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), object.read().unwrap().len()), ("abc", 3));
    }

    #[test]
    fn the_task_is_set_and_seen() {
        assert_eq!((task::current().index, task::current().job.len()), (0, 26));
        testing::set_task(Identity { job: "j".to_owned(), index: 7, attempt: 1 });
        assert_eq!(task::current().index, 7);
        assert!(!task::is_cancelled());
        testing::cancel();
        assert!(task::is_cancelled());
        task::progress(1, 2);
        assert_eq!(testing::progress(), Some((1, 2)));
    }

    #[test]
    fn the_log_is_seen() {
        task::info!("a line");
        assert_eq!(testing::log(), [(task::Level::Info, "a line".to_owned())]);
    }

    #[test]
    fn partitions_are_made_of_text() {
        assert_eq!(Partition::from("a\nb\n").lines().count(), 2);
    }
}

#[cfg(test)]
mod failing {
    #[test]
    fn a_panic() {
        println!("said before");
        samara_guest::task::warn!("logged before");
        assert_eq!(1, 2, "one is not two");
    }

    #[test]
    fn an_endless_loop() {
        loop {
            std::hint::black_box(());
        }
    }

    #[test]
    fn too_much_memory() {
        let mut all = Vec::new();
        loop {
            all.push(vec![1_u8; 1 << 20]);
            std::hint::black_box(&all);
        }
    }

    #[test]
    #[ignore = "for the tests of the runner"]
    fn ignored_unless_asked_for() {
        panic!("it was asked for");
    }
}
