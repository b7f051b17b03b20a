//! Who may do what: a list of rules for each token, in the shape of RBAC's rules.

use super::status::Status;

/// A bearer token, the user it stands for and what the user may do.
#[derive(Debug, Clone)]
pub struct Token {
    /// The secret itself.
    pub token: String,
    /// The user's name.
    pub user: String,
    /// The user's groups, besides `system:authenticated`.
    pub groups: Vec<String>,
    /// What is allowed; everything when none.
    pub rules: Option<Vec<Rule>>,
}

impl Token {
    /// A token that may do everything.
    pub fn admin(token: &str, user: &str) -> Self {
        let groups = vec!["system:masters".into()];
        Self { token: token.into(), user: user.into(), groups, rules: None }
    }

    /// A token that may do only what the rules say.
    pub fn limited(token: &str, user: &str, rules: Vec<Rule>) -> Self {
        Self { token: token.into(), user: user.into(), groups: Vec::new(), rules: Some(rules) }
    }
}

/// One rule, as in a Role: everything named is allowed, `*` allows all of its kind.
#[derive(Debug, Clone, Default)]
pub struct Rule {
    /// Namespace the rule holds in, `None` for the whole cluster.
    pub namespace: Option<String>,
    /// Verbs, for example `get`, `list`, `watch`, `patch`.
    pub verbs: Vec<String>,
    /// API groups, empty text for core.
    pub groups: Vec<String>,
    /// Plural resources, with the subresource after a slash.
    pub resources: Vec<String>,
    /// Names of objects; all when empty.
    pub names: Vec<String>,
}

impl Rule {
    /// A rule for all objects of resources of one group, in all namespaces.
    pub fn new(group: &str, resources: &[&str], verbs: &[&str]) -> Self {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Self {
            namespace: None,
            verbs: own(verbs),
            groups: vec![group.into()],
            resources: own(resources),
            names: vec![],
        }
    }

    /// The same rule for one namespace only.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// The same rule for some objects only.
    #[must_use]
    pub fn named(mut self, names: &[&str]) -> Self {
        self.names = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    fn allows(&self, ask: &Ask<'_>) -> bool {
        let any = |list: &[String], wanted: &str| list.iter().any(|have| have == "*" || have == wanted);
        self.namespace.as_deref().is_none_or(|ns| ns == ask.namespace)
            && any(&self.verbs, ask.verb)
            && any(&self.groups, ask.group)
            && any(&self.resources, &ask.full_resource())
            && (self.names.is_empty() || self.names.iter().any(|name| name == ask.name))
    }
}

/// One question: may the user do this.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ask<'a> {
    pub verb: &'a str,
    pub group: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
}

impl Ask<'_> {
    fn full_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.into()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// The user behind a request.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub name: String,
    pub groups: Vec<String>,
    rules: Option<Vec<Rule>>,
}

impl User {
    /// The user of an `Authorization` header; without one, `system:anonymous`, who may do nothing.
    ///
    /// # Errors
    /// 401 for a token nobody knows.
    pub(super) fn of(header: Option<&str>, tokens: &[Token]) -> Result<Self, Status> {
        let Some(header) = header else {
            let groups = vec!["system:unauthenticated".into()];
            return Ok(Self { name: "system:anonymous".into(), groups, rules: Some(Vec::new()) });
        };
        let secret = header.strip_prefix("Bearer ").unwrap_or_default();
        let token = tokens.iter().find(|token| token.token == secret).ok_or_else(Status::unauthorized)?;
        let mut groups = token.groups.clone();
        groups.push("system:authenticated".into());
        Ok(Self { name: token.user.clone(), groups, rules: token.rules.clone() })
    }

    /// Whether a token said who it is.
    pub(super) fn is_known(&self) -> bool {
        self.groups.iter().any(|group| group == "system:authenticated")
    }

    /// Whether the user may.
    pub(super) fn may(&self, ask: &Ask<'_>) -> bool {
        self.rules.as_ref().is_none_or(|rules| rules.iter().any(|rule| rule.allows(ask)))
    }

    /// The user's rules, none when everything is allowed.
    pub(super) fn rules(&self) -> Option<&[Rule]> {
        self.rules.as_deref()
    }

    /// Refuses what the user may not do.
    ///
    /// # Errors
    /// 403 that names user, verb, resource and namespace.
    pub(super) fn require(&self, ask: &Ask<'_>) -> Result<(), Status> {
        if self.may(ask) {
            return Ok(());
        }
        let place = if ask.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{}\"", ask.namespace)
        };
        let (verb, resource, group) = (ask.verb, ask.full_resource(), ask.group);
        let message = format!(
            "User \"{}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {place}",
            self.name
        );
        Err(Status::forbidden(group, ask.resource, ask.name, &message))
    }

    /// Refuses a path that is no resource.
    ///
    /// # Errors
    /// 403 for all but health and version to anonymous users, for all but discovery besides to others.
    pub(super) fn require_path(&self, path: &str) -> Result<(), Status> {
        let public = ["/version", "/healthz", "/livez", "/readyz"].contains(&path);
        let below = |folder: &str| path == folder || path.starts_with(&format!("{folder}/"));
        let discovery = ["/api", "/apis", "/openapi"].into_iter().any(below);
        if public || self.rules.is_none() || (discovery && self.is_known()) {
            return Ok(());
        }
        Err(Status::forbidden("", "", "", &format!("User \"{}\" cannot get path \"{path}\"", self.name)))
    }
}
