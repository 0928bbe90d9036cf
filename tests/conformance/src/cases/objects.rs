//! Objects of every name, and how they are found.

use std::collections::BTreeSet;

use samara::{Error, Objects};
use samara_core::layout;
use samara_programs::{ends, input};

use super::{collected, results, table, wait};
use crate::Context;

table! {
    objects:
    a_url_a_prefix_a_pattern_and_a_list_find_objects_in_order,
    names_that_are_not_plain_ascii_are_found,
    what_matches_nothing_is_an_error_unless_allowed,
    unknown_schemes_and_malformed_urls_are_refused_by_name,
    a_store_keeps_component_manifest_and_large_outputs,
}

fn counts(context: &Context, objects: impl Into<Objects>) -> Vec<u64> {
    collected(wait(context.executor().map(context.programs(), input::count_lines, objects.into())))
}

fn a_url_a_prefix_a_pattern_and_a_list_find_objects_in_order(context: &Context) {
    for (name, lines) in [("b.txt", 2), ("a.txt", 1), ("sub/c.txt", 3), ("d.log", 4)] {
        context.put(name, "line\n".repeat(lines));
    }
    let at = |name: &str| context.url(name);
    assert_eq!(counts(context, at("b.txt")), [2]);
    assert_eq!(counts(context, at("")), [1, 2, 4, 3], "in the order of their names");
    assert_eq!(counts(context, at("sub/")), [3]);
    assert_eq!(counts(context, at("*.txt")), [1, 2]);
    assert_eq!(counts(context, at("**/*.txt")), [1, 2, 3]);
    assert_eq!(counts(context, at("{b,d}.*")), [2, 4]);
    assert_eq!(counts(context, Objects::at(at("d.log")).and(at("a.txt"))), [4, 1]);
}

fn names_that_are_not_plain_ascii_are_found(context: &Context) {
    let names = ["with space", "ünïcode", "日本語.txt", "🦀", "100%25#?&=+", "a*b", "[x]", "it's"];
    for (lines, name) in names.iter().enumerate() {
        context.put(name, "line\n".repeat(lines + 1));
    }
    for (lines, name) in names.iter().enumerate() {
        assert_eq!(counts(context, context.url(name)), [lines as u64 + 1], "{name}");
    }
    let all: BTreeSet<u64> = counts(context, context.url("")).into_iter().collect();
    assert_eq!(all.len(), names.len());
}

fn what_matches_nothing_is_an_error_unless_allowed(context: &Context) {
    let missing = [context.url("*.csv"), context.url("nothing/here"), context.url("nothing/")];
    for source in &missing {
        let job =
            wait(context.executor().map(context.programs(), input::count_lines, source.as_str()));
        let error = job.unwrap_err();
        assert!(matches!(&error, Error::Store(samara_store::Error::NotFound { .. })), "{error}");
        assert!(error.to_string().contains(source), "{error}");
        assert_eq!(counts(context, Objects::at(source).allow_none()), [0; 0]);
    }
}

fn unknown_schemes_and_malformed_urls_are_refused_by_name(context: &Context) {
    for (source, wanted) in
        [("s3x://bucket/key", "s3x"), ("file://host/x", "no host"), ("", "empty")]
    {
        let job = wait(context.executor().map(context.programs(), input::count_lines, source));
        let error = job.unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

fn a_store_keeps_component_manifest_and_large_outputs(context: &Context) {
    let executor = context.builder().store(context.url("store")).build().unwrap();
    let job = wait(executor.map(context.programs(), ends::output_of, [10, 1 << 20]));
    let id = job.as_ref().unwrap().id();
    assert_eq!(results(job).len(), 2);
    let kept = |key: &str| context.read(&format!("store/{key}"));
    let component = kept(&layout::component(&context.programs().id()));
    assert_eq!(component.as_ref(), Some(context.programs().bytes()));
    let manifest = kept(&layout::manifest(&id)).unwrap();
    let manifest = std::str::from_utf8(&manifest).unwrap();
    assert!(manifest.contains("\"function\":\"output_of\""), "{manifest}");
    assert!(kept(&layout::output(&id, 1)).is_some(), "1 MiB is stored");
    assert!(kept(&layout::output(&id, 0)).is_none(), "10 bytes ride along");
}
