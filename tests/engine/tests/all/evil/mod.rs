//! Hostile guests: each is held to what it may come to, and the host goes on after each.
//!
//! | file | guests that |
//! |---|---|
//! | `time.rs` | never end |
//! | `memory.rs` | take memory, their own and the host's |
//! | `answers.rs` | return what they should not, or say too much |
//! | `stacks.rs` | recurse, panic, trap |
//! | `objects.rs` | reach for objects that are not theirs, or use stores without end |
//! | `network.rs` | reach for servers |
//! | `surroundings.rs` | look for what is around them |
//! | `leaks.rs` | leave something for the next one, or look for it |
//! | `components.rs` | are no components that should be run |

mod answers;
mod components;
mod host;
mod leaks;
mod memory;
mod network;
mod objects;
mod stacks;
mod surroundings;
mod time;

use self::host::survive;

/// What each guest is held to, by its name.
mod checks {
    pub(super) use super::answers::*;
    pub(super) use super::components::*;
    pub(super) use super::leaks::*;
    pub(super) use super::memory::*;
    pub(super) use super::network::*;
    pub(super) use super::objects::*;
    pub(super) use super::stacks::*;
    pub(super) use super::surroundings::*;
    pub(super) use super::time::*;
}

/// A test for each guest: one without a check does not compile.
macro_rules! tests {
    (
        functions: $($function:ident),*;
        texts: $($text:ident),*;
        made: $($made:ident),*;
    ) => {
        $(tests!(one $function);)*
        $(tests!(one $text);)*
        $(tests!(one $made);)*

        const ALL: &[&str] = &[$(stringify!($function),)* $(stringify!($text),)* $(stringify!($made),)*];
    };
    (one $name:ident) => {
        #[test]
        fn $name() {
            survive(stringify!($name), checks::$name);
        }
    };
}

samara_evil::guests!(tests);

#[test]
fn every_file_of_a_guest_is_in_the_list() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs/evil");
    let mut found = Vec::new();
    for (dir, extension) in [("src", ".rs"), ("wat", ".wat"), ("src/made", ".rs")] {
        for entry in std::fs::read_dir(format!("{root}/{dir}")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            found.extend(name.strip_suffix(extension).map(str::to_owned));
        }
    }
    found.retain(|name| name != "lib" && name != "shell");
    let mut all: Vec<&str> = ALL.to_vec();
    found.sort_unstable();
    all.sort_unstable();
    assert_eq!(found, all);
    assert!(all.len() >= 45, "{}", all.len());
}
