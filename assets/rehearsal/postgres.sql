-- Langfuse v2.95's part of PostgreSQL that a migration to v3 touches: column names, types and keys as
-- the server's own migrations leave them. Indexes and foreign keys of the large tables stand in
-- postgres_indexes.sql, which runs after the history is loaded.
-- Every timestamp is TIMESTAMP(3) without time zone and means UTC; ids are text.

CREATE TYPE "ObservationType" AS ENUM ('SPAN', 'EVENT', 'GENERATION');
CREATE TYPE "ObservationLevel" AS ENUM ('DEBUG', 'DEFAULT', 'WARNING', 'ERROR');
CREATE TYPE "ScoreSource" AS ENUM ('ANNOTATION', 'API', 'EVAL');
CREATE TYPE "ScoreDataType" AS ENUM ('CATEGORICAL', 'NUMERIC', 'BOOLEAN');
CREATE TYPE "DatasetStatus" AS ENUM ('ACTIVE', 'ARCHIVED');

CREATE TABLE organizations (
    id text PRIMARY KEY,
    name text NOT NULL,
    created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    cloud_config jsonb
);

CREATE TABLE projects (
    id text PRIMARY KEY,
    created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    name text NOT NULL,
    updated_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    org_id text NOT NULL REFERENCES organizations (id) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX projects_org_id_idx ON projects (org_id);

CREATE TABLE api_keys (
    id text PRIMARY KEY,
    created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    note text,
    public_key text NOT NULL,
    hashed_secret_key text NOT NULL,
    display_secret_key text NOT NULL,
    last_used_at timestamp(3),
    expires_at timestamp(3),
    project_id text NOT NULL REFERENCES projects (id) ON DELETE CASCADE ON UPDATE CASCADE,
    fast_hashed_secret_key text
);
CREATE UNIQUE INDEX api_keys_id_key ON api_keys (id);
CREATE UNIQUE INDEX api_keys_public_key_key ON api_keys (public_key);
CREATE UNIQUE INDEX api_keys_hashed_secret_key_key ON api_keys (hashed_secret_key);
CREATE UNIQUE INDEX api_keys_fast_hashed_secret_key_key ON api_keys (fast_hashed_secret_key);
CREATE INDEX api_keys_project_id_idx ON api_keys (project_id);
CREATE INDEX api_keys_public_key_idx ON api_keys (public_key);
CREATE INDEX api_keys_hashed_secret_key_idx ON api_keys (hashed_secret_key);
CREATE INDEX api_keys_fast_hashed_secret_key_idx ON api_keys (fast_hashed_secret_key);

CREATE TABLE trace_sessions (
    id text NOT NULL,
    created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    project_id text NOT NULL REFERENCES projects (id) ON DELETE CASCADE ON UPDATE CASCADE,
    bookmarked boolean NOT NULL DEFAULT false,
    public boolean NOT NULL DEFAULT false,
    PRIMARY KEY (id, project_id)
);
CREATE INDEX trace_sessions_project_id_created_at_idx ON trace_sessions (project_id, created_at DESC);

CREATE TABLE prompts (
    id text PRIMARY KEY,
    created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    project_id text NOT NULL REFERENCES projects (id) ON DELETE CASCADE ON UPDATE CASCADE,
    created_by text NOT NULL,
    name text NOT NULL,
    version integer NOT NULL,
    is_active boolean,
    config json NOT NULL DEFAULT '{}',
    prompt jsonb NOT NULL,
    type text NOT NULL DEFAULT 'text',
    tags text[] DEFAULT ARRAY[]::text[],
    labels text[] DEFAULT ARRAY[]::text[]
);
CREATE UNIQUE INDEX prompts_project_id_name_version_key ON prompts (project_id, name, version);
CREATE INDEX prompts_project_id_id_idx ON prompts (project_id, id);
CREATE INDEX prompts_created_at_idx ON prompts (created_at);
CREATE INDEX prompts_updated_at_idx ON prompts (updated_at);
CREATE INDEX prompts_tags_idx ON prompts USING gin (tags array_ops);

CREATE TABLE models (
    id text PRIMARY KEY,
    created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    project_id text REFERENCES projects (id) ON DELETE CASCADE ON UPDATE CASCADE,
    model_name text NOT NULL,
    match_pattern text NOT NULL,
    start_date timestamp(3),
    input_price numeric(65, 30),
    output_price numeric(65, 30),
    total_price numeric(65, 30),
    unit text,
    tokenizer_id text,
    tokenizer_config jsonb
);
CREATE UNIQUE INDEX models_project_id_model_name_start_date_unit_key
    ON models (project_id, model_name, start_date, unit);
CREATE INDEX models_model_name_idx ON models (model_name);

CREATE TABLE score_configs (
    id text PRIMARY KEY,
    created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    project_id text NOT NULL REFERENCES projects (id) ON DELETE CASCADE ON UPDATE CASCADE,
    name text NOT NULL,
    data_type "ScoreDataType" NOT NULL,
    is_archived boolean NOT NULL DEFAULT false,
    min_value double precision,
    max_value double precision,
    categories jsonb,
    description text
);
CREATE UNIQUE INDEX score_configs_id_project_id_key ON score_configs (id, project_id);
CREATE INDEX score_configs_project_id_idx ON score_configs (project_id);

CREATE TABLE traces (
    id text NOT NULL,
    external_id text,
    "timestamp" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    name text,
    user_id text,
    metadata jsonb,
    release text,
    version text,
    project_id text NOT NULL,
    public boolean NOT NULL DEFAULT false,
    bookmarked boolean NOT NULL DEFAULT false,
    tags text[] DEFAULT ARRAY[]::text[],
    input jsonb,
    output jsonb,
    session_id text,
    created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE observations (
    id text NOT NULL,
    name text,
    start_time timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    end_time timestamp(3),
    parent_observation_id text,
    type "ObservationType" NOT NULL,
    trace_id text,
    metadata jsonb,
    model text,
    "modelParameters" jsonb,
    input jsonb,
    output jsonb,
    level "ObservationLevel" NOT NULL DEFAULT 'DEFAULT',
    status_message text,
    completion_start_time timestamp(3),
    completion_tokens integer NOT NULL DEFAULT 0,
    prompt_tokens integer NOT NULL DEFAULT 0,
    total_tokens integer NOT NULL DEFAULT 0,
    version text,
    project_id text NOT NULL,
    created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    unit text,
    prompt_id text,
    input_cost numeric(65, 30),
    output_cost numeric(65, 30),
    total_cost numeric(65, 30),
    internal_model text,
    updated_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    calculated_input_cost numeric(65, 30),
    calculated_output_cost numeric(65, 30),
    calculated_total_cost numeric(65, 30),
    internal_model_id text
);

CREATE TABLE scores (
    id text NOT NULL,
    "timestamp" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    name text NOT NULL,
    value double precision,
    observation_id text,
    trace_id text NOT NULL,
    comment text,
    source "ScoreSource" NOT NULL,
    project_id text NOT NULL,
    author_user_id text,
    config_id text,
    data_type "ScoreDataType" NOT NULL DEFAULT 'NUMERIC',
    string_value text,
    created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    queue_id text
);

CREATE TABLE datasets (
    id text NOT NULL,
    name text NOT NULL,
    project_id text NOT NULL REFERENCES projects (id) ON DELETE CASCADE ON UPDATE CASCADE,
    created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    description text,
    metadata jsonb,
    PRIMARY KEY (id, project_id)
);
CREATE UNIQUE INDEX datasets_project_id_name_key ON datasets (project_id, name);

CREATE TABLE dataset_items (
    id text NOT NULL,
    input jsonb,
    expected_output jsonb,
    source_observation_id text,
    dataset_id text NOT NULL,
    created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    status "DatasetStatus" NOT NULL DEFAULT 'ACTIVE',
    source_trace_id text,
    metadata jsonb,
    project_id text NOT NULL,
    PRIMARY KEY (id, project_id),
    FOREIGN KEY (dataset_id, project_id) REFERENCES datasets (id, project_id) ON DELETE CASCADE ON UPDATE CASCADE
);

CREATE TABLE dataset_runs (
    id text NOT NULL,
    name text NOT NULL,
    dataset_id text NOT NULL,
    created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    metadata jsonb,
    description text,
    project_id text NOT NULL,
    PRIMARY KEY (id, project_id),
    FOREIGN KEY (dataset_id, project_id) REFERENCES datasets (id, project_id) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX dataset_runs_dataset_id_project_id_name_key ON dataset_runs (dataset_id, project_id, name);

CREATE TABLE dataset_run_items (
    id text NOT NULL,
    dataset_run_id text NOT NULL,
    dataset_item_id text NOT NULL,
    observation_id text,
    created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    trace_id text NOT NULL,
    project_id text NOT NULL
);

-- Shared by v2 and v3. v2's own migrations insert the four rows; only a v3 worker runs them.
CREATE TABLE background_migrations (
    id text PRIMARY KEY,
    name text NOT NULL,
    script text NOT NULL,
    args jsonb NOT NULL,
    finished_at timestamp(3),
    failed_at timestamp(3),
    failed_reason text,
    worker_id text,
    locked_at timestamp(3),
    state jsonb NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX background_migrations_name_key ON background_migrations (name);

INSERT INTO background_migrations (id, name, script, args) VALUES
    ('32859a35-98f5-4a4a-b438-ebc579349e00', '20241024_1216_add_generations_cost_backfill',
     'addGenerationsCostBackfill', '{}'),
    ('5960f22a-748f-480c-b2f3-bc4f9d5d84bc', '20241024_1730_migrate_traces_from_pg_to_ch',
     'migrateTracesFromPostgresToClickhouse', '{}'),
    ('7526e7c9-0026-4595-af2c-369dfd9176ec', '20241024_1737_migrate_observations_from_pg_to_ch',
     'migrateObservationsFromPostgresToClickhouse', '{}'),
    ('94e50334-50d3-4e49-ad2e-9f6d92c85ef7', '20241024_1738_migrate_scores_from_pg_to_ch',
     'migrateScoresFromPostgresToClickhouse', '{}');

CREATE TABLE _prisma_migrations (
    id varchar(36) PRIMARY KEY,
    checksum varchar(64) NOT NULL,
    finished_at timestamptz,
    migration_name varchar(255) NOT NULL,
    logs text,
    rolled_back_at timestamptz,
    started_at timestamptz NOT NULL DEFAULT now(),
    applied_steps_count integer NOT NULL DEFAULT 0
);

-- The rows a migration is judged by: the views' last definitions and the background migrations.
-- A checksum is of the rehearsal's own: nothing here runs Prisma.
INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name, started_at, applied_steps_count)
SELECT gen_random_uuid()::text, encode(sha256(name::bytea), 'hex'), now(), name, now(), 1
FROM unnest(ARRAY[
    '20240705152639_traces_view_add_created_at_updated_at',
    '20241015110145_prompts_config_to_JSON',
    '20241024121500_add_generations_cost_backfill_background_migration',
    '20241024173000_add_traces_pg_to_ch_background_migration',
    '20241024173700_add_observations_pg_to_ch_background_migration',
    '20241024173800_add_scores_pg_to_ch_background_migration',
    '20241104111600_background_migrations_add_state_column'
]) AS name;
