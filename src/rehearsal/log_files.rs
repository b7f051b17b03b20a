//! Where containers' log lines go: a file for each Pod, and the API server's own logs.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::kube::Logs;
use super::workloads::LogSink;

/// A sink that appends to `<dir>/<pod>.log`, and to the logs `kubectl logs` reads, where there are any.
pub(super) fn sink(dir: PathBuf, namespace: &str, logs: Option<Logs>) -> LogSink {
    let files: Mutex<HashMap<String, Option<File>>> = Mutex::default();
    let namespace = namespace.to_owned();
    Arc::new(move |pod, _container, line| {
        if let Some(logs) = &logs {
            logs.append(&namespace, pod, line);
        }
        let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
        let file = files.entry(pod.to_owned()).or_insert_with(|| {
            OpenOptions::new().create(true).append(true).open(dir.join(format!("{pod}.log"))).ok()
        });
        // A full disk must not end a process that only wanted to log.
        let _ = file.as_mut().map(|file| writeln!(file, "{line}"));
    })
}
