//! `--kube real`: etcd and kube-apiserver as separate programs, for those who have them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::Mutex;

use super::stage::{
    Process, Program, Stage, StageError, await_ready, find_program, free_port, write_private,
};

/// How long a start may take: an API server alone needs 3 s on two cores.
const PATIENCE: Duration = Duration::from_mins(1);

/// Why a real cluster did not start.
#[derive(Debug, thiserror::Error)]
pub enum RealClusterError {
    /// A program is not installed.
    #[error(
        "--kube real needs {0}, found neither in $KUBEBUILDER_ASSETS nor on PATH; build it with `make apiserver` or \
         install the Kubernetes test binaries (setup-envtest), set KUBEBUILDER_ASSETS to their folder, or leave \
         --kube out"
    )]
    Missing(&'static str),
    /// A program ended or was not ready in time.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// A file could not be written.
    #[error("{}: {source}; is the disk full?", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The key of service accounts could not be made.
    #[error("openssl could not make a key for service accounts: {0}; install openssl")]
    Key(String),
}

/// The group whose members may do everything.
pub const MASTERS: &str = "system:masters";

/// The two programs.
#[derive(Debug, Clone)]
pub struct Binaries {
    etcd: PathBuf,
    apiserver: PathBuf,
}

impl Binaries {
    /// Those in `folder`.
    pub fn of(folder: &Path) -> Self {
        Self { etcd: folder.join("etcd"), apiserver: folder.join("kube-apiserver") }
    }

    /// Those in the folder that `$KUBEBUILDER_ASSETS` names, or else on PATH.
    ///
    /// # Errors
    /// [`RealClusterError::Missing`] with the name of the one that is not there.
    pub fn find() -> Result<Self, RealClusterError> {
        if let Some(folder) = std::env::var_os("KUBEBUILDER_ASSETS") {
            let named = Self::of(Path::new(&folder));
            if named.etcd.is_file() && named.apiserver.is_file() {
                return Ok(named);
            }
        }
        let find = |name| find_program(&[name], &[]).ok_or(RealClusterError::Missing(name));
        Ok(Self { etcd: find("etcd")?, apiserver: find("kube-apiserver")? })
    }
}

/// A running kube-apiserver with its etcd.
pub struct RealCluster {
    url: String,
    etcd_url: String,
    certificate: PathBuf,
    tokens: Vec<(String, String)>,
    processes: Mutex<Vec<Process>>,
}

impl RealCluster {
    /// Starts etcd, then the API server, with a token for each of `users`: name and group. The first must be of
    /// [`MASTERS`]; what the others may do is what roles are bound to them.
    pub async fn start(
        stage: &Stage,
        binaries: &Binaries,
        users: &[(&str, &str)],
    ) -> Result<Self, RealClusterError> {
        let room = stage.room("kubernetes")?;
        let (client, peer, secure) = (free_port()?, free_port()?, free_port()?);
        let etcd_url = format!("http://127.0.0.1:{client}");
        let mut etcd = stage.spawn(etcd_program(&binaries.etcd, &room, &etcd_url, peer)).await?;
        await_ready(&mut etcd, PATIENCE, || get(format!("{etcd_url}/health"))).await?;
        let secret = || uuid::Uuid::new_v4().simple().to_string();
        let tokens: Vec<(String, String)> =
            users.iter().map(|(user, _)| ((*user).to_owned(), secret())).collect();
        write_tokens(&room, &tokens, users)?;
        make_key(&room).await?;
        let mut server =
            stage.spawn(apiserver_program(&binaries.apiserver, &room, &etcd_url, secure)).await?;
        let certificate = room.join("apiserver.crt");
        let url = format!("https://127.0.0.1:{secure}");
        let cluster = Self { url, etcd_url, certificate, tokens, processes: Mutex::new(vec![etcd]) };
        let text = cluster.kubeconfig(users.first().map_or("", |(user, _)| *user), "default");
        await_ready(&mut server, PATIENCE, || is_ready(&text)).await?;
        cluster.processes.lock().await.push(server);
        Ok(cluster)
    }

    /// A kubeconfig (YAML) for one of the users.
    pub fn kubeconfig(&self, user: &str, namespace: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: rehearsal\n\
             clusters:\n- name: rehearsal\n  cluster:\n    server: \"{}\"\n    certificate-authority: \"{}\"\n\
             users:\n- name: \"{user}\"\n  user:\n    token: \"{}\"\n\
             contexts:\n- name: rehearsal\n  context:\n    cluster: rehearsal\n    user: \"{user}\"\n    \
             namespace: \"{namespace}\"\n",
            self.url,
            self.certificate.display(),
            self.token(user),
        )
    }

    /// Its address, `https://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address of its etcd, `http://127.0.0.1:PORT`.
    pub fn etcd_url(&self) -> &str {
        &self.etcd_url
    }

    /// The secret of one of the users, empty for another.
    pub fn token(&self, user: &str) -> &str {
        self.tokens.iter().find(|(name, _)| name == user).map_or("", |(_, token)| token)
    }

    /// Ends the API server, then etcd.
    pub async fn stop(self) {
        for process in self.processes.into_inner().into_iter().rev() {
            process.stop(Duration::from_secs(5)).await;
        }
    }
}

fn etcd_program(file: &Path, room: &Path, url: &str, peer: u16) -> Program {
    let peer = format!("http://127.0.0.1:{peer}");
    let mut data = OsString::from("--data-dir=");
    data.push(room.join("etcd"));
    let options = [
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync=true".to_owned(),
    ];
    Program::new("etcd", file, options.into_iter().map(OsString::from).chain([data]))
}

fn apiserver_program(file: &Path, room: &Path, etcd: &str, port: u16) -> Program {
    let key = room.join("service-account.key").display().to_string();
    let options = [
        format!("--etcd-servers={etcd}"),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--cert-dir={}", room.display()),
        "--service-account-issuer=https://rehearsal.cutover".to_owned(),
        format!("--service-account-key-file={key}"),
        format!("--service-account-signing-key-file={key}"),
        format!("--token-auth-file={}", room.join("tokens.csv").display()),
        "--authorization-mode=RBAC".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--disable-admission-plugins=ServiceAccount".to_owned(),
    ];
    Program::new("kube-apiserver", file, options)
}

fn write_tokens(
    room: &Path,
    tokens: &[(String, String)],
    users: &[(&str, &str)],
) -> Result<(), RealClusterError> {
    let path = room.join("tokens.csv");
    let lines: Vec<String> = tokens
        .iter()
        .zip(users)
        .map(|((user, token), (_, group))| format!("{token},{user},{user},\"{group}\""))
        .collect();
    write_private(&path, &(lines.join("\n") + "\n")).map_err(|source| RealClusterError::File { path, source })
}

async fn make_key(room: &Path) -> Result<(), RealClusterError> {
    let made = tokio::process::Command::new("openssl")
        .args(["genrsa", "-out"])
        .arg(room.join("service-account.key"))
        .arg("2048")
        .output()
        .await
        .map_err(|error| RealClusterError::Key(error.to_string()))?;
    if made.status.success() {
        return Ok(());
    }
    Err(RealClusterError::Key(String::from_utf8_lossy(&made.stderr).trim().to_owned()))
}

async fn get(url: String) -> Result<(), String> {
    let answer = reqwest::get(url).await.map_err(|error| error.to_string())?;
    answer.error_for_status().map(drop).map_err(|error| error.to_string())
}

/// The certificate is made by the server itself, so the kubeconfig cannot be read before it is there.
async fn is_ready(kubeconfig: &str) -> Result<(), String> {
    let client = super::cluster::client(kubeconfig).await.map_err(|error| error.to_string())?;
    let request = http::Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
    client.request_text(request).await.map(drop).map_err(|error| error.to_string())
}
