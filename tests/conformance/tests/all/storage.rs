//! Storage within the grants, and not beyond them.

use std::fmt::Debug;

use samara::{Access, Executor};
use samara_guest::Bytes;
use samara_programs::Attempt;
use samara_programs::store as guest;

use crate::common::{builder, programs, put, read, wait};

fn granted(name: &str) -> Executor {
    builder()
        .grant(format!("mem://{name}/in/"), Access::Read)
        .grant(format!("mem://{name}/out"), Access::ReadWrite)
        .build()
        .unwrap()
}

fn did<T: Debug>(attempt: Attempt<T>) -> T {
    match attempt {
        Attempt::Did(value) => value,
        Attempt::Refused { case, text } => panic!("refused as {case}: {text}"),
    }
}

fn case<T: Debug>(attempt: Attempt<T>) -> String {
    match attempt {
        Attempt::Refused { case, .. } => case,
        Attempt::Did(value) => panic!("it did: {value:?}"),
    }
}

macro_rules! on {
    ($executor:expr, $function:expr, $arguments:expr) => {
        wait($executor.call(programs(), $function, $arguments)).unwrap()
    };
}

#[test]
fn objects_are_put_got_listed_copied_and_deleted() {
    let executor = granted("storage-all");
    let url = |name: &str| format!("mem://storage-all/out/{name}");
    let bytes = |text: &str| Bytes::from(text.as_bytes().to_vec());
    assert_eq!(did(on!(executor, guest::put_object, (url("a"), bytes("hello")))), 5);
    assert_eq!(did(on!(executor, guest::get_object, url("a"))).to_vec(), b"hello");
    let range = on!(executor, guest::get_object_range, (url("a"), 1, 3));
    assert_eq!(did(range).to_vec(), b"ell");
    assert_eq!(did(on!(executor, guest::head_object, url("a"))).0, 5);
    assert_eq!(did(on!(executor, guest::copy_object, (url("a"), url("b/c")))), 5);
    let listed = did(on!(executor, guest::list_objects, (url(""), 1)));
    assert_eq!(listed, [(url("a"), 5), (url("b/c"), 5)]);
    did(on!(executor, guest::delete_object, url("a")));
    assert_eq!(case(on!(executor, guest::get_object, url("a"))), "NotFound");
    assert_eq!(read(&url("b/c")).unwrap(), "hello");
}

#[test]
fn an_object_is_put_if_absent_once() {
    let executor = granted("storage-absent");
    let url = "mem://storage-absent/out/once".to_owned();
    let put = |text: &str| {
        let bytes = Bytes::from(text.as_bytes().to_vec());
        on!(executor, guest::put_object_if_absent, (url.clone(), bytes))
    };
    assert_eq!(did(put("first")), 5);
    assert_eq!(case(put("second")), "AlreadyExists");
    assert_eq!(read(&url).unwrap(), "first");
}

#[test]
fn what_is_not_granted_is_refused_whatever_its_spelling() {
    let executor = granted("storage-grants");
    put("mem://storage-grants/in/a", "in");
    put("mem://storage-grants/secret", "secret");
    put("mem://storage-grants/outside", "outside");
    let get = |url: &str| on!(executor, guest::get_object, url.to_owned());
    assert_eq!(did(get("mem://storage-grants/in/a")).to_vec(), b"in");
    for url in [
        "mem://storage-grants/secret",
        "mem://storage-grants/outside",
        "mem://storage-other/in/a",
        "mem://storage-grants/in/../secret",
        "Mem://storage-grants/secret",
        "s3://storage-grants/in/a",
        "",
        "file:///etc/passwd",
        "/etc/passwd",
    ] {
        let case = case(get(url));
        assert!(case == "NotGranted" || case == "Invalid", "{url}: {case}");
    }
    let write =
        |url: &str| on!(executor, guest::put_object, (url.to_owned(), Bytes::from(vec![1])));
    assert_eq!(case(write("mem://storage-grants/in/a")), "NotGranted");
    assert_eq!(case(write("mem://storage-grants/secret")), "NotGranted");
    assert_eq!(read("mem://storage-grants/in/a").unwrap(), "in");
    let gone = on!(executor, guest::delete_object, "mem://storage-grants/in/a".to_owned());
    assert_eq!(case(gone), "NotGranted");
    let copied = on!(
        executor,
        guest::copy_object,
        ("mem://storage-grants/secret".to_owned(), "mem://storage-grants/out/x".to_owned())
    );
    assert_eq!(case(copied), "NotGranted");
    let listed = on!(executor, guest::list_objects, ("mem://storage-grants/".to_owned(), 10));
    assert_eq!(case(listed), "NotGranted");
}

#[test]
fn nothing_is_granted_without_grants() {
    let executor = builder().build().unwrap();
    put("mem://storage-none/a", "x");
    let got = on!(executor, guest::get_object, "mem://storage-none/a".to_owned());
    assert_eq!(case(got), "NotGranted");
}

#[test]
fn large_objects_are_written_and_read_in_pieces() {
    let executor = granted("storage-pieces");
    let url = "mem://storage-pieces/out/large".to_owned();
    let piece = Bytes::from(vec![7_u8; 1 << 20]);
    let written = on!(executor, guest::write_pieces, (url.clone(), piece.clone(), 20, true));
    assert_eq!(did(written), 20 << 20);
    assert_eq!(read(&url).unwrap().len(), 20 << 20);
    let (length, sum) = on!(executor, guest::read_through, url.clone());
    assert_eq!((length, sum), (20 << 20, 7 * (20 << 20)));
    let copied = (url.clone(), "mem://storage-pieces/out/copy".to_owned());
    assert_eq!(on!(executor, guest::copy_through, copied), 20 << 20);
    let tail = on!(executor, guest::read_at, (url, (20 << 20) - 3, 10));
    assert_eq!(tail.to_vec(), [7, 7, 7]);
}

#[test]
fn an_unfinished_writer_leaves_nothing() {
    let executor = granted("storage-unfinished");
    let url = "mem://storage-unfinished/out/half".to_owned();
    let piece = Bytes::from(vec![7_u8; 1000]);
    let _ = on!(executor, guest::write_pieces, (url.clone(), piece, 3, false));
    assert_eq!(read(&url), None);
}

#[test]
fn a_listing_comes_in_pages() {
    let executor = granted("storage-pages");
    for n in 0..25 {
        put(&format!("mem://storage-pages/in/{n:02}"), "x");
    }
    let lengths = on!(executor, guest::page_lengths, ("mem://storage-pages/in/".to_owned(), 10));
    assert_eq!(did(lengths), [10, 10, 5]);
}

#[test]
fn a_reader_notices_that_its_object_was_replaced() {
    let executor = granted("storage-replaced");
    let url = "mem://storage-replaced/out/a".to_owned();
    put(&url, vec![1_u8; 10 << 20]);
    let replacement = Bytes::from(vec![2_u8; 10 << 20]);
    let read = on!(executor, guest::read_replaced, (url, replacement));
    assert!(matches!(read, Attempt::Refused { .. }), "it read a mixture");
}

#[test]
fn an_object_larger_than_a_call_is_refused_with_the_way_out() {
    let mut limits = samara::Limits::default();
    limits.host_call_bytes = 1 << 20;
    let executor =
        builder().grant("mem://storage-large/", Access::Read).limits(limits).build().unwrap();
    put("mem://storage-large/a", vec![0_u8; 2 << 20]);
    let got = on!(executor, guest::get_object, "mem://storage-large/a".to_owned());
    match got {
        Attempt::Refused { text, .. } => assert!(text.contains("in pieces"), "{text}"),
        Attempt::Did(_) => panic!("2 MiB passed"),
    }
}

#[test]
fn a_version_is_read_or_refused() {
    let executor = granted("storage-version");
    let url = "mem://storage-version/out/a".to_owned();
    put(&url, "first");
    let (_, etag) = did(on!(executor, guest::head_object, url.clone()));
    let range =
        |etag: &str| on!(executor, guest::get_version_range, (url.clone(), etag.to_owned(), 1, 3));
    assert_eq!(did(range(&etag)).to_vec(), b"irs");
    put(&url, "second");
    assert_eq!(case(range(&etag)), "PreconditionFailed");
}

#[test]
fn a_new_object_is_written_once() {
    let executor = granted("storage-new");
    let write = |text: &str| {
        let url = "mem://storage-new/out/a".to_owned();
        on!(executor, guest::write_new, (url, Bytes::from(text.as_bytes().to_vec())))
    };
    assert_eq!(did(write("first")), 5);
    assert_eq!(case(write("second")), "AlreadyExists");
    assert_eq!(read("mem://storage-new/out/a").unwrap(), "first");
}
