//! From the inputs on the command line to a plan that fits the function.

use std::io::{self, BufRead};

use anyhow::{Context, Result};
use samara::{FunctionInfo, Objects, Plan};
use samara_wit::value::ArgumentWriter;
use serde_json::Value;

use super::ObjectArguments;
use crate::json;
use crate::report::usage;

/// What the command line gives, not yet held against a function.
#[derive(Debug)]
pub(super) struct Inputs {
    values: Vec<Input>,
    /// Whether there was an `--input` at all: standard input may have no line.
    given: bool,
    objects: Option<Objects>,
}

/// One input and where it came from.
#[derive(Debug)]
struct Input {
    origin: String,
    value: Value,
}

// === impl Inputs ===

impl Inputs {
    /// Reads `--input` and `--over`, standard input too where one of them says so.
    pub(super) fn read(inputs: &[String], objects: &ObjectArguments) -> Result<Self> {
        let mut values = Vec::new();
        for (number, text) in (1..).zip(inputs) {
            match text.as_str() {
                "-" => read_lines(io::stdin().lock(), &mut values)?,
                text => values.push(Input::parse(text, format!("--input {number}"))?),
            }
        }
        Ok(Self { values, given: !inputs.is_empty(), objects: into_objects(objects) })
    }

    /// Holds the inputs against the function, and encodes them.
    pub(super) fn into_plan(self, function: &FunctionInfo) -> Result<Plan> {
        let name = &function.name;
        match (self.objects, function.takes_partition) {
            (Some(objects), true) => {
                let arguments = match self.values.as_slice() {
                    [] if function.arity == 0 => ArgumentWriter::new(0).finish(),
                    [] => return Err(missing(function)),
                    [input] => input.encode(function)?,
                    _ => {
                        return Err(usage(
                            "--over takes at most one --input: what every task gets beside its \
                             partition",
                        ));
                    }
                };
                Ok(Plan::objects(objects, arguments.into()))
            }
            (None, true) => Err(usage(format!(
                "`{name}` takes a partition; say of what: --over URL\n  its signature: {}",
                function.signature
            ))),
            (Some(_), false) => Err(usage(format!(
                "`{name}` takes no partition, so it cannot run --over objects\n  \
                 its signature: {}",
                function.signature
            ))),
            (None, false) if !self.given && function.arity == 0 => {
                Ok(Plan::values([ArgumentWriter::new(0).finish().into()]))
            }
            (None, false) if !self.given => Err(missing(function)),
            (None, false) => {
                let encoded = self.values.iter().map(|input| Ok(input.encode(function)?.into()));
                Ok(Plan::values(encoded.collect::<Result<Vec<_>>>()?))
            }
        }
    }
}

// === impl Input ===

impl Input {
    fn parse(text: &str, origin: String) -> Result<Self> {
        let value = serde_json::from_str(text).map_err(|error| {
            let hint = match text.trim_start().starts_with(['[', '{', '"']) {
                true => "",
                false => "\n  a text wants its quotes: --input '\"text\"'",
            };
            usage(format!("{origin} is not JSON: {error}\n  it is: {}{hint}", excerpt(text)))
        })?;
        Ok(Self { origin, value })
    }

    /// Encodes the arguments of one task: the value, or the values of an array.
    fn encode(&self, function: &FunctionInfo) -> Result<Vec<u8>> {
        let arity = function.arity as usize;
        let arguments = match &self.value {
            value if arity == 1 => std::slice::from_ref(value),
            Value::Array(values) if values.len() == arity => values.as_slice(),
            other => return Err(self.misfit(other, function)),
        };
        let mut writer = ArgumentWriter::new(u64::from(function.arity));
        for argument in arguments {
            writer.push_encoded(&json::to_cbor(argument));
        }
        Ok(writer.finish())
    }

    fn misfit(&self, value: &Value, function: &FunctionInfo) -> anyhow::Error {
        let found = match value {
            Value::Array(values) => format!("an array of {}", values.len()),
            Value::Object(_) => "an object".to_owned(),
            other => other.to_string(),
        };
        let wanted = match function.arity {
            0 => "[], because it takes no values".to_owned(),
            arity => format!("an array of {arity} values"),
        };
        usage(format!(
            "{} does not fit `{}`: it is {found} and should be {wanted}\n  its signature: {}",
            self.origin, function.name, function.signature
        ))
    }
}

/// One JSON value per line; blank lines are passed over.
fn read_lines(lines: impl BufRead, values: &mut Vec<Input>) -> Result<()> {
    for (number, line) in (1..).zip(lines.lines()) {
        let line = line.with_context(|| format!("cannot read line {number} of standard input"))?;
        if !line.trim().is_empty() {
            values.push(Input::parse(&line, format!("line {number} of standard input"))?);
        }
    }
    Ok(())
}

fn into_objects(arguments: &ObjectArguments) -> Option<Objects> {
    let (first, more) = arguments.over.split_first()?;
    let mut objects = Objects::at(first).records(arguments.records);
    for source in more {
        objects = objects.and(source);
    }
    Some(match (arguments.chunk, arguments.chunks) {
        (Some(size), _) => objects.chunk_bytes(size.get()),
        (None, Some(count)) => objects.chunk_count(count.get()),
        (None, None) => objects,
    })
}

fn missing(function: &FunctionInfo) -> anyhow::Error {
    let (name, signature) = (&function.name, &function.signature);
    let wanted = match function.arity {
        1 => "a value; give it: --input JSON".to_owned(),
        arity => format!("{arity} values; give them as an array: --input '[…]'"),
    };
    usage(format!("`{name}` takes {wanted}\n  its signature: {signature}"))
}

/// Enough of a text to know it again.
fn excerpt(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    let mut short: String = text.chars().take(CHARACTERS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Result<Vec<Value>> {
        let mut values = Vec::new();
        read_lines(text.as_bytes(), &mut values)?;
        Ok(values.into_iter().map(|input| input.value).collect())
    }

    #[test]
    fn standard_input_is_one_value_per_line() {
        let read = lines("1\n\n\"a\"\r\n[2]").unwrap();
        assert_eq!(Value::from(read), serde_json::json!([1, "a", [2]]));
        assert!(lines("").unwrap().is_empty());
        let error = lines("1\nx\n").unwrap_err().to_string();
        assert!(error.starts_with("line 2 of standard input is not JSON"), "{error}");
    }

    #[test]
    fn excerpts_are_cut_between_characters() {
        assert_eq!(excerpt("ü"), "ü");
        assert_eq!(excerpt(&"ü".repeat(61)), format!("{}…", "ü".repeat(60)));
    }
}
