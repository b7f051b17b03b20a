//! The blob store by signed URLs: whether the bucket is there, and whether an object can be written and read.
//!
//! One rule: an object is only written when the configuration allows it, below a key of our own, and removed.

use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};

use super::http::{self, Http};
use super::reach::{Reach, name};
use super::target::S3Target;
use crate::domain::{Kind, Trouble};

/// How long a signed URL is valid: longer than any request of ours.
const VALID: Duration = Duration::from_mins(1);

/// A bucket and the way to it.
#[derive(Debug, Clone)]
pub struct S3 {
    http: Http,
    bucket: Bucket,
    credentials: Credentials,
    prefix: String,
    /// `S3 bucket langfuse at http://minio:9000`.
    pub object: String,
}

/// Prepares the client; nothing is sent yet.
pub async fn connect(reach: &Reach, target: &S3Target) -> Result<S3, Trouble> {
    let object = format!("S3 bucket {} at {}", target.bucket, name(&target.endpoint));
    let http = http::connect(reach, &target.endpoint, &target.tls, &object).await?;
    let style = if target.path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
    let bucket = Bucket::new(http.base.clone(), style, target.bucket.clone(), target.region.clone())
        .map_err(|e| {
            Trouble::new(Kind::NotConfigured, &object, e.to_string()).remedy("check endpoint and bucket")
        })?;
    let credentials = Credentials::new(target.access_key.clone(), target.secret_key.expose());
    Ok(S3 { http, bucket, credentials, prefix: target.prefix.clone(), object })
}

impl S3 {
    /// HEAD bucket.
    pub async fn head(&self) -> Result<(), Trouble> {
        let url = self.bucket.head_bucket(Some(&self.credentials)).sign(VALID);
        self.send(Method::HEAD, url, "HEAD bucket", None).await.map(drop)
    }

    /// Writes, lists, reads and removes a small object below the prefix; the names of the steps that worked
    /// are in the error's detail.
    pub async fn round_trip(&self, name: &str) -> Result<(), Trouble> {
        let key = format!("{}cutover-probe/{name}", self.prefix);
        let sent = name.as_bytes().to_vec();
        let put = self.bucket.put_object(Some(&self.credentials), &key).sign(VALID);
        self.send(Method::PUT, put, "PUT object", Some(sent.clone())).await?;
        let read = self.list_and_get(&key).await;
        let delete = self.bucket.delete_object(Some(&self.credentials), &key).sign(VALID);
        let removed = self.send(Method::DELETE, delete, "DELETE object", None).await;
        let got = read?;
        removed?;
        if got.as_bytes() == sent {
            Ok(())
        } else {
            Err(Trouble::new(Kind::Unexpected, &self.object, "the object read back is not the one written"))
        }
    }

    async fn list_and_get(&self, key: &str) -> Result<String, Trouble> {
        let mut list = self.bucket.list_objects_v2(Some(&self.credentials));
        list.with_prefix(key);
        let listed = self.send(Method::GET, list.sign(VALID), "LIST objects", None).await?;
        if !listed.contains(key.rsplit('/').next().unwrap_or(key)) {
            return Err(Trouble::new(
                Kind::Unexpected,
                &self.object,
                "LIST does not show an object that was just written",
            ));
        }
        let get = self.bucket.get_object(Some(&self.credentials), key).sign(VALID);
        self.send(Method::GET, get, "GET object", None).await
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        tried: &str,
        body: Option<Vec<u8>>,
    ) -> Result<String, Trouble> {
        let mut request = self.http.client.request(method, url);
        if let Some(body) = body {
            request = request.body(body);
        }
        // The signed URL is left out of errors: it is a credential for a minute.
        let response = request.send().await.map_err(|e| self.http.trouble(&e.without_url()))?;
        let status = response.status();
        let text = http::text(&self.object, response, 64 * 1024).await?;
        if status.is_success() { Ok(text) } else { Err(self.refused(tried, status, &text)) }
    }

    fn refused(&self, tried: &str, status: StatusCode, body: &str) -> Trouble {
        let trouble = http::from_status(&self.object, tried, status, body);
        let remedy = match status.as_u16() {
            401 | 403 if body.contains("SignatureDoesNotMatch") => "the secret key or the region is wrong",
            401 | 403 if body.contains("InvalidAccessKeyId") => "there is no such access key",
            401 | 403 => {
                "allow this key s3:ListBucket, s3:GetObject and s3:PutObject on the bucket; or the key is wrong"
            }
            404 => "there is no such bucket, or path_style is the wrong way round",
            301 | 307 => "the bucket is in another region: check region and endpoint",
            507 => "the store is full",
            _ => "",
        };
        trouble.remedy(remedy)
    }
}
