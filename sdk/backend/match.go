package backend

import (
	"cmp"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sparkrsi/spark/sdk/fault"
)

// String returns ok, error, cancelled or unset.
func (s Status) String() string {
	switch s {
	case OK:
		return "ok"
	case Failed:
		return "error"
	case Cancelled:
		return "cancelled"
	}
	return "unset"
}

// ParseStatus returns the status String names. An Invalid fault for other words.
func ParseStatus(s string) (Status, error) {
	for _, v := range [...]Status{Unset, OK, Failed, Cancelled} {
		if v.String() == s {
			return v, nil
		}
	}
	return Unset, fault.New(fault.Invalid, "status", "%q is none of ok, error, cancelled, unset", s)
}

// Match is a Filter made ready to be asked of many traces. Limit and Offset are
// the backend's to keep. Safe for concurrent use.
type Match struct {
	Filter
	ID     ID     // zero for any
	Run    Bounds // of the run: what a trace's columns can tell
	Record Bounds // of the spans, events or points, when Of asks for them
	Kind   uint8  // of spans, 0 for any
	Span   SpanID // zero for any
	Parent SpanID // zero for any
	By     string // what to sort by: empty (arrival), start, duration or cost
	Desc   bool   // the whole order is turned
	conds  []*condition
	words  []string // that a block must spell out to hold what is asked for
}

// Bounds are conditions on the outcome and the times of a run or record, in
// nanoseconds; all of them are inclusive.
type Bounds struct {
	Any         bool // status
	Status      Status
	First, Last int64 // start, or time
	Ended       int64 // end at or after
	Min, Max    int64 // duration
}

var unbounded = Bounds{Any: true, First: math.MinInt64, Last: math.MaxInt64, Ended: math.MinInt64, Min: math.MinInt64, Max: math.MaxInt64}

func (b *Bounds) hold(status Status, start, end int64) bool {
	return (b.Any || status == b.Status) && start >= b.First && start <= b.Last && end >= b.Ended && end-start >= b.Min && end-start <= b.Max
}

// spanKinds are OpenTelemetry's kinds of span by number.
var spanKinds = [...]string{"", "internal", "server", "client", "producer", "consumer"}

// Match returns f made ready, or an Invalid fault whose path is the JSON name of
// the field that is wrong.
func (f Filter) Match() (*Match, error) {
	m := &Match{Filter: f, Run: unbounded, Record: unbounded, By: f.Sort, Desc: f.Newest}
	if m.Of == OfTraces {
		m.Of = ""
	}
	for _, check := range [...]func() error{m.texts, m.fits, m.ids, m.outcome, m.times, m.durations, m.order, m.attributes} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	m.words = m.spelled()
	return m, nil
}

// texts refuses what would not travel to a plugin as it is.
func (m *Match) texts() error {
	for _, x := range [...]struct{ name, text string }{{"graph", m.Graph}, {"version", m.Version}, {"run_kind", m.RunKind}, {"name", m.Name},
		{"like", m.Like}, {"type", m.Type}, {"node", m.Node}} {
		if !utf8.ValidString(x.text) {
			return fault.New(fault.Invalid, x.name, "%q is not UTF-8", x.text)
		}
	}
	if len(m.Like) > maxPattern {
		return fault.New(fault.Invalid, "like", "a pattern of %d bytes exceeds the limit of %d", len(m.Like), maxPattern)
	}
	for _, c := range m.Attrs {
		if !utf8.ValidString(c.Key) || !utf8.ValidString(c.Value) {
			return fault.New(fault.Invalid, "attrs", "%q is not UTF-8", c.String())
		}
	}
	return nil
}

// fits refuses conditions that make no sense of what is asked for.
func (m *Match) fits() error {
	of, ok := map[string]byte{"": 't', OfSpans: 's', OfEvents: 'e', OfMetrics: 'm'}[m.Of]
	if !ok {
		return fault.New(fault.Invalid, "of", "%q is none of traces, spans, events, metrics", m.Of)
	}
	for _, x := range [...]struct {
		on    bool
		name  string
		knows string
	}{
		{m.Type != "", "type", "se"}, {m.Filter.Kind != "", "kind", "s"}, {m.Agg != "", "aggregation", "m"}, {m.Filter.Status != "", "status", "ts"},
		{m.SpanID != "", "span_id", "sem"}, {m.ParentID != "", "parent_id", "s"}, {m.MinMillis != 0, "min_millis", "ts"}, {m.MaxMillis != 0, "max_millis", "ts"},
		{m.Sort != "" && m.Sort != "start" && m.Sort != "-start", "sort", "ts"},
	} {
		if x.on && strings.IndexByte(x.knows, of) < 0 {
			return fault.New(fault.Invalid, x.name, "%s have no such thing", cmp.Or(m.Of, OfTraces)).WithHint("leave %s out", x.name)
		}
	}
	if i := slices.Index(spanKinds[:], m.Filter.Kind); i < 0 {
		return fault.New(fault.Invalid, "kind", "%q is none of %s", m.Filter.Kind, strings.Join(spanKinds[1:], ", "))
	} else {
		m.Kind = uint8(i)
	}
	if a := m.Agg; a != "" && a != "counter" && a != "gauge" && a != "histogram" {
		return fault.New(fault.Invalid, "aggregation", "%q is none of counter, gauge, histogram", a)
	}
	return nil
}

func (m *Match) ids() error {
	for _, x := range [...]struct {
		name, text string
		dst        []byte
	}{{"trace_id", m.TraceID, m.ID[:]}, {"span_id", m.SpanID, m.Span[:]}, {"parent_id", m.ParentID, m.Parent[:]}} {
		if x.text == "" {
			continue
		}
		id, err := hex.DecodeString(strings.ToLower(x.text))
		if err != nil || len(id) != len(x.dst) {
			return fault.New(fault.Invalid, x.name, "%q is not %d hex digits", x.text, 2*len(x.dst))
		}
		if copy(x.dst, id); strings.Trim(x.text, "0") == "" {
			return fault.New(fault.Invalid, x.name, "an id is not zero")
		}
	}
	return nil
}

// of returns the bounds of what is asked for.
func (m *Match) of() *Bounds {
	if m.Of == "" {
		return &m.Run
	}
	return &m.Record
}

func (m *Match) outcome() (err error) {
	if m.Filter.Status != "" {
		m.of().Any = false
		m.of().Status, err = ParseStatus(m.Filter.Status)
	}
	return err
}

// The times that nanoseconds reach.
var (
	earliest = time.Unix(0, 0)
	latest   = time.Unix(0, math.MaxInt64)
)

func (m *Match) times() error {
	for _, x := range [...]struct {
		name string
		t    time.Time
	}{{"from", m.From}, {"to", m.To}} {
		if !x.t.IsZero() && (x.t.Before(earliest) || x.t.After(latest)) {
			return fault.New(fault.Invalid, x.name, "%s does not lie between 1970 and 2262", x.t.Format(time.RFC3339))
		}
	}
	if !m.From.IsZero() && !m.To.IsZero() && m.To.Before(m.From) {
		return fault.New(fault.Invalid, "to", "%s lies before from, %s", m.To.Format(time.RFC3339), m.From.Format(time.RFC3339))
	}
	b := m.of()
	if !m.From.IsZero() {
		b.First = m.From.UnixNano()
	}
	if !m.To.IsZero() {
		b.Last = m.To.UnixNano() - 1
	}
	if m.Of != "" {
		m.Run.Ended, m.Run.Last = b.First, b.Last
	}
	return nil
}

func (m *Match) durations() error {
	const most = math.MaxInt64 / 1e6
	for _, x := range [...]struct {
		name string
		v    float64
	}{{"min_millis", m.MinMillis}, {"max_millis", m.MaxMillis}} {
		if !(x.v >= 0 && x.v < most) {
			return fault.New(fault.Invalid, x.name, "%v is not a number from 0 to %g", x.v, most)
		}
	}
	b := m.of()
	if m.MinMillis > 0 {
		b.Min = int64(m.MinMillis * 1e6)
	}
	if m.MaxMillis > 0 {
		if m.MaxMillis < m.MinMillis {
			return fault.New(fault.Invalid, "max_millis", "%v is less than min_millis, %v", m.MaxMillis, m.MinMillis)
		}
		b.Max = int64(m.MaxMillis * 1e6)
	}
	return nil
}

func (m *Match) order() error {
	for _, x := range [...]struct {
		name string
		v    int
	}{{"limit", m.Limit}, {"offset", m.Offset}} {
		if x.v < 0 || x.v > maxRows {
			return fault.New(fault.Invalid, x.name, "%d is not from 0 to %d", x.v, int64(maxRows))
		}
	}
	if m.Sort == "" {
		return nil
	}
	if m.Newest {
		return fault.New(fault.Invalid, "sort", "%q and newest name two orders", m.Sort).WithHint("-start puts the latest first")
	}
	m.By, m.Desc = strings.CutPrefix(m.Sort, "-")
	if m.By != "start" && m.By != "duration" && m.By != "cost" {
		return fault.New(fault.Invalid, "sort", "%q is none of start, duration, cost, -start, -duration, -cost", m.Sort)
	}
	return nil
}

func (m *Match) attributes() error {
	if len(m.Attrs) > maxConds {
		return fault.New(fault.Invalid, "attrs", "%d conditions exceed the limit of %d", len(m.Attrs), maxConds)
	}
	for _, c := range m.Attrs {
		x, err := c.compile()
		if err != nil {
			return err
		}
		m.conds = append(m.conds, x)
	}
	return nil
}

// spelled returns what the dictionary of a block must have. Words of the static
// dictionary stand in none.
func (m *Match) spelled() (need []string) {
	all := []string{m.Node, m.Type, m.Agg}
	if m.Of != "" {
		all = append(all, m.Name)
	}
	for _, c := range m.conds {
		if c.Key != "version_id" { // the other implied keys are static words
			all = append(all, c.Key)
		}
	}
	for _, w := range all {
		if _, static := wordIndex[w]; w != "" && !static {
			need = append(need, w)
		}
	}
	return need
}

// HeadOnly reports whether Head alone decides.
func (m *Match) HeadOnly() bool { return m.Node == "" && m.Lean() }

// Lean reports whether Trace needs no more of a trace than what Scanner reads.
func (m *Match) Lean() bool { return m.Of == "" && len(m.conds) == 0 }

// Head reports whether t can be selected, by its head alone.
func (m *Match) Head(t *Trace) bool {
	switch {
	case m.Graph != "" && t.Graph != m.Graph,
		m.Version != "" && t.Version != m.Version,
		m.RunKind != "" && t.RunKind != m.RunKind,
		m.ID != ID{} && t.TraceID != m.ID && t.RunID != m.ID,
		m.Of == "" && !m.named(t.Graph):
		return false
	}
	return m.Run.hold(t.Status, t.Start, t.End)
}

// named reports whether Name and Like select a name.
func (m *Match) named(name string) bool {
	return (m.Name == "" || name == m.Name) && (m.Like == "" || Glob(m.Like, name))
}

// Trace reports whether t is selected.
func (m *Match) Trace(t *Trace) bool {
	if !m.Head(t) || m.Node != "" && !hasNode(t, m.Node) {
		return false
	}
	switch m.Of {
	case OfSpans:
		return slices.ContainsFunc(t.Spans, func(s Span) bool { return m.SelectsSpan(t, &s) })
	case OfEvents:
		events := t.Events
		if m.Type == "" || DerivedEvent(m.Type) {
			events = t.AllEvents()
		}
		nodes := m.nodes(t)
		return slices.ContainsFunc(events, func(e Event) bool { return m.SelectsEvent(t, &e, nodes[e.Span]) })
	case OfMetrics:
		metrics := t.Metrics
		if m.Name == "" || DerivedMetric(m.Name) {
			metrics = t.AllMetrics()
		}
		return slices.ContainsFunc(metrics, func(p Metric) bool { return m.SelectsMetric(t, &p) })
	}
	for _, c := range m.conds {
		if !c.trace(t) {
			return false
		}
	}
	return true
}

// nodes returns t.Nodes() when a condition on events needs it.
func (m *Match) nodes(t *Trace) map[SpanID]string {
	if m.Node == "" && !slices.ContainsFunc(m.conds, func(c *condition) bool { return c.Key == "node_name" }) {
		return nil
	}
	return t.Nodes()
}

// SelectsSpan reports whether s, a span of a trace that is selected, is one of
// those asked for.
func (m *Match) SelectsSpan(t *Trace, s *Span) bool {
	if m.Node != "" && s.Node != m.Node || m.Type != "" && s.NodeType != m.Type || m.Kind != 0 && s.Kind != m.Kind ||
		m.Span != (SpanID{}) && s.ID != m.Span || m.Parent != (SpanID{}) && s.Parent != m.Parent ||
		!m.Record.hold(s.Status, s.Start, s.End) || !m.named(s.Name()) {
		return false
	}
	for _, c := range m.conds {
		if !c.span(t, s) {
			return false
		}
	}
	return true
}

// SelectsEvent is SelectsSpan for an event that belongs to a node; see
// Trace.Nodes.
func (m *Match) SelectsEvent(t *Trace, e *Event, node string) bool {
	return (m.Type == "" || e.Type == m.Type) && m.record(t, e.Name, node, e.Span, e.Time, e.Attrs)
}

// SelectsMetric is SelectsSpan for a metric point.
func (m *Match) SelectsMetric(t *Trace, p *Metric) bool {
	return (m.Agg == "" || p.Agg == m.Agg) && m.record(t, p.Name, p.Node, p.Span, p.Time, p.Attrs)
}

func (m *Match) record(t *Trace, name, node string, span SpanID, at int64, attrs []Attr) bool {
	if m.Node != "" && node != m.Node || m.Span != (SpanID{}) && span != m.Span || at < m.Record.First || at > m.Record.Last || !m.named(name) {
		return false
	}
	for _, c := range m.conds {
		if !c.record(t, attrs, node) {
			return false
		}
	}
	return true
}

// Key returns what By sorts a trace or span by: equal keys stay in the order of
// arrival. A cost that is not a number counts as none.
func (m *Match) Key(start, end int64, cost float64) int64 {
	switch m.By {
	case "start":
		return start
	case "duration":
		return end - start
	case "cost":
		if math.IsNaN(cost) {
			cost = 0
		}
		v := int64(math.Float64bits(cost + 0)) // -0 becomes 0
		if v < 0 {
			v ^= math.MaxInt64
		}
		return v
	}
	return 0
}

// Sketch reports whether s is selected, by graph, version, node and hour: an
// hour belongs when any of it lies between From and To.
func (m *Match) Sketch(s *Sketch) bool {
	const hour = 3600e9
	switch {
	case m.Graph != "" && s.Graph != m.Graph,
		m.Version != "" && s.Version != m.Version,
		m.Node != "" && s.Node != m.Node,
		(s.Hour+1)*hour <= m.Run.First,
		s.Hour*hour > m.Run.Last:
		return false
	}
	return true
}

func hasNode(t *Trace, node string) bool {
	for i := range t.Spans {
		if t.Spans[i].Node == node {
			return true
		}
	}
	for i := range t.Metrics {
		if t.Metrics[i].Node == node {
			return true
		}
	}
	return false
}

// Page counts records against the Limit and Offset of a filter.
type Page struct{ skip, left int }

// Page returns the page f asks for.
func (f Filter) Page() *Page {
	p := &Page{skip: f.Offset, left: f.Limit}
	if f.Limit == 0 {
		p.left = -1
	}
	return p
}

// Take counts one selected record and reports whether it lies on the page.
func (p *Page) Take() bool {
	if p.skip > 0 {
		p.skip--
		return false
	}
	if p.left > 0 {
		p.left--
	}
	return true
}

// Full reports whether the page has all its records.
func (p *Page) Full() bool { return p.left == 0 }
