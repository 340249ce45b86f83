-- Layout rows: a typed row a span, event and metric point.

CREATE INDEX ON trace_row (start) WHERE own_failure;

-- What the spans of one step of one version have in common.
CREATE TABLE step (
	id bigint PRIMARY KEY,   -- a hash of the other columns
	node_id bigint NOT NULL, -- a hash of node, 0 for none
	graph text NOT NULL,
	version text NOT NULL,
	version_id text NOT NULL,
	graph_type text NOT NULL,
	environment text NOT NULL,
	run_kind text NOT NULL,
	node text NOT NULL,
	node_type text NOT NULL,
	type_version text NOT NULL,
	digest text NOT NULL
);

-- What aggregates read comes first. What most steps do not have is NULL rather
-- than zero. Attributes stay the text of a JSON object: the view makes jsonb of
-- it for whoever asks, and nobody pays for that when it is written.
CREATE TABLE span_row (
	trace bigint NOT NULL,            -- trace_row.id
	run_start timestamptz NOT NULL,   -- trace_row.start
	node bigint NOT NULL,             -- step.node_id
	duration bigint NOT NULL,         -- nanoseconds
	critical bigint NOT NULL,         -- nanoseconds on the critical path of the run
	weight double precision NOT NULL, -- 1 / probability of the run
	cell bigint NOT NULL,             -- what aggregates group by: bucket, statuses, cache hit, whether it is a step, and a hash of node and weight
	seq integer NOT NULL,             -- -1 for a model call
	status smallint NOT NULL,
	run_status smallint NOT NULL,
	cache_hit boolean NOT NULL,
	metered boolean NOT NULL,         -- it has retries, tokens or cost
	kind smallint NOT NULL,
	step bigint NOT NULL,
	start_ns bigint NOT NULL,
	trace_id uuid NOT NULL,
	span_id bigint NOT NULL,
	parent_id bigint NOT NULL,
	after integer NOT NULL,
	derive smallint NOT NULL,
	retries integer,
	wait bigint,
	input_size bigint,
	output_size bigint,
	tokens bigint,
	cost_usd double precision,
	error_type text,
	error text,
	attributes text
) PARTITION BY RANGE (run_start);
CREATE TABLE span_row_other PARTITION OF span_row DEFAULT;
CREATE INDEX ON span_row (trace);
CREATE INDEX ON span_row (run_start) WHERE metered OR status = 2; -- the few that aggregates ask about apart

CREATE TABLE event_row (
	trace bigint NOT NULL,
	run_start timestamptz NOT NULL,
	step bigint NOT NULL,
	time_ns bigint NOT NULL,
	trace_id uuid NOT NULL,
	span_id bigint,
	type text NOT NULL,
	name text NOT NULL,
	attributes jsonb
) PARTITION BY RANGE (run_start);
CREATE TABLE event_row_other PARTITION OF event_row DEFAULT;
CREATE INDEX ON event_row (trace);

CREATE TABLE metric_row (
	trace bigint NOT NULL,
	run_start timestamptz NOT NULL,
	node bigint NOT NULL,
	weight double precision NOT NULL,
	value double precision NOT NULL,
	run_value double precision, -- what all points of this name make of the run; on the first of them
	run_status smallint NOT NULL,
	step bigint NOT NULL,
	time_ns bigint NOT NULL,
	trace_id uuid NOT NULL,
	span_id bigint,
	name text NOT NULL,
	unit text NOT NULL,
	agg text NOT NULL,
	attributes jsonb
) PARTITION BY RANGE (run_start);
CREATE TABLE metric_row_other PARTITION OF metric_row DEFAULT;
CREATE INDEX ON metric_row (trace);
