//! A rehearsal of the program that is measured, so that its servers are as quick as it is.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use sqlx::Connection as _;

use crate::process;

/// A running rehearsal; gone when it is dropped.
pub struct Rehearsal {
    child: Child,
    /// The JSON object of its first line.
    pub info: Value,
}

impl Rehearsal {
    /// Starts one, with these settings of a scenario of our own.
    pub fn start(settings: &str, args: &[&str]) -> Self {
        let scenario = std::env::temp_dir().join(format!("cutover-bench-{}.toml", uuid::Uuid::new_v4()));
        std::fs::write(&scenario, format!("description = \"bench\"\n[settings]\n{settings}\n")).unwrap();
        let mut child = Command::new(crate::program())
            .args(["rehearse", "--no-tui"])
            .args(args)
            .arg("--scenario")
            .arg(&scenario)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        std::fs::remove_file(scenario).unwrap();
        Self { child, info: serde_json::from_str(&line).expect("the rehearsal says where it is") }
    }

    /// One field of its first line.
    pub fn field(&self, name: &str) -> &str {
        self.info[name].as_str().unwrap()
    }

    /// The configuration it wrote.
    pub fn config(&self) -> PathBuf {
        self.field("config").into()
    }

    /// The folder of everything.
    pub fn dir(&self) -> PathBuf {
        self.config().parent().unwrap().to_owned()
    }

    /// Its process: API server, gateway, Langfuse's stand-ins. The stores have processes of their own.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process of one of its stores.
    pub fn store(&self, program: &str, word: &str) -> Option<u32> {
        let children = Path::new("/proc").join(self.pid().to_string()).join("task");
        let children: Vec<u32> = std::fs::read_dir(children)
            .ok()?
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok())
            .flat_map(|text| text.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<u32>>())
            .collect();
        children.into_iter().find(|pid| process::is(*pid, program, word))
    }

    /// One value from PostgreSQL.
    pub fn sql<T>(&self, statement: &str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        let url = self.field("postgres_url");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut session = sqlx::PgConnection::connect(url).await.unwrap();
            let query = sqlx::query_scalar(sqlx::AssertSqlSafe(statement.to_owned()));
            query.fetch_one(&mut session).await.unwrap()
        })
    }

    /// ClickHouse's answer as text.
    pub fn clickhouse(&self, statement: &str) -> String {
        let config: toml::Table = std::fs::read_to_string(self.config()).unwrap().parse().unwrap();
        let told = |key: &str| config["clickhouse"][key].as_str().unwrap().to_owned();
        let output = Command::new("curl")
            .args(["-sS", "--fail-with-body", &told("url"), "--data-binary", statement])
            .args(["-H", &format!("X-ClickHouse-User: {}", told("user"))])
            .args(["-H", &format!("X-ClickHouse-Key: {}", told("password"))])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Fires a fault by hand.
    pub fn fault(&self, args: &[&str]) {
        let mut command = Command::new(crate::program());
        let done = command.args(["rehearse", "fault", "--dir"]).arg(self.dir()).args(args).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        process::signal(self.pid(), rustix::process::Signal::CONT);
        process::signal(self.pid(), rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}
