//! The controller as the cluster shows it: its namespace, Pod, Service and `IngressClass`.

use std::net::SocketAddr;

use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::networking::v1::IngressClass;
use kube::{Api, Client};
use serde_json::json;

use super::build::CONTROLLER;
use super::metrics::{NAMESPACE, POD};
use crate::rehearsal::workloads::objects::{ensure, merge_status, ports_annotation};

/// Image of the controller that the gateway plays.
const IMAGE: &str = "registry.k8s.io/ingress-nginx/controller:v1.15.1";

/// Writes the objects; those that exist are left as they are.
pub async fn create(
    client: &Client,
    metrics: SocketAddr,
    config: SocketAddr,
    public: SocketAddr,
) -> kube::Result<()> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    ensure(&Api::<Namespace>::all(client.clone()), namespace).await?;
    let class = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "nginx"},
                       "spec": {"controller": CONTROLLER}});
    ensure(&Api::<IngressClass>::all(client.clone()), class).await?;
    let labels = json!({"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/instance": "ingress-nginx",
                        "app.kubernetes.io/component": "controller"});
    let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
    for (name, port, number) in
        [("ingress-nginx-controller", "http", 80), ("ingress-nginx-controller-metrics", "metrics", 10254)]
    {
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
            "spec": {"selector": labels, "ports": [{"name": port, "port": number, "targetPort": port}]},
        });
        ensure(&services, service).await?;
    }
    pod(client, &labels, &[(10254, metrics), (10246, config), (80, public)]).await
}

async fn pod(client: &Client, labels: &serde_json::Value, ports: &[(u16, SocketAddr)]) -> kube::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": POD, "namespace": NAMESPACE, "labels": labels, "annotations": ports_annotation(ports)},
        "spec": {"nodeName": "rehearsal", "containers": [{
            "name": "controller", "image": IMAGE,
            "ports": [{"name": "http", "containerPort": 80}, {"name": "metrics", "containerPort": 10254}],
        }]},
    });
    ensure(&pods, pod).await?;
    let status = json!({
        "phase": "Running", "podIP": "10.244.0.2",
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "ContainersReady", "status": "True"}],
        "containerStatuses": [{"name": "controller", "image": IMAGE, "imageID": "", "ready": true, "restartCount": 0,
                               "state": {"running": {}}}],
    });
    merge_status(&pods, POD, status, "kubelet").await.map(drop)
}
