//! The engine from the chdb package, served by our front (`assets/rehearsal/clickhouse_front`).

use std::path::Path;

use super::{Engine, MAX_MEMORY, PROFILE, READER, python};
use crate::rehearsal::{
    stage::{Stage, StageError},
    stores::{StoreError, write_private},
};

const FRONT: [(&str, &str); 4] = [
    ("front.py", include_str!("../../../../assets/rehearsal/clickhouse_front/front.py")),
    ("engine.py", include_str!("../../../../assets/rehearsal/clickhouse_front/engine.py")),
    ("sessions.py", include_str!("../../../../assets/rehearsal/clickhouse_front/sessions.py")),
    ("framing.py", include_str!("../../../../assets/rehearsal/clickhouse_front/framing.py")),
];

/// Seconds after which any query of a rehearsal is ended: a client that left cannot cancel it here.
const MAX_EXECUTION_TIME: &str = "120";

pub(super) async fn set_up(
    stage: &Stage,
    room: &Path,
    port: u16,
    users: [(&str, &str); 2],
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Engine, StoreError> {
    let python = python::with_chdb(stage, progress).await?;
    let front = stage.room("clickhouse/front")?;
    for (name, text) in FRONT {
        let file = front.join(name);
        std::fs::write(&file, text).map_err(StageError::at(&file))?;
    }
    let engine_config = room.join("engine.xml");
    write_private(&engine_config, &engine_settings())?;
    let users = users.map(|(name, password)| {
        let mut settings: serde_json::Map<_, _> =
            PROFILE.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        settings.insert("max_execution_time".into(), MAX_EXECUTION_TIME.into());
        let readonly = if name == READER { 2 } else { 0 };
        serde_json::json!({"name": name, "password": password, "readonly": readonly, "settings": settings})
    });
    let config = room.join("front.json");
    let text = serde_json::json!({
        "host": "127.0.0.1",
        "port": port,
        "path": room.join("data"),
        "engine_config": engine_config,
        "users": users,
    });
    write_private(&config, &text.to_string())?;
    Ok(Engine::Chdb { python, front: front.join("front.py"), config })
}

/// Small caches: the engine shares 1.5 GiB with everything else.
fn engine_settings() -> String {
    format!(
        "<clickhouse>
  <timezone>UTC</timezone>
  <max_server_memory_usage>{MAX_MEMORY}</max_server_memory_usage>
  <mark_cache_size>67108864</mark_cache_size>
  <index_mark_cache_size>16777216</index_mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <background_pool_size>2</background_pool_size>
</clickhouse>
"
    )
}
