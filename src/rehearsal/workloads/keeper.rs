//! The kubelet's side of one Pod: start the process, attend it, start it again, let it go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::env;
use super::events::About;
use super::image::kind_of;
use super::kubelet::{Container, Ended, MANAGER, Phase};
use super::objects::{ensure_as, is_not_found, merge, merge_status, ports_annotation};
use super::pod::View;
use super::probing::{Probing, Verdict};
use super::world::World;
use crate::rehearsal::clock;
use crate::rehearsal::langfuse::{self, Exit, Kind, Process};

/// Waits before the n-th restart: the first comes at once, then the kubelet doubles from 10 s to 5 min.
const BACK_OFF: [u64; 7] = [1, 10, 20, 40, 80, 160, 300];
/// A container that ran so long starts again from the first wait.
const BACK_OFF_RESET: Duration = Duration::from_mins(10);

/// The kubelet's side of one Pod.
pub(super) struct Keeper {
    pub(super) world: Arc<World>,
    pub(super) api: Api<core::Pod>,
    pub(super) object: Value,
    pub(super) container: core::Container,
    pub(super) status: Container,
    pub(super) grace: i64,
    pub(super) name: String,
    pub(super) ip: String,
    pub(super) port: u16,
    /// The API server has not seen the status yet.
    pub(super) unwritten: bool,
    pub(super) view: watch::Sender<View>,
    pub(super) stop: CancellationToken,
}

/// A running process, which does not outlive its keeper: wherever that is dropped, the process is killed.
struct Running(Process);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// Why attending a process ended.
enum End {
    /// The Pod is to go.
    Stopped,
    /// The process ended, or was ended for its liveness.
    Exited(Exit),
}

impl Keeper {
    /// The Pod's whole life; at the end of the rehearsal it breaks off where it is.
    pub(super) async fn run(mut self) {
        let cancel = self.world.cancel.clone();
        cancel.run_until_cancelled(self.life()).await;
        self.view.send_modify(|view| view.gone = true);
        self.world.changed.notify_one();
    }

    async fn life(&mut self) {
        if self.stop.clone().run_until_cancelled(self.create()).await.is_some() {
            self.live().await;
        }
        self.remove().await;
    }

    async fn create(&mut self) {
        let uid = loop {
            match self.created().await {
                Ok(uid) => break uid,
                Err(error) => tracing::debug!("Pod {}: {error}", self.name),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        self.view.send_modify(|view| view.uid = uid);
        self.publish().await;
    }

    /// The uid of the object, once it is there.
    async fn created(&self) -> kube::Result<String> {
        ensure_as(&self.api, self.object.clone(), "kube-controller-manager").await?;
        Ok(self.api.get(&self.name).await?.uid().unwrap_or_default())
    }

    /// Starts the process again and again until the Pod is to go.
    async fn live(&mut self) {
        let mut crashes = 0;
        loop {
            let Some(launched) = self.stop.clone().run_until_cancelled(self.launch()).await else {
                return;
            };
            let started = clock::now();
            let exit = match launched {
                Launched::Refused(reason, message) => {
                    self.status.phase = Phase::Waiting(reason, message.clone());
                    self.publish().await;
                    self.event("Warning", "Failed", &message).await;
                    if self.pause(Duration::from_secs(5)).await.is_none() {
                        return;
                    }
                    continue;
                }
                Launched::Died(exit) => exit,
                Launched::Running(process) => match self.attend(&process.0).await {
                    End::Stopped => return,
                    End::Exited(exit) => exit,
                },
            };
            if clock::now().duration_since(started).unsigned_abs() > BACK_OFF_RESET {
                crashes = 0;
            }
            let wait = BACK_OFF.get(crashes).copied().unwrap_or(300);
            crashes += 1;
            self.crashed(exit, started, wait).await;
            if self.pause(Duration::from_secs(wait)).await.is_none() {
                return;
            }
            self.status.restarts += 1;
        }
    }

    /// `None` when the Pod is to go.
    async fn pause(&self, wait: Duration) -> Option<()> {
        self.stop.run_until_cancelled(tokio::time::sleep(wait)).await
    }

    async fn crashed(&mut self, exit: Exit, started: jiff::Timestamp, wait: u64) {
        let reason = match exit.code {
            0 => "Completed",
            137 if exit.reason.contains("OOM") => "OOMKilled",
            _ => "Error",
        };
        self.status.last = Some(Ended {
            code: exit.code,
            reason: reason.into(),
            message: exit.reason,
            started,
            finished: clock::now(),
        });
        let message =
            format!("back-off {wait}s restarting failed container={} pod={}", self.container.name, self.name);
        self.status.phase = Phase::Waiting("CrashLoopBackOff", message.clone());
        self.set_ready(false, None);
        self.publish().await;
        self.event("Warning", "BackOff", &message).await;
    }

    async fn launch(&mut self) -> Launched {
        let kind = match kind_of(&self.status.image) {
            Ok(kind) => kind,
            Err(message) => return Launched::Refused("ImagePullBackOff", message),
        };
        let env = match env::resolve(&self.world.client, &self.world.namespace, &self.container).await {
            Ok(env) => env,
            Err(error) => return Launched::Refused("CreateContainerConfigError", error.to_string()),
        };
        let mut env = self.world.names.translate(&env);
        // All Pods of a rehearsal share one address: each takes a free port of it.
        env.remove("PORT");
        match langfuse::start(kind, env, self.langfuse_pod(kind)).await {
            Ok(process) => Launched::Running(Running(process)),
            Err(error) => Launched::Died(Exit { code: 1, reason: error.to_string() }),
        }
    }

    async fn started(&mut self, address: SocketAddr) {
        self.status.phase = Phase::Running(clock::now());
        // Without a readiness probe a running container is a ready one.
        let ready = self.container.readiness_probe.is_none();
        self.set_ready(ready, Some(address));
        self.publish().await;
        self.event("Normal", "Started", &format!("Started container {}", self.container.name)).await;
    }

    fn langfuse_pod(&self, kind: Kind) -> langfuse::Pod {
        let (log, pod, container) =
            (Arc::clone(&self.world.log), self.name.clone(), self.container.name.clone());
        let faults = self.world.faults.of(kind).clone();
        langfuse::Pod::new(self.name.clone(), move |line| log(&pod, &container, line), faults)
    }

    async fn attend(&mut self, process: &Process) -> End {
        let mut probing = Probing::new(&self.container, process.addr());
        self.stop.clone().run_until_cancelled(self.started(process.addr())).await;
        loop {
            tokio::select! {
                exit = process.wait() => return End::Exited(exit),
                () = tokio::time::sleep(Duration::from_secs(1)), if self.unwritten => self.publish().await,
                () = self.stop.cancelled() => {
                    self.terminate(process).await;
                    return End::Stopped;
                }
                verdict = probing.next() => match verdict {
                    Verdict::Ready(ready, message) => {
                        if !ready {
                            self.event("Warning", "Unhealthy", &format!("Readiness probe failed: {message}")).await;
                        }
                        self.set_ready(ready, Some(process.addr()));
                        self.publish().await;
                    }
                    Verdict::Dead(message) => {
                        let why = format!("Container {} failed liveness probe, will be restarted", self.container.name);
                        self.event("Warning", "Unhealthy", &format!("Liveness probe failed: {message}")).await;
                        self.event("Normal", "Killing", &why).await;
                        let exit = process.stop(self.grace()).await;
                        return End::Exited(Exit { code: if exit.code == 0 { 143 } else { exit.code }, ..exit });
                    }
                },
            }
        }
    }

    /// The graceful end: out of the endpoints first, then SIGTERM, then SIGKILL.
    async fn terminate(&mut self, process: &Process) {
        self.view.send_modify(|view| view.terminating = true);
        self.world.changed.notify_one();
        let message = format!("Stopping container {}", self.container.name);
        // An API server that does not answer keeps no container from ending.
        tokio::join!(self.event("Normal", "Killing", &message), process.stop(self.grace()));
    }

    fn grace(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.grace).unwrap_or_default())
    }

    fn set_ready(&mut self, ready: bool, address: Option<SocketAddr>) {
        self.status.set_ready(ready);
        self.view.send_modify(|view| {
            view.ready = ready;
            view.address = address;
        });
        self.world.changed.notify_one();
    }

    /// Writes status and ports; what the API server refused is written again later.
    async fn publish(&mut self) {
        let written = self.write().await;
        self.unwritten = written.is_err();
        if let Err(error) = written {
            tracing::debug!("status of Pod {}: {error}", self.name);
            if is_not_found(&error) {
                // Somebody deleted it, and the controller, which would say so, did not see it.
                self.stop.cancel();
            }
        }
    }

    async fn write(&self) -> kube::Result<()> {
        merge_status(&self.api, &self.name, self.status.status(&self.ip), MANAGER).await?;
        let address = self.view.borrow().address;
        let Some(address) = address.filter(|_| self.port > 0) else {
            return Ok(());
        };
        let ports = json!({"metadata": {"annotations": ports_annotation(&[(self.port, address)])}});
        merge(&self.api, &self.name, ports, MANAGER).await.map(drop)
    }

    async fn remove(&self) {
        self.view.send_modify(|view| view.terminating = true);
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        for _ in 0..5 {
            match self.api.delete(&self.name, &now).await {
                Ok(_) => return,
                Err(error) if is_not_found(&error) => return,
                Err(error) => tracing::debug!("deleting Pod {}: {error}", self.name),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn event(&self, kind: &str, reason: &str, message: &str) {
        let uid = self.view.borrow().uid.clone();
        let about = About { api_version: "v1", kind: "Pod", name: self.name.clone(), uid };
        self.world.recorder.record(&about, MANAGER, kind, reason, message).await;
    }
}

/// What came of starting the container.
enum Launched {
    /// It cannot be started as it is: a waiting reason and a sentence.
    Refused(&'static str, String),
    /// It ended before it listened.
    Died(Exit),
    /// It runs.
    Running(Running),
}
