//! Signatures as text, spaced the way rustfmt would.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;

use crate::checked::Checked;

/// The whole signature without the name: `fn(text: Partition) -> Result<u64>`.
pub(crate) fn signature(function: &Checked) -> String {
    let arguments: Vec<&str> = function.arguments.iter().map(|it| it.text.as_str()).collect();
    let mut text = format!("fn({})", arguments.join(", "));
    if let Some(output) = &function.output {
        text.push_str(" -> ");
        text.push_str(&of(output));
    }
    text
}

/// Any part of a signature.
pub(crate) fn of(part: &impl ToTokens) -> String {
    let mut printer = Printer::default();
    printer.stream(part.to_token_stream());
    printer.text
}

#[derive(Default)]
struct Printer {
    text: String,
    /// Whether a space goes before the next token.
    space: bool,
}

impl Printer {
    fn stream(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Group(group) => self.group(group.delimiter(), group.stream()),
                TokenTree::Punct(punct) => {
                    let joint = punct.spacing() == Spacing::Joint;
                    let next = tokens.peek().filter(|_| joint).map(ToString::to_string);
                    match (punct.as_char(), next.as_deref()) {
                        (':', Some(":")) | ('-', Some(">")) => {
                            tokens.next();
                            self.operator(if punct.as_char() == ':' { "::" } else { "->" });
                        }
                        (single, _) => self.operator(single.encode_utf8(&mut [0; 4])),
                    }
                }
                word => self.word(&word.to_string()),
            }
        }
    }

    fn word(&mut self, word: &str) {
        let after_word = self.text.ends_with(|c: char| c.is_alphanumeric() || "_\">)]".contains(c));
        self.space |= after_word;
        self.put(word);
    }

    fn operator(&mut self, operator: &str) {
        match operator {
            "," | ";" | ":" => {
                self.space = false;
                self.put(operator);
                self.space = true;
            }
            "->" | "=" | "+" | "|" => {
                self.space = true;
                self.put(operator);
                self.space = true;
            }
            _ => self.put(operator),
        }
    }

    fn group(&mut self, delimiter: Delimiter, inner: TokenStream) {
        let (open, close) = match delimiter {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::Brace => ("{", "}"),
            Delimiter::None => ("", ""),
        };
        let wide = delimiter == Delimiter::Brace;
        self.space |= wide;
        self.put(open);
        self.space = wide;
        self.stream(inner);
        self.space = wide;
        self.put(close);
    }

    fn put(&mut self, token: &str) {
        if std::mem::take(&mut self.space) && !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_spaced_as_rustfmt_does() {
        for written in [
            "u64",
            "BTreeMap<String, Vec<(u32, [u8; 4])>>",
            "std::collections::BTreeMap<String, u64>",
            "Result<Option<()>, Box<dyn std::error::Error + Send + Sync>>",
            "<Vec<u8> as IntoIterator>::Item",
            "fn(u64, char) -> bool",
            "&'static str",
            "(a, _): (u64, u64)",
            "[x, y]: [f64; 2]",
            "Point { x, y }: Point",
            "()",
        ] {
            let tokens: TokenStream = written.parse().unwrap();
            assert_eq!(of(&tokens), written);
        }
    }
}
