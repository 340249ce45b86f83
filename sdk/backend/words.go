package backend

// DictionaryVersion is the number of the static dictionary below. It grows when
// words are appended; words are never moved or removed, so a block written with
// an older dictionary reads the same for ever. A block that names a word beyond
// the reader's dictionary is refused as newer.
const DictionaryVersion = 1

// Dictionary returns the static dictionary of the block encoding: the names and
// attribute keys that nearly every trace holds. The slice is the caller's.
func Dictionary() []string { return append([]string(nil), words...) }

var words = []string{
	"production", "experiment", "shadow", "replay",
	"sequential", "branching", "parallel", "cyclic",
	"native", "graph", "foreach", "wait",
	"counter", "gauge", "histogram",
	"seconds", "usd", "tokens", "bytes", "1", "ms",
	"graph_id", "graph_version", "graph_type", "environment", "run_kind",
	"node_name", "node_type", "success", "error_type", "retry_count", "error", "duration",
	"input", "output", "input_size", "output_size", "visit", "level", "message", "log",
	"node.duration", "node.success", "node.error", "node.cache_hit", "node.cost", "node.tokens",
	"graph.duration", "graph.success", "graph.error", "graph.cost",
	"graph_started", "graph_finished", "graph_failed", "graph_cancelled",
	"node_started", "node_finished", "node_failed", "node_retry",
	"agent_started", "agent_step", "agent_tool_call", "agent_finished", "llm_api_call",
	"agent.output_quality", "agent.cost", "agent.tokens", "agent_name", "model",
	"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model",
	"gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "cost_usd", "cached",
	"service.name", "service.version", "host.name",
	"invalid", "not_found", "conflict", "denied", "locked", "read_only", "newer", "corrupt", "timeout",
	"cancelled", "transient", "trap", "limit", "unavailable", "rejected", "internal",
}

var wordIndex = func() map[string]uint64 {
	m := make(map[string]uint64, len(words))
	for i, w := range words {
		m[w] = uint64(i)<<1 | 1
	}
	return m
}()
