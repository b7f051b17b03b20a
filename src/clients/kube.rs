//! The API server, found as kubectl finds it.
//!
//! One rule: no retry inside the client and no prompt on our terminal; every call has our own deadline.

use std::time::Duration;

use kube::Client;
use kube::config::ExecInteractiveMode;

use super::failure::{chain, transport, within};
use super::target::KubeTarget;
use crate::domain::{Kind, Trouble};

/// Deadline of one read.
pub const READ: Duration = Duration::from_secs(5);

/// A client, and what it was pointed at.
#[derive(Clone)]
pub struct Kube {
    /// The client; it never retries by itself.
    pub client: Client,
    /// Namespace of the migration.
    pub namespace: String,
    /// `Kubernetes https://10.0.0.1:6443`.
    pub object: String,
}

impl std::fmt::Debug for Kube {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kube")
            .field("object", &self.object)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// Builds the client. Runs the kubeconfig's exec plugin, if there is one, with no terminal to ask on.
pub async fn connect(target: &KubeTarget) -> Result<Kube, Trouble> {
    super::tls::install_provider();
    let mut config = super::kubeconfig::config(target).await?;
    config.default_retry = false;
    config.connect_timeout = Some(READ);
    if let Some(exec) = &mut config.auth_info.exec {
        exec.interactive_mode = Some(ExecInteractiveMode::Never);
    }
    if let Some(namespace) = &target.namespace {
        config.default_namespace.clone_from(namespace);
    }
    let object = format!("Kubernetes {}", config.cluster_url.to_string().trim_end_matches('/'));
    let namespace = config.default_namespace.clone();
    let name = object.clone();
    // Plugins are child processes that are waited for: not on a thread that serves other sources.
    let build = async move {
        match tokio::task::spawn_blocking(move || Client::try_from(config)).await {
            Ok(built) => built.map_err(|e| trouble(&name, "building a client", &e)),
            Err(e) => Err(Trouble::new(Kind::Unexpected, &name, e.to_string())),
        }
    };
    let client = within(READ * 2, &object, "asking the kubeconfig's credential plugin", build).await?;
    Ok(Kube { client, namespace, object })
}

/// The [`Trouble`] of a failed request about `object`. `tried` is the verb and what it went to, for the
/// message of a refusal: "list pods in langfuse".
pub fn trouble(object: &str, tried: &str, error: &kube::Error) -> Trouble {
    match error {
        kube::Error::Api(status) => {
            from_status(object, tried, status.code, &status.reason, &status.message, retry_after(status))
        }
        kube::Error::Auth(e) => Trouble::new(Kind::Unauthorized, object, chain(e)).remedy(
            "the credentials of the kubeconfig could not be had: log in again and try `kubectl get ns`",
        ),
        kube::Error::SerdeError(e) => Trouble::new(
            Kind::Unexpected,
            object,
            format!("{tried}: the answer is not a Kubernetes object: {e}"),
        )
        .remedy("check that the address is an API server and no proxy answers in its place"),
        other => {
            let mut trouble = transport(object, other);
            trouble.detail = format!("{tried}: {}", trouble.detail);
            trouble
        }
    }
}

fn retry_after(status: &kube::core::Status) -> Option<Duration> {
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
}

/// The [`Trouble`] of an API server's `Status` answer.
pub fn from_status(
    object: &str,
    tried: &str,
    code: u16,
    reason: &str,
    message: &str,
    retry_after: Option<Duration>,
) -> Trouble {
    let kind = match code {
        401 => Kind::Unauthorized,
        403 => Kind::Forbidden,
        404 => Kind::Missing,
        409 => Kind::Conflict,
        408 | 504 => Kind::Timeout,
        429 => Kind::Throttled(retry_after),
        400..=499 => Kind::Refused,
        _ => Kind::Unexpected,
    };
    let said = if message.is_empty() { reason } else { message };
    let trouble = Trouble::new(kind, object, format!("{tried}: {code} {said}"));
    match kind {
        Kind::Unauthorized => trouble.remedy("the token or certificate is wrong or expired: log in again"),
        Kind::Forbidden => {
            trouble.remedy(format!("grant this account permission to {tried} (RBAC Role and RoleBinding)"))
        }
        Kind::Missing => trouble.remedy("check the namespace and the name"),
        Kind::Throttled(_) => trouble.remedy("the API server asks to slow down; wait"),
        _ => trouble,
    }
}

/// One request with our deadline.
pub async fn call<T>(
    object: &str,
    tried: &str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Trouble> {
    within(READ, object, tried, async { request.await.map_err(|e| trouble(object, tried, &e)) }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_says_which_permission_is_missing() {
        let t = from_status(
            "Ingress a/b",
            "patch ingresses in a",
            403,
            "Forbidden",
            "ingresses is forbidden",
            None,
        );
        assert_eq!(t.kind, Kind::Forbidden);
        assert!(t.remedy.contains("patch ingresses in a"), "{}", t.remedy);
    }

    #[tokio::test]
    async fn a_missing_kubeconfig_is_named() {
        let target = KubeTarget { kubeconfig: Some("/nowhere/kubeconfig".into()), ..KubeTarget::default() };
        let trouble = connect(&target).await.unwrap_err();
        assert_eq!(
            (trouble.kind, trouble.object.as_str()),
            (Kind::NotConfigured, "kubeconfig /nowhere/kubeconfig")
        );
    }
}
