//! A ClickHouse server binary that is already on this machine.

use std::path::{Path, PathBuf};

use super::{MAX_MEMORY, PROFILE, READER, USER};
use crate::rehearsal::{
    stage::{StageError, find_program},
    stores::{StoreError, write_private},
};

/// `$CLICKHOUSE_BINARY`, else `clickhouse` on PATH.
pub(super) fn find() -> Option<PathBuf> {
    let named = std::env::var_os("CLICKHOUSE_BINARY").map(PathBuf::from).filter(|file| file.is_file());
    named.or_else(|| find_program(&["clickhouse"], &[]))
}

/// Writes its configuration, one file with users and profiles in it; returns the path.
pub(super) fn configure(
    room: &Path,
    port: u16,
    password: &str,
    reader_password: &str,
) -> Result<PathBuf, StoreError> {
    for folder in ["data", "tmp", "user_files", "format_schemas"] {
        let folder = room.join(folder);
        std::fs::create_dir_all(&folder).map_err(StageError::at(&folder))?;
    }
    let config = room.join("config.xml");
    write_private(&config, &text(room, port, password, reader_password))?;
    Ok(config)
}

fn text(room: &Path, port: u16, password: &str, reader_password: &str) -> String {
    let room = escape(&room.display().to_string());
    let profile: Vec<String> =
        PROFILE.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
    let profile = profile.concat();
    let user = |name, password, profile| {
        format!(
            "<{name}><password>{password}</password><profile>{profile}</profile><quota>default</quota>\
             <networks><ip>127.0.0.1</ip></networks></{name}>"
        )
    };
    format!(
        "<clickhouse>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{port}</http_port>
  <timezone>UTC</timezone>
  <path>{room}/data/</path>
  <tmp_path>{room}/tmp/</tmp_path>
  <user_files_path>{room}/user_files/</user_files_path>
  <format_schema_path>{room}/format_schemas/</format_schema_path>
  <logger><level>warning</level><console>1</console></logger>
  <max_server_memory_usage>{MAX_MEMORY}</max_server_memory_usage>
  <mark_cache_size>67108864</mark_cache_size>
  <user_directories><users_xml><path>{room}/config.xml</path></users_xml></user_directories>
  <profiles>
    <default>{profile}</default>
    <reader><readonly>2</readonly>{profile}</reader>
  </profiles>
  <quotas><default/></quotas>
  <users>{langfuse}{reader}</users>
</clickhouse>
",
        langfuse = user(USER, password, "default"),
        reader = user(READER, reader_password, "reader"),
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
