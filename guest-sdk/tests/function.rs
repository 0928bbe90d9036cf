//! `#[function]` from outside: what compiles, what does not and why, and how calls are answered.

use std::collections::BTreeMap;

use samara_guest::__private::{Failure, call, call_batch, listed};
use samara_guest::{Bytes, Context, Function, Given, Partition, Pulled, Result, function};
use samara_wit::Kind;
use samara_wit::value::{self, ArgumentWriter};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The golden files are rewritten by `TRYBUILD=overwrite cargo test -p samara-guest --test function`.
#[test]
fn what_compiles_and_what_does_not() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/fail/*.rs");
}

// === Functions under test ===

/// Scales a number.
///
/// By another one.
#[function(pure)]
fn scale(n: i64, by: i64) -> i64 {
    n * by
}

#[function]
fn nothing() {}

#[function]
fn measure(n: u8, mut text: Partition, label: Option<String>) -> Result<(u8, u64, Option<String>)> {
    let bytes = std::io::copy(&mut text, &mut std::io::sink())?;
    Ok((n, bytes, label))
}

#[function]
fn parse(number: String) -> Result<u64> {
    number.parse::<u64>().context("not a number").with_context(|| format!("cannot read {number}"))
}

#[function(reduce)]
fn join(a: String, b: String) -> Result<String> {
    samara_guest::ensure!(b != "!", "cannot join {a} and {b}");
    Ok(a + &b)
}

#[function]
fn echo(bytes: Bytes) -> Bytes {
    bytes
}

#[function]
fn by_pair(pairs: Vec<(u32, u32)>) -> BTreeMap<(u32, u32), u32> {
    pairs.into_iter().map(|(a, b)| ((a, b), a + b)).collect()
}

mod twins {
    //! Two functions of one name.

    pub(super) mod first {
        //! The first.

        #[samara_guest::function]
        fn twin() {}
    }

    pub(super) mod second {
        //! The second.

        #[samara_guest::function]
        fn twin() {}
    }
}

// === Handles ===

#[test]
#[expect(clippy::type_complexity, reason = "that is what is tested")]
fn a_handle_carries_the_types() {
    let _: Function<fn(i64, i64) -> i64, (Given<i64>, Given<i64>), i64> = scale;
    let _: Function<fn(), (), ()> = nothing;
    type Measured = (u8, u64, Option<String>);
    let _: Function<
        fn(u8, Partition, Option<String>) -> Result<Measured>,
        (Given<u8>, Pulled, Given<Option<String>>),
        Measured,
    > = measure;
    let _: Function<fn(String, String) -> Result<String>, (Given<String>, Given<String>), String> =
        join;
    assert_eq!((join.name(), join.kind()), ("join", Kind::Reduce));
}

#[test]
fn a_handle_is_called_like_the_function() {
    assert_eq!(scale(6, 7), 42);
    assert_eq!(measure(1, Partition::from("abc"), None).unwrap(), (1, 3, None));
    assert_eq!([1, 2].map(|n| scale(n, 2)), [2, 4]);
}

// === The list ===

#[test]
fn functions_are_listed_as_they_were_written() {
    let listed = listed();
    let names: Vec<&str> = listed.iter().map(|it| it.name).collect();
    let written =
        ["scale", "nothing", "measure", "parse", "join", "echo", "by_pair", "twin", "twin"];
    assert_eq!(names, written);

    let (one, two, three) = (listed[0], listed[2], listed[4]);
    assert_eq!(one.doc, "Scales a number.\n\nBy another one.");
    assert_eq!(one.signature, "fn(n: i64, by: i64) -> i64");
    assert!(one.pure && !one.takes_partition && one.arity == 2);
    assert_eq!(
        two.signature,
        "fn(n: u8, text: Partition, label: Option<String>) -> Result<(u8, u64, Option<String>)>"
    );
    assert!(!two.pure && two.takes_partition && two.arity == 2);
    assert_eq!((one.kind, three.kind), (Kind::Map, Kind::Reduce));
}

// === Calls ===

fn arguments(values: &[&dyn Encoded]) -> Vec<u8> {
    let mut writer = ArgumentWriter::new(values.len() as u64);
    for value in values {
        writer.push_encoded(&value.encoded());
    }
    writer.finish()
}

trait Encoded {
    fn encoded(&self) -> Vec<u8>;
}

impl<T: Serialize> Encoded for T {
    fn encoded(&self) -> Vec<u8> {
        value::encode(self).expect("encodes")
    }
}

fn answer<T: DeserializeOwned>(name: &str, values: &[&dyn Encoded]) -> T {
    let output = call(name, &arguments(values)).expect("succeeds");
    value::decode(&output).expect("decodes")
}

fn bad_arguments(name: &str, values: &[&dyn Encoded]) -> String {
    match call(name, &arguments(values)) {
        Err(Failure::BadArguments(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn calls_are_answered() {
    assert_eq!(answer::<i64>("scale", &[&6, &-7]), -42);
    answer::<()>("nothing", &[]);
    let measured = answer::<(u8, u64, Option<String>)>("measure", &[&1, &"x"]);
    assert_eq!(measured, (1, 0, Some("x".to_owned())));
    assert_eq!(answer::<Bytes>("echo", &[&Bytes::from(vec![1, 2])]), Bytes::from(vec![1, 2]));
    assert_eq!(answer::<Bytes>("echo", &[&vec![1, 2]]), Bytes::from(vec![1, 2]));
    let sums = answer::<BTreeMap<(u32, u32), u32>>("by_pair", &[&vec![(1, 2)]]);
    assert_eq!(sums, BTreeMap::from([((1, 2), 3)]));
}

#[test]
fn a_reduce_folds_from_left_to_right() {
    assert_eq!(answer::<String>("join", &[&"a", &"b"]), "ab");
    assert_eq!(answer::<String>("join", &[&"a", &"b", &"c", &"d"]), "abcd");
}

#[test]
fn bytes_cross_as_bytes() {
    let encoded = call("echo", &arguments(&[&Bytes::from(vec![0xff; 300])])).unwrap();
    assert_eq!(encoded.len(), 3 + 300);
}

#[test]
fn an_error_keeps_its_chain() {
    let chain = ["cannot read x", "not a number", "invalid digit found in string"];
    let failed = Failure::Failed(chain.map(ToOwned::to_owned).to_vec());
    assert_eq!(call("parse", &arguments(&[&"x"])), Err(failed));
    let failed = Failure::Failed(vec!["cannot join ab and !".to_owned()]);
    assert_eq!(call("join", &arguments(&[&"a", &"b", &"!", &"c"])), Err(failed));
}

#[test]
fn an_unknown_name_is_told_the_known_ones() {
    let Err(Failure::NoSuchFunction(text)) = call("scales", &arguments(&[])) else {
        panic!("there is no such function")
    };
    assert!(text.starts_with("`scales`: the component has `scale`, `nothing`, "), "{text}");
}

#[test]
fn a_name_of_two_functions_is_refused() {
    let Err(Failure::NoSuchFunction(text)) = call("twin", &arguments(&[])) else {
        panic!("there are two")
    };
    assert!(text.starts_with("`twin` is the name of two functions, at "), "{text}");
}

#[test]
fn wrong_numbers_of_arguments_are_refused() {
    assert_eq!(
        bad_arguments("scale", &[&1]),
        "`scale` takes 2 values, not 1: fn(n: i64, by: i64) -> i64"
    );
    assert_eq!(bad_arguments("nothing", &[&1]), "`nothing` takes no values, not 1: fn()");
    let text = bad_arguments("measure", &[&1, &"x", &2]);
    assert!(text.starts_with("`measure` takes 2 values beside the partition, not 3: "), "{text}");
    let text = bad_arguments("join", &[&"a"]);
    assert!(text.starts_with("`join` takes two or more values, not 1: "), "{text}");
}

#[test]
fn an_argument_of_the_wrong_type_is_named() {
    let text = bad_arguments("scale", &[&1, &"seven"]);
    assert!(text.starts_with("argument 2 `by: i64` of `scale`: "), "{text}");
    let text = bad_arguments("measure", &[&300, &None::<String>]);
    assert!(text.starts_with("argument 1 `n: u8` of `measure`: "), "{text}");
    let text = bad_arguments("measure", &[&3, &7]);
    assert!(text.starts_with("argument 3 `label: Option<String>` of `measure`: "), "{text}");
    let text = bad_arguments("join", &[&"a", &"b", &3]);
    assert!(text.starts_with("argument 3 of `join`: "), "{text}");
}

#[test]
fn arguments_that_are_no_array_are_refused() {
    for bytes in [&[][..], &[0x01], &[0x9f, 0x01, 0xff], &[0x82, 0x01]] {
        let answer = call("scale", bytes);
        assert!(matches!(answer, Err(Failure::BadArguments(_))), "{bytes:?}: {answer:?}");
    }
}

#[test]
fn a_batch_is_answered_call_by_call() {
    let calls: [&dyn Encoded; 4] = [&"1", &"x", &7, &"300"];
    let calls = calls.map(|call| arguments(&[call]));
    let ends: Vec<u32> = calls
        .iter()
        .scan(0, |end, call| {
            *end += u32::try_from(call.len()).unwrap();
            Some(*end)
        })
        .collect();
    let mut begun = Vec::new();
    let batch =
        call_batch("parse", &[4, 5, 6, 9], &calls.concat(), &ends, |index| begun.push(index));
    let batch = batch.unwrap();
    assert_eq!(begun, [4, 5, 6, 9]);
    assert_eq!(batch.ends, [1, 1, 1, 4], "failed calls have no output");
    assert_eq!(value::decode::<u64>(&batch.outputs[..1]), Ok(1));
    assert_eq!(value::decode::<u64>(&batch.outputs[1..]), Ok(300));
    let [(1, Failure::Failed(chain)), (2, Failure::BadArguments(text))] = &batch.failures[..]
    else {
        panic!("{:?}", batch.failures);
    };
    assert_eq!(chain[0], "cannot read x");
    assert!(text.starts_with("argument 1 `number: String` of `parse`"), "{text}");
}

#[test]
fn a_batch_that_does_not_fit_is_refused_as_a_whole() {
    let batch = |name: &str, indices: &[u64], ends: &[u32]| {
        call_batch(name, indices, &arguments(&[&"1"]), ends, |_| ())
    };
    assert!(matches!(batch("none", &[0], &[3]), Err(Failure::NoSuchFunction(_))));
    for (indices, ends) in [(&[0, 1][..], &[3][..]), (&[0, 1], &[3, 2]), (&[0], &[4])] {
        let refused = batch("parse", indices, ends);
        assert!(matches!(refused, Err(Failure::BadArguments(_))), "{refused:?}");
    }
    assert_eq!(batch("parse", &[], &[]).unwrap().ends, [0_u32; 0]);
}
