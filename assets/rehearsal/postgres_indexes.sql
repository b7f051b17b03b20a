-- Keys, indexes and foreign keys of the tables that hold the history, as Langfuse v2.95 has them.
-- They are made after the load: building an index from a full table is several times faster than filling it.

ALTER TABLE traces ADD PRIMARY KEY (id);
CREATE INDEX traces_project_id_timestamp_idx ON traces (project_id, "timestamp");
CREATE INDEX traces_session_id_idx ON traces (session_id);
CREATE INDEX traces_name_idx ON traces (name);
CREATE INDEX traces_user_id_idx ON traces (user_id);
CREATE INDEX traces_id_user_id_idx ON traces (id, user_id);
CREATE INDEX traces_timestamp_idx ON traces ("timestamp");
CREATE INDEX traces_created_at_idx ON traces (created_at);
CREATE INDEX traces_tags_idx ON traces USING gin (tags array_ops);

ALTER TABLE observations ADD PRIMARY KEY (id);
CREATE UNIQUE INDEX observations_id_project_id_key ON observations (id, project_id);
CREATE INDEX observations_project_id_internal_model_start_time_unit_idx
    ON observations (project_id, internal_model, start_time, unit);
CREATE INDEX observations_trace_id_project_id_type_start_time_idx
    ON observations (trace_id, project_id, type, start_time);
CREATE INDEX observations_trace_id_project_id_start_time_idx ON observations (trace_id, project_id, start_time);
CREATE INDEX observations_type_idx ON observations (type);
CREATE INDEX observations_start_time_idx ON observations (start_time);
CREATE INDEX observations_created_at_idx ON observations (created_at);
CREATE INDEX observations_model_idx ON observations (model);
CREATE INDEX observations_internal_model_idx ON observations (internal_model);
CREATE INDEX observations_project_id_prompt_id_idx ON observations (project_id, prompt_id);
CREATE INDEX observations_prompt_id_idx ON observations (prompt_id);
CREATE INDEX observations_project_id_start_time_type_idx ON observations (project_id, start_time, type);

ALTER TABLE scores ADD PRIMARY KEY (id);
CREATE UNIQUE INDEX scores_id_project_id_key ON scores (id, project_id);
CREATE INDEX scores_timestamp_idx ON scores ("timestamp");
CREATE INDEX scores_value_idx ON scores (value);
CREATE INDEX scores_project_id_name_idx ON scores (project_id, name);
CREATE INDEX scores_author_user_id_idx ON scores (author_user_id);
CREATE INDEX scores_config_id_idx ON scores (config_id);
CREATE INDEX scores_trace_id_idx ON scores USING hash (trace_id);
CREATE INDEX scores_observation_id_idx ON scores USING hash (observation_id);
CREATE INDEX scores_source_idx ON scores (source);
CREATE INDEX scores_created_at_idx ON scores (created_at);

ALTER TABLE dataset_run_items ADD PRIMARY KEY (id, project_id);
CREATE INDEX dataset_run_items_dataset_run_id_idx ON dataset_run_items USING hash (dataset_run_id);
CREATE INDEX dataset_run_items_dataset_item_id_idx ON dataset_run_items USING hash (dataset_item_id);
CREATE INDEX dataset_run_items_observation_id_idx ON dataset_run_items USING hash (observation_id);
CREATE INDEX dataset_run_items_trace_id_idx ON dataset_run_items (trace_id);
CREATE INDEX dataset_run_items_created_at_idx ON dataset_run_items (created_at);
CREATE INDEX dataset_run_items_updated_at_idx ON dataset_run_items (updated_at);

ALTER TABLE traces
    ADD FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE ON UPDATE CASCADE,
    ADD FOREIGN KEY (session_id, project_id) REFERENCES trace_sessions (id, project_id)
        ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE observations
    ADD FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE scores
    ADD FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE ON UPDATE CASCADE,
    ADD FOREIGN KEY (config_id) REFERENCES score_configs (id) ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE dataset_run_items
    ADD FOREIGN KEY (dataset_run_id, project_id) REFERENCES dataset_runs (id, project_id)
        ON DELETE CASCADE ON UPDATE CASCADE,
    ADD FOREIGN KEY (dataset_item_id, project_id) REFERENCES dataset_items (id, project_id)
        ON DELETE CASCADE ON UPDATE CASCADE;
