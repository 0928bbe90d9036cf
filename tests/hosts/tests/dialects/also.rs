//! What platforms document that they set, beside what a host reads: none of it may lead it astray.

/// Names of variables, and what they say.
type Said = &'static [(&'static str, &'static str)];

/// <https://learn.microsoft.com/azure/azure-functions/functions-app-settings>, and those of App
/// Service, which it runs on.
pub(crate) const AZURE: Said = &[
    ("AZURE_FUNCTIONS_ENVIRONMENT", "Production"),
    ("AzureWebJobsScriptRoot", "/home/site/wwwroot"),
    ("AzureWebJobsStorage", "UseDevelopmentStorage=true"),
    ("FUNCTIONS_EXTENSION_VERSION", "~4"),
    ("FUNCTIONS_WORKER_RUNTIME", "custom"),
    ("HOME", "/home"),
    ("REGION_NAME", "westeurope"),
    ("WEBSITE_HOSTNAME", "samara.azurewebsites.net"),
    ("WEBSITE_INSTANCE_ID", "0123456789abcdef"),
    ("WEBSITE_OWNER_NAME", "subscription+group-westeuropewebspace-Linux"),
    ("WEBSITE_RESOURCE_GROUP", "group"),
    ("WEBSITE_SITE_NAME", "samara"),
    ("WEBSITE_SKU", "Dynamic"),
];

/// <https://docs.openfaas.com/architecture/watchdog/>, and what Kubernetes sets in every pod.
pub(crate) const OPENFAAS: Said = &[
    ("OPENFAAS_NAMESPACE", "openfaas-fn"),
    ("fprocess", "samara-host"),
    ("KUBERNETES_PORT", "tcp://10.96.0.1:443"),
    ("KUBERNETES_PORT_443_TCP", "tcp://10.96.0.1:443"),
    ("KUBERNETES_PORT_443_TCP_ADDR", "10.96.0.1"),
    ("KUBERNETES_PORT_443_TCP_PORT", "443"),
    ("KUBERNETES_PORT_443_TCP_PROTO", "tcp"),
    ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
    ("KUBERNETES_SERVICE_PORT", "443"),
    ("KUBERNETES_SERVICE_PORT_HTTPS", "443"),
];

/// As its invoker starts containers; the rest comes with each activation.
pub(crate) const OPENWHISK: Said = &[("__OW_ALLOW_CONCURRENT", "false")];

/// <https://docs.oracle.com/iaas/Content/Functions/Tasks/functionsenvironmentvariables.htm>
pub(crate) const FN: Said = &[
    ("FN_APP_ID", "ocid1.fnapp.oc1.phx.a"),
    ("FN_APP_NAME", "app"),
    ("FN_CPUS", "100m"),
    ("FN_FN_ID", "ocid1.fnfunc.oc1.phx.a"),
    ("FN_FN_NAME", "samara"),
    ("FN_MEMORY", "1024"),
    ("FN_TMPSIZE", "0"),
    ("FN_TYPE", "sync"),
    ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", "/.oci-credentials/private.pem"),
    ("OCI_RESOURCE_PRINCIPAL_REGION", "us-phoenix-1"),
    ("OCI_RESOURCE_PRINCIPAL_RPST", "/.oci-credentials/rpst"),
    ("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2"),
];

/// <https://www.alibabacloud.com/help/functioncompute/fc-3-0/user-guide/environment-variables>
pub(crate) const FUNCTION_COMPUTE: Said = &[
    ("ALIBABA_CLOUD_ACCESS_KEY_ID", "STS.id"),
    ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "secret"),
    ("ALIBABA_CLOUD_SECURITY_TOKEN", "token"),
    ("FC_ACCOUNT_ID", "1234567890"),
    ("FC_FUNC_CODE_PATH", "/code/"),
    ("FC_FUNCTION_HANDLER", "index.handler"),
    ("FC_FUNCTION_MEMORY_SIZE", "1024"),
    ("FC_INSTANCE_ID", "c-0123456789abcdef"),
    ("FC_QUALIFIER", "LATEST"),
    ("FC_REGION", "eu-central-1"),
];

/// <https://learn.microsoft.com/azure/container-apps/environment-variables>
pub(crate) const CONTAINER_APPS: Said = &[
    ("CONTAINER_APP_ENV_DNS_SUFFIX", "wave.westeurope.azurecontainerapps.io"),
    ("CONTAINER_APP_HOSTNAME", "samara--20mh1s9.wave.westeurope.azurecontainerapps.io"),
    ("CONTAINER_APP_REPLICA_NAME", "samara--20mh1s9-86c8c4b497-zx9bq"),
    ("CONTAINER_APP_REVISION", "samara--20mh1s9"),
];

/// <https://cloud.ibm.com/docs/codeengine?topic=codeengine-inside-env-vars>
pub(crate) const CODE_ENGINE: Said = &[
    ("CE_API_BASE_URL", "https://api.us-south.codeengine.cloud.ibm.com"),
    ("CE_DOMAIN", "us-south.codeengine.appdomain.cloud"),
    ("CE_PROJECT_ID", "abcdefgh-abcd-abcd-abcd-1a2b3c4d5e6f"),
    ("CE_REGION", "us-south"),
    ("CE_SUBDOMAIN", "01234567-abcd"),
    ("HOME", "/root"),
    ("HOSTNAME", "samara-00001-deployment-65684cffd-xng7z"),
    ("K_CONFIGURATION", "samara"),
    ("K_REVISION", "samara-00001"),
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
];

/// <https://cloud.google.com/run/docs/container-contract#env-vars>
pub(crate) const KNATIVE: Said =
    &[("K_CONFIGURATION", "samara"), ("K_REVISION", "samara-00001-abc")];

/// It runs on Fargate, and says where credentials are as that does.
pub(crate) const APP_RUNNER: Said = &[
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/0"),
    ("AWS_DEFAULT_REGION", "eu-central-1"),
    ("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE"),
    ("AWS_REGION", "eu-central-1"),
    ("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4/0"),
];

/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-fargate.html>
pub(crate) const FARGATE: Said = &[
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/0"),
    ("AWS_DEFAULT_REGION", "eu-central-1"),
    ("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE"),
    ("AWS_REGION", "eu-central-1"),
    ("ECS_AGENT_URI", "http://169.254.170.2/api/0"),
    ("ECS_CONTAINER_METADATA_URI", "http://169.254.170.2/v3/0"),
];
