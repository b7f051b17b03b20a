//! What the gateway knows: servers with locations, upstreams with endpoints. Built from objects, never edited.

use std::collections::BTreeMap;

/// Name of the server for every host that has none of its own.
pub const CATCH_ALL: &str = "_";

/// Everything one nginx would have loaded: immutable, swapped as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routing {
    /// Locations per host, or [`CATCH_ALL`].
    pub servers: BTreeMap<String, Vec<Location>>,
    /// Upstreams by name (`<namespace>-<service>-<port>`).
    pub upstreams: BTreeMap<String, Upstream>,
}

/// How a path is compared (`pathType` of an Ingress).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathType {
    /// The whole path, literally.
    Exact,
    /// Element by element: `/a` takes `/a` and `/a/b`, never `/ab`.
    Prefix,
    /// nginx's own prefix: `/a` also takes `/ab`.
    ImplementationSpecific,
}

/// One path of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Path as the Ingress says it.
    pub path: String,
    /// How it is compared.
    pub kind: PathType,
    /// Name of the primary upstream.
    pub upstream: String,
    /// Namespace of the Ingress (a metric label).
    pub namespace: String,
    /// Name of the Ingress (a metric label).
    pub ingress: String,
    /// Name of the primary Service (a metric label, also for canary requests).
    pub service: String,
    /// Largest request body in bytes; 0 is no limit.
    pub body_limit: usize,
}

/// One Service port and who serves it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upstream {
    /// `<namespace>-<service>-<port>`.
    pub name: String,
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub service: String,
    /// Port as the Ingress names it.
    pub port: String,
    /// Ready endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Set when a canary Ingress introduced this upstream.
    pub no_server: bool,
    /// How a canary takes its share.
    pub policy: Policy,
    /// Canary upstreams merged into this one; only the first is ever asked (trap 10).
    pub alternatives: Vec<String>,
    /// Name of the affinity cookie, where the Ingress asks for one.
    pub affinity: Option<String>,
}

/// One address behind a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Address and port as the `EndpointSlice` says them; in the access log.
    pub address: String,
    /// Where to connect: the same, unless a rehearsal annotation translates it.
    pub dial: String,
}

/// `trafficShapingPolicy` of ingress-nginx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// `canary-weight`; an invalid number is 0, also silently in the real controller.
    pub weight: i64,
    /// `canary-weight-total`; anything up to 100 counts as 100.
    pub weight_total: i64,
    /// `canary-by-header`.
    pub header: String,
    /// `canary-by-header-value`; beats the pattern.
    pub header_value: String,
    /// `canary-by-header-pattern`.
    pub header_pattern: String,
    /// `canary-by-cookie`.
    pub cookie: String,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            weight: 0,
            weight_total: 100,
            header: String::new(),
            header_value: String::new(),
            header_pattern: String::new(),
            cookie: String::new(),
        }
    }
}

impl Routing {
    /// The location nginx would serve `path` of `host` from, with the name of the server that owns it.
    /// Longest path wins, an exact one beats a prefix of the same length; an unknown host falls to `_`.
    pub fn locate(&self, host: &str, path: &str) -> Option<(&str, &Location)> {
        let (name, locations) = self.server(host)?;
        locations
            .iter()
            .filter(|location| location.takes(path))
            .max_by_key(|location| (location.kind == PathType::Exact, location.path.len()))
            .map(|location| (name, location))
    }

    fn server(&self, host: &str) -> Option<(&str, &Vec<Location>)> {
        let wildcard = host.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        [Some(host.to_owned()), wildcard, Some(CATCH_ALL.to_owned())]
            .into_iter()
            .flatten()
            .find_map(|name| self.servers.get_key_value(&name))
            .map(|(name, locations)| (name.as_str(), locations))
    }
}

impl Location {
    fn takes(&self, path: &str) -> bool {
        match self.kind {
            PathType::Exact => path == self.path,
            PathType::ImplementationSpecific => path.starts_with(&self.path),
            PathType::Prefix => {
                let base = self.path.trim_end_matches('/');
                path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(path: &str, kind: PathType) -> Location {
        Location {
            path: path.into(),
            kind,
            upstream: path.into(),
            namespace: String::new(),
            ingress: String::new(),
            service: String::new(),
            body_limit: 0,
        }
    }

    #[rstest::rstest]
    #[case("a.test", "/", Some("/"))]
    #[case("a.test", "/api/x", Some("/api"))]
    #[case("a.test", "/apix", Some("/"))]
    #[case("a.test", "/api/only", Some("/api/only"))]
    #[case("a.test", "/api/only/not", Some("/api"))]
    #[case("a.test", "/implant", Some("/impl"))]
    #[case("b.wild.test", "/", Some("/wild"))]
    #[case("nobody.example", "/", None)]
    fn longest_location_of_the_host_wins(#[case] host: &str, #[case] path: &str, #[case] want: Option<&str>) {
        let mut routing = Routing::default();
        routing.servers.insert(
            "a.test".into(),
            vec![
                location("/", PathType::Prefix),
                location("/api", PathType::Prefix),
                location("/api/only", PathType::Exact),
                location("/impl", PathType::ImplementationSpecific),
            ],
        );
        routing.servers.insert(
            "*.wild.test".into(),
            vec![Location { upstream: "/wild".into(), ..location("/", PathType::Prefix) }],
        );
        let got = routing.locate(host, path).map(|(_, found)| found.upstream.as_str());
        assert_eq!(got, want);
    }
}
