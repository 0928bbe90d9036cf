//! What functions may touch, as a program says it, and as a job carries it.

use std::collections::BTreeMap;

use samara_core::{Access, Grant, Grants};
use samara_store::Locator;

use crate::Error;

/// What functions may touch, as it was said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Allowed {
    pub(crate) objects: Vec<(String, Access)>,
    pub(crate) http: Vec<String>,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) secrets: BTreeMap<String, String>,
    pub(crate) precise_clock: bool,
}

// === impl Allowed ===

impl Allowed {
    /// As jobs carry it, with the URLs that tasks are compared by.
    pub(crate) fn grants(&self, locator: &Locator) -> Result<Grants, Error> {
        let object = |(url, access): &(String, Access)| {
            Ok(Grant { prefix: locator.open(url)?.url(), access: *access })
        };
        let mut grants = Grants::of(self.objects.iter().map(object).collect::<Result<_, Error>>()?);
        let http = self.http.iter().map(|text| text.parse());
        grants.http = http.collect::<Result<_, String>>().map_err(Error::Invalid)?;
        grants.variables.clone_from(&self.variables);
        grants.secrets.clone_from(&self.secrets);
        grants.precise_clock = self.precise_clock;
        grants.check()?;
        Ok(grants)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_malformed_is_named() {
        let locator = Locator::default();
        let http = Allowed { http: vec!["example.com".to_owned()], ..Allowed::default() };
        let error = http.grants(&locator).unwrap_err().to_string();
        assert!(error.contains("example.com") && error.contains("https://"), "{error}");
        let variables = [("A=".to_owned(), "b".to_owned())].into();
        let variable = Allowed { variables, ..Allowed::default() };
        let error = variable.grants(&locator).unwrap_err().to_string();
        assert!(error.contains("`A=`"), "{error}");
    }
}
