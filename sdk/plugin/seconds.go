package plugin

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Seconds is a duration in a configuration: a number of seconds, or a text such as
// 500ms.
type Seconds time.Duration

// MarshalJSON writes a text.
func (s Seconds) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(s).String()) }

// UnmarshalJSON reads either form.
func (s *Seconds) UnmarshalJSON(b []byte) error {
	var n float64
	if json.Unmarshal(b, &n) == nil && math.Abs(n) < 1e9 {
		*s = Seconds(n * float64(time.Second))
		return nil
	}
	var text string
	d, err := time.Duration(0), json.Unmarshal(b, &text)
	if err == nil {
		d, err = time.ParseDuration(text)
	}
	if err != nil {
		return fmt.Errorf("%s is neither a number of seconds nor a duration such as 5s", b)
	}
	*s = Seconds(d)
	return nil
}
