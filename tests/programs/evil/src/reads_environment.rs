//! Looks for what the host's process was started with.

use samara_guest::function;

/// Variables, arguments, and the working directory.
#[function]
#[expect(clippy::disallowed_methods, reason = "shows that there is none")]
pub fn reads_all_there_is() -> Vec<String> {
    let variables = std::env::vars().map(|(name, value)| format!("{name}={value}"));
    let directory = std::env::current_dir().ok().map(|path| path.display().to_string());
    variables.chain(std::env::args()).chain(directory.filter(|path| path != "/")).collect()
}
