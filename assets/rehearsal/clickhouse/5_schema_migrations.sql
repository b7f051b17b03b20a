-- golang-migrate's own table.
CREATE TABLE IF NOT EXISTS schema_migrations (
    version Int64,
    dirty UInt8,
    sequence UInt64
)
ENGINE = TinyLog
