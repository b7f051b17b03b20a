//! HTTP to Langfuse, S3 and metrics endpoints: one builder, our timeouts, proxies as the environment names them.
//!
//! One rule: no redirect is followed silently, no cookie is kept, no request is repeated by the library.

use std::net::SocketAddr;
use std::time::Duration;

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use reqwest::{Client, Response, Url};

use super::failure::{chain, transport};
use super::reach::{Reach, name};
use super::target::{Address, LangfuseTarget, TlsOptions};
use crate::domain::{Kind, Secret, Trouble};

/// Until a connection stands.
pub const CONNECT: Duration = Duration::from_secs(3);
/// Until the last byte of an answer.
pub const ANSWER: Duration = Duration::from_secs(5);

/// An HTTP server with its base URL.
#[derive(Debug, Clone)]
pub struct Http {
    /// The client.
    pub client: Client,
    /// Ends in `/`.
    pub base: Url,
    /// What it is called in messages.
    pub object: String,
    /// `Host` to send, when it is another than the URL's.
    pub host: Option<String>,
}

impl Http {
    /// The URL of a path below the base; `path` has no leading slash.
    pub fn url(&self, path: &str) -> Result<Url, Trouble> {
        self.base.join(path).map_err(|e| Trouble::new(Kind::Unexpected, &self.object, format!("{path}: {e}")))
    }

    /// A request builder for a path below the base.
    pub fn request(&self, method: reqwest::Method, path: &str) -> Result<reqwest::RequestBuilder, Trouble> {
        let mut request = self.client.request(method, self.url(path)?);
        if let Some(host) = &self.host {
            request = request.header(reqwest::header::HOST, host);
        }
        Ok(request)
    }

    /// The failure to get any answer.
    pub fn trouble(&self, error: &reqwest::Error) -> Trouble {
        trouble(&self.object, error)
    }
}

/// The failure to get any answer, by kind.
pub fn trouble(object: &str, error: &reqwest::Error) -> Trouble {
    if error.is_timeout() {
        return Trouble::new(Kind::Timeout, object, chain(error))
            .remedy(super::failure::transport_remedy(Kind::Timeout));
    }
    if error.is_decode() || error.is_body() {
        return Trouble::new(Kind::Unexpected, object, chain(error));
    }
    transport(object, error)
}

/// Builds the client for one address; through a port-forward for a Service.
pub async fn connect(
    reach: &Reach,
    address: &Address,
    tls: &TlsOptions,
    object: impl Into<String>,
) -> Result<Http, Trouble> {
    let object = object.into();
    let (base, local) = base(reach, address, tls, &object).await?;
    let client = client(tls, &base, local).map_err(|e| match e {
        Built::Tls(trouble) => trouble,
        Built::Http(e) => trouble(&object, &e),
    })?;
    Ok(Http { client, base, object, host: None })
}

/// Builds the client for one address of Langfuse.
pub async fn langfuse(reach: &Reach, target: &LangfuseTarget, word: &str) -> Result<Http, Trouble> {
    let object = format!("Langfuse {word} at {}", name(&target.address));
    let mut http = connect(reach, &target.address, &target.tls, object).await?;
    http.host.clone_from(&target.host_header);
    Ok(http)
}

/// The base URL, and the local address to connect to instead of the URL's host.
pub(super) async fn base(
    reach: &Reach,
    address: &Address,
    tls: &TlsOptions,
    object: &str,
) -> Result<(Url, Option<SocketAddr>), Trouble> {
    let local = reach.local(address).await?;
    let text = match (address, local) {
        (Address::Service { namespace, service, .. }, Some(local)) => {
            let scheme = if tls.enabled == Some(true) { "https" } else { "http" };
            // The Service's own name, so that a certificate made out to it is accepted.
            let host = namespace.as_ref().map_or_else(|| service.clone(), |ns| format!("{service}.{ns}.svc"));
            format!("{scheme}://{host}:{}", local.port())
        }
        (Address::Url(url), _) => url.expose().to_owned(),
        (Address::Service { .. }, None) => String::new(),
    };
    let mut url = Url::parse(&text).map_err(|e| not_a_url(object, &e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(not_a_url(object, &format!("scheme {} instead of http or https", url.scheme())));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok((url, local))
}

fn not_a_url(object: &str, why: &str) -> Trouble {
    Trouble::new(Kind::NotConfigured, object, format!("the URL cannot be used: {why}"))
        .remedy("write it as http(s)://host:port")
}

enum Built {
    Tls(Trouble),
    Http(reqwest::Error),
}

fn client(tls: &TlsOptions, base: &Url, local: Option<SocketAddr>) -> Result<Client, Built> {
    let mut builder = Client::builder()
        .connect_timeout(CONNECT)
        .timeout(ANSWER)
        .pool_idle_timeout(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .user_agent(concat!("cutover/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(super::tls::config(tls, may_speak_tls(base)).map_err(Built::Tls)?);
    if let (Some(local), Some(host)) = (local, base.host_str()) {
        builder = builder.resolve(host, local).no_proxy();
    }
    builder.build().map_err(Built::Http)
}

/// What `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say about this URL.
pub(super) fn proxy(url: &Url) -> Option<Intercept> {
    Matcher::from_env().intercept(&url.as_str().parse().ok()?)
}

/// Whether TLS is spoken with what stands behind this URL, or with the proxy before it. Redirects are not followed.
pub(super) fn may_speak_tls(url: &Url) -> bool {
    url.scheme() == "https" || proxy(url).is_some_and(|by| by.uri().scheme_str() == Some("https"))
}

/// Basic credentials that may stand in a URL; the URL is left without them.
pub(super) fn take_userinfo(url: &mut Url) -> Option<(String, Option<Secret>)> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let user = percent_decoded(url.username());
    let password = url.password().map(|p| Secret::new(percent_decoded(p)));
    // Neither can fail on a URL that had them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Some((user, password))
}

/// `%41` becomes `A`; anything else stays.
pub(super) fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The body as text, at most `limit` bytes of it.
pub async fn text(object: &str, mut response: Response, limit: usize) -> Result<String, Trouble> {
    let mut out = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| trouble(object, &e))? {
        out.extend_from_slice(&chunk);
        if out.len() > limit {
            out.truncate(limit);
            break;
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// The [`Trouble`] of an HTTP status that is not a success.
pub fn from_status(object: &str, tried: &str, status: reqwest::StatusCode, body: &str) -> Trouble {
    let kind = match status.as_u16() {
        401 => Kind::Unauthorized,
        403 => Kind::Forbidden,
        404 => Kind::Missing,
        408 | 504 => Kind::Timeout,
        429 => Kind::Throttled(None),
        502 | 503 => Kind::Unreachable,
        400..=499 => Kind::Refused,
        _ => Kind::Unexpected,
    };
    let short: String = body.chars().take(200).collect();
    Trouble::new(kind, object, format!("{tried}: {status} {short}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_prepared_for_where_it_can_be_spoken() {
        let may = |url: &str| may_speak_tls(&Url::parse(url).unwrap());
        assert!(may("https://langfuse.example.com/"));
        assert!(!may("http://127.0.0.1:3000/"));
    }

    #[test]
    fn credentials_leave_the_url() {
        let mut url = Url::parse("http://lang%40fuse:p%25w@ch:8123/").unwrap();
        let (user, password) = take_userinfo(&mut url).unwrap();
        assert_eq!((user.as_str(), password.unwrap().expose()), ("lang@fuse", "p%w"));
        assert_eq!(url.as_str(), "http://ch:8123/");
    }

    proptest::proptest! {
        #[test]
        fn any_url_is_decoded_or_refused(text in "(https?://)?[a-z%0-9:@é/]{0,30}") {
            assert!(percent_decoded(&text).len() <= 3 * text.len());
            if let Ok(mut url) = Url::parse(&text)
                && url.has_host()
            {
                let _ = take_userinfo(&mut url);
                assert!(url.password().is_none() && url.username().is_empty());
            }
        }
    }
}
