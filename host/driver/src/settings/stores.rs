//! How stores are reached: tables of tables, `[stores."s3://bucket"]`.

use std::fmt::Write as _;

use samara_store::{Locator, STORES};

use super::values::{Raw, Reading, Written};

/// A setting of a store: of which, its name, its value.
pub(super) type StoreSetting = (String, String, String);

impl Reading {
    /// Tables of settings by place; a text is TOML.
    pub(super) fn stores(&mut self, written: &Written) -> Option<Vec<StoreSetting>> {
        const WANTED: &str =
            "tables by store, such as { \"s3://scratch\" = { endpoint = \"http://host:9000\" } }";
        let Some(Raw::Table(places)) = written.structure() else {
            return self.misfit(written, WANTED);
        };
        let whole = self.setting.clone();
        let (mut settings, mut is_sound) = (Vec::new(), true);
        for (place, _, entries) in &places {
            self.setting = format!("{whole}.{place:?}");
            let Raw::Table(entries) = &entries.value else {
                self.misfit::<()>(entries, "a table of settings");
                is_sound = false;
                continue;
            };
            for (name, origin, value) in entries {
                self.setting = format!("{whole}.{place:?}.{name}");
                let text = match &value.value {
                    Raw::Text(text) | Raw::Plain(text) => text.clone(),
                    Raw::Flag(flag) => flag.to_string(),
                    Raw::Integer(number) => number.to_string(),
                    _ => {
                        self.misfit::<()>(value, "a text, a number, or true or false");
                        is_sound = false;
                        continue;
                    }
                };
                let one = samara_store::Settings::default().with(place, name, &text);
                for fault in Locator::faults(&one) {
                    // A profile may be for a build with more stores.
                    match fault.contains("in this build") {
                        true => self.fault_in_use = Some(fault),
                        false => {
                            let fault = fault.split_once(": ").map_or(&*fault, |(_, rest)| rest);
                            self.fault::<()>(origin, fault);
                            is_sound = false;
                        }
                    }
                }
                settings.push((place.clone(), name.clone(), text));
            }
        }
        self.setting = whole;
        is_sound.then_some(settings)
    }
}

/// Settings of stores as a file would say them, without what is secret.
pub(super) fn stores_text(settings: &[StoreSetting]) -> String {
    let mut text = String::from("{");
    let mut last = None;
    for (place, name, value) in settings {
        let quoted = |text: &str| serde_json::Value::from(text);
        let value = if is_secret(place, name) { "***" } else { value };
        // Writing to a string does not fail.
        let _written = match last == Some(place) {
            true => write!(text, ", {name} = {}", quoted(value)),
            false => {
                let end = if last.is_some() { " }, " } else { " " };
                write!(text, "{end}{} = {{ {name} = {}", quoted(place), quoted(value))
            }
        };
        last = Some(place);
    }
    if last.is_some() {
        text.push_str(" } ");
    }
    text + "}"
}

fn is_secret(place: &str, name: &str) -> bool {
    let scheme = place.split(':').next().unwrap_or_default();
    let row = STORES.iter().find(|row| row.scheme == scheme);
    let setting = row.and_then(|row| row.settings.iter().find(|setting| setting.name == name));
    setting.is_none_or(|setting| setting.secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_or_unknown_is_not_shown() {
        let settings = [("x:", "key", "hush"), ("x:", "other", "hush"), ("y://b", "z", "hush")]
            .map(|(place, name, value)| (place.to_owned(), name.to_owned(), value.to_owned()));
        let text = stores_text(&settings);
        assert_eq!(text, r#"{ "x:" = { key = "***", other = "***" }, "y://b" = { z = "***" } }"#);
        assert_eq!(stores_text(&[]), "{}");
    }
}
