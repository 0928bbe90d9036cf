//! The platforms: what each sets, and how its gateway passes a request on and its answer back. Written
//! by what they document, not by what the host does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::also;
use crate::host::{TOKEN, free_port};
use crate::http::{Answer, Request};

/// A platform.
#[derive(Clone, Copy)]
pub(crate) struct Platform {
    pub(crate) name: &'static str,
    /// What it documents beside that, of which the host reads nothing.
    also: &'static [(&'static str, &'static str)],
    variables: fn(&Ground) -> Vec<(&'static str, String)>,
    /// From who asks to the host.
    pub(crate) wrap: fn(&Request) -> Request,
    /// From the host to who asked.
    pub(crate) unwrap: fn(&Answer) -> Answer,
    /// A request of the platform's that makes no sense, and the host's answer.
    pub(crate) garbage: Option<(&'static str, u16)>,
    /// Whether it is as another one but for what it sets.
    pub(crate) is_alike: bool,
    /// Whether answers come piece by piece.
    pub(crate) streams: bool,
}

/// What a platform gives out once for each host.
pub(crate) struct Ground {
    port: u16,
    directory: tempfile::TempDir,
}

pub(crate) const PLATFORMS: &[Platform] = &[
    Platform {
        name: "azure-functions",
        also: also::AZURE,
        variables: |ground| vec![("FUNCTIONS_CUSTOMHANDLER_PORT", ground.port.to_string())],
        wrap: azure_in,
        unwrap: azure_out,
        garbage: Some(("/samara", 400)),
        is_alike: false,
        streams: false,
    },
    Platform {
        name: "azure-functions-forwarding",
        also: also::AZURE,
        variables: |ground| vec![("FUNCTIONS_CUSTOMHANDLER_PORT", ground.port.to_string())],
        streams: false,
        ..PLAIN
    },
    Platform {
        name: "openfaas",
        also: also::OPENFAAS,
        variables: |ground| {
            let name = ("OPENFAAS_NAME", "samara".to_owned());
            vec![name, ("SAMARA_HOST_LISTEN", format!("127.0.0.1:{}", ground.port))]
        },
        is_alike: false,
        streams: false,
        ..PLAIN
    },
    Platform {
        name: "openwhisk",
        also: also::OPENWHISK,
        variables: |ground| {
            let host = ("__OW_API_HOST", "https://whisk.example".to_owned());
            vec![host, ("SAMARA_HOST_LISTEN", format!("127.0.0.1:{}", ground.port))]
        },
        wrap: whisk_in,
        unwrap: whisk_out,
        garbage: Some(("/run", 400)),
        is_alike: false,
        streams: false,
    },
    Platform {
        name: "fn",
        also: also::FN,
        variables: |ground| {
            let listener = format!("unix:{}", ground.path("lsnr.sock"));
            vec![("FN_LISTENER", listener), ("FN_FORMAT", "http-stream".to_owned())]
        },
        wrap: fn_in,
        unwrap: fn_out,
        garbage: None,
        is_alike: false,
        streams: false,
    },
    Platform {
        name: "function-compute",
        also: also::FUNCTION_COMPUTE,
        variables: |ground| {
            let port = ground.port.to_string();
            vec![("FC_FUNCTION_NAME", "samara".to_owned()), ("FC_CUSTOM_LISTEN_PORT", port)]
        },
        wrap: |request| {
            request.clone().with("x-fc-request-id", "id").with("x-fc-control-path", "/http-invoke")
        },
        unwrap: |answer| {
            if answer.header("x-fc-status") != "200" {
                return Answer { status: 502, ..Answer::default() };
            }
            answer.clone()
        },
        garbage: None,
        is_alike: false,
        streams: false,
    },
    Platform {
        name: "container-apps",
        also: also::CONTAINER_APPS,
        variables: |ground| {
            let port = ground.port.to_string();
            vec![("CONTAINER_APP_NAME", "samara".to_owned()), ("CONTAINER_APP_PORT", port)]
        },
        ..PLAIN
    },
    Platform {
        name: "code-engine",
        also: also::CODE_ENGINE,
        variables: |ground| {
            let name = |variable| (variable, "samara".to_owned());
            vec![name("CE_APP"), name("K_SERVICE"), ("PORT", ground.port.to_string())]
        },
        ..PLAIN
    },
    Platform {
        name: "knative",
        also: also::KNATIVE,
        variables: |ground| {
            vec![("K_SERVICE", "samara".to_owned()), ("PORT", ground.port.to_string())]
        },
        ..PLAIN
    },
    Platform {
        name: "app-runner",
        also: also::APP_RUNNER,
        variables: |ground| {
            let port = ground.port.to_string();
            vec![("PORT", port), ("SAMARA_HOST_AS", "app-runner".to_owned())]
        },
        ..PLAIN
    },
    Platform {
        name: "fargate",
        also: also::FARGATE,
        variables: |ground| {
            let place = "http://169.254.170.2/v4/0".to_owned();
            vec![("ECS_CONTAINER_METADATA_URI_V4", place), ("PORT", ground.port.to_string())]
        },
        ..PLAIN
    },
    Platform { name: "http", is_alike: false, ..PLAIN },
];

const PLAIN: Platform = Platform {
    name: "",
    also: &[],
    variables: |ground| vec![("SAMARA_HOST_LISTEN", format!("127.0.0.1:{}", ground.port))],
    wrap: Request::clone,
    unwrap: Answer::clone,
    garbage: None,
    is_alike: true,
    streams: true,
};

// === impl Platform ===

impl Platform {
    pub(crate) fn of(name: &str) -> Self {
        *PLATFORMS.iter().find(|platform| platform.name == name).expect("a platform")
    }

    /// What it sets, and what its user says: a token.
    pub(crate) fn variables(&self, ground: &Ground) -> Vec<(&'static str, String)> {
        let also = self.also.iter().map(|(name, said)| (*name, (*said).to_owned()));
        let mut variables: Vec<_> = also.chain((self.variables)(ground)).collect();
        variables.push(("SAMARA_HOST_TOKENS", TOKEN.to_owned()));
        variables
    }

    /// Asks a host by way of the platform.
    pub(crate) fn ask(&self, address: &str, request: &Request) -> Answer {
        self.try_ask(address, request).expect("an answer")
    }

    pub(crate) fn try_ask(&self, address: &str, request: &Request) -> std::io::Result<Answer> {
        Ok((self.unwrap)(&(self.wrap)(request).send(address)?))
    }
}

// === impl Ground ===

impl Ground {
    pub(crate) fn new() -> Self {
        Self { port: free_port(), directory: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().expect("a path of UTF-8").to_owned()
    }
}

/// As `GetRequestAsJObject` of the Functions host.
fn azure_in(request: &Request) -> Request {
    let kind = request.header("content-type").to_ascii_lowercase();
    let body = match kind.starts_with("application/octet-stream") || kind.starts_with("multipart/")
    {
        true => STANDARD.encode(&request.body),
        false => String::from_utf8_lossy(&request.body).into_owned(),
    };
    let mut trigger = json!({
        "Url": format!("https://samara.example/api{}", request.path),
        "Method": request.method,
        "Query": {},
        "Headers": object(&request.headers, |value| json!([value])),
        "Params": {},
        "Identities": [],
    });
    if !request.body.is_empty() {
        trigger["Body"] = body.into();
    }
    let envelope = json!({
        "Data": { "req": trigger },
        "Metadata": { "sys": { "MethodName": "samara", "RandGuid": "0" } },
    });
    Request::new("POST", "/samara")
        .with("content-type", "application/json; charset=utf-8")
        .with("X-Azure-Functions-InvocationId", "0")
        .body(envelope.to_string())
}

/// As `ToScriptInvocationResult` and the output binding of the Functions host.
fn azure_out(answer: &Answer) -> Answer {
    if !(200..300).contains(&answer.status) {
        return Answer { status: 500, ..Answer::default() };
    }
    let said: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let response = &said["Outputs"]["res"];
    Answer {
        status: number(&response["statusCode"]),
        headers: pairs(&response["headers"]),
        body: response["body"].as_str().expect("text").into(),
    }
}

/// As the web actions of OpenWhisk's controller, with an activation's time limit of a minute.
fn whisk_in(request: &Request) -> Request {
    whisk_until(request, &unix_ms(60_000).to_string().into())
}

/// With a deadline as newer versions say it, or older ones.
pub(crate) fn whisk_until(request: &Request, deadline: &Value) -> Request {
    let kind = request.header("content-type").to_ascii_lowercase();
    let body = match kind.starts_with("text/") {
        true => String::from_utf8(request.body.clone()).expect("text"),
        false => STANDARD.encode(&request.body),
    };
    let activation = json!({
        "value": {
            "__ow_method": request.method.to_ascii_lowercase(),
            "__ow_path": request.path,
            "__ow_headers": object(&request.headers, |value| json!(value)),
            "__ow_query": "",
            "__ow_body": body,
        },
        "namespace": "guest",
        "action_name": "/guest/samara",
        "activation_id": "0",
        "api_key": "0",
        "deadline": deadline,
    });
    Request::new("POST", "/run")
        .with("content-type", "application/json")
        .body(activation.to_string())
}

/// As `resultAsHttp` of OpenWhisk's controller.
pub(crate) fn whisk_out(answer: &Answer) -> Answer {
    let said: Value = serde_json::from_slice(&answer.body).expect("JSON");
    if answer.status != 200 {
        assert!(said["error"].is_string() && said.as_object().unwrap().len() == 1, "{said}");
        return Answer { status: 502, ..Answer::default() };
    }
    let mut response = Answer {
        status: number(&said["statusCode"]),
        headers: pairs(&said["headers"]),
        body: said["body"].as_str().expect("text").into(),
    };
    if !response.header("content-type").starts_with("text/") {
        response.body = STANDARD.decode(&response.body).expect("base64");
    }
    response
}

/// As Fn's agent with an HTTP trigger.
fn fn_in(request: &Request) -> Request {
    let mut call = Request::new("POST", "/call")
        .with("Fn-Call-Id", "0")
        .with("Fn-Deadline", "2999-01-01T00:00:00.5Z")
        .with("Fn-Intent", "httprequest")
        .with("Fn-Http-Method", &request.method)
        .with("Fn-Http-Request-Url", &format!("/t/app{}", request.path))
        .body(request.body.clone());
    for (name, value) in &request.headers {
        let name = match name == "content-type" {
            true => name.clone(),
            false => format!("Fn-Http-H-{name}"),
        };
        call = call.with(&name, value);
    }
    call
}

fn fn_out(answer: &Answer) -> Answer {
    if answer.status != 200 {
        return Answer { status: 502, ..Answer::default() };
    }
    let header = |(name, value): &(String, String)| match name.strip_prefix("fn-http-h-") {
        Some(name) => Some((name.to_owned(), value.clone())),
        None => (name == "content-type").then(|| (name.clone(), value.clone())),
    };
    Answer {
        status: answer.header("fn-http-status").parse().expect("a status"),
        headers: answer.headers.iter().filter_map(header).collect(),
        body: answer.body.clone(),
    }
}

/// A moment so many milliseconds from now.
#[allow(clippy::disallowed_methods, reason = "a platform's clock")]
pub(crate) fn unix_ms(from_now: u64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(now.expect("after 1970").as_millis()).expect("before it is full") + from_now
}

fn number(value: &Value) -> u16 {
    value.as_u64().and_then(|number| number.try_into().ok()).expect("a status")
}

fn object(pairs: &[(String, String)], value: fn(&str) -> Value) -> Value {
    Value::Object(pairs.iter().map(|(name, said)| (name.clone(), value(said))).collect())
}

fn pairs(said: &Value) -> Vec<(String, String)> {
    let none = Map::new();
    let pairs = said.as_object().unwrap_or(&none).iter();
    pairs.map(|(name, said)| (name.clone(), said.as_str().expect("text").to_owned())).collect()
}
