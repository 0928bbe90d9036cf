//! Batches over HTTP/2, with TLS and without: drivers speak HTTP/1.1, and what stands before hosts may
//! not.

use rustls::version::TLS13;
use samara_core::wire::BATCH_TYPE;

use crate::authority::{Authority, For, client};
use crate::batch::{Done, Place};
use crate::host::{Host, TOKEN};

/// By name.
pub(crate) const CHECKS: &[(&str, fn())] =
    &[("batches_travel_in_the_clear", clear), ("batches_travel_over_tls", tls)];

/// Batches at the same moment, on one connection.
const TOGETHER: usize = 4;

const HERE: [(&str, &str); 3] = [
    ("SAMARA_HOST_AS", "http"),
    ("SAMARA_HOST_LISTEN", "127.0.0.1:0"),
    ("SAMARA_HOST_TOKENS", TOKEN),
];

/// Sends batches side by side, each of which must come back whole.
fn runs(client: &reqwest::Client, url: &str) {
    let place = Place::new();
    let numbers: Vec<u64> = (0..50).collect();
    let batch = place.batch("adds_one", &numbers);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sent = (0..TOGETHER).map(|_| {
            let request = client.post(format!("{url}/v1/batches")).header("samara-token", TOKEN);
            let request = request.header("content-type", BATCH_TYPE).body(batch.clone());
            tokio::spawn(async move {
                let response = request.send().await.expect("an answer");
                let (status, version) = (response.status(), response.version());
                (status, version, response.bytes().await.expect("all of it"))
            })
        });
        for answer in sent.collect::<Vec<_>>() {
            let (status, version, body) = answer.await.expect("no panic");
            assert_eq!((status.as_u16(), version), (200, reqwest::Version::HTTP_2));
            let done = Done::read(&body);
            assert!(done.is_done);
            assert!(done.numbers().into_iter().eq((0..50).map(|n| (n, n + 1))), "{done:?}");
        }
    });
}

fn clear() {
    let host = Host::start(&HERE);
    let directory = tempfile::tempdir().unwrap();
    // No TLS is spoken, and so nobody's is trusted.
    let nobody = client(&Authority::new(directory.path(), "nobody"), &TLS13, &[]);
    let client = reqwest::Client::builder().tls_backend_preconfigured(nobody);
    let client = client.http2_prior_knowledge().build().unwrap();
    runs(&client, &format!("http://{}", host.address));
    assert_eq!(host.stop().code, Some(0));
}

fn tls() {
    let directory = tempfile::tempdir().unwrap();
    let hosts = Authority::new(directory.path(), "authority");
    let pair = hosts.sign("host", For::Host);
    let (certificate, key) = (pair.certificate.to_str(), pair.key.to_str());
    let tls = [
        ("SAMARA_HOST_TLS_CERT", certificate.expect("UTF-8")),
        ("SAMARA_HOST_TLS_KEY", key.expect("UTF-8")),
    ];
    let host = Host::start(&[&HERE[..], &tls].concat());
    let speaks = client(&hosts, &TLS13, &["h2"]);
    let client = reqwest::Client::builder().tls_backend_preconfigured(speaks).build().unwrap();
    runs(&client, &format!("https://{}", host.address.replace("127.0.0.1", "localhost")));
    assert_eq!(host.stop().code, Some(0));
}
