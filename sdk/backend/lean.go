package backend

// Head is what a backend keeps beside a block to select and count by.
type Head struct {
	TraceID, RunID          ID
	Graph, Version, RunKind string
	Start, End              int64
	Status                  Status
	Probability             float64
	Spans, Events, Metrics  int // as Trace.Counts counts them
}

// Head returns the head of t.
func (t *Trace) Head() Head {
	return Head{TraceID: t.TraceID, RunID: t.RunID, Graph: t.Graph, Version: t.Version, RunKind: t.RunKind, Start: t.Start, End: t.End,
		Status: t.Status, Probability: t.Probability, Spans: len(t.Spans), Events: t.EventCount(), Metrics: t.MetricCount()}
}

// Counts returns what the trace of h adds to a backend.
func (h *Head) Counts() Counts {
	c := Counts{Traces: 1, Spans: int64(h.Spans), Events: int64(h.Events), Metrics: int64(h.Metrics)}
	if h.Graph == "" {
		c.Unattributed = 1
	}
	return c
}

// Quarantine returns the report that the trace of h, at index i, was refused for
// err. H may be what Verify returned of a block that it refused.
func (h *Head) Quarantine(i int, err error) Quarantined {
	if h.TraceID == (ID{}) {
		return Quarantine(i, nil, err)
	}
	return Quarantine(i, &Trace{TraceID: h.TraceID}, err)
}

// Verifier reads block after block without building traces: several times
// cheaper than a Decoder. Not safe for concurrent use; the zero value is ready.
type Verifier struct {
	d scanner
	t Trace
}

// Verify returns the head of a block, valid until the next call, when DecodeTrace
// would return its trace and Check would accept it; otherwise their error. The
// name in a report is that of the head, when one could be read.
func (v *Verifier) Verify(block []byte) (Head, error) {
	h, _, err := v.Scan(block)
	return h, err
}

// Scan is Verify, and Scanner.Scan in the same pass: the trace is valid until the
// next call, and nil beside an error.
func (v *Verifier) Scan(block []byte) (Head, *Trace, error) {
	v.t = Trace{Spans: v.t.Spans[:0], Metrics: v.t.Metrics[:0]}
	t := &v.t
	var h Head
	err := v.d.begin(block)
	if err == nil {
		v.d.head(t)
		v.d.check(t, &h)
		err = v.d.end()
	}
	h.TraceID, h.RunID, h.Graph, h.Version, h.RunKind = t.TraceID, t.RunID, t.Graph, t.Version, t.RunKind
	h.Start, h.End, h.Status, h.Probability = t.Start, t.End, t.Status, t.Probability
	if err == nil {
		err = t.Check()
	}
	if err != nil {
		return h, nil, err
	}
	return h, t, nil
}

// Scanner decodes of block after block only what an Aggregator asks for. Not safe
// for concurrent use; the zero value is ready.
type Scanner struct {
	d scanner
	t Trace
}

// Scan returns the trace of a block with its spans' nodes, times, outcomes and
// costs and with its metrics' names, values and times; ids of spans, types,
// sizes, attributes and events are left out. The trace is valid until the next
// call; strings stay valid. The checksum is verified; damage that it does not
// show may go unnoticed where nothing is read.
func (s *Scanner) Scan(block []byte) (*Trace, error) {
	s.t = Trace{Spans: s.t.Spans[:0], Metrics: s.t.Metrics[:0]}
	if err := s.d.begin(block); err != nil {
		return nil, err
	}
	s.d.head(&s.t)
	s.t.Spans = s.d.steps(s.t.Spans, s.t.Start)
	s.d.noEvents()
	s.t.Metrics = s.d.points(s.t.Metrics, s.t.Start)
	if err := s.d.end(); err != nil {
		return nil, err
	}
	return &s.t, nil
}

// scanner is a decoder that makes a string of a word only when it is asked for,
// and not even then when the same place of the block before held the same word.
type scanner struct {
	decoder
	nums   []uint64 // of a column
	passed []byte   // by passBytes
	text   []byte
	ends   []int
	memo   []string
}

func (d *scanner) begin(block []byte) error {
	body, err := unwrap(block, "block", blockVersion, MaxBlock)
	if err != nil {
		return err
	}
	return d.start(body)
}

// start reads the dictionary of a body.
func (d *scanner) start(body []byte) error {
	d.b, d.err = body, nil
	d.text, d.ends = nil, d.ends[:0]
	total := 0
	for range d.count(1) {
		l := d.uint()
		if l > uint64(len(d.b)) {
			d.fail("word of %d bytes in %d", l, len(d.b))
		}
		if d.err != nil {
			return d.err
		}
		total += int(l)
		d.ends = append(d.ends, total)
	}
	if total > len(d.b) {
		d.fail("words of %d bytes in %d", total, len(d.b))
		return d.err
	}
	d.text, d.b = d.b[:total], d.b[total:]
	for len(d.memo) < len(d.ends) {
		d.memo = append(d.memo, "")
	}
	return d.err
}

func (d *scanner) end() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes left over", len(d.b))
	}
	return d.err
}

func (d *scanner) word(ref uint64) string {
	if ref == 0 || ref&1 == 1 {
		return d.decoder.word(ref)
	}
	i := ref>>1 - 1
	if i >= uint64(len(d.ends)) {
		d.fail("word %d of %d", i, len(d.ends))
		return ""
	}
	from := 0
	if i > 0 {
		from = d.ends[i-1]
	}
	if w := d.text[from:d.ends[i]]; string(w) != d.memo[i] {
		d.memo[i] = string(w)
	}
	return d.memo[i]
}

func (d *scanner) str() string { return d.word(d.uint()) }

// ref passes over a string.
func (d *scanner) ref() { d.known(d.uint()) }

// known makes sure that a reference is to a word.
func (d *scanner) known(ref uint64) {
	limit := uint64(len(d.ends)) + 1
	if ref&1 == 1 {
		limit = uint64(len(words))
	}
	if ref>>1 >= limit {
		d.word(ref) // which says what is wrong
	}
}

// pass passes over n numbers.
func (d *scanner) pass(n int) {
	b, i := d.b, 0
	for ; n > 0; n-- {
		from := i
		for i < len(b) && b[i] >= 0x80 {
			i++
		}
		if k := i - from; i >= len(b) || k > 9 || k == 9 && b[i] > 1 {
			d.fail("number cut short")
			return
		}
		i++
	}
	d.b = b[i:]
}

// refs passes over n strings.
func (d *scanner) refs(n int) {
	b, i, own := d.b, 0, uint64(len(d.ends))<<1
	for ; n > 0; n-- {
		if i < len(b) && b[i] < 0x80 {
			if r := uint64(b[i]); r&1 == 0 && r <= own {
				i++
				continue
			}
		}
		d.b = b[i:]
		d.ref()
		if b, i = d.b, 0; d.err != nil {
			return
		}
	}
	d.b = b[i:]
}

func (d *scanner) passBytes(n int) {
	if len(d.b) < n {
		d.fail("record cut short")
		return
	}
	d.passed, d.b = d.b[:n], d.b[n:]
}

// passAttrs passes over the attributes of one record. Nearly all numbers in it
// take one byte, so that case is read in place.
func (d *scanner) passAttrs() {
	n := d.count(minAttr)
	b, i, own := d.b, 0, uint64(len(d.ends))<<1
	for ; n > 0; n-- {
		if i+1 < len(b) && b[i] < 0x80 && b[i+1] < 0x80 {
			key, value := uint64(b[i]), uint64(b[i+1])
			known := key&4 == 0 && key>>2 <= own
			if kind := Kind(key & 3); known && (kind != KindString || value&1 == 0 && value <= own) {
				i += 2
				continue
			}
		}
		d.b = b[i:]
		d.passAttr()
		if b, i = d.b, 0; d.err != nil {
			return
		}
	}
	d.b = b[i:]
}

func (d *scanner) passAttr() {
	key := d.uint()
	d.known(key >> 2)
	switch Kind(key & 3) {
	case KindString:
		d.ref()
	case KindInt, KindFloat:
		d.pass(1)
	case KindBool:
		d.byte()
	}
}

// head reads what comes before the spans; the attributes are passed over.
func (d *scanner) head(t *Trace) {
	flags := d.byte()
	d.fixed(t.TraceID[:])
	t.RunID = t.TraceID
	if flags&headOwnRunID != 0 {
		d.fixed(t.RunID[:])
	}
	if flags&headCaller != 0 {
		d.fixed(t.ParentSpan[:])
	}
	d.fixed(t.RootSpan[:])
	t.Graph, t.Version = d.str(), d.str()
	d.refs(3) // version id, graph type, environment
	t.RunKind = d.str()
	t.Start = d.int()
	t.End = t.Start + d.int()
	t.Status = Status(d.byte())
	if flags&headFailure != 0 {
		t.ErrorType, t.Error = d.str(), d.str()
	}
	t.Probability = 1
	if flags&headSampled != 0 {
		t.Probability = d.num()
	}
	t.Derive = Derive(d.byte())
	t.Dropped = int(d.uint())
	d.count(minAttr)
	d.passAttrs()
	d.passAttrs()
}

// check reads all that follows the head, keeps what a Scanner does and counts it.
func (d *scanner) check(t *Trace, h *Head) {
	n := d.count(minSpan)
	d.flagsOf(n)
	t.Spans = blank(t.Spans, n)
	types := d.times(t.Spans, t.Start, true)
	steps, points := 0, 0
	for i, f := range d.flags {
		if d.some(&t.Spans[i], f); t.Spans[i].Seq >= 0 {
			steps++
			points += 3 + int(f>>4&1+f>>5&1+f>>6&1) // cache hit, tokens, cost
		}
	}
	rest := d.section()
	for _, f := range d.flags {
		if f&spanAttrs != 0 {
			d.passAttrs()
		}
	}
	d.ended(rest)
	h.Spans, h.Events = n, d.noEvents()
	t.Metrics = d.points(t.Metrics, t.Start)
	h.Metrics = len(t.Metrics)
	if t.Derive&DeriveMetrics != 0 {
		h.Metrics += 4 + points
	}
	if t.Derive&DeriveEvents != 0 {
		h.Events += 2 + 2*steps
		if steps < n && d.err == nil {
			after := d.b
			d.b = types
			for i := range t.Spans {
				if d.str() == modelCall && t.Spans[i].Seq < 0 {
					h.Events++
				}
			}
			d.b = after
		}
	}
}

// flagsOf reads the flags of n spans.
func (d *scanner) flagsOf(n int) {
	d.flags = append(d.flags[:0], d.column(n)...)
}

// column reads n numbers.
func (d *scanner) column(n int) []uint64 {
	if cap(d.nums) < n {
		d.nums = make([]uint64, n)
	}
	nums, b, i := d.nums[:n], d.b, 0
	for k := range nums {
		var v uint64
		for shift := uint(0); ; shift += 7 {
			if i >= len(b) || shift > 63 || shift == 63 && b[i] > 1 {
				d.fail("number cut short")
				clear(nums)
				return nums
			}
			c := b[i]
			i++
			v |= uint64(c&0x7f) << shift
			if c < 0x80 {
				break
			}
		}
		nums[k] = v
	}
	d.b = b[i:]
	return nums
}

// signed undoes the zigzag of a varint.
func signed(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// steps reads the columns of the spans that a Tallies asks for.
func (d *scanner) steps(spans []Span, start int64) []Span {
	n := d.count(minSpan)
	d.flagsOf(n)
	spans = blank(spans, n)
	d.times(spans, start, false)
	for i, f := range d.flags {
		d.some(&spans[i], f)
	}
	if rest := d.section(); d.err == nil {
		d.b = d.b[len(d.b)-rest:]
	}
	return spans
}

// blank returns n spans in the memory of spans. Of the fields that are read only
// these keep what the trace before left.
func blank(spans []Span, n int) []Span {
	if cap(spans) < n {
		spans = make([]Span, n)
	}
	spans = spans[:n]
	for i := range spans {
		s := &spans[i]
		s.ErrorType, s.Error, s.Retries, s.Tokens, s.Cost = "", "", 0, 0, 0
	}
	return spans
}

// times reads the columns from the ids to the sizes and returns where the types lie;
// with all, also what is passed over is made sure of.
func (d *scanner) times(spans []Span, start int64, all bool) (types []byte) {
	n := len(spans)
	d.pass(n) // ids
	for i, ref := range d.column(n) {
		spans[i].Node = d.word(ref)
	}
	types = d.b
	if all {
		d.refs(3 * n) // types, versions, digests
	} else {
		d.pass(3 * n)
	}
	for i, u := range d.column(n) {
		start += signed(u)
		spans[i].Start = start
	}
	for i, u := range d.column(n) {
		spans[i].End = spans[i].Start + signed(u)
	}
	if d.passBytes(n); d.err == nil {
		for i := range spans {
			spans[i].Status = Status(d.passed[i])
		}
	}
	seq := int64(-1)
	for i, u := range d.column(n) {
		seq += signed(u)
		spans[i].Seq = int(seq)
	}
	for i, u := range d.column(n) {
		spans[i].After = spans[i].Seq - int(signed(u))
	}
	d.pass(2 * n) // sizes
	return types
}

func (d *scanner) some(s *Span, flags uint64) {
	s.CacheHit = flags&spanCacheHit != 0
	if flags&^(spanCacheHit|spanAttrs) == 0 {
		return
	}
	if flags&spanKind != 0 {
		d.byte()
	}
	if flags&spanFailure != 0 {
		s.ErrorType, s.Error = d.str(), d.str()
	}
	if flags&spanRetries != 0 {
		s.Retries = int(d.int())
	}
	if flags&spanWait != 0 {
		d.uint()
	}
	if flags&spanTokens != 0 {
		s.Tokens = d.int()
	}
	if flags&spanCost != 0 {
		s.Cost = d.num()
	}
	if flags&spanParent != 0 {
		d.passBytes(len(SpanID{}))
	}
}

// noEvents passes over the events and returns how many there are.
func (d *scanner) noEvents() int {
	n := d.count(minEvent)
	for range n {
		f := d.byte()
		d.ref()
		d.uint()
		if f&eventSpan != 0 {
			d.uint()
		}
		if f&eventName != 0 {
			d.ref()
		}
		if f&eventAttrs != 0 {
			d.passAttrs()
		}
	}
	return n
}

func (d *scanner) pointRest(f byte) {
	if f&metricSpan != 0 {
		d.uint()
	}
	if f&metricAttrs != 0 {
		d.passAttrs()
	}
}

// points reads the metric points.
func (d *scanner) points(metrics []Metric, at int64) []Metric {
	n := d.count(minMetric)
	metrics = grow(metrics, n)
	for i := range metrics {
		m := &metrics[i]
		f := d.byte()
		m.Name, m.Unit, m.Agg, m.Node = d.str(), d.str(), d.str(), d.str()
		at += d.int()
		m.Time, m.Value = at, d.num()
		d.pointRest(f)
	}
	return metrics
}
