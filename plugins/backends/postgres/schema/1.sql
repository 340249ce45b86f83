-- What both layouts hold: a row a run with its packed block, the statistics rows,
-- the ids of the batches written and the totals a day.

-- Settings that every host of a schema must share.
CREATE TABLE setting (name text PRIMARY KEY, value text NOT NULL);

CREATE SEQUENCE arrival;

CREATE TABLE batch (
	id uuid PRIMARY KEY,
	at timestamptz NOT NULL DEFAULT now(),
	quarantined jsonb
);

-- Fixed columns come first: a scan reads them without looking at the texts.
CREATE TABLE trace_row (
	id bigint NOT NULL,                -- the order of arrival
	start timestamptz NOT NULL,        -- start_ns, in microseconds
	start_ns bigint NOT NULL,
	end_ns bigint NOT NULL,
	weight double precision NOT NULL,  -- 1 / probability
	bucket smallint NOT NULL,          -- of the duration: 32 in a power of two
	status smallint NOT NULL,          -- 0 unset, 1 ok, 2 error, 3 cancelled
	derive smallint NOT NULL,          -- 1 events, 2 metrics are what the spans imply
	own_failure boolean NOT NULL,      -- failed, but none of its steps did
	spans integer NOT NULL,
	events integer NOT NULL,           -- implied ones included, like metrics
	metrics integer NOT NULL,
	dropped integer NOT NULL,
	retries bigint NOT NULL,           -- of all steps, like the next three
	cache_hits bigint NOT NULL,
	tokens bigint NOT NULL,
	cost_usd double precision NOT NULL,
	trace_id uuid NOT NULL,
	run_id uuid NOT NULL,
	graph text NOT NULL,
	version text NOT NULL,
	version_id text NOT NULL,
	graph_type text NOT NULL,
	environment text NOT NULL,
	run_kind text NOT NULL,
	error_type text,
	error text,
	attributes jsonb,                  -- layout rows only
	resource jsonb,                    -- layout rows only
	block bytea NOT NULL               -- the trace, exactly
) PARTITION BY RANGE (start);
ALTER TABLE trace_row ALTER COLUMN block SET STORAGE EXTERNAL; -- it is dense already
CREATE TABLE trace_row_other PARTITION OF trace_row DEFAULT;
CREATE INDEX ON trace_row (id);
CREATE INDEX ON trace_row (graph, version, start);
CREATE INDEX ON trace_row (trace_id);
CREATE INDEX ON trace_row (run_id) WHERE run_id <> trace_id;

CREATE TABLE sketch (
	id uuid PRIMARY KEY, -- a hash of the columns up to node: texts of any length have room in it
	epoch uuid NOT NULL,
	graph text NOT NULL,
	version text NOT NULL,
	version_id text NOT NULL,
	hour bigint NOT NULL,
	node text NOT NULL,
	seq bigint NOT NULL,
	data bytea NOT NULL
);
CREATE INDEX ON sketch (left(graph, 64), hour); -- a longer one would not fit into an index

-- Totals of the runs that started on a day. Each host adds to a shard of its own.
CREATE TABLE day (
	day date NOT NULL,
	shard smallint NOT NULL,
	traces bigint NOT NULL,
	spans bigint NOT NULL,
	events bigint NOT NULL,
	metrics bigint NOT NULL,
	unattributed bigint NOT NULL,
	last_end bigint NOT NULL, -- when the last of them ended
	PRIMARY KEY (day, shard)
);
