//! Swift whose tokens are Keystone's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future;
use samara_store::{Error, Locator, PutOptions, Settings, Store, StoreExt};
use samara_stores::{Fault, Proxy, Server, secrets};

use crate::Check;

/// Every check, by name.
pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("keystone_lets_in_by_password_and_by_credential", |server| Box::pin(let_in(server))),
    ("keystone_tokens_are_renewed_once", |server| Box::pin(keystone_renewed(server))),
    ("keystone_refusals_are_told", |server| Box::pin(keystone_refused(server))),
];

/// The store, with these settings and variables.
fn store(server: &Server, set: &[(&str, &str)], variables: &[(&str, &str)]) -> Arc<dyn Store> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let settings = Settings::default().with_variables(variables.iter().map(own));
    let place = server.url().trim_end_matches('/');
    let settings =
        set.iter().fold(settings, |settings, (name, value)| settings.with(place, *name, *value));
    Locator::default().with_settings(settings).open(server.url()).expect("the store").store
}

async fn works(store: &Arc<dyn Store>, key: &str) {
    store.put(key, "1".into(), PutOptions::default()).await.expect(key);
    assert_eq!(store.read(key).await.expect("read"), "1");
    store.delete(key).await.expect("delete");
}

/// In all the ways that OpenStack's own programs know, and as Lithops names them.
async fn let_in(server: &Server) {
    let said = |name: &str| server.said[name].as_str();
    let (url, region) = (("auth_url", said("AUTH_URL")), ("region", said("REGION")));
    let lithops = [
        url,
        region,
        ("user_id", said("USER_ID")),
        ("password", said("PASSWORD")),
        ("project_id", said("PROJECT_ID")),
        ("user_domain_name", said("DOMAIN")),
        ("project_domain_name", said("DOMAIN")),
    ];
    works(&store(server, &lithops, &[]), "by-lithops").await;
    let credential = [
        url,
        region,
        ("application_credential_id", said("CREDENTIAL_ID")),
        ("application_credential_secret", said("CREDENTIAL_SECRET")),
    ];
    works(&store(server, &credential, &[]), "by-credential").await;
    let variables = [
        // As it stands in files of variables that OpenStack's dashboard hands out.
        ("OS_AUTH_URL", said("AUTH_URL").trim_end_matches("/v3")),
        ("OS_USERNAME", said("USER")),
        ("OS_PASSWORD", said("PASSWORD")),
        ("OS_USER_DOMAIN_NAME", said("DOMAIN")),
        ("OS_PROJECT_NAME", said("PROJECT")),
        ("OS_PROJECT_DOMAIN_ID", "default"),
        ("OS_REGION_NAME", said("REGION")),
        ("OS_INTERFACE", "public"),
    ];
    works(&store(server, &[], &variables), "by-variables").await;
    let internal = [&variables[..6], &[("OS_INTERFACE", "internal")]].concat();
    works(&store(server, &[], &internal), "in-one-region").await;
}

/// Many requests find out together that a token is of no use; one of them fetches another.
async fn keystone_renewed(server: &Server) {
    let said = |name: &str| server.said[name].as_str();
    let upstream = said("AUTH_URL").trim_start_matches("http://").trim_end_matches("/v3");
    let log_ins = Arc::new(AtomicU64::new(0));
    let counts = Arc::clone(&log_ins);
    let plan = move |_, _: &str| {
        counts.fetch_add(1, Ordering::Relaxed);
        Fault::None
    };
    let proxy = Proxy::start(upstream, plan).expect("proxy");
    let url = format!("{}/v3", proxy.endpoint());
    let endpoint = format!("{}/v1/AUTH_{}", server.endpoint(), said("PROJECT_ID"));
    let set = [
        ("auth_url", &*url),
        ("user", said("USER")),
        ("password", said("PASSWORD")),
        ("project_name", said("PROJECT")),
        ("region", said("REGION")),
        ("endpoint", &endpoint),
        ("token", "gAAAAABnone"),
    ];
    let store = store(server, &set, &[]);
    let keys: Vec<_> = (0..8).map(|n| format!("renewed/{n}")).collect();
    let puts = keys.iter().map(|key| store.put(key, "1".into(), PutOptions::default()));
    future::try_join_all(puts).await.expect("all are written");
    assert_eq!(log_ins.load(Ordering::Relaxed), 1, "one log-in for all");
    store.delete_many(&keys).await.expect("removed");
    assert_eq!(log_ins.load(Ordering::Relaxed), 1, "the token holds");
}

async fn keystone_refused(server: &Server) {
    let said = |name: &str| server.said[name].as_str();
    let secret = "hush-hush-hush-hush";
    secrets::keep(secret);
    let right = [
        ("auth_url", said("AUTH_URL")),
        ("user_id", said("USER_ID")),
        ("password", said("PASSWORD")),
        ("project_id", said("PROJECT_ID")),
        ("region", said("REGION")),
    ];
    let error = async |name: &str, value: &str| {
        let mut set: Vec<_> = right.into_iter().filter(|(set, _)| *set != name).collect();
        set.extend((!value.is_empty()).then_some((name, value)));
        let store = store(server, &set, &[]);
        let error = store.head("a").await.expect_err("refused");
        let said = format!("{} {error:?} {store:?}", error.in_full());
        assert!(!said.contains(secret) && !said.contains(right[2].1), "{said}");
        (error, said)
    };
    for (name, value) in [("password", secret), ("user_id", "none"), ("project_id", "none")] {
        let (refused, said) = error(name, value).await;
        assert!(matches!(refused, Error::PermissionDenied { .. }), "{name}: {refused:?}");
        assert!(said.contains("swift://samara/a") && said.contains("log-in was refused"), "{said}");
    }
    for (name, value, wanted) in [
        ("project_id", "", "set `project_id` or `project_name`"),
        ("region", "nowhere", "in: elsewhere, here"),
        ("region", "", "several regions: elsewhere, here; set `region`"),
        ("interface", "admin", "the interface `admin`"),
    ] {
        let (_, said) = error(name, value).await;
        assert!(said.contains(wanted), "{name}: {said}");
    }
    let nowhere = said("AUTH_URL").replace("/v3", "/none/v3");
    let (_, said) = error("auth_url", &nowhere).await;
    assert!(said.contains("is `auth_url` right?"), "{said}");
}
