-- What v2 reads its lists of traces from: the columns of traces and how long a trace took, as v2's newest
-- migration of the view leaves them (20240705152639_traces_view_add_created_at_updated_at).
CREATE VIEW traces_view AS
SELECT t.*, o.duration
FROM traces t
LEFT JOIN (
    SELECT
        trace_id,
        project_id,
        (extract(epoch FROM coalesce(max(end_time), max(start_time))) - extract(epoch FROM min(start_time)))
            ::double precision AS duration
    FROM observations
    GROUP BY project_id, trace_id
) o ON o.trace_id = t.id AND o.project_id = t.project_id;
