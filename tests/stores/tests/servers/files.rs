//! What is of servers of files alone: objects of any size that go up in one stream.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use rsa::sha2::{Digest, Sha256};
use samara_store::{
    Error, GetOptions, ListOptions, Location, Locator, PutOptions, Settings, StoreExt,
};
use samara_stores::{Fault, Proxy, Server};
use tokio::net::{TcpListener, TcpStream};

use crate::Check;

/// What is checked of every server of files.
pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("files_large_objects_take_little_memory", |server| Box::pin(little_memory(server))),
    ("files_given_up_leave_nothing", |server| Box::pin(given_up(server))),
    ("files_of_a_process_that_died_are_not_shown", |server| Box::pin(died(server))),
    ("files_half_written_are_reserved", |server| Box::pin(reserved(server))),
    ("files_replaced_at_once_are_other_versions", |server| Box::pin(replaced(server))),
];

/// What is checked also where an object is not one file.
pub(crate) const MEMORY: &[(&str, Check)] =
    &[("large_objects_take_little_memory", |server| Box::pin(little_memory(server)))];

/// What is checked where bytes pass by HTTP.
pub(crate) const CUT: &[(&str, Check)] = &[
    ("files_cut_off_leave_what_was_there", |server| Box::pin(cut_off(server))),
    ("files_are_copied_by_the_server", |server| Box::pin(copied_there(server))),
];

/// How this program is called to be a process of its own, whose memory is its own.
const ALONE: &str = "alone-by-the-store";

/// More than was ever gathered in memory.
const LARGE_BYTES: usize = 320 << 20;

/// What a process may take that writes and reads such an object: its code, and some pieces.
const MEMORY_MAX_KIB: u64 = 96 << 10;

const PIECE_BYTES: usize = 1 << 20;

/// In place of the tests: writes a large object and reads it, or half of one and waits. What it is
/// to do it is told on its standard input: credentials have no place among arguments.
pub(crate) fn alone() -> Option<io::Result<ExitCode>> {
    let is_alone = std::env::args_os().nth(1).is_some_and(|argument| argument == ALONE);
    is_alone.then(|| {
        let mut lines = io::stdin().lock().lines();
        let mut line = || lines.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
        let (task, url) = (line()?, line()?);
        let mut settings = Settings::default();
        loop {
            let said = line()?;
            let mut parts = said.splitn(3, '\t');
            let (Some(place), Some(name), Some(value)) = (parts.next(), parts.next(), parts.next())
            else {
                break;
            };
            settings = settings.with(place, name, value);
        }
        let io = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let at = Locator::default().with_settings(settings).open(&url).expect("the store");
        match task.as_str() {
            "whole" => io.block_on(whole(&at)),
            _ => io.block_on(half(&at)),
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// The pieces of an object, each another one.
fn pieces(bytes: usize) -> impl Iterator<Item = Bytes> {
    (0..bytes / PIECE_BYTES).map(|n| {
        let mut piece = Sha256::digest(n.to_le_bytes()).repeat(PIECE_BYTES / 32);
        piece.truncate(PIECE_BYTES);
        Bytes::from(piece)
    })
}

async fn whole(at: &Location) {
    let mut sent = Sha256::new();
    let mut writer = at.store.writer(&at.key, PutOptions::default()).await.expect("writer");
    for piece in pieces(LARGE_BYTES) {
        sent.update(&piece);
        writer.write(piece).await.expect("write");
    }
    let written = writer.finish().await.expect("finish");
    assert_eq!(written.size, LARGE_BYTES as u64);
    let mut body = at.store.get(&at.key, GetOptions::default()).await.expect("get").body;
    let mut found = Sha256::new();
    while let Some(piece) = body.try_next().await.expect("read") {
        found.update(&piece);
    }
    assert_eq!(found.finalize(), sent.finalize(), "other bytes");
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("memory");
    writeln!(io::stdout(), "{}", most.trim().trim_end_matches(" kB")).expect("write");
}

async fn half(at: &Location) {
    let mut writer = at.store.writer(&at.key, PutOptions::default()).await.expect("writer");
    for piece in pieces(20 << 20) {
        writer.write(piece).await.expect("write");
    }
    writeln!(io::stdout(), "half").expect("write");
    // Until it is killed.
    std::future::pending::<()>().await;
}

/// This program, alone, with a task.
fn start(server: &Server, task: &str, key: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .arg(ALONE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawn");
    let mut stdin = child.stdin.take().expect("stdin");
    let mut told = format!("{task}\n{}{key}\n", server.url());
    for (place, name, value) in server.settings().values() {
        told.push_str(&format!("{place}\t{name}\t{value}\n"));
    }
    told.push('\n');
    stdin.write_all(told.as_bytes()).expect("tell");
    child
}

fn open(server: &Server, key: &str) -> Location {
    server.locator().open(&format!("{}{key}", server.url())).expect("the store")
}

/// How the names of files begin that Apache itself has not finished, and removes in its own time.
const APACHE: &str = ".davfs.";

/// The files of a directory of the server, where it keeps them.
fn files(server: &Server, directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(&server.said["DATA"]).join(directory);
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.map(|entry| entry.expect("entry").path()).filter(|path| path.is_file()).collect()
}

async fn little_memory(server: &Server) {
    let mut child = start(server, "whole", "large/object");
    let most = tokio::task::spawn_blocking(move || {
        let mut said = String::new();
        child.stdout.take().expect("stdout").read_to_string(&mut said).expect("read");
        assert!(child.wait().expect("wait").success(), "it failed");
        said.trim().parse::<u64>().expect("a number")
    });
    let most = most.await.expect("the process");
    writeln!(io::stdout(), "{}: at most {most} KiB of memory", server.url()).expect("write");
    assert!(most < MEMORY_MAX_KIB, "{most} KiB for an object of {LARGE_BYTES} bytes");
    let at = open(server, "large/object");
    assert_eq!(at.store.head(&at.key).await.expect("head").size, LARGE_BYTES as u64);
    let is_file = server.said.contains_key("DATA");
    assert!(!is_file || files(server, "large").len() == 1, "something was left");
    at.store.delete(&at.key).await.expect("delete");
}

/// A writer that is given up, or dropped, leaves what was there, and nothing else.
async fn given_up(server: &Server) {
    let at = open(server, "given-up/a");
    at.store.put(&at.key, "before".into(), PutOptions::default()).await.expect("put");
    for is_dropped in [false, true] {
        let mut writer = at.store.writer(&at.key, PutOptions::default()).await.expect("writer");
        for piece in pieces(20 << 20) {
            writer.write(piece).await.expect("write");
        }
        assert_eq!(files(server, "given-up").len(), 2, "it is on its way");
        match is_dropped {
            true => drop(writer),
            false => writer.abort().await.expect("abort"),
        }
        let gone = async {
            loop {
                let left = files(server, "given-up");
                if left.len() == 1 {
                    break;
                }
                let is_apaches = left.iter().any(|path| path.to_string_lossy().contains(APACHE));
                assert!(is_dropped || is_apaches, "it is gone when `abort` ends: {left:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), gone).await.expect("something was left");
        assert_eq!(at.store.read(&at.key).await.expect("read"), "before");
    }
}

/// A process that is killed while it writes leaves what was there; what it wrote is not shown.
async fn died(server: &Server) {
    let at = open(server, "died/a");
    at.store.put(&at.key, "before".into(), PutOptions::default()).await.expect("put");
    let mut child = start(server, "half", "died/a");
    let killed = tokio::task::spawn_blocking(move || {
        let mut said = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout"));
        stdout.read_line(&mut said).expect("read");
        child.kill().expect("kill");
        child.wait().expect("wait");
        said
    });
    assert_eq!(killed.await.expect("the process"), "half\n");
    assert_eq!(at.store.read(&at.key).await.expect("read"), "before");
    let parent = at.key.strip_suffix('a').expect("its name");
    let page = at.store.list(parent, ListOptions::default()).await.expect("list");
    assert_eq!(page.entries.len(), 1, "{page:?}");
    let below = at.store.list_directory(parent, ListOptions::default()).await.expect("list");
    assert_eq!((below.entries.len(), below.directories.len()), (1, 0), "{below:?}");
}

async fn reserved(server: &Server) {
    let at = open(server, "reserved/.samara-half-0123456789abcdef");
    let directory = Path::new(&server.said["DATA"]).join("reserved");
    std::fs::create_dir(&directory).expect("directory");
    std::fs::write(directory.join(".samara-half-0123456789abcdef"), "half").expect("write");
    let parent = at.key.trim_end_matches(".samara-half-0123456789abcdef");
    for prefix in [parent, at.key.as_str()] {
        let page = at.store.list(prefix, ListOptions::default()).await.expect("list");
        assert!(page.entries.is_empty(), "{page:?}");
    }
    let is_refused = |error: &Error| matches!(error, Error::InvalidKey { .. });
    assert!(at.store.head(&at.key).await.is_err_and(|error| is_refused(&error)));
    assert!(at.store.delete(&at.key).await.is_err_and(|error| is_refused(&error)));
    let put = at.store.put(&at.key, "1".into(), PutOptions::default()).await;
    assert!(put.is_err_and(|error| is_refused(&error)));
}

/// Objects of one size that follow each other within a second are told apart.
async fn replaced(server: &Server) {
    let at = open(server, "replaced/a");
    let mut etags = Vec::new();
    for n in 0..3_u8 {
        let mut writer = at.store.writer(&at.key, PutOptions::default()).await.expect("writer");
        writer.write(vec![n; 9 << 20].into()).await.expect("write");
        etags.push(writer.finish().await.expect("finish").etag);
        assert_eq!(at.store.head(&at.key).await.expect("head").etag, etags[usize::from(n)]);
        let bytes = at.store.read(&at.key).await.expect("read");
        assert!(bytes.len() == 9 << 20 && bytes.iter().all(|byte| *byte == n), "other bytes");
    }
    assert!(etags[0] != etags[1] && etags[1] != etags[2], "{etags:?}");
}

/// Passes bytes on to a server, and cuts each connection that has sent too many.
async fn cutter(listener: TcpListener, server: String, most: u64) {
    while let Ok((mut client, _)) = listener.accept().await {
        let server = server.clone();
        tokio::spawn(async move {
            let mut upstream = TcpStream::connect(server).await?;
            let (mut from_client, mut to_client) = client.split();
            let (mut from_server, mut to_server) = upstream.split();
            let mut first = tokio::io::AsyncReadExt::take(&mut from_client, most);
            tokio::select! {
                up = tokio::io::copy(&mut first, &mut to_server) => up,
                down = tokio::io::copy(&mut from_server, &mut to_client) => down,
            }
        });
    }
}

/// A connection that is cut in the middle of a stream is an error that may pass, and leaves what
/// was there.
async fn cut_off(server: &Server) {
    let at = open(server, "cut-off/a");
    at.store.put(&at.key, "before".into(), PutOptions::default()).await.expect("put");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let behind = server.endpoint().trim_start_matches("http://").to_owned();
    let cutter = tokio::spawn(cutter(listener, behind, 12 << 20));
    let place = format!("webdav://{address}");
    let settings = Settings::default().with(&place, "user", &server.said["USER"]).with(
        &place,
        "password",
        &server.said["PASSWORD"],
    );
    let cut = Locator::default().with_settings(settings).open(&format!("{place}/cut-off/a"));
    let cut = cut.expect("the store");
    let mut writer = cut.store.writer(&cut.key, PutOptions::default()).await.expect("writer");
    let mut ended = Ok(());
    for piece in pieces(64 << 20) {
        ended = writer.write(piece).await;
        if ended.is_err() {
            break;
        }
    }
    let error = ended.expect_err("the connection was cut");
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert_eq!(error.location(), format!("{place}/cut-off/a"));
    assert!(!error.in_full().contains(&server.said["PASSWORD"]), "{}", error.in_full());
    writer.abort().await.expect("nothing is left");
    assert_eq!(at.store.read(&at.key).await.expect("read"), "before");
    let left = files(server, "cut-off");
    let left = left.iter().filter(|path| !path.to_string_lossy().contains(APACHE));
    assert_eq!(left.count(), 1, "something was left");
    cutter.abort();
}

/// By `COPY`, under another name till it is whole; by us where the server refuses.
async fn copied_there(server: &Server) {
    let host = server.url().trim_start_matches("webdav://");
    let (host, path) = host.split_once('/').expect("a path");
    for refused in ["", "COPY"] {
        let reads = Arc::new(AtomicU64::new(0));
        let counts = Arc::clone(&reads);
        let plan = move |_, line: &str| {
            counts.fetch_add(u64::from(line.starts_with("GET ")), Ordering::Relaxed);
            match !refused.is_empty() && line.starts_with(refused) {
                true => Fault::Status(405),
                false => Fault::None,
            }
        };
        let proxy = Proxy::start(host, plan).expect("proxy");
        let at = proxy.endpoint().replace("http://", "webdav://");
        let settings = [("USER", "user"), ("PASSWORD", "password")]
            .into_iter()
            .fold(Settings::default(), |settings, (said, name)| {
                settings.with(&at, name, &server.said[said])
            });
        let locator = Locator::default().with_settings(settings);
        let store = locator.open(&format!("{at}/{path}")).expect("the store");
        let (store, below) = (store.store, format!("{path}copied{refused}/"));
        let key = |name: &str| format!("{below}{name}");
        let bytes: Bytes = pieces(9 << 20).collect::<Vec<_>>().concat().into();
        store.put(&key("a b+ü%41"), bytes.clone(), PutOptions::default()).await.expect("put");
        store.put(&key("old"), "1".into(), PutOptions::default()).await.expect("put");
        for to in ["new/in/directories", "old"] {
            let copied = store.copy(&key("a b+ü%41"), &key(to), PutOptions::default()).await;
            let copied = copied.expect("copied");
            assert_eq!(copied, store.head(&key(to)).await.expect("head"));
            assert_eq!(reads.load(Ordering::Relaxed) == 0, refused.is_empty(), "{refused}");
            let there =
                server.locator().open(&format!("{}{}", server.url(), &key(to)[path.len()..]));
            let there = there.expect("the store");
            assert!(there.store.read(&there.key).await.expect("read") == bytes);
        }
        let none = store.copy(&key("none"), &key("x"), PutOptions::default()).await;
        assert!(matches!(none, Err(Error::NotFound { .. })), "{none:?}");
        let options = ListOptions::default();
        let found: Vec<_> = store.list_from(&below, options).try_collect().await.expect("list");
        assert_eq!(found.len(), 3, "nothing is left: {found:?}");
        let keys: Vec<_> = found.into_iter().map(|entry| entry.key).collect();
        store.delete_many(&keys).await.expect("delete");
    }
}
