//! The access log, in ingress-nginx's `upstreaminfo` format.

use std::path::PathBuf;

use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// One answered request.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// Address of the client.
    pub remote: String,
    /// User of basic authentication (a Langfuse public key), or empty.
    pub user: String,
    /// When the request came.
    pub at: jiff::Timestamp,
    /// Method, path and version.
    pub request: String,
    /// Status sent to the client.
    pub status: u16,
    /// Body bytes sent to the client.
    pub sent: usize,
    /// Referer, or empty.
    pub referer: String,
    /// User agent, or empty.
    pub agent: String,
    /// Body bytes received.
    pub received: usize,
    /// Seconds from first byte to last.
    pub seconds: f64,
    /// `$proxy_upstream_name`: always the primary.
    pub upstream: String,
    /// `$proxy_alternative_upstream_name`: the canary upstream when it was chosen, else empty.
    pub alternative: String,
    /// Endpoint that answered, or empty.
    pub address: String,
    /// Seconds the endpoint took.
    pub upstream_seconds: f64,
    /// Status of the endpoint, or 0 when none answered.
    pub upstream_status: u16,
    /// `$req_id`.
    pub id: String,
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let dash = |text: &str| {
            if text.is_empty() { "-".to_owned() } else { text.to_owned() }
        };
        let time = self.at.strftime("%d/%b/%Y:%H:%M:%S +0000");
        write!(
            f,
            "{} - {} [{time}] \"{}\" {} {} \"{}\" \"{}\" {} {:.3} [{}] [{}] ",
            self.remote,
            dash(&self.user),
            self.request,
            self.status,
            self.sent,
            dash(&self.referer),
            dash(&self.agent),
            self.received,
            self.seconds,
            self.upstream,
            self.alternative,
        )?;
        if self.address.is_empty() {
            return write!(f, "- - - - {}", self.id);
        }
        let length = self.sent;
        write!(
            f,
            "{} {length} {:.3} {} {}",
            self.address, self.upstream_seconds, self.upstream_status, self.id
        )
    }
}

/// A writer task for the log file; lines are flushed whenever no more are waiting. It ends with `cancel`, after
/// what was sent before.
pub async fn open(
    path: PathBuf,
    cancel: CancellationToken,
) -> std::io::Result<(mpsc::Sender<Entry>, impl Future<Output = ()> + Send)> {
    let file = tokio::fs::OpenOptions::new().create(true).append(true).open(path).await?;
    let (sender, mut entries) = mpsc::channel::<Entry>(1024);
    let work = async move {
        let mut file = tokio::io::BufWriter::new(file);
        while let Some(Some(entry)) = cancel.run_until_cancelled(entries.recv()).await {
            if write(&mut file, &entry).await.is_err() || (entries.is_empty() && file.flush().await.is_err())
            {
                return;
            }
        }
        while let Ok(entry) = entries.try_recv() {
            if write(&mut file, &entry).await.is_err() {
                return;
            }
        }
        let _ = file.flush().await;
    };
    Ok((sender, work))
}

async fn write(file: &mut tokio::io::BufWriter<tokio::fs::File>, entry: &Entry) -> std::io::Result<()> {
    file.write_all(format!("{entry}\n").as_bytes()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_nginx_s() {
        let entry = Entry {
            remote: "127.0.0.1".into(),
            user: "pk-lf-1".into(),
            at: jiff::Timestamp::UNIX_EPOCH,
            request: "POST /api/public/ingestion HTTP/1.1".into(),
            status: 207,
            sent: 42,
            agent: "python".into(),
            received: 7,
            seconds: 0.0123,
            upstream: "langfuse-langfuse-v2-3000".into(),
            alternative: "langfuse-langfuse-web-3000".into(),
            address: "10.244.0.5:3000".into(),
            upstream_seconds: 0.012,
            upstream_status: 207,
            id: "abc".into(),
            ..Entry::default()
        };
        assert_eq!(
            entry.to_string(),
            "127.0.0.1 - pk-lf-1 [01/Jan/1970:00:00:00 +0000] \"POST /api/public/ingestion HTTP/1.1\" 207 42 \"-\" \
             \"python\" 7 0.012 [langfuse-langfuse-v2-3000] [langfuse-langfuse-web-3000] 10.244.0.5:3000 42 0.012 207 abc"
        );
        let lost = Entry { address: String::new(), status: 503, alternative: String::new(), ..entry };
        assert!(lost.to_string().ends_with("[langfuse-langfuse-v2-3000] [] - - - - abc"), "{lost}");
    }
}
