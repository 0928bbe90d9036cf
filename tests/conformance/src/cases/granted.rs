//! A guest gets what was granted: servers, variables, clocks.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use samara::{Cause, Exceeded, Executor, Limits};
use samara_guest::Bytes;
use samara_programs::{Attempt, granted};

use super::{cause, table, task_error, wait};
use crate::Context;

table! {
    granted:
    variables_are_those_of_the_job,
    secrets_are_known_where_tasks_run_and_kept_out_of_logs needs Within(Machine),
    secrets_are_in_no_error_and_no_panic needs Within(Machine),
    clocks_tell_milliseconds_unless_more_is_granted,
    a_server_is_asked_where_it_is_granted needs Within(Machine),
    a_server_that_is_not_granted_is_never_reached needs Within(Machine),
    private_addresses_are_granted_apart needs Within(Machine),
    each_step_of_a_redirection_needs_a_grant needs Within(Machine),
    requests_are_limited needs Within(Machine),
    bytes_of_servers_are_limited needs Within(Machine),
    answers_that_are_kept_take_room needs Within(Machine),
    a_server_that_does_not_answer_is_waited_for_no_longer_than_the_task_may_take
        needs Within(Machine),
}

/// A server for as long as the test's process lives; connections are counted by who looks.
struct Server {
    address: SocketAddr,
    asked: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

// === impl Server ===

impl Server {
    /// Answers each request with what `answer` makes of its head and body.
    fn start(answer: impl Fn(&str, &[u8]) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
        let (answer, counted) = (std::sync::Arc::new(answer), std::sync::Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let answer = std::sync::Arc::clone(&answer);
                thread::spawn(move || serve(stream, &*answer));
            }
        });
        Self { address, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn by_name(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.address.port())
    }

    fn asked(&self) -> usize {
        self.asked.load(std::sync::atomic::Ordering::SeqCst)
    }
}

/// One request of a connection, which closes then.
fn serve(mut stream: TcpStream, answer: &dyn Fn(&str, &[u8]) -> String) {
    let (mut got, mut buffer) = (Vec::new(), [0; 64 << 10]);
    let head = loop {
        let Ok(read @ 1..) = stream.read(&mut buffer) else { return };
        got.extend_from_slice(&buffer[..read]);
        if let Some(end) = got.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&got[..head]).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    while got.len() < head + length {
        let Ok(read @ 1..) = stream.read(&mut buffer) else { return };
        got.extend_from_slice(&buffer[..read]);
    }
    let answered = answer(&text, &got[head..]);
    let _gone = stream.write_all(answered.as_bytes());
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn granted(context: &Context, origins: &[&str]) -> Executor {
    let builder = context.builder();
    let granted = origins.iter().fold(builder, |builder, origin| builder.grant_http(*origin));
    granted.build().unwrap()
}

fn variables_are_those_of_the_job(context: &Context) {
    let executor = context.builder().variable("CITY", "Kraków = dragons").build().unwrap();
    let variable = |name: &str| {
        wait(executor.call(context.programs(), granted::variable, name.to_owned())).unwrap()
    };
    assert_eq!(variable("CITY").as_deref(), Some("Kraków = dragons"));
    assert_eq!((variable("PATH"), variable("HOME")), (None, None));
}

fn secrets_are_known_where_tasks_run_and_kept_out_of_logs(context: &Context) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("partner"), "open sesame\n").unwrap();
    let builder = context.builder().secrets_dir(directory.path());
    let executor = builder.clone().secret("KEY", "partner").build().unwrap();
    let value = executor.call(context.programs(), granted::variable, "KEY".to_owned());
    assert_eq!(wait(value).unwrap().as_deref(), Some("open sesame"));
    let logged = executor.call(context.programs(), granted::logs_variable, "KEY".to_owned());
    let error = task_error(wait(logged));
    let lines: Vec<&str> = error.log.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(lines, ["printed: ***", "logged: ***"]);
    let executor = builder.secret("KEY", "other").build().unwrap();
    let error = wait(executor.call(context.programs(), granted::variable, "KEY".to_owned()));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("`other`") && error.contains("`KEY`"), "{error}");
}

fn secrets_are_in_no_error_and_no_panic(context: &Context) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("partner"), "open sesame\n").unwrap();
    let builder = context.builder().secrets_dir(directory.path());
    let executor = builder.secret("KEY", "partner").build().unwrap();
    for how in ["error", "cause", "panic"] {
        let how = how.to_owned();
        let arguments = ("KEY".to_owned(), how.clone());
        let ended = executor.call(context.programs(), granted::ends_with_variable, arguments);
        let error = task_error(wait(ended));
        let text = format!("{error} {error:?}");
        assert!(text.contains("it is ***") && !text.contains("sesame"), "{how}: {text}");
    }
}

fn clocks_tell_milliseconds_unless_more_is_granted(context: &Context) {
    let step = |precise| {
        let executor = context.builder().precise_clock(precise).build().unwrap();
        wait(executor.call(context.programs(), granted::clock_step, ())).unwrap()
    };
    let coarse = step(false);
    assert!(coarse.is_multiple_of(1_000_000), "{coarse} ns");
    let precise = step(true);
    assert!(precise < 1_000_000, "{precise} ns");
}

fn a_server_is_asked_where_it_is_granted(context: &Context) {
    let server = Server::start(|head, body| {
        let host = head.lines().find(|line| line.starts_with("host: ")).unwrap_or_default();
        match head.split(' ').next() {
            Some("post") => {
                ok(&body.iter().rev().map(|byte| char::from(*byte)).collect::<String>())
            }
            _ => ok(&format!("{host} {}", head.split(' ').nth(1).unwrap_or_default())),
        }
    });
    let executor = granted(context, &[&server.url("")]);
    let asked = executor.call(context.programs(), granted::asks, server.url("/a?b=c"));
    let wanted = (200, format!("host: {} /a?b=c", server.address));
    assert_eq!(wait(asked).unwrap(), Attempt::Did(wanted));
    let body: Vec<u8> = (0..200_000_u32).map(|n| b'a' + (n % 26).to_le_bytes()[0]).collect();
    let posted = (server.url("/"), Bytes::from(body.clone()));
    let back = wait(executor.call(context.programs(), granted::posts, posted)).unwrap();
    assert!(back.iter().eq(body.iter().rev()), "{} bytes", back.len());
}

#[track_caller]
fn refused(attempt: Attempt<(u16, String)>, code: &str) {
    match attempt {
        Attempt::Refused { text, .. } => assert!(text.contains(code), "{text}"),
        Attempt::Did(answer) => panic!("it got {answer:?}"),
    }
}

fn a_server_that_is_not_granted_is_never_reached(context: &Context) {
    let server = Server::start(|_, _| ok("come in"));
    let asks = |executor: &Executor, url: String| {
        wait(executor.call(context.programs(), granted::asks, url)).unwrap()
    };
    refused(asks(context.executor(), server.url("/")), "HttpRequestDenied");
    let others = ["http://127.0.0.2:80", "https://localhost", "http://*.localhost private"];
    let executor = granted(context, &others);
    refused(asks(&executor, server.url("/")), "HttpRequestDenied");
    refused(asks(&executor, server.by_name("/")), "HttpRequestDenied");
    let user = server.url("/").replace("http://", "http://localhost@");
    refused(asks(&executor, user), "");
    assert_eq!(server.asked(), 0);
}

fn private_addresses_are_granted_apart(context: &Context) {
    let server = Server::start(|_, _| ok("come in"));
    let asks = |grant: &str, url: String| {
        let executor = granted(context, &[grant]);
        wait(executor.call(context.programs(), granted::asks, url)).unwrap()
    };
    let name = server.by_name("");
    refused(asks(&name, server.by_name("/")), "DestinationIpProhibited");
    assert_eq!(server.asked(), 0);
    let private = asks(&format!("{name} private"), server.by_name("/"));
    assert_eq!(private, Attempt::Did((200, "come in".to_owned())));
}

fn each_step_of_a_redirection_needs_a_grant(context: &Context) {
    let target = Server::start(|_, _| ok("the treasure"));
    let location = target.url("/");
    let door = Server::start(move |_, _| {
        format!(
            "HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: \
             close\r\n\r\n"
        )
    });
    let follows = |origins: &[&str]| {
        let executor = granted(context, origins);
        wait(executor.call(context.programs(), granted::follows, door.url("/"))).unwrap()
    };
    let error = match follows(&[&door.url("")]) {
        Attempt::Refused { text, .. } => text,
        Attempt::Did(answer) => panic!("it got {answer:?}"),
    };
    assert!(error.contains("HttpRequestDenied"), "{error}");
    assert_eq!((door.asked(), target.asked()), (1, 0));
    let there = follows(&[&door.url(""), &target.url("")]);
    assert_eq!(there, Attempt::Did((target.url("/"), 200)));
}

fn requests_are_limited(context: &Context) {
    let server = Server::start(|_, _| ok(""));
    let mut limits = Limits::default();
    limits.http_requests = 3;
    let executor = context.builder().limits(limits).grant_http(server.url("")).build().unwrap();
    let ask = |times: u64| {
        wait(executor.call(context.programs(), granted::asks_often, (server.url("/"), times)))
    };
    assert_eq!(ask(3).unwrap(), 3);
    let exceeded = Cause::LimitExceeded(Exceeded::HttpRequests { limit: 3 });
    assert_eq!(cause(ask(4)), exceeded);
}

fn bytes_of_servers_are_limited(context: &Context) {
    const BODY: usize = 1 << 20;
    let server = Server::start(|_, body| ok(&"x".repeat(if body.is_empty() { BODY } else { 0 })));
    let mut limits = Limits::default();
    limits.http_bytes = BODY as u64;
    let executor = context.builder().limits(limits).grant_http(server.url("")).build().unwrap();
    let exceeded = Cause::LimitExceeded(Exceeded::HttpBytes { limit: BODY as u64 });
    let asks = executor.call(context.programs(), granted::asks, server.url("/"));
    assert!(matches!(wait(asks).unwrap(), Attempt::Did((200, body)) if body.len() == BODY));
    let posts = |bytes: usize| {
        let sent = (server.url("/"), Bytes::from(vec![b'x'; bytes]));
        wait(executor.call(context.programs(), granted::posts, sent))
    };
    assert_eq!(posts(BODY).unwrap().len(), 0);
    assert_eq!(cause(posts(BODY + 1)), exceeded);
    let server = Server::start(|_, _| ok(&"x".repeat(BODY + 1)));
    let executor = context.builder().limits(limits).grant_http(server.url("")).build().unwrap();
    // The guest sees that the answer broke off, and returns that; the limit is what is told.
    let asks = executor.call(context.programs(), granted::asks, server.url("/"));
    assert_eq!(cause(wait(asks)), exceeded);
}

/// A task may make any number of requests one after the other, and not hold all their answers.
fn answers_that_are_kept_take_room(context: &Context) {
    let server = Server::start(|_, _| ok("x"));
    let mut limits = Limits::default();
    limits.buffer_bytes = 4 << 20;
    let executor = context.builder().limits(limits).grant_http(server.url("")).build().unwrap();
    let asks = (server.url("/"), 20);
    assert_eq!(wait(executor.call(context.programs(), granted::asks_often, asks)).unwrap(), 20);
    let keeps = |times: u64| {
        wait(executor.call(context.programs(), granted::keeps_answers, (server.url("/"), times)))
    };
    assert_eq!(keeps(4).unwrap(), 4);
    let exceeded = Cause::LimitExceeded(Exceeded::Buffers { limit: 4 << 20 });
    assert_eq!(cause(keeps(5)), exceeded);
    // What is refused takes none: four of these are answered.
    let mut urls = vec!["http://elsewhere.test/".to_owned(); 9];
    urls.extend(vec![server.url("/"); 4]);
    let answered = wait(executor.call(context.programs(), granted::asks_all, urls));
    assert_eq!(answered.unwrap(), 4);
}

fn a_server_that_does_not_answer_is_waited_for_no_longer_than_the_task_may_take(context: &Context) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut limits = Limits::default();
    limits.time = std::time::Duration::from_secs(1);
    let executor = context.builder().limits(limits).grant_http(url.as_str()).build().unwrap();
    let asked = wait(executor.call(context.programs(), granted::asks, url + "/"));
    let exceeded = Cause::LimitExceeded(Exceeded::Time { limit: limits.time });
    assert_eq!(cause(asked), exceeded);
    // It accepted nothing, and kept the connection in its queue all the while.
    drop(listener);
}
