package backend

// Reader decodes block after block and leaves out those that a Match does not
// select, without decoding more than it takes to know: a block spells every name
// that is not in the static dictionary, so most that cannot hold the name that is
// asked for are told by their first bytes. Not safe for concurrent use.
type Reader struct {
	m    *Match
	full Decoder
	lean Scanner
}

// Reader returns a Reader for m.
func (m *Match) Reader() *Reader { return &Reader{m: m} }

// Read returns the trace of a block, valid until the next call; nil when m does
// not select it. The checksum is verified in any case.
func (r *Reader) Read(block []byte) (*Trace, error) {
	if ok, err := r.spells(block); !ok {
		return nil, err
	}
	t, err := r.full.Decode(block)
	if err != nil || !r.m.Trace(t) {
		return nil, err
	}
	return t, nil
}

// Scan is Read for what Scanner.Scan reads of a block.
func (r *Reader) Scan(block []byte) (*Trace, error) {
	if !r.m.Lean() {
		return r.Read(block)
	}
	if ok, err := r.spells(block); !ok {
		return nil, err
	}
	t, err := r.lean.Scan(block)
	if err != nil || !r.m.Trace(t) {
		return nil, err
	}
	return t, nil
}

// spells reports whether the dictionary of a block has the words it must have.
func (r *Reader) spells(block []byte) (bool, error) {
	if len(r.m.words) == 0 {
		return true, nil
	}
	d := &r.lean.d
	if err := d.begin(block); err != nil {
		return false, err
	}
	for _, w := range r.m.words {
		if !d.spells(w) {
			return false, nil
		}
	}
	return true, nil
}

// spells reports whether the dictionary of the block has w.
func (d *scanner) spells(w string) bool {
	from := 0
	for _, end := range d.ends {
		if string(d.text[from:end]) == w {
			return true
		}
		from = end
	}
	return false
}
