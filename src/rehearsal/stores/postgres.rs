//! PostgreSQL: the real server, with Langfuse v2.95's schema.
//!
//! Built to be thrown away: nothing is flushed to disk on commit. A killed *process* loses nothing by that,
//! only a machine that loses power does.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};

use super::{Server, Service, StoreError, password, write_private};
use crate::rehearsal::stage::{
    Account, Program, Stage, StageError, Stop, find_program, free_port, give_back_shared_memory,
};

/// PostgreSQL as a service.
pub type Postgres = Service<PostgresServer>;

/// Superuser and owner of the tables.
pub const USER: &str = "langfuse";
/// The database.
pub const DATABASE: &str = "langfuse";

/// The tables and types of Langfuse v2.95 without the indexes and foreign keys of the big tables.
pub const TABLES: &str = include_str!("../../../assets/rehearsal/postgres.sql");
/// Those indexes and foreign keys: they come after the history, which is loaded three times as fast so.
pub const INDEXES: &str = include_str!("../../../assets/rehearsal/postgres_indexes.sql");

const SETTINGS: &str = "
timezone = 'UTC'
log_timezone = 'UTC'
shared_buffers = 160MB
maintenance_work_mem = 128MB
work_mem = 16MB
max_connections = 100
jit = off
max_parallel_maintenance_workers = 0
# Thrown away afterwards; and COPY into a table of the same transaction writes no log with wal_level=minimal.
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 2GB
# In the data directory, so that a killed server leaves nothing in /dev/shm.
dynamic_shared_memory_type = mmap
";

/// One data directory on one port.
pub struct PostgresServer {
    program: PathBuf,
    data: PathBuf,
    port: u16,
    password: String,
    account: Option<Account>,
}

impl PostgresServer {
    /// `postgresql://user:password@127.0.0.1:port/database`.
    pub fn url(&self) -> String {
        format!("postgresql://{USER}:{}@127.0.0.1:{}/{DATABASE}", self.password, self.port)
    }

    /// The folder of the Unix socket, with the port as its number; absent where the path is too long for one.
    pub fn socket_folder(&self) -> Option<&Path> {
        let room = self.data.parent()?;
        // sun_path holds 108 bytes (unix(7)); ".s.PGSQL.65535.lock" comes on top.
        (room.as_os_str().len() < 88).then_some(room)
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(USER)
            .password(&self.password)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
    }
}

impl Server for PostgresServer {
    fn program(&self) -> Program {
        Program::new("postgres", &self.program, ["-D".as_ref(), self.data.as_os_str()])
            .run_as(self.account.as_ref())
            .stop_by(Stop::Postgres)
    }

    fn bury(&self) {
        give_back_shared_memory(&self.data);
    }

    async fn probe(&self) -> Result<(), String> {
        let connected = PgConnection::connect_with(&self.options("postgres")).await;
        let connection = connected.map_err(|refusal| refusal.to_string())?;
        connection.close().await.map_err(|refusal| refusal.to_string())
    }
}

pub(super) async fn start(stage: &Stage) -> Result<Postgres, StoreError> {
    let room = stage.service_room("postgres")?;
    let server = PostgresServer {
        program: find_server()?,
        data: room.join("data"),
        port: free_port()?,
        password: password(),
        account: stage.account().cloned(),
    };
    init(stage, &server, &room).await?;
    let service = Service::begin(server, stage.starter()?).await?;
    create_database(service.server()).await?;
    Ok(service)
}

/// `postgres` on PATH, else the newest of the distribution's versioned folders.
fn find_server() -> Result<PathBuf, StageError> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    let folders: Vec<PathBuf> = versions.into_iter().map(|(_, folder)| folder).collect();
    let found = find_program(&["postgres"], &folders).ok_or(StageError::Missing {
        program: "postgres",
        place: "on PATH and in /usr/lib/postgresql/*/bin",
        remedy: "install PostgreSQL (apt-get install postgresql)",
    })?;
    // initdb is found beside it, so a link has to be followed.
    Ok(found.canonicalize().unwrap_or(found))
}

/// A new data directory: half a second, so there is no template to keep.
async fn init(stage: &Stage, server: &PostgresServer, room: &Path) -> Result<(), StoreError> {
    let words = room.join("password");
    write_private(&words, &server.password)?;
    if let Some(account) = &server.account {
        std::os::unix::fs::chown(&words, Some(account.uid), Some(account.gid))
            .map_err(StageError::at(&words))?;
    }
    let initdb = server.program.with_file_name("initdb");
    let pwfile = format!("--pwfile={}", words.display());
    let user = format!("--username={USER}");
    // The C locale exists everywhere; text is compared by bytes, as ClickHouse compares it.
    let fixed = ["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--no-sync", "--no-instructions"];
    let mut args = vec!["-D", server.data.to_str().unwrap_or_default(), &user, &pwfile];
    args.extend(fixed);
    let program = Program::new("initdb", initdb, args).run_as(server.account.as_ref());
    stage.spawn(program).await?.finish().await?;
    std::fs::remove_file(&words).map_err(StageError::at(&words))?;

    let file = server.data.join("postgresql.conf");
    let socket = server.socket_folder().map(|folder| folder.display().to_string()).unwrap_or_default();
    let own = format!(
        "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\n{SETTINGS}",
        server.port,
        socket.replace('\'', "''")
    );
    let open = std::fs::OpenOptions::new().append(true).open(&file);
    open.and_then(|mut open| open.write_all(own.as_bytes())).map_err(StageError::at(&file))?;
    Ok(())
}

async fn create_database(server: &PostgresServer) -> Result<(), StoreError> {
    let failed = |doing| move |source| StoreError::Postgres { doing, source };
    let create = "CREATE DATABASE langfuse";
    let mut connection =
        PgConnection::connect_with(&server.options("postgres")).await.map_err(failed("connecting"))?;
    sqlx::raw_sql(create).execute(&mut connection).await.map_err(failed(create))?;
    connection.close().await.map_err(failed("closing"))
}

/// Connects to a rehearsal's PostgreSQL with no surprises from `~/.pgpass` or PG* variables.
pub(crate) async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    let options: PgConnectOptions = url.parse()?;
    let options = options.ssl_mode(PgSslMode::Disable).application_name("cutover rehearsal");
    let attempt = PgConnection::connect_with(&options);
    tokio::time::timeout(Duration::from_secs(10), attempt)
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut))
}
