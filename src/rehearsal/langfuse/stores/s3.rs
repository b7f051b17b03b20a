//! S3 as Langfuse's storage service uses it: put JSON, list a prefix, get an object.

use std::time::Duration;

use rusty_s3::actions::{ListObjectsV2, S3Action};
use rusty_s3::{Bucket, Credentials, UrlStyle};
use serde_json::Value;

use super::super::LangfuseError;
use super::super::js;
use super::super::settings::S3Settings;

/// How long a signature is valid; each is used at once.
const SIGNED_FOR: Duration = Duration::from_mins(1);

/// One object of a listing.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) key: String,
    /// When it was written, epoch milliseconds.
    pub(crate) written_ms: Option<i64>,
}

/// The events bucket.
#[derive(Clone)]
pub(crate) struct EventBucket {
    http: reqwest::Client,
    bucket: Bucket,
    credentials: Credentials,
    name: String,
    prefix: String,
}

impl EventBucket {
    pub(crate) fn open(settings: &S3Settings) -> Result<Self, LangfuseError> {
        let endpoint = settings
            .endpoint
            .parse()
            .map_err(|error| LangfuseError::S3(format!("endpoint {}: {error}", settings.endpoint)))?;
        let style = if settings.force_path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let bucket = Bucket::new(endpoint, style, settings.bucket.clone(), settings.region.clone())
            .map_err(|error| LangfuseError::S3(format!("bucket {}: {error}", settings.bucket)))?;
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(15))
            .pool_max_idle_per_host(8)
            .no_proxy()
            .build()
            .map_err(|source| LangfuseError::Unreachable {
                store: "S3",
                url: settings.endpoint.clone(),
                source,
            })?;
        let credentials =
            Credentials::new(settings.access_key_id.expose(), settings.secret_access_key.expose());
        Ok(Self { http, bucket, credentials, name: settings.bucket.clone(), prefix: settings.prefix.clone() })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The folder of one entity: `<PREFIX><project>/<entity>/<id>/`, identical in v2 and v3.
    pub(crate) fn folder(&self, project: &str, entity: &str, id: &str) -> String {
        format!("{}{project}/{entity}/{id}/", self.prefix)
    }

    /// Stores `value` as `application/json`.
    pub(crate) async fn put_json(&self, key: &str, value: &Value) -> Result<(), LangfuseError> {
        let url = self.bucket.put_object(Some(&self.credentials), key).sign(SIGNED_FOR);
        let request =
            self.http.put(url).header("content-type", "application/json").body(js::stringify(value));
        self.send(request).await.map(drop)
    }

    /// Reads one object as JSON.
    pub(crate) async fn get_json(&self, key: &str) -> Result<Value, LangfuseError> {
        let url = self.bucket.get_object(Some(&self.credentials), key).sign(SIGNED_FOR);
        let text = self.send(self.http.get(url)).await?;
        serde_json::from_str(&text)
            .map_err(|source| LangfuseError::Json { what: format!("object {key}"), source })
    }

    /// Every object under `prefix`.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<Listed>, LangfuseError> {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut action = self.bucket.list_objects_v2(Some(&self.credentials));
            action.with_prefix(prefix.to_owned());
            if let Some(token) = token.take() {
                action.with_continuation_token(token);
            }
            let text = self.send(self.http.get(action.sign(SIGNED_FOR))).await?;
            let page = ListObjectsV2::parse_response(&text)
                .map_err(|error| LangfuseError::S3(format!("listing of {prefix}: {error}")))?;
            found.extend(page.contents.into_iter().map(|object| Listed {
                written_ms: object.last_modified.as_deref().and_then(js::millis),
                key: object.key,
            }));
            match page.next_continuation_token {
                Some(next) => token = Some(next),
                None => return Ok(found),
            }
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<String, LangfuseError> {
        let unreachable = |source| LangfuseError::Unreachable {
            store: "S3",
            url: self.bucket.base_url().to_string(),
            source,
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let text = response.text().await.map_err(unreachable)?;
        if status.is_success() {
            Ok(text)
        } else {
            Err(LangfuseError::S3(format!("{status} {}", text.chars().take(300).collect::<String>())))
        }
    }
}
