//! What a path means.

use super::resources::{Kind, find, group_versions};

/// What a path asks for.
#[derive(Debug)]
pub(super) enum Route {
    /// Objects, or one object.
    Objects(Objects),
    /// A review of the requesting user: group and plural.
    Review(String),
    /// Discovery, version, health and the like.
    Other,
}

/// A path to objects.
#[derive(Debug, Clone)]
pub(super) struct Objects {
    pub kind: &'static Kind,
    /// Empty for all namespaces and for objects of the cluster.
    pub namespace: String,
    /// Empty for all objects.
    pub name: String,
    /// Empty for the object itself.
    pub subresource: String,
}

/// Reads a path; none for a resource the server does not have.
pub(super) fn of(path: &str) -> Option<Route> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Some(Route::Other),
    };
    if let (true, [plural]) = (super::reviews::is_review(group, version, rest), rest) {
        return Some(Route::Review((*plural).to_owned()));
    }
    let (namespace, rest) = match rest {
        ["namespaces", namespace, plural, more @ ..] if find(group, version, plural).is_some() => {
            (*namespace, [&[*plural], more].concat())
        }
        other => ("", other.to_vec()),
    };
    let kind = find(group, version, rest.first()?)?;
    if !namespace.is_empty() && !kind.namespaced {
        return None;
    }
    let (name, subresource) = match rest.as_slice() {
        [_] => ("", String::new()),
        [_, name] => (*name, String::new()),
        [_, name, sub @ ..] => (*name, sub.join("/")),
        [] => return None,
    };
    let named_without_namespace = kind.namespaced && namespace.is_empty() && !name.is_empty();
    if named_without_namespace || !has_subresource(kind, &subresource) {
        return None;
    }
    Some(Route::Objects(Objects { kind, namespace: namespace.into(), name: name.into(), subresource }))
}

/// Whether a path is below a group that is served: what is not found there is refused with a `Status`.
pub(super) fn is_of_a_group(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        ["api", "v1", ..] => true,
        ["apis", group, _, _, ..] => group_versions().iter().any(|(served, _)| served == group),
        _ => false,
    }
}

fn has_subresource(kind: &Kind, name: &str) -> bool {
    match name {
        "" => true,
        "status" => kind.status,
        "scale" => kind.scale,
        "log" | "portforward" => kind.kind == "Pod",
        _ => false,
    }
}
