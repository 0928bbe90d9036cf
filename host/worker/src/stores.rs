//! How stores are reached: `SAMARA_HOST_STORES`, a table of tables in TOML, and the variables that the
//! stores' own programs read.

use samara_runtimes::host::Variables;
use samara_store::{Locator, STORES, Settings};

/// Settings of stores, and what is wrong with them.
pub(crate) fn read(variables: &Variables) -> (Settings, Vec<String>) {
    let known = STORES.iter().flat_map(|row| row.settings).filter_map(|setting| setting.variable);
    let known = known.filter_map(|name| Some((name.to_owned(), variables.get(name)?.clone())));
    let mut settings = Settings::default().with_variables(known);
    let Some(said) = variables.get("SAMARA_HOST_STORES").filter(|said| !said.is_empty()) else {
        return (settings, Vec::new());
    };
    // A file of settings says the same under `stores`.
    let table = match format!("stores = {said}").parse::<toml::Table>() {
        Ok(table) => table,
        Err(error) => {
            let text = format!(
                "SAMARA_HOST_STORES should be a table of tables in TOML, such as {{ \"s3:\" = {{ region = \
                 \"eu-central-1\" }} }}: {}",
                error.message()
            );
            return (settings, vec![text]);
        }
    };
    let mut faults = Vec::new();
    let places = table.get("stores").and_then(toml::Value::as_table);
    for (place, entries) in places.into_iter().flatten() {
        let Some(entries) = entries.as_table() else {
            faults.push(format!("SAMARA_HOST_STORES: {place:?} should be a table of settings"));
            continue;
        };
        for (name, value) in entries {
            let text = match value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Boolean(_) | toml::Value::Integer(_) => value.to_string(),
                _ => {
                    faults.push(format!("SAMARA_HOST_STORES: {place:?}.{name} should be a text"));
                    continue;
                }
            };
            settings = settings.with(place, name, &text);
        }
    }
    faults.extend(
        Locator::faults(&settings).into_iter().map(|fault| format!("SAMARA_HOST_STORES: {fault}")),
    );
    (settings, faults)
}
