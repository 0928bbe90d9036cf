//! The host as who deploys it sees it: settings, exit codes, where it listens; and as its own process
//! for compiling.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

fn host(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_samara-host"));
    command.env_clear().envs(variables.iter().copied()).args(arguments).stdin(Stdio::piped());
    command
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = host(arguments, variables).output().expect("the host runs");
    let Output { status, stdout, stderr } = output;
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

#[test]
fn all_bad_settings_are_named_at_once() {
    let variables =
        [("SAMARA_HOST_SLOTS", "0"), ("SAMARA_HOST_GRACE", "soon"), ("SAMARA_HOST_COLOUR", "red")];
    let (code, said) = run(&["--as", "moon"], &variables);
    assert_eq!(code, Some(78), "{said}");
    for name in ["SAMARA_HOST_SLOTS", "SAMARA_HOST_GRACE", "SAMARA_HOST_COLOUR", "--as is `moon`"] {
        assert!(said.contains(name), "{name}: {said}");
    }
    // What is a driver's is none of the host's business.
    let drivers = [("SAMARA_STORE", "x"), ("SAMARA_HOST_CALL", "1MiB"), ("SAMARA_TOKEN", "x")];
    assert_eq!(run(&["--check"], &drivers), (Some(0), "settings are sound: http\n".to_owned()));
}

#[test]
fn a_check_reads_the_file_of_tenants_too() {
    let missing = [("SAMARA_HOST_TENANTS", "/nowhere/tenants.toml")];
    let (code, said) = run(&["--check"], &missing);
    assert!(code == Some(78) && said.contains("/nowhere/tenants.toml"), "{code:?}: {said}");
}

#[test]
fn a_check_reads_certificates_too() {
    let missing = [
        ("SAMARA_HOST_TLS_CERT", "/nowhere/host.pem"),
        ("SAMARA_HOST_TLS_KEY", "/nowhere/host.key"),
    ];
    let (code, said) = run(&["--check"], &missing);
    assert!(code == Some(78) && said.contains("/nowhere/host.pem"), "{code:?}: {said}");
    let (code, said) = run(&["--check"], &missing[..1]);
    assert!(code == Some(78) && said.contains("SAMARA_HOST_TLS_KEY"), "{code:?}: {said}");
}

#[test]
fn a_check_says_what_a_start_would_refuse() {
    for (arguments, wanted) in [
        (["--listen", "8080"], "`8080` is no address"),
        (["--listen", ":8080"], "SAMARA_HOST_TOKENS"),
        (["--log", "wran"], "`wran` is no level"),
    ] {
        let (code, said) = run(&[&arguments[..], &["--check"]].concat(), &[]);
        assert!(code == Some(78) && said.contains(wanted), "{arguments:?}: {code:?}: {said}");
    }
    let (_, said) = run(&["--check"], &[("PORT", "http")]);
    assert!(said.contains("PORT is `http`, which is no port"), "{said}");
    let missing = [("SAMARA_HOST_TENANTS", "/nowhere/tenants.toml")];
    let (_, said) = run(&["--check"], &missing);
    assert!(said.contains("SAMARA_HOST_TENANTS: /nowhere/tenants.toml cannot be read"), "{said}");
}

#[test]
fn places_are_listed_and_found() {
    let (code, said) = run(&["--as", "?"], &[]);
    assert!(code == Some(78) && said.contains("knative"), "{said}");
    let (_, said) = run(&["--check"], &[("K_SERVICE", "s"), ("PORT", "8080")]);
    assert_eq!(said, "settings are sound: knative\n");
}

#[test]
fn nobody_else_reaches_a_host_that_knows_no_token() {
    let (code, said) = run(&["--listen", "0.0.0.0:0"], &[]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("SAMARA_HOST_TOKENS"), "{said}");
    for (listen, wanted) in [("here", "no address"), ("1.2.3.4:1", "cannot listen on 1.2.3.4:1")] {
        let token = [("SAMARA_HOST_TOKENS", "0123456789abcdef")];
        let (code, said) = run(&["--listen", listen], &token);
        assert!(code == Some(78) && said.contains(wanted), "{said}");
    }
}

#[test]
fn a_host_says_how_it_is_and_ends_with_who_started_it() {
    let mut command = host(&["--listen", "127.0.0.1:0", "--with-parent", "--log", "error"], &[]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap();
    let get = |path: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    for path in ["/healthz", "/livez", "/readyz"] {
        assert!(get(path).starts_with("HTTP/1.1 200 "), "{path}");
    }
    let metrics = get("/metrics");
    assert!(metrics.contains("\nsamara_tasks_total{outcome=\"success\"} 0\n"), "{metrics}");
    assert!(metrics.contains("\nsamara_draining 0\n"), "{metrics}");
    assert!(get("/").contains("404") && get("/v1/batches").contains("405"));
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// How the process for compiling ends, and what it writes, when it is sent this.
fn compiled(order: &str, sent: &[u8]) -> Output {
    let mut command = host(&["--compile", order], &[]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sent = sent.to_vec();
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&sent)));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    output
}

/// A component with its length before it.
fn component(text: &str) -> Vec<u8> {
    let bytes = wat::parse_str(text).unwrap();
    [&(bytes.len() as u64).to_le_bytes()[..], &bytes].concat()
}

/// One whose module has functions that take some milliseconds to compile each.
fn large(functions: usize) -> Vec<u8> {
    let step = "local.get 0 i32.const 7 i32.mul local.get 1 i32.xor local.tee 1 i32.load \
                local.get 0 i32.add local.set 0 ";
    let function = format!("(func (param i32 i32) (result i32) {} local.get 0)", step.repeat(300));
    component(&format!("(component (core module (memory 1) {}))", function.repeat(functions)))
}

const READY: &[u8] = b"samara-compile 1\n";

fn order(cpu: u64, mib: u64) -> String {
    format!("cpu={cpu},memory={},fuel=false", mib << 20)
}

#[test]
fn the_process_for_compiling_answers_with_code() {
    let order = order(20, 4096);
    let output = compiled(&order, &component("(component)"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let answer = output.stdout.strip_prefix(READY).unwrap();
    let (_engine, rest) = answer.split_first_chunk::<32>().unwrap();
    let (length, code) = rest.split_first_chunk().unwrap();
    assert_eq!(u64::from_le_bytes(*length), code.len() as u64);
    assert!(code.starts_with(b"\x7fELF"), "code");
}

#[test]
fn the_process_for_compiling_refuses_what_is_no_component() {
    let garbage = [&20_u64.to_le_bytes()[..], b"\0asm\x0d\0\x01\0 and no more"].concat();
    for (sent, code, wanted) in [
        (&garbage[..], 65, "damaged"),
        (b"\x08\0\0\0\0\0\0\0no wasm!", 65, ""),
        (b"\x09\0\0\0\0\0\0\0cut", 71, "did not arrive"),
        (b"", 71, "did not arrive"),
        (&[0xff; 16], 71, "did not arrive"),
    ] {
        let output = compiled(&order(20, 4096), sent);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(code) && said.contains(wanted), "{said} {output:?}");
    }
    let output = compiled("something", b"");
    assert!(output.status.code() == Some(71) && output.stdout.is_empty(), "{output:?}");
}

#[test]
fn the_process_for_compiling_takes_no_more_than_it_may() {
    use std::os::unix::process::ExitStatusExt as _;
    let large = large(2000);
    let output = compiled(&order(1, 4096), &large);
    // SIGXCPU.
    assert_eq!(output.status.signal(), Some(24), "{output:?}");
    assert_eq!(output.stdout, READY);
    let output = compiled(&order(60, 128), &large);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("memory"), "{said} {:?}", output.status);
    assert_eq!(output.stdout, READY);
}

#[test]
#[cfg(target_os = "linux")]
fn the_process_for_compiling_has_given_up_what_it_does_not_need() {
    let mut command = host(&["--compile", &order(7, 512)], &[]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.as_bytes(), READY);
    let read =
        |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", child.id())).unwrap();
    let limits = read("limits");
    for (name, soft) in [
        ("Max cpu time", "7"),
        ("Max file size", "0"),
        ("Max core file size", "0"),
        ("Max open files", "16"),
        ("Max address space", "536870912"),
        ("Max processes", "0"),
    ] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert_eq!(line.split_whitespace().next(), Some(soft), "{name}: {line}");
    }
    let status = read("status");
    assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
    assert_eq!(read("environ"), "");
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(71));
}

#[test]
#[cfg(target_os = "linux")]
fn the_process_for_compiling_ends_with_who_started_it() {
    // A shell's children have no standard input but what they are given.
    let script = "exec 3<&0; \"$0\" --compile \"$1\" <&3 & echo $!; wait";
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_samara-host"), &order(7, 512)]);
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines().map(Result::unwrap);
    let said = [lines.next().unwrap(), lines.next().unwrap()];
    let id = said.iter().find(|line| line.parse::<u32>().is_ok()).unwrap();
    let lives = || {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        !status.is_empty() && !status.contains("State:\tZ")
    };
    assert!(lives(), "it waits for a component: {said:?}");
    shell.kill().unwrap();
    shell.wait().unwrap();
    let ended = (0..3000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        !lives()
    });
    assert!(ended, "its input is still open, and yet it ends");
}
