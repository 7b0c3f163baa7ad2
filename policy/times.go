package policy

import (
	"time"

	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// ParseTime reads a time as policies, their test cases and the command line write it: a
// day such as 2027-01-31, which begins at 00:00 UTC, or a time in RFC 3339. It refuses
// two forms that [time.Parse] accepts although RFC 3339 has neither: hours of one digit,
// and fractions after a comma (golang/go#54580). It also refuses the zero time, which
// stands for an unknown one.
func ParseTime(s string) (time.Time, error) { return imagerules.ParseTime(s) }
