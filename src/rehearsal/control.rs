//! Firing faults by hand: a unix socket in the rehearsal's directory, one JSON line each way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::faults::levers::Levers;
use super::faults::{FAULTS, Fault, WordsError};
use super::options::FaultArgs;
use super::period::Period;
use super::stage::cache_folder;

/// Name of the socket in the rehearsal's directory.
const SOCKET: &str = "control.sock";
/// Before the next try when no connection could be accepted: out of file descriptors, mostly.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// How long an answer may take: a store may have to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a fault could not be fired from outside.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No rehearsal runs.
    #[error("no rehearsal of this user is running; start one with `cutover rehearse`, or name its --dir")]
    Nobody,
    /// The socket of the rehearsal could not be used.
    #[error("{}: {source}; is the rehearsal there still running?", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The words were not understood.
    #[error(transparent)]
    Words(#[from] WordsError),
    /// The rehearsal could not do it.
    #[error("the rehearsal could not do it: {0}")]
    Refused(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    fault: Fault,
    #[serde(default)]
    lift: bool,
    #[serde(default, rename = "for")]
    lasts: Option<Period>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Ok(String),
    Error(String),
}

/// Whether the socket's path fits into an address (108 bytes, unix(7)): to be asked before everything is started.
pub fn fits(dir: &Path) -> std::io::Result<()> {
    std::os::unix::net::SocketAddr::from_pathname(dir.join(SOCKET)).map(drop)
}

/// Listens in `dir` until the levers' token is cancelled.
pub fn listen(dir: &Path, levers: &Arc<Levers>) -> std::io::Result<()> {
    let listener = UnixListener::bind(dir.join(SOCKET))?;
    let (levers, cancel, tasks) = (Arc::clone(levers), levers.cancel.clone(), levers.tasks.clone());
    tasks.clone().spawn(async move {
        while let Some(accepted) = cancel.run_until_cancelled(listener.accept()).await {
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            };
            let (own, cancel) = (Arc::clone(&levers), cancel.clone());
            tasks.spawn(async move { cancel.run_until_cancelled(serve(stream, own)).await });
        }
    });
    Ok(())
}

async fn serve(stream: UnixStream, levers: Arc<Levers>) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match serde_json::from_str::<Request>(&line) {
            Ok(request) => carry_out(&levers, request).await,
            Err(error) => Answer::Error(error.to_string()),
        };
        let text = serde_json::to_string(&answer)?;
        write.write_all(format!("{text}\n").as_bytes()).await?;
    }
    Ok(())
}

async fn carry_out(levers: &Arc<Levers>, request: Request) -> Answer {
    let Request { fault, lift, lasts } = request;
    let done = if lift { levers.lift(&fault).await } else { levers.apply(&fault).await };
    let done = match done {
        Ok(done) => done,
        Err(error) => return Answer::Error(error.to_string()),
    };
    let Some(lasts) = lasts.filter(|_| !lift) else {
        return Answer::Ok(done);
    };
    levers.lift_later(fault, lasts);
    Answer::Ok(format!("{done} for {lasts}"))
}

/// `cutover rehearse fault`: fires a fault in the named or newest running rehearsal, or lists the faults.
pub async fn fault(arguments: &FaultArgs) -> Result<String, ControlError> {
    let Some(name) = &arguments.name else {
        return Ok(list());
    };
    let faults = if arguments.lift {
        Fault::to_lift(name, &arguments.arguments)?
    } else {
        vec![Fault::from_words(name, &arguments.arguments)?]
    };
    let (path, mut stream) = match &arguments.dir {
        Some(dir) => open(dir.join(SOCKET)).await?,
        None => newest().await?,
    };
    let failed = |source| ControlError::Socket { path: path.clone(), source };
    let mut said: Vec<String> = Vec::new();
    for fault in faults {
        let request = Request { fault, lift: arguments.lift, lasts: arguments.lasts };
        let answer = tokio::time::timeout(PATIENCE, exchange(&mut stream, &request)).await;
        match answer.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(failed)? {
            Answer::Ok(done) if said.contains(&done) => {}
            Answer::Ok(done) => said.push(done),
            Answer::Error(why) => return Err(ControlError::Refused(why)),
        }
    }
    Ok(said.join("\n"))
}

async fn exchange(stream: &mut UnixStream, request: &Request) -> std::io::Result<Answer> {
    let line = serde_json::to_string(request)?;
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).await?;
    Ok(serde_json::from_str(&answer)?)
}

fn list() -> String {
    let rows = FAULTS
        .iter()
        .map(|(name, arguments, meaning)| format!("{name:<22}{meaning}\n{:22}{arguments}\n", ""));
    rows.collect::<String>()
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .filter(|line| line != "\n")
        .collect()
}

async fn open(path: PathBuf) -> Result<(PathBuf, UnixStream), ControlError> {
    let stream = UnixStream::connect(&path).await;
    stream.map(|stream| (path.clone(), stream)).map_err(|source| ControlError::Socket { path, source })
}

/// The newest rehearsal of this user that answers.
async fn newest() -> Result<(PathBuf, UnixStream), ControlError> {
    let folder = cache_folder().map_err(|_| ControlError::Nobody)?.join("rehearsals");
    let mut dirs: Vec<(SystemTime, PathBuf)> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|pointer| {
            let written = pointer.metadata().ok()?.modified().ok()?;
            Some((written, PathBuf::from(std::fs::read_to_string(pointer.path()).ok()?)))
        })
        .collect();
    dirs.sort();
    for (_, dir) in dirs.into_iter().rev() {
        if let Ok(found) = open(dir.join(SOCKET)).await {
            return Ok(found);
        }
    }
    Err(ControlError::Nobody)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_name_the_faults_are_listed() {
        let text = fault(&FaultArgs::default()).await.unwrap();
        assert!(text.contains("redis-full") && text.contains("maxmemory=1048576"), "{text}");
    }

    #[test]
    fn a_long_path_is_known_before_anything_is_started() {
        assert!(fits(Path::new("/tmp/rehearsal")).is_ok());
        assert!(fits(&Path::new("/").join("d".repeat(100))).is_err());
    }

    #[tokio::test]
    async fn nobody_there_is_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let arguments =
            FaultArgs { name: Some("v3-crash".into()), dir: Some(dir.path().into()), ..FaultArgs::default() };
        assert!(fault(&arguments).await.unwrap_err().to_string().contains("still running"));
    }
}
