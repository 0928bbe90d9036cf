//! Storage within the grants, and not beyond them.

use std::fmt::Debug;

use samara::{Access, Executor};
use samara_guest::Bytes;
use samara_programs::Attempt;
use samara_programs::store as guest;

use super::{table, wait};
use crate::Context;

table! {
    storage:
    objects_are_put_got_listed_copied_and_deleted,
    an_object_is_put_if_absent_once,
    what_is_not_granted_is_refused_whatever_its_spelling,
    nothing_is_granted_without_grants,
    large_objects_are_written_and_read_in_pieces,
    an_unfinished_writer_leaves_nothing,
    a_listing_comes_in_pages,
    a_reader_notices_that_its_object_was_replaced,
    an_object_larger_than_a_call_is_refused_with_the_way_out,
    a_version_is_read_or_refused,
    a_new_object_is_written_once,
    a_range_is_what_it_says,
    a_prefix_is_of_names_not_of_directories,
    what_is_not_there_is_not_found_whatever_is_asked,
    a_listing_says_every_size,
    a_version_is_replaced_once_where_the_store_can,
    what_is_said_about_an_object_is_read_where_the_store_keeps_it,
}

fn granted(context: &Context) -> Executor {
    context
        .builder()
        .grant(context.url("in/"), Access::Read)
        .grant(context.url("out"), Access::ReadWrite)
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

fn capitalised(url: &str) -> String {
    url[..1].to_uppercase() + &url[1..]
}

macro_rules! on {
    ($context:ident, $executor:expr, $function:expr, $arguments:expr) => {
        wait($executor.call($context.programs(), $function, $arguments)).unwrap()
    };
}

fn objects_are_put_got_listed_copied_and_deleted(context: &Context) {
    let executor = granted(context);
    let url = |name: &str| context.url(&format!("out/{name}"));
    let bytes = |text: &str| Bytes::from(text.as_bytes().to_vec());
    assert_eq!(did(on!(context, executor, guest::put_object, (url("a"), bytes("hello")))), 5);
    assert_eq!(did(on!(context, executor, guest::get_object, url("a"))).to_vec(), b"hello");
    let range = on!(context, executor, guest::get_object_range, (url("a"), 1, 3));
    assert_eq!(did(range).to_vec(), b"ell");
    assert_eq!(did(on!(context, executor, guest::head_object, url("a"))).0, 5);
    assert_eq!(did(on!(context, executor, guest::copy_object, (url("a"), url("b/c")))), 5);
    let listed = did(on!(context, executor, guest::list_objects, (url(""), 1)));
    assert_eq!(listed, [(url("a"), 5), (url("b/c"), 5)]);
    did(on!(context, executor, guest::delete_object, url("a")));
    assert_eq!(case(on!(context, executor, guest::get_object, url("a"))), "NotFound");
    assert_eq!(context.read("out/b/c").unwrap(), "hello");
}

fn an_object_is_put_if_absent_once(context: &Context) {
    let executor = granted(context);
    let url = context.url("out/once");
    let put = |text: &str| {
        let bytes = Bytes::from(text.as_bytes().to_vec());
        on!(context, executor, guest::put_object_if_absent, (url.clone(), bytes))
    };
    assert_eq!(did(put("first")), 5);
    assert_eq!(case(put("second")), "AlreadyExists");
    assert_eq!(context.read("out/once").unwrap(), "first");
}

fn what_is_not_granted_is_refused_whatever_its_spelling(context: &Context) {
    let executor = granted(context);
    context.put("in/a", "in");
    context.put("secret", "secret");
    context.put("outside", "outside");
    let get = |url: &str| on!(context, executor, guest::get_object, url.to_owned());
    assert_eq!(did(get(&context.url("in/a"))).to_vec(), b"in");
    for url in [
        &context.url("secret"),
        &context.url("outside"),
        &context.url("other/in/a"),
        &context.url("in/../secret"),
        "mem://storage-other/in/a",
        &capitalised(&context.url("secret")),
        "s3://storage-grants/in/a",
        "",
        "file:///etc/passwd",
        "/etc/passwd",
    ] {
        let case = case(get(url));
        assert!(case == "NotGranted" || case == "Invalid", "{url}: {case}");
    }
    let write = |url: &str| {
        on!(context, executor, guest::put_object, (url.to_owned(), Bytes::from(vec![1])))
    };
    assert_eq!(case(write(&context.url("in/a"))), "NotGranted");
    assert_eq!(case(write(&context.url("secret"))), "NotGranted");
    assert_eq!(context.read("in/a").unwrap(), "in");
    let gone = on!(context, executor, guest::delete_object, context.url("in/a"));
    assert_eq!(case(gone), "NotGranted");
    let copied =
        on!(context, executor, guest::copy_object, (context.url("secret"), context.url("out/x")));
    assert_eq!(case(copied), "NotGranted");
    let listed = on!(context, executor, guest::list_objects, (context.url(""), 10));
    assert_eq!(case(listed), "NotGranted");
}

fn nothing_is_granted_without_grants(context: &Context) {
    let executor = context.builder().build().unwrap();
    context.put("a", "x");
    let got = on!(context, executor, guest::get_object, context.url("a"));
    assert_eq!(case(got), "NotGranted");
}

fn large_objects_are_written_and_read_in_pieces(context: &Context) {
    let executor = granted(context);
    let url = context.url("out/large");
    let piece = Bytes::from(vec![7_u8; 1 << 20]);
    let written =
        on!(context, executor, guest::write_pieces, (url.clone(), piece.clone(), 20, true));
    assert_eq!(did(written), 20 << 20);
    assert_eq!(context.read("out/large").unwrap().len(), 20 << 20);
    let (length, sum) = on!(context, executor, guest::read_through, url.clone());
    assert_eq!((length, sum), (20 << 20, 7 * (20 << 20)));
    let copied = (url.clone(), context.url("out/copy"));
    assert_eq!(on!(context, executor, guest::copy_through, copied), 20 << 20);
    let tail = on!(context, executor, guest::read_at, (url, (20 << 20) - 3, 10));
    assert_eq!(tail.to_vec(), [7, 7, 7]);
}

fn an_unfinished_writer_leaves_nothing(context: &Context) {
    let executor = granted(context);
    let url = context.url("out/half");
    let piece = Bytes::from(vec![7_u8; 1000]);
    let _ = on!(context, executor, guest::write_pieces, (url.clone(), piece, 3, false));
    assert_eq!(context.read("out/half"), None);
}

fn a_listing_comes_in_pages(context: &Context) {
    let executor = granted(context);
    for n in 0..25 {
        context.put(&format!("in/{n:02}"), "x");
    }
    let lengths = on!(context, executor, guest::page_lengths, (context.url("in/"), 10));
    assert_eq!(did(lengths), [10, 10, 5]);
}

fn a_reader_notices_that_its_object_was_replaced(context: &Context) {
    let executor = granted(context);
    let url = context.url("out/a");
    context.put("out/a", vec![1_u8; 10 << 20]);
    let replacement = Bytes::from(vec![2_u8; 10 << 20]);
    let read = on!(context, executor, guest::read_replaced, (url, replacement));
    assert!(matches!(read, Attempt::Refused { .. }), "it read a mixture");
}

fn an_object_larger_than_a_call_is_refused_with_the_way_out(context: &Context) {
    let mut limits = samara::Limits::default();
    limits.host_call_bytes = 1 << 20;
    let executor =
        context.builder().grant(context.url(""), Access::Read).limits(limits).build().unwrap();
    context.put("a", vec![0_u8; 2 << 20]);
    let got = on!(context, executor, guest::get_object, context.url("a"));
    match got {
        Attempt::Refused { text, .. } => assert!(text.contains("in pieces"), "{text}"),
        Attempt::Did(_) => panic!("2 MiB passed"),
    }
}

fn a_version_is_read_or_refused(context: &Context) {
    let executor = granted(context);
    let url = context.url("out/a");
    context.put("out/a", "first");
    let (_, etag) = did(on!(context, executor, guest::head_object, url.clone()));
    let range = |etag: &str| {
        on!(context, executor, guest::get_version_range, (url.clone(), etag.to_owned(), 1, 3))
    };
    assert_eq!(did(range(&etag)).to_vec(), b"irs");
    context.put("out/a", "second");
    assert_eq!(case(range(&etag)), "PreconditionFailed");
}

fn a_new_object_is_written_once(context: &Context) {
    let executor = granted(context);
    let write = |text: &str| {
        let url = context.url("out/a");
        on!(context, executor, guest::write_new, (url, Bytes::from(text.as_bytes().to_vec())))
    };
    assert_eq!(did(write("first")), 5);
    assert_eq!(case(write("second")), "AlreadyExists");
    assert_eq!(context.read("out/a").unwrap(), "first");
}

fn a_range_is_what_it_says(context: &Context) {
    let executor = granted(context);
    context.put("in/a", "Test string");
    let range = |offset: u64, length: u64| {
        let arguments = (context.url("in/a"), offset, length);
        did(on!(context, executor, guest::get_object_range, arguments)).to_vec()
    };
    assert_eq!(range(1, 4), b"est ");
    assert_eq!(range(0, 11), b"Test string");
    assert_eq!(range(8, 100), b"ing", "it ends where the object does");
    assert_eq!(range(3, 0), b"");
}

fn a_prefix_is_of_names_not_of_directories(context: &Context) {
    let executor = granted(context);
    let names = ["foo.txt", "foo/a", "foo/b/c", "foo_bar", "foo_baz", "other"];
    for name in names {
        context.put(&format!("in/{name}"), "x");
    }
    let listed = |prefix: &str| -> Vec<String> {
        let start = context.url("in/");
        let prefix = context.url(&format!("in/{prefix}"));
        let listed = did(on!(context, executor, guest::list_objects, (prefix, 100)));
        listed.iter().map(|(url, _)| url.strip_prefix(&start).unwrap().to_owned()).collect()
    };
    assert_eq!(listed(""), names);
    assert_eq!(listed("foo"), names[..5]);
    assert_eq!(listed("foo/"), names[1..3]);
    assert_eq!(listed("foo_ba"), names[3..5]);
    assert_eq!(listed("nothing"), [""; 0]);
}

fn what_is_not_there_is_not_found_whatever_is_asked(context: &Context) {
    let executor = granted(context);
    let url = || context.url("out/nothing");
    assert_eq!(case(on!(context, executor, guest::get_object, url())), "NotFound");
    assert_eq!(case(on!(context, executor, guest::head_object, url())), "NotFound");
    assert_eq!(case(on!(context, executor, guest::get_object_range, (url(), 0, 1))), "NotFound");
    let copy = (url(), context.url("out/copy"));
    assert_eq!(case(on!(context, executor, guest::copy_object, copy)), "NotFound");
    did(on!(context, executor, guest::delete_object, url()));
    assert_eq!(context.names(), [""; 0], "nothing was made of it");
}

fn a_listing_says_every_size(context: &Context) {
    let executor = granted(context);
    let sizes: Vec<(String, u64)> = (0..5)
        .map(|n| {
            let name = format!("in/{n}");
            context.put(&name, vec![0_u8; n * 1000]);
            (context.url(&name), n as u64 * 1000)
        })
        .collect();
    let listed = on!(context, executor, guest::list_objects, (context.url("in/"), 2));
    assert_eq!(did(listed), sizes);
    for (url, size) in &sizes[..2] {
        assert_eq!(did(on!(context, executor, guest::head_object, url.clone())).0, *size);
    }
}

/// Where the store does not keep such conditions, that is said, and nothing is written.
fn a_version_is_replaced_once_where_the_store_can(context: &Context) {
    let executor = granted(context);
    let url = context.url("out/a");
    context.put("out/a", "first");
    let (_, first) = did(on!(context, executor, guest::head_object, url.clone()));
    let put = |etag: &str, text: &str| {
        let bytes = Bytes::from(text.as_bytes().to_vec());
        let arguments = (url.clone(), etag.to_owned(), bytes);
        on!(context, executor, guest::put_object_if_match, arguments)
    };
    let write = |etag: &str, text: &str| {
        let bytes = Bytes::from(text.as_bytes().to_vec());
        on!(context, executor, guest::write_version, (url.clone(), etag.to_owned(), bytes))
    };
    let second = match put(&first, "second") {
        Attempt::Did(etag) => etag,
        Attempt::Refused { case, text } => {
            assert!(case == "Invalid" && text.contains("cannot do this"), "{case}: {text}");
            assert_eq!(context.read("out/a").unwrap(), "first");
            return;
        }
    };
    assert_eq!(case(put(&first, "late")), "PreconditionFailed");
    assert_eq!(case(write(&first, "late")), "PreconditionFailed");
    assert_eq!(context.read("out/a").unwrap(), "second");
    assert_eq!(did(write(&second, "third")), 5);
    assert_eq!(context.read("out/a").unwrap(), "third");
    let elsewhere = (context.url("in/a"), first, Bytes::from(vec![1]));
    assert_eq!(case(on!(context, executor, guest::put_object_if_match, elsewhere)), "NotGranted");
}

fn what_is_said_about_an_object_is_read_where_the_store_keeps_it(context: &Context) {
    let executor = granted(context);
    let put = |name: &str, value: &str| {
        let [media, name, value] = ["text/csv", name, value].map(str::to_owned);
        on!(context, executor, guest::put_described, (context.url("out/a"), media, name, value))
    };
    let read =
        |url: String| on!(context, executor, guest::read_described, (url, "source".to_owned()));
    assert_eq!(did(put("source", "census 2026")), 9);
    let (media, value) = did(read(context.url("out/a")));
    assert!(value.is_none_or(|value| value == "census 2026"));
    assert!(media.is_none_or(|media| media == "text/csv"));
    assert_eq!(case(put("Source: x", "y")), "Invalid");
    assert_eq!(case(put("source", "two\nlines")), "Invalid");
    assert_eq!(case(read(context.url("out/none"))), "NotFound");
    assert_eq!(case(read(context.url("secret"))), "NotGranted");
}
