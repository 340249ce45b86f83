CREATE FUNCTION span_name(bigint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT lpad(to_hex($1), 16, '0') $$;

CREATE VIEW spans AS SELECT
	s.trace, s.trace_id, span_name(s.span_id) AS span_id, span_name(s.parent_id) AS parent_span_id,
	p.graph AS graph_id, p.version AS graph_version, p.version_id, p.graph_type, p.environment, p.run_kind,
	p.node AS node_name, p.node_type, p.type_version, p.digest, s.run_start, to_timestamp(s.start_ns / 1e9::float8) AS start_time,
	to_timestamp((s.start_ns + s.duration) / 1e9::float8) AS end_time, s.duration / 1e9::float8 AS duration_seconds,
	status_name(s.status) AS status, s.status = 1 AS success, s.error_type, s.error, s.kind AS span_kind, s.seq, s.after AS after_seq,
	s.seq < 0 AND p.node_type = 'model' AS model_call, coalesce(s.retries, 0) AS retry_count, coalesce(s.wait, 0) / 1e9::float8 AS wait_seconds, s.critical / 1e9::float8 AS critical_seconds,
	coalesce(s.input_size, 0) AS input_size, coalesce(s.output_size, 0) AS output_size, s.cache_hit, coalesce(s.tokens, 0) AS tokens,
	coalesce(s.cost_usd, 0) AS cost_usd, s.weight, s.attributes::jsonb AS attributes
FROM span_row s LEFT JOIN step p ON p.id = s.step;
COMMENT ON VIEW spans IS 'One row a step or model call. Filter by run_start: it selects the daily partitions. A model call is counted in the tokens and cost of its step.';

CREATE VIEW events AS
SELECT e.trace, e.trace_id, span_name(e.span_id) AS span_id, p.graph AS graph_id, p.version AS graph_version, p.run_kind, p.node AS node_name,
	e.run_start, to_timestamp(e.time_ns / 1e9::float8) AS time, e.type, e.name, e.attributes
FROM event_row e LEFT JOIN step p ON p.id = e.step
UNION ALL
SELECT t.id, t.trace_id, NULL, t.graph, t.version, t.run_kind, '', t.start, v.time, v.type, t.graph, v.attributes
FROM trace_row t CROSS JOIN LATERAL (VALUES
	(t.start, 'graph_started', NULL::jsonb),
	(to_timestamp(t.end_ns / 1e9::float8), CASE t.status WHEN 2 THEN 'graph_failed' WHEN 3 THEN 'graph_cancelled' ELSE 'graph_finished' END,
		jsonb_strip_nulls(jsonb_build_object('duration', (t.end_ns - t.start_ns) / 1e9::float8, 'error', t.error, 'error_type', t.error_type)))
) v (time, type, attributes)
WHERE t.derive & 1 = 1
UNION ALL
SELECT s.trace, s.trace_id, span_name(s.span_id), p.graph, p.version, p.run_kind, p.node, s.run_start, to_timestamp(v.ns / 1e9::float8), v.type, p.node, v.attributes
FROM span_row s LEFT JOIN step p ON p.id = s.step CROSS JOIN LATERAL (VALUES
	(s.start_ns, CASE WHEN s.seq >= 0 THEN 'node_started' END, NULL::jsonb),
	(s.start_ns + s.duration, CASE WHEN s.seq < 0 THEN CASE WHEN p.node_type = 'model' THEN 'llm_api_call' END WHEN s.status IN (2, 3) THEN 'node_failed' ELSE 'node_finished' END,
		CASE WHEN s.seq < 0 THEN s.attributes::jsonb ELSE
		jsonb_strip_nulls(jsonb_build_object('duration', s.duration / 1e9::float8, 'error', s.error, 'error_type', s.error_type)) END)
) v (ns, type, attributes)
WHERE s.derive & 1 = 1 AND v.type IS NOT NULL;
COMMENT ON VIEW events IS 'What happened: the recorded events, and those that runs and steps imply. Filter by run_start.';

CREATE VIEW metrics AS
SELECT m.trace, m.trace_id, span_name(m.span_id) AS span_id, p.graph AS graph_id, p.version AS graph_version, p.run_kind, p.node AS node_name,
	m.run_start, to_timestamp(m.time_ns / 1e9::float8) AS time, m.name, m.value, m.unit, m.agg, m.weight, m.attributes
FROM metric_row m LEFT JOIN step p ON p.id = m.step
UNION ALL
SELECT t.id, t.trace_id, NULL, t.graph, t.version, t.run_kind, '', t.start, to_timestamp(t.end_ns / 1e9::float8), v.name, v.value, v.unit, v.agg, t.weight, NULL
FROM trace_row t CROSS JOIN LATERAL (VALUES
	('graph.duration', (t.end_ns - t.start_ns) / 1e9::float8, 'seconds', 'histogram'),
	('graph.success', (t.status = 1)::int::float8, '', 'counter'),
	('graph.error', (t.status = 2)::int::float8, '', 'counter'),
	('graph.cost', t.cost_usd, 'usd', 'counter')
) v (name, value, unit, agg)
WHERE t.derive & 2 = 2
UNION ALL
SELECT s.trace, s.trace_id, span_name(s.span_id), p.graph, p.version, p.run_kind, p.node, s.run_start, to_timestamp((s.start_ns + s.duration) / 1e9::float8),
	v.name, v.value, v.unit, v.agg, s.weight, NULL
FROM span_row s LEFT JOIN step p ON p.id = s.step CROSS JOIN LATERAL (VALUES
	('node.duration', s.duration / 1e9::float8, 'seconds', 'histogram'),
	('node.success', (s.status = 1)::int::float8, '', 'counter'),
	('node.error', (s.status = 2)::int::float8, '', 'counter'),
	('node.cache_hit', CASE WHEN s.cache_hit THEN 1::float8 END, '', 'counter'),
	('node.tokens', s.tokens::float8, 'tokens', 'counter'),
	('node.cost', s.cost_usd, 'usd', 'counter')
) v (name, value, unit, agg)
WHERE s.derive & 2 = 2 AND s.seq >= 0 AND v.value IS NOT NULL;
COMMENT ON VIEW metrics IS 'Metric points: the recorded ones, and those that runs and steps imply. Filter by run_start; weigh by weight when runs were sampled.';
