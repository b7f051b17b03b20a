//! What the history stands in: organisation, projects, keys, prompts, models, score configurations, datasets.

use sqlx::{PgConnection, query};

use super::{
    CANARY_PROJECT, Options, Project,
    keys::fast_hash,
    observations::{MODELS, PROMPTS, prompt_id},
};

const ORGANIZATION: &str = "rehearsal-org";
/// Items of each project's dataset, and runs over them.
pub(super) const DATASET: (i32, i32) = (10, 2);

/// Writes all of it; needs the tables.
pub(super) async fn write(
    connection: &mut PgConnection,
    options: &Options,
    projects: &[Project],
) -> Result<(), sqlx::Error> {
    query("INSERT INTO organizations (id, name) VALUES ($1, 'Rehearsal')")
        .bind(ORGANIZATION)
        .execute(&mut *connection)
        .await?;
    for (name, id, input, output) in MODELS {
        query(
            "INSERT INTO models (id, model_name, match_pattern, input_price, output_price, unit, tokenizer_id)
             VALUES ($1, $2, '(?i)^' || $2 || '$', $3::bigint::numeric / 1000000000, $4::bigint::numeric / 1000000000,
                     'TOKENS', 'openai')",
        )
        .bind(id)
        .bind(name)
        .bind(input.cast_signed())
        .bind(output.cast_signed())
        .execute(&mut *connection)
        .await?;
    }
    for project in projects {
        write_project(connection, options, project).await?;
        if project.name != CANARY_PROJECT {
            write_belongings(connection, &project.id).await?;
        }
    }
    Ok(())
}

async fn write_project(
    connection: &mut PgConnection,
    options: &Options,
    project: &Project,
) -> Result<(), sqlx::Error> {
    query("INSERT INTO projects (id, name, org_id) VALUES ($1, $2, $3)")
        .bind(&project.id)
        .bind(&project.name)
        .bind(ORGANIZATION)
        .execute(&mut *connection)
        .await?;
    query(
        "INSERT INTO api_keys (id, note, public_key, hashed_secret_key, display_secret_key, project_id,
                               fast_hashed_secret_key)
         VALUES ($1, 'rehearsal', $2, $3, $4, $5, $6)",
    )
    .bind(format!("{}-key", project.id))
    .bind(&project.public_key)
    .bind(project.hashed_secret_key())
    .bind(project.display_secret_key())
    .bind(&project.id)
    .bind(fast_hash(&project.secret_key, &options.salt))
    .execute(connection)
    .await?;
    Ok(())
}

/// Prompts, a score configuration and a dataset with runs whose items wait for their traces.
async fn write_belongings(connection: &mut PgConnection, project: &str) -> Result<(), sqlx::Error> {
    for number in 0..PROMPTS {
        query(
            "INSERT INTO prompts (id, project_id, created_by, name, version, prompt, labels, is_active)
             VALUES ($1, $2, 'API', $3, 1, to_jsonb('Answer {{question}} from {{passages}}.'::text),
                     ARRAY['production', 'latest'], true)",
        )
        .bind(prompt_id(project, number))
        .bind(project)
        .bind(["rag-answer", "summarise", "classify-ticket"][number as usize % 3])
        .execute(&mut *connection)
        .await?;
    }
    let (items, runs) = DATASET;
    for (statement, count) in [
        (
            "INSERT INTO score_configs (id, project_id, name, data_type, min_value, max_value)
          SELECT $1 || '-quality', $1, 'quality', 'NUMERIC', 0, $2::integer",
            1,
        ),
        (
            "INSERT INTO datasets (id, name, project_id, description)
          SELECT $1 || '-golden', 'golden', $1, 'questions with known answers' WHERE $2::integer > 0",
            1,
        ),
        (
            "INSERT INTO dataset_items (id, dataset_id, project_id, input, expected_output)
          SELECT $1 || '-item-' || n, $1 || '-golden', $1, jsonb_build_object('question', n), to_jsonb(n * 2)
          FROM generate_series(1, $2::integer) AS n",
            items,
        ),
        (
            "INSERT INTO dataset_runs (id, name, dataset_id, project_id)
          SELECT $1 || '-run-' || n, 'run ' || n, $1 || '-golden', $1
          FROM generate_series(1, $2::integer) AS n",
            runs,
        ),
    ] {
        query(statement).bind(project).bind(count).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Each run answered each item by one of the project's newest traces.
pub(super) const RUN_ITEMS: &str = "
INSERT INTO dataset_run_items (id, dataset_run_id, dataset_item_id, trace_id, project_id, created_at, updated_at)
SELECT run.id || '-' || item.id, run.id, item.id, trace.id, run.project_id, trace.created_at, trace.created_at
FROM dataset_runs run
JOIN dataset_items item ON item.dataset_id = run.dataset_id AND item.project_id = run.project_id
CROSS JOIN LATERAL (
    SELECT id, created_at FROM traces
    WHERE project_id = run.project_id
    ORDER BY \"timestamp\" DESC
    OFFSET abs(hashtext(run.id || item.id)) % 10 LIMIT 1
) trace";
