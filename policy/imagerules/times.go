package imagerules

import (
	"fmt"
	"strings"
	"time"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// ParseTime reads a time as policies, their test cases and the command line write it: a
// day such as 2027-01-31, which begins at 00:00 UTC, or a time in RFC 3339. It refuses
// two forms that [time.Parse] accepts although RFC 3339 has neither: hours of one digit,
// and fractions after a comma (golang/go#54580). It also refuses the zero time, which
// stands for an unknown one.
func ParseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, s)
	loose := false
	if err != nil {
		t, err = time.Parse(time.RFC3339, s)
		loose = err == nil && (s[len("2027-01-31T12")] != ':' || strings.Contains(s, ","))
	}
	if err != nil || loose || t.IsZero() {
		return time.Time{},
			fmt.Errorf("%s is not a time; write a day such as 2027-01-31, or 2027-01-31T12:00:00Z",
				safetext.Quote(s))
	}
	return t, nil
}

// Expired reports whether the rule no longer matches. At an unknown time, what an
// allow rule allows is over and what a deny rule denies is not.
func (r *Rule) Expired(now time.Time) bool {
	if r.expires.IsZero() {
		return false
	}
	if now.IsZero() {
		return r.Action == ActionAllow
	}
	return !now.Before(r.expires)
}

// Ending returns what the rule has to say to a build that it allows.
func (r *Rule) Ending(now time.Time) []string {
	if r.warnAfter.IsZero() || (!now.IsZero() && now.Before(r.warnAfter)) {
		return nil
	}
	w := fmt.Sprintf("rule %s warns since %s", safetext.Quote(r.Name), r.WarnAfter)
	if r.Expires != "" {
		w += fmt.Sprintf(" and no longer allows this from %s on", r.Expires)
	}
	if r.Message != "" {
		w += ": " + safetext.OneLine(r.Message)
	}
	return []string{w}
}
