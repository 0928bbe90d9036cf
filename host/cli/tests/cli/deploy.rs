//! Deployments that need no platform to be there: manifests, the image's directory, and refusals.
//! Those in AWS Lambda are in `tests/deploy`.

use expect_test::{Expect, expect};

use crate::Place;

/// What a command that is refused says, all of it.
fn refused(arguments: &[&str], expected: &Expect) {
    let place = Place::new();
    let ended = place.samara(arguments);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
    expected.assert_eq(&place.steady(&ended.stderr));
}

#[test]
fn a_manifest_is_printed_and_the_command_that_applies_it_is_named() {
    let place = Place::new();
    let deploy = ["deploy", "knative://words", "--image", "samara-host:1", "--host", "/bin/true"];
    let ended = place.samara(&deploy);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.starts_with("apiVersion: serving.knative.dev/v1\n"), "{ended:?}");
    expect![[r#"
        this is not applied yet; that does: kubectl apply --namespace default -f FILE
        the runtime is then http://words.default.DOMAIN
    "#]]
    .assert_eq(&ended.stderr);
    let written = place.samara(&[&deploy[..], &["--output", "words.yaml"]].concat());
    assert!(written.stderr.contains("-f words.yaml"), "{written:?}");
    assert_eq!(written.stdout, "");
    assert_eq!(std::fs::read_to_string(place.path("words.yaml")).unwrap(), ended.stdout);
    let dry = place.samara(&[&deploy[..], &["--output", "dry.yaml", "--dry-run"]].concat());
    assert_eq!(dry.stdout, ended.stdout);
    assert!(!place.path("dry.yaml").exists());
}

#[test]
fn an_image_is_built_of_a_directory() {
    let place = Place::new();
    let image = ["deploy", "compose://words", "--image-context", "image", "--host", "/bin/true"];
    let ended = place.samara(&image);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stderr, "wrote image; next: buildah bud --tag IMAGE image\n");
    assert!(place.path("image/Containerfile").is_file());
    refused(
        &["deploy", "compose://words", "--image-context", ".", "--host", "/no/host"],
        &expect![[r#"
            error: cannot read /no/host: No such file or directory (os error 2)
        "#]],
    );
}

#[test]
fn what_cannot_be_deployed_is_refused_with_the_way_out() {
    refused(
        &["deploy", "knative://words"],
        &expect![[r#"
        error: no image is said: say --image IMAGE; `samara deploy --image-context DIR` writes what one is built of
    "#]],
    );
    refused(
        &["deploy", "knative://Words", "--image", "i"],
        &expect![[r#"
        error: `knative://Words`: a name has lowercase letters, digits and `-`, begins with a letter, and is at most 63 long (knative://NAME[?namespace=…])
    "#]],
    );
    refused(
        &["deploy", "knative://words", "--image", "i", "--grant-read", "s3://b"],
        &expect![[r#"
            error: knative: has no policies to write; give the rights to whom the hosts run as (--role), or to the stores' credentials in a secret
        "#]],
    );
    refused(
        &["undeploy", "cloud-run://words?region=r"],
        &expect![[r#"
        error: Samara does not remove what another command applied; try: gcloud run services delete words --region r
    "#]],
    );
    refused(
        &["status", "openfaas://words"],
        &expect![[r#"
        error: Samara does not look at what another command applied; try: faas-cli describe words --gateway http://127.0.0.1:8080
    "#]],
    );
    refused(
        &["logs", "01M7", "--since", "1m"],
        &expect![[r#"
        error: --since is for deployments; a job's lines are few
    "#]],
    );
    let ended = Place::new().samara(&["deploy", "local://words"]);
    assert!(ended.stderr.contains("names no platform that hosts are deployed to"), "{ended:?}");
}
