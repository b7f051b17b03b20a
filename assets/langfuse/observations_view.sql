-- What v2 reads observations from: their columns, latencies, prompt, and model with prices where no cost is
-- stored, as v2's newest migrations of the view leave them.
CREATE VIEW observations_view AS
SELECT
    o.id, o.name, o.start_time, o.end_time, o.parent_observation_id, o.type, o.trace_id, o.metadata, o.model,
    o."modelParameters", o.input, o.output, o.level, o.status_message, o.completion_start_time,
    o.completion_tokens, o.prompt_tokens, o.total_tokens, o.version, o.project_id, o.created_at, o.updated_at,
    o.unit, o.prompt_id, p.name AS prompt_name, p.version AS prompt_version, o.input_cost, o.output_cost,
    o.total_cost, o.internal_model, m.id AS model_id, m.start_date AS model_start_date, m.input_price,
    m.output_price, m.total_price, m.tokenizer_config,
    coalesce(o.calculated_input_cost, o.input_cost,
        CASE WHEN NOT priced THEN o.prompt_tokens * m.input_price END) AS calculated_input_cost,
    coalesce(o.calculated_output_cost, o.output_cost,
        CASE WHEN NOT priced THEN o.completion_tokens * m.output_price END) AS calculated_output_cost,
    coalesce(o.calculated_total_cost, o.total_cost,
        CASE WHEN NOT priced THEN coalesce(m.total_price * o.total_tokens,
            o.prompt_tokens * m.input_price + o.completion_tokens * m.output_price) END) AS calculated_total_cost,
    extract(epoch FROM o.end_time - o.start_time)::double precision AS latency,
    extract(epoch FROM o.completion_start_time - o.start_time)::double precision AS time_to_first_token
FROM observations o
CROSS JOIN LATERAL (SELECT num_nonnulls(o.input_cost, o.output_cost, o.total_cost) > 0 AS priced) given
LEFT JOIN LATERAL (
    SELECT candidate.*
    FROM models candidate
    WHERE (candidate.project_id = o.project_id OR candidate.project_id IS NULL)
        AND candidate.model_name = o.internal_model
        AND (candidate.start_date < o.start_time OR candidate.start_date IS NULL)
        AND candidate.unit = o.unit
    ORDER BY candidate.project_id, candidate.start_date DESC NULLS LAST
    LIMIT 1
) m ON true
LEFT JOIN prompts p ON p.id = o.prompt_id AND p.project_id = o.project_id;
