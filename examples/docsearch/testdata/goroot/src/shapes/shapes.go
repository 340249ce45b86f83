package shapes

// Kinds of shapes.
const (
	Round  Kind = iota
	Square      // four equal sides
	// Odd has a comment of its own.
	Odd
	secret
)

// Kind says what a shape is.
type Kind int

var (
	// ErrFlat is returned for a shape without area.
	ErrFlat error

	NoDoc, ErrThin error // too thin
)

type (
	// Pair holds two values.
	Pair[A, B any] struct {
		base
		First  A
		Second B
	}

	// Shape is anything with an area.
	Shape interface {
		// Area returns the area.
		Area() float64
		Perimeter(unit string) (length float64, err error) // in the given unit
		private()
		Undocumented()
	}

	point struct{}
)

type base struct{}

// Close releases the shape.
func (b *base) Close(force bool) error { return nil }

// String is what Pair has itself.
func (b *base) String() string { return "" }

// String names the pair.
func (p *Pair[A, B]) String() string { return "" }

// Hidden belongs to an unexported type that nothing embeds.
func (point) Hidden() {}

// private is unexported.
func (p *Pair[A, B]) private() {}
