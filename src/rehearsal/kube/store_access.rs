//! The same writes as over HTTP, for those who live in the same process: controllers and tests of the rehearsal.

use std::sync::Arc;

use serde_json::{Value, json};

use super::delete;
use super::objects::meta;
use super::resources::{KINDS, Kind, of_object};
use super::status::Status;
use super::store::Store;
use super::typed::Unknown;
use super::write::{Change, Target, Terms, write};

fn kind_named(plural: &str) -> Result<&'static Kind, Status> {
    let found = KINDS.iter().find(|kind| kind.plural == plural);
    found.ok_or_else(|| Status::bad_request(format!("the rehearsal's API server has no resource {plural:?}")))
}

fn terms(manager: &str) -> Terms {
    Terms { manager: manager.into(), unknown: Unknown::Refuse, ..Terms::default() }
}

fn target(kind: &'static Kind, namespace: &str, name: &str, subresource: &str) -> Target {
    Target { kind, namespace: namespace.into(), name: name.into(), subresource: subresource.into() }
}

impl Store {
    /// One object by plural resource (`pods`), namespace (empty for objects of the cluster) and name.
    pub fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.stored(kind_named(plural).ok()?, &(namespace.into(), name.into()))
    }

    /// All objects of a plural resource, in one namespace or in all.
    pub fn list(&self, plural: &str, namespace: Option<&str>) -> Vec<Arc<Value>> {
        let Ok(kind) = kind_named(plural) else {
            return Vec::new();
        };
        self.snapshot(kind, namespace).0.into_iter().map(|(_, object)| object).collect()
    }

    /// Creates an object that names its own `apiVersion`, `kind`, name and namespace.
    ///
    /// # Errors
    /// As the server would refuse it: 400 for a kind it does not know, 409 when it exists, 422.
    pub fn create(&self, manager: &str, object: Value) -> Result<Arc<Value>, Status> {
        let unknown =
            || Status::bad_request("the rehearsal's API server does not know the kind of this object");
        let kind = of_object(&object).ok_or_else(unknown)?;
        let target = target(kind, meta(&object, "namespace"), "", "");
        Ok(write(self, &target, &terms(manager), &Change::Create(object))?.object)
    }

    /// Merge-patches an object or one of its subresources (`status`, `scale`; empty for the object).
    ///
    /// # Errors
    /// As the server would refuse it: 404, 409 on a `metadata.resourceVersion` that is stale, 422.
    pub fn merge(
        &self,
        manager: &str,
        plural: &str,
        namespace: &str,
        name: &str,
        subresource: &str,
        patch: Value,
    ) -> Result<Arc<Value>, Status> {
        let target = target(kind_named(plural)?, namespace, name, subresource);
        Ok(write(self, &target, &terms(manager), &Change::Merge(patch))?.object)
    }

    /// Applies an object's fields for a manager, taking them from other managers.
    ///
    /// # Errors
    /// As the server would refuse it: 400, 422, 500 for what does not fit the schema.
    pub fn apply(&self, manager: &str, object: Value) -> Result<Arc<Value>, Status> {
        let unknown =
            || Status::bad_request("the rehearsal's API server does not know the kind of this object");
        let kind = of_object(&object).ok_or_else(unknown)?;
        let target = target(kind, meta(&object, "namespace"), meta(&object, "name"), "");
        let terms = Terms { force: true, ..terms(manager) };
        Ok(write(self, &target, &terms, &Change::Apply(object))?.object)
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// 404 when there is none.
    pub fn delete(&self, plural: &str, namespace: &str, name: &str) -> Result<(), Status> {
        let target = target(kind_named(plural)?, namespace, name, "");
        delete::delete(self, &target, &json!({}), false).map(|_| ())
    }
}
