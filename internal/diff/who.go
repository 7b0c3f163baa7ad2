package diff

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// maxClients is how many clients stand for all others.
const maxClients = 64

// Clients returns clients that stand for all others under the policies: one for each way in which
// their rules are for some clients. If no rule is, that is the unknown client alone. complete
// is false if there are too many.
func Clients(policies ...*policy.Policy) (samples []clients.Client, complete bool) {
	var all []clients.Condition
	for _, p := range policies {
		all = append(all, p.ClientConditions()...)
	}
	return clients.Samples(all, maxClients)
}

// as returns the side as it is for a client.
func (s *side) as(c clients.Client) *side {
	of := *s
	of.layers, of.client = s.layers.For(c), c
	return &of
}

// eachClient calls compare with a comparison of the policies for each client that stands for
// others, until it returns false. They have the work together, and left is what remains of it.
func eachClient(
	a, b *side, at time.Time, work int, compare func(c *comparison, by clients.Client) bool,
) (left int) {
	samples, all := Clients(a.policy, b.policy)
	for _, by := range samples {
		c := compareSides(a.as(by), b.as(by), at)
		c.budget = work
		if !all {
			c.leaveOut("rules for clients, because there are too many kinds of clients")
		}
		goesOn := compare(c, by)
		if work = c.budget; !goesOn {
			break
		}
	}
	return work
}

// merged has the reports for several clients.
type merged struct {
	Report
	reports int
	seen    map[string]*counted
	order   []string
}

// counted is a difference or a statement that some reports have.
type counted struct {
	difference Difference
	statement  Statement
	isRequest  bool
	by         string // the first of its clients
	reports    int    // those with the same request
}

func (m *merged) add(r Report, by clients.Client) {
	m.reports++
	m.Requests += r.Requests
	m.Complete = m.Complete && r.Complete
	m.Widened = m.Widened || r.Widened
	for _, text := range r.Uncompared {
		if !slices.Contains(m.Uncompared, text) {
			m.Uncompared = append(m.Uncompared, text)
		}
	}
	for _, d := range r.Differences {
		key := fmt.Sprintf("%s\x00%t\x00%s\x00%q\x00%s\x00%s\x00%s\x00%s", d.Change, d.Widens, d.Pattern,
			d.Details, d.Before.Verdict, d.Before.Rule, d.After.Verdict, d.After.Rule)
		m.count(key, by, counted{difference: d, isRequest: true})
	}
	for _, s := range r.Statements {
		m.count(fmt.Sprintf("%t\x00%s", s.Widens, s.Text), by, counted{statement: s})
	}
}

func (m *merged) count(key string, by clients.Client, one counted) {
	known, ok := m.seen[key]
	if !ok {
		known = &one
		known.by = clientText(by)
		m.seen[key] = known
		m.order = append(m.order, key)
	}
	if reflect.DeepEqual(known.difference.Request, one.difference.Request) {
		known.reports++
	}
}

// clientText names a client in a report.
func clientText(c clients.Client) string {
	if !c.Known() {
		return "a client that isn't known"
	}
	return c.String()
}

// report returns the reports in one. What only some of them have names a client.
func (m *merged) report() Report {
	for _, key := range m.order {
		one := m.seen[key]
		some := one.reports < m.reports
		switch {
		case one.isRequest:
			if some {
				one.difference.Request.Client = one.by
			}
			m.Differences = append(m.Differences, one.difference)
		default:
			if some {
				one.statement.Text += ", for " + one.by
			}
			m.Statements = append(m.Statements, one.statement)
		}
	}
	sortDifferences(m.Differences)
	return m.Report
}
