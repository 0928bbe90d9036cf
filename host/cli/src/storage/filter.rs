//! `--exclude` and `--include`: which of the objects below a place are meant.

use clap::error::Error as Malformed;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use samara::storage::Pattern;

/// Patterns in the order in which they were given: the last one that matches a name decides.
#[derive(Debug, Clone, Default)]
pub(super) struct Filters(Vec<Rule>);

#[derive(Debug, Clone)]
struct Rule {
    takes: bool,
    glob: Glob,
}

/// A pattern over whole names where it has a `/`, else over what stands after the last one.
#[derive(Debug, Clone)]
struct Glob {
    is_path: bool,
    pattern: Pattern,
}

const EXCLUDE: &str = "exclude";
const INCLUDE: &str = "include";

// === impl Filters ===

impl Filters {
    /// Whether there is none, so that all is meant.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object of this name, as it stands after the source, is meant.
    pub(super) fn take(&self, name: &str) -> bool {
        self.0.iter().rev().find(|rule| rule.glob.matches(name)).is_none_or(|rule| rule.takes)
    }
}

impl Glob {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { is_path: text.contains('/'), pattern: Pattern::parse(text)? })
    }

    fn matches(&self, name: &str) -> bool {
        let last = name.rsplit('/').next().unwrap_or(name);
        self.pattern.matches(if self.is_path { name } else { last })
    }
}

impl clap::Args for Filters {
    fn augment_args(command: Command) -> Command {
        let pattern = |name: &'static str| {
            let arg = Arg::new(name).long(name).value_name("PATTERN").action(ArgAction::Append);
            arg.value_parser(Glob::parse)
        };
        let exclude = "Leaves out objects whose names match; repeatable, and of these and --include \
                       the last that matches decides. Without a `/` a pattern is for the last part \
                       of a name, with one for all that stands after the source";
        command
            .arg(pattern(EXCLUDE).help(exclude))
            .arg(pattern(INCLUDE).help("Takes objects that an --exclude before left out"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Filters {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Malformed> {
        let mut rules = Vec::new();
        for (name, takes) in [(EXCLUDE, false), (INCLUDE, true)] {
            let globs = matches.get_many::<Glob>(name).into_iter().flatten();
            let places = matches.indices_of(name).into_iter().flatten();
            let rule = |(at, glob): (usize, &Glob)| (at, Rule { takes, glob: glob.clone() });
            rules.extend(places.zip(globs).map(rule));
        }
        rules.sort_by_key(|(at, _)| *at);
        Ok(Self(rules.into_iter().map(|(_, rule)| rule).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Malformed> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        filters: Filters,
    }

    fn taken(arguments: &[&str]) -> Vec<&'static str> {
        let line = Line::try_parse_from([&["x"], arguments].concat()).unwrap();
        let names = ["a.txt", "b.csv", "tmp/c.txt", "tmp/deep/d.csv"];
        names.into_iter().filter(|name| line.filters.take(name)).collect()
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        assert_eq!(taken(&[]).len(), 4);
        assert_eq!(taken(&["--include", "*.txt"]).len(), 4, "nothing was left out");
        assert_eq!(taken(&["--exclude", "*", "--include", "*.txt"]), ["a.txt", "tmp/c.txt"]);
        assert_eq!(taken(&["--include", "*.txt", "--exclude", "*"]), [""; 0]);
        assert_eq!(taken(&["--exclude", "tmp/*"]), ["a.txt", "b.csv", "tmp/deep/d.csv"]);
        assert_eq!(taken(&["--exclude=tmp/**", "--include=d.*"])[2..], ["tmp/deep/d.csv"]);
        let malformed = Line::try_parse_from(["x", "--exclude", "[a"]).unwrap_err();
        assert!(malformed.to_string().contains("is not closed"), "{malformed}");
    }
}
