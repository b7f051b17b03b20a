//! API keys: `Authorization: Basic base64(pk:sk)`, checked against `api_keys` by the salted fast hash.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use sqlx::{PgPool, Row as _};

use super::super::LangfuseError;
use super::answer::Refusal;
use crate::rehearsal::history::fast_hash;

/// The project a request speaks for.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) project: String,
    /// Only scores may be written: the request named the public key alone.
    pub(crate) scores_only: bool,
}

/// Finds the project of a request.
///
/// # Errors
/// 401 for a missing or wrong key, 500 when PostgreSQL cannot be asked.
pub(crate) async fn authorize(headers: &HeaderMap, pool: &PgPool, salt: &str) -> Result<Scope, Refusal> {
    let Some(header) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
        return Err(Refusal::unauthorized("No authorization header"));
    };
    let (public_key, secret_key) =
        read_header(header).ok_or_else(|| Refusal::unauthorized("Invalid authorization header"))?;
    let found = find_key(pool, &public_key).await.map_err(|error| Refusal::internal(&error))?;
    let wrong =
        || Refusal::unauthorized("Invalid credentials. Confirm that you've configured the correct host.");
    let (project, stored) = found.ok_or_else(wrong)?;
    match secret_key {
        None => Ok(Scope { project, scores_only: true }),
        Some(secret) if stored == fast_hash(&secret, salt) => Ok(Scope { project, scores_only: false }),
        Some(_) => Err(wrong()),
    }
}

async fn find_key(pool: &PgPool, public_key: &str) -> Result<Option<(String, String)>, LangfuseError> {
    let row = sqlx::query(
        "SELECT project_id, coalesce(fast_hashed_secret_key, '') AS hash FROM api_keys \
         WHERE public_key = $1 AND (expires_at IS NULL OR expires_at > now() AT TIME ZONE 'UTC')",
    )
    .bind(public_key)
    .fetch_optional(pool)
    .await?;
    row.map(|row| Ok((row.try_get("project_id")?, row.try_get("hash")?))).transpose()
}

/// The public key, and the secret key unless it is a Bearer header.
fn read_header(header: &str) -> Option<(String, Option<String>)> {
    if let Some(encoded) = header.strip_prefix("Basic ") {
        let bytes = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (public_key, secret_key) = text.split_once(':')?;
        return Some((public_key.to_owned(), Some(secret_key.to_owned())));
    }
    header.strip_prefix("Bearer ").map(|public_key| (public_key.trim().to_owned(), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_headers() {
        assert_eq!(read_header("Basic cGs6c2s="), Some(("pk".into(), Some("sk".into()))));
        assert_eq!(read_header("Bearer pk"), Some(("pk".into(), None)));
        assert_eq!(read_header("Digest x"), None);
    }
}
