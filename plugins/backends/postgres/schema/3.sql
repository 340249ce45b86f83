-- For people: psql, Grafana.

CREATE FUNCTION status_name(smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE $1 WHEN 1 THEN 'ok' WHEN 2 THEN 'error' WHEN 3 THEN 'cancelled' ELSE 'unset' END $$;

CREATE VIEW traces AS SELECT
	t.id, t.trace_id, t.run_id, t.graph AS graph_id, t.version AS graph_version, t.version_id, t.graph_type, t.environment, t.run_kind,
	t.start AS run_start, to_timestamp(t.end_ns / 1e9::float8) AS end_time, (t.end_ns - t.start_ns) / 1e9::float8 AS duration_seconds,
	status_name(t.status) AS status, t.status = 1 AS success, t.error_type, t.error, 1 / t.weight AS probability, t.weight,
	t.spans, t.events, t.metrics, t.retries AS retry_count, t.cache_hits, t.tokens, t.cost_usd, t.dropped, t.attributes, t.resource
FROM trace_row t;
COMMENT ON VIEW traces IS 'One row a run. Filter by run_start: it selects the daily partitions. Weigh by weight when runs were sampled.';
