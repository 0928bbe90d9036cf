//! Components as a driver has them: bytes with a name.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use samara_core::ComponentId;

use crate::Error;

/// A compiled component. Clones share its bytes.
///
/// ```
/// use samara::Component;
///
/// let (one, same) = (Component::from_bytes("bytes"), Component::from_bytes("bytes"));
/// assert_eq!(one.id(), same.id(), "the name is the content's");
/// assert!(one.id().to_string().starts_with("b3:"));
/// ```
#[derive(Clone)]
pub struct Component {
    id: ComponentId,
    bytes: Bytes,
    name: String,
}

// === impl Component ===

impl Component {
    /// Takes a component's bytes. They are checked when a job is submitted.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let id = ComponentId::of(&bytes);
        Self { id, bytes, name: id.to_string() }
    }

    /// Reads a component from a file.
    ///
    /// # Errors
    ///
    /// [`Error::Component`] where the file cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = samara::Component::from_path("no/such.wasm").unwrap_err();
    /// assert_eq!(error.code(), "component");
    /// assert!(error.to_string().contains("no/such.wasm"));
    /// ```
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, Error> {
        let name = path.as_ref().display().to_string();
        match fs::read(path) {
            Ok(bytes) => Ok(Self { name, ..Self::from_bytes(bytes) }),
            Err(error) => {
                Err(Error::Component { name, message: format!("cannot read it: {error}") })
            }
        }
    }

    /// Builds the crate in a directory to a component, for `wasm32-wasip2` in release mode.
    ///
    /// A crate that is built already costs what cargo needs to see that, some 0.1 s. Where the
    /// target's standard library is missing, it is fetched or built first, once.
    ///
    /// # Errors
    ///
    /// [`Error::Build`]; what the compiler says goes to standard error.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn main() -> Result<(), samara::Error> {
    /// let app = samara::Component::from_crate("examples/word-count/function")?;
    /// println!("{}", app.id());
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_crate(directory: impl AsRef<Path>) -> Result<Self, Error> {
        let directory = directory.as_ref();
        let built = samara_build::build(directory, &samara_build::Options::from_env()).map_err(
            |source| Error::Build { path: directory.to_owned(), source: Box::new(source) },
        )?;
        Self::from_path(built.path)
    }

    /// The component's name by content.
    pub fn id(&self) -> ComponentId {
        self.id
    }

    /// The component's bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What errors call it: where it came from.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component").field("name", &self.name).field("id", &self.id).finish()
    }
}
