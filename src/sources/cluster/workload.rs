//! From a Deployment or `StatefulSet` to the few facts kept of it.

use k8s_openapi::api::core::v1::{Container, PodTemplateSpec};

use crate::domain::cluster::{Role, Workload};
use crate::domain::text::clean;

/// The worker's switch for background migrations (Langfuse v3, worker environment; default true).
const MIGRATIONS: &str = "LANGFUSE_ENABLE_BACKGROUND_MIGRATIONS";

/// What the numbers of a workload's status are.
pub(super) struct Counts {
    pub(super) ready: Option<i32>,
    pub(super) desired: Option<i32>,
    pub(super) updated: Option<i32>,
}

/// A workload without its pods' part.
pub(super) fn workload(
    kind: &str,
    name: &str,
    template: Option<&PodTemplateSpec>,
    counts: &Counts,
) -> Workload {
    let container = template.and_then(|t| t.spec.as_ref()).and_then(|s| s.containers.first());
    let image = container.and_then(|c| c.image.as_deref()).unwrap_or_default();
    let tag = tag(image);
    let number = |n: Option<i32>| n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    Workload {
        kind: kind.to_owned(),
        name: clean(name),
        role: role(name, image, tag),
        ready: number(counts.ready),
        desired: counts.desired.map_or(1, |n| number(Some(n))),
        updated: number(counts.updated),
        restarts: 0,
        last_restart: None,
        image: clean(image),
        tag: clean(tag),
        trouble: None,
        migrations_enabled: container.and_then(migrations_enabled),
    }
}

/// The tag of an image reference: after the last `:` behind the last `/`, without a digest.
fn tag(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or(image);
    let last = name.rsplit('/').next().unwrap_or(name);
    last.split_once(':').map_or("", |(_, tag)| tag)
}

/// Words in an image or a name that tell what a workload is, the most telling first (helm chart 1.5.41 and
/// the compose file's image names).
const ROLES: [(&str, Role); 15] = [
    ("langfuse-worker", Role::Worker),
    ("ingress-nginx", Role::Controller),
    ("ingress-controller", Role::Controller),
    ("traefik", Role::Controller),
    ("clickhouse", Role::Store),
    ("postgres", Role::Store),
    ("pgbouncer", Role::Store),
    ("redis", Role::Store),
    ("valkey", Role::Store),
    ("minio", Role::Store),
    ("zookeeper", Role::Store),
    ("seaweedfs", Role::Store),
    ("-s3", Role::Store),
    ("worker", Role::Worker),
    ("langfuse", Role::Web),
];

fn role(name: &str, image: &str, tag: &str) -> Role {
    let repository = image.split('@').next().unwrap_or(image);
    let repository = repository.strip_suffix(tag).unwrap_or(repository);
    let find = |text: &str| ROLES.iter().find(|(word, _)| text.contains(word)).map(|(_, role)| *role);
    let role = find(repository).or_else(|| find(name)).unwrap_or(Role::Other);
    // v2 and v3 web are the same image; only the tag tells, or the name where the tag does not.
    let is_v2 = tag == "2"
        || tag.starts_with("2.")
        || tag.starts_with("v2")
        || (!tag.starts_with('3') && name.contains("v2"));
    match role {
        Role::Web if is_v2 => Role::V2,
        Role::Web if name.contains("worker") => Role::Worker,
        role => role,
    }
}

fn migrations_enabled(container: &Container) -> Option<bool> {
    let variable = container.env.iter().flatten().find(|e| e.name == MIGRATIONS)?;
    variable.value.as_deref().map(|value| value == "true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_references() {
        assert_eq!(tag("docker.io/langfuse/langfuse:3.29.0"), "3.29.0");
        assert_eq!(tag("registry:5000/langfuse/langfuse"), "");
        assert_eq!(tag("langfuse/langfuse:2@sha256:abc"), "2");
    }

    #[test]
    fn roles_by_image_then_name() {
        assert_eq!(role("langfuse-web", "langfuse/langfuse:3.29.0", "3.29.0"), Role::Web);
        assert_eq!(role("langfuse-v2", "langfuse/langfuse:2.95.12", "2.95.12"), Role::V2);
        assert_eq!(role("langfuse-worker", "langfuse/langfuse-worker:3.29.0", "3.29.0"), Role::Worker);
        assert_eq!(role("langfuse-clickhouse", "bitnami/clickhouse:25", "25"), Role::Store);
        assert_eq!(role("langfuse-s3", "quay/minio:x", "x"), Role::Store);
        assert_eq!(
            role("nginx", "registry.k8s.io/ingress-nginx/controller:v1.15", "v1.15"),
            Role::Controller
        );
        assert_eq!(role("shop", "shop:1", "1"), Role::Other);
    }
}
