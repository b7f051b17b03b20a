//! One request, as data: a row of a case.

use serde_json::Value;

/// A request, and what of its answer later requests of the case need.
#[derive(Debug, Clone)]
pub struct Request {
    /// HTTP method.
    pub method: &'static str,
    /// Path and query; `{ns}` is the case's namespace, `{name}` a kept value.
    pub path: String,
    /// Body, with the same placeholders in its strings.
    pub body: Option<String>,
    /// `Content-Type`, none when empty.
    pub media: &'static str,
    /// `Accept`, none when empty.
    pub accept: &'static str,
    /// Whose token: `admin`, `looker`, `clerk`, `nobody` (no token) or `stranger` (an unknown one).
    pub user: &'static str,
    /// Name and JSON pointer of values to keep.
    pub kept: Vec<(&'static str, &'static str)>,
    /// How often it is sent at once.
    pub times: usize,
    /// How often it may be asked until both answer alike: more than once only where a real server's answer hangs on
    /// its own timers.
    pub tries: usize,
    /// Members of the answer (`/a/*/b`) in which the servers may differ, each with the reason.
    pub beside: Vec<(&'static str, &'static str)>,
}

fn request(method: &'static str, path: &str, media: &'static str, body: Option<String>) -> Request {
    let path = path.to_owned();
    let (accept, user) = ("application/json", "admin");
    Request { method, path, body, media, accept, user, kept: vec![], times: 1, tries: 1, beside: vec![] }
}

/// GET.
pub fn get(path: &str) -> Request {
    request("GET", path, "", None)
}

/// POST of JSON.
pub fn post(path: &str, body: &Value) -> Request {
    request("POST", path, "application/json", Some(body.to_string()))
}

/// PUT of JSON.
pub fn put(path: &str, body: &Value) -> Request {
    request("PUT", path, "application/json", Some(body.to_string()))
}

/// DELETE, with options.
pub fn delete(path: &str, options: &Value) -> Request {
    request("DELETE", path, "application/json", Some(options.to_string()))
}

/// JSON merge patch.
pub fn merge(path: &str, body: &Value) -> Request {
    request("PATCH", path, "application/merge-patch+json", Some(body.to_string()))
}

/// JSON patch.
pub fn operations(path: &str, body: &Value) -> Request {
    request("PATCH", path, "application/json-patch+json", Some(body.to_string()))
}

/// Strategic merge patch.
pub fn strategic(path: &str, body: &Value) -> Request {
    request("PATCH", path, "application/strategic-merge-patch+json", Some(body.to_string()))
}

/// Server-side apply; the manager is in the path's query.
pub fn apply(path: &str, body: &Value) -> Request {
    request("PATCH", path, "application/apply-patch+yaml", Some(body.to_string()))
}

impl Request {
    /// Keeps a value of the answer for later requests.
    pub fn keep(mut self, name: &'static str, pointer: &'static str) -> Self {
        self.kept.push((name, pointer));
        self
    }

    /// Sends another `Accept`.
    pub fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }

    /// Sends another `Content-Type`.
    pub fn media(mut self, media: &'static str) -> Self {
        self.media = media;
        self
    }

    /// Sends this text as body.
    pub fn text(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    /// Sends it as somebody else.
    pub fn by(mut self, user: &'static str) -> Self {
        self.user = user;
        self
    }

    /// Sends it so often at once; the answers are compared in the order of their codes.
    pub fn at_once(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// Asks again, so often at most, while the answers differ.
    pub fn tries(mut self, tries: usize) -> Self {
        self.tries = tries;
        self
    }

    /// Does not compare the sentence: it repeats what Go's decoder of JSON or YAML said, in its own words.
    pub fn in_go_words(self) -> Self {
        let why = "the words of Go's decoder";
        self.beside("/body/message", why).beside("/body/details/causes/0/message", why)
    }

    /// Does not compare a member of the answer, for a reason.
    pub fn beside(mut self, pointer: &'static str, reason: &'static str) -> Self {
        assert!(!reason.is_empty(), "a difference is accepted for a reason");
        self.beside.push((pointer, reason));
        self
    }
}

/// Requests that follow each other in a namespace of their own.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it is about.
    pub name: &'static str,
    /// The requests.
    pub requests: Vec<Request>,
}

/// A row of a table of cases.
pub fn case(name: &'static str, requests: impl Into<Vec<Request>>) -> Case {
    Case { name, requests: requests.into() }
}
