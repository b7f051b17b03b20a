//! The real API server: where its programs are, and what a test does without them.

use std::path::{Path, PathBuf};

use cutover::rehearsal::real_cluster::{Binaries, MASTERS, RealCluster};
use cutover::rehearsal::stage::Stage;

/// Who may do everything.
pub const ADMIN: &str = "admin";

/// The folder with `kube-apiserver`, `etcd` and perhaps `kubectl`: what `KUBEBUILDER_ASSETS` names, or what
/// `make apiserver` built. None, with the reason on standard error, where there is neither.
///
/// # Panics
/// In CI (`CI` is set), where a test that is skipped proves nothing.
pub fn assets() -> Option<PathBuf> {
    let named = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().map(|target| target.join("apiserver"));
    let found = named.into_iter().chain(built).find(|folder| folder.join("kube-apiserver").is_file());
    if found.is_none() {
        let why =
            "there is no kube-apiserver: `make apiserver` builds one where Go is, or set KUBEBUILDER_ASSETS";
        assert!(std::env::var_os("CI").is_none(), "{why}");
        eprintln!("skipped: {why}");
    }
    found
}

/// A running one, in a folder of its own.
pub struct Real {
    /// The servers.
    pub cluster: RealCluster,
    stage: Stage,
}

impl Real {
    /// Starts one with an administrator and `users` (name and group); none where [`assets`] finds nothing.
    pub async fn start(users: &[(&str, &str)]) -> Option<Self> {
        let assets = assets()?;
        // Another test of this process may have installed it: that one is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let stage = Stage::open(None).await.unwrap();
        let users: Vec<(&str, &str)> =
            std::iter::once((ADMIN, MASTERS)).chain(users.iter().copied()).collect();
        let cluster = RealCluster::start(&stage, &Binaries::of(&assets), &users).await.unwrap();
        Some(Self { cluster, stage })
    }

    /// Ends it and removes its folder.
    pub async fn stop(self) {
        self.cluster.stop().await;
        self.stage.close().await.unwrap();
    }
}
