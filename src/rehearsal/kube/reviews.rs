//! Reviews of the requesting user: who am I, may I, what may I.

use serde_json::{Value, json};

use super::authz::{Ask, Rule, User};
use super::clock_text;
use super::objects::text;
use super::status::{Cause, Status};

/// The reviews there are: group, plural, kind.
pub(super) const REVIEWS: &[(&str, &str, &str)] = &[
    ("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
    ("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    ("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
];

/// Whether the rest of a path is one of the reviews.
pub(super) fn is_review(group: &str, version: &str, rest: &[&str]) -> bool {
    version == "v1" && REVIEWS.iter().any(|(g, plural, _)| *g == group && rest == [*plural])
}

/// Fills in a review's status.
///
/// # Errors
/// 400 for a review the server does not have, 403 for those who have not said who they are.
pub(super) fn answer(plural: &str, body: &Value, user: &User) -> Result<Value, Status> {
    let mut review = body.clone();
    if !review.is_object() {
        return Err(Status::bad_request("the body of a review must be an object"));
    }
    if !user.is_known() {
        let group = REVIEWS.iter().find(|(_, known, _)| *known == plural).map_or("", |(group, ..)| group);
        user.require(&Ask { verb: "create", group, resource: plural, ..Ask::default() })?;
    }
    super::objects::map_at(&mut review, &["metadata"]);
    review["status"] = match plural {
        "selfsubjectreviews" => {
            super::objects::set_meta(&mut review, "creationTimestamp", Some(json!(clock_text::now())));
            json!({"userInfo": {"username": user.name, "groups": user.groups}})
        }
        "selfsubjectaccessreviews" => access(body, user)?,
        "selfsubjectrulesreviews" => rules(body, user),
        _ => return Err(Status::bad_request("no such review")),
    };
    Ok(review)
}

fn access(body: &Value, user: &User) -> Result<Value, Status> {
    let asked = |key: &str| body["spec"].get(key).is_some_and(Value::is_object);
    if asked("resourceAttributes") == asked("nonResourceAttributes") {
        let message = "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified";
        let field = "spec.resourceAttributes".into();
        let cause = Cause { reason: "FieldValueInvalid", field, message: message.into() };
        return Err(Status::invalid_review(&[cause]));
    }
    let ask = |key: &str| text(body, &["spec", "resourceAttributes", key]);
    let allowed = if body["spec"].get("nonResourceAttributes").is_some() {
        user.require_path(text(body, &["spec", "nonResourceAttributes", "path"])).is_ok()
    } else {
        user.may(&Ask {
            verb: ask("verb"),
            group: ask("group"),
            resource: ask("resource"),
            subresource: ask("subresource"),
            namespace: ask("namespace"),
            name: ask("name"),
        })
    };
    Ok(json!({"allowed": allowed}))
}

fn rules(body: &Value, user: &User) -> Value {
    let namespace = text(body, &["spec", "namespace"]);
    let everything = Rule::new("*", &["*"], &["*"]);
    let rules = user.rules().map_or(vec![&everything], |rules| rules.iter().collect());
    let rules: Vec<Value> = rules
        .into_iter()
        .filter(|rule| rule.namespace.as_deref().is_none_or(|ns| ns == namespace))
        .map(|rule| {
            let mut shown =
                json!({"verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources});
            if !rule.names.is_empty() {
                shown["resourceNames"] = json!(rule.names);
            }
            shown
        })
        .collect();
    json!({"resourceRules": rules, "nonResourceRules": [], "incomplete": false})
}
