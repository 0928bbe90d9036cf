//! A guest gets nothing that was not granted.

use samara_programs::sandbox;

use super::{call, table};
use crate::Context;

table! {
    sandbox:
    there_is_no_environment_and_no_command_line,
    there_are_no_files,
    there_is_no_network,
    there_are_no_threads_and_no_processes,
    time_and_randomness_are_real,
}

fn refused<T: std::fmt::Debug>(attempt: samara_programs::Attempt<T>) {
    match attempt {
        samara_programs::Attempt::Refused { .. } => {}
        samara_programs::Attempt::Did(value) => panic!("it got {value:?}"),
    }
}

fn there_is_no_environment_and_no_command_line(context: &Context) {
    assert_eq!(call!(context, sandbox::environment, ()).unwrap(), []);
    assert_eq!(call!(context, sandbox::command_line, ()).unwrap(), Vec::<String>::new());
    match call!(context, sandbox::reads_standard_input, ()).unwrap() {
        samara_programs::Attempt::Did(text) => assert_eq!(text, "", "it is empty"),
        samara_programs::Attempt::Refused { .. } => {}
    }
}

fn there_are_no_files(context: &Context) {
    for path in ["/etc/passwd", "Cargo.toml", "../../etc/passwd", "/proc/self/environ"] {
        refused(call!(context, sandbox::reads_file, path.to_owned()).unwrap());
    }
    refused(call!(context, sandbox::writes_file, "/tmp/samara-was-here".to_owned()).unwrap());
    assert!(!std::path::Path::new("/tmp/samara-was-here").exists());
    refused(call!(context, sandbox::lists_directory, "/".to_owned()).unwrap());
}

fn there_is_no_network(context: &Context) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    refused(call!(context, sandbox::connects, address.clone()).unwrap());
    refused(call!(context, sandbox::sends_datagram, address).unwrap());
    refused(call!(context, sandbox::resolves, "localhost:80".to_owned()).unwrap());
}

fn there_are_no_threads_and_no_processes(context: &Context) {
    refused(call!(context, sandbox::starts_thread, ()).unwrap());
    refused(call!(context, sandbox::starts_process, "/bin/true".to_owned()).unwrap());
}

fn time_and_randomness_are_real(context: &Context) {
    let before = std::time::SystemTime::now();
    let before = before.duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = call!(context, sandbox::time_now, ()).unwrap();
    let seconds = if now > 1 << 40 { now / 1000 } else { now };
    assert!(seconds.abs_diff(before.as_secs()) < 60, "{now} against {before:?}");
    let orders: Vec<Vec<u64>> =
        (0..5).map(|_| call!(context, sandbox::random_order, ()).unwrap()).collect();
    assert!(orders.iter().any(|order| *order != orders[0]), "five times the same order");
}
