//! A pod as far as it is looked at: who it is and how it is. Its spec is most of it, and is never read.
//!
//! One rule: what is not needed is not even parsed, so that a list of thousands costs little memory for a moment.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Pod as Whole, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use serde::{Deserialize, Deserializer};

/// Metadata and status of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Pod {
    /// Name, namespace, version, labels and owners; nothing else is kept of it.
    #[serde(deserialize_with = "few")]
    pub metadata: ObjectMeta,
    /// How it is.
    pub status: Option<PodStatus>,
}

/// What is read of the metadata: annotations and managed fields are long and say nothing here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Few {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    labels: Option<std::collections::BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

fn few<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let Few { name, namespace, uid, resource_version, labels, owner_references } =
        Few::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name,
        namespace,
        uid,
        resource_version,
        labels,
        owner_references,
        ..ObjectMeta::default()
    })
}

impl Resource for Pod {
    type DynamicType = ();
    type Scope = <Whole as Resource>::Scope;

    fn kind(of: &()) -> Cow<'_, str> {
        Whole::kind(of)
    }

    fn group(of: &()) -> Cow<'_, str> {
        Whole::group(of)
    }

    fn version(of: &()) -> Cow<'_, str> {
        Whole::version(of)
    }

    fn plural(of: &()) -> Cow<'_, str> {
        Whole::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
