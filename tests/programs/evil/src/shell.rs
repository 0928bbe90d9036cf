//! A component of Samara's world around a core module that was written by hand.

/// The text of a component around a core module's, whose name has to be `$guest`.
///
/// The module exports `memory`, `realloc`, `call`, `call-batch`, `list`, and `post`, which is called
/// after each of the three with what it returned. A text that makes an instance of it by itself
/// calls that `$i`.
pub fn around(guest: &str) -> String {
    let instance = match guest.contains("(core instance $i ") {
        true => "",
        false => "(core instance $i (instantiate $guest))",
    };
    SHELL.replace(";; the guest", &format!("{guest}\n{instance}"))
}

/// The text of the component of a guest in `wat`.
///
/// # Panics
///
/// If there is no guest of that name.
pub fn component(name: &str) -> String {
    let found = crate::TEXTS.iter().find(|(other, _)| *other == name);
    around(found.unwrap_or_else(|| panic!("no guest {name}")).1)
}

const SHELL: &str = include_str!("shell.wat");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guest_has_a_component() {
        for (name, text) in crate::TEXTS {
            assert!(text.starts_with(";; "), "{name} says what it is for");
            assert!(component(name).contains(text));
        }
    }
}
