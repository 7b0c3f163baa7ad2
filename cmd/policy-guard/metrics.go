package main

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/policy-frontend/policy-frontend/guard"
	"github.com/policy-frontend/policy-frontend/policy"
)

// maxRules is how many names of rules the metrics know. Rules come from the policy, which may
// change often while the program runs. Further ones are counted together.
const (
	maxRules   = 500
	otherRules = "(other)"
)

// metrics are the counts of what a guard does. Clients have no names in them.
type metrics struct {
	registry  *prometheus.Registry
	decisions *prometheus.CounterVec
	refusals  *prometheus.CounterVec
	deciding  prometheus.Histogram
	answering *prometheus.HistogramVec
	reads     *prometheus.CounterVec
	valid     prometheus.Gauge
	since     prometheus.Gauge
	info      *prometheus.GaugeVec

	mu    sync.Mutex
	rules map[string]bool
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(
			prometheus.CounterOpts{Name: "policy_guard_" + name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "policy_guard_" + name, Help: help})
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		rules:    map[string]bool{guard.GuardsRule: true, guard.OverlaysRule: true},
		decisions: counter("decisions_total",
			"Frontends that the policy allowed, by the rule that decided.", "verdict", "rule"),
		refusals: counter("refusals_total",
			"Refused builds, calls and sources, by the rule of the policy, or (guard).", "rule", "what"),
		deciding: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "policy_guard_decision_seconds",
			Help:    "Time to find out and judge which frontend a build asks for, with its look-ups.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		answering: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "policy_guard_answer_seconds",
			Help:    "Time to answer the daemon's questions whether it may read a source.",
			Buckets: []float64{.00001, .0001, .001, .01, .1, 1, 10},
		}, []string{"allowed"}),
		reads: counter("policy_reads_total",
			"How often the policy was read because it had changed.", "valid"),
		valid: gauge("policy_valid", "1 if the newest policy is in force, 0 if it isn't valid."),
		since: gauge("policy_since_timestamp_seconds", "Since when the policy in force is."),
		info: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "policy_guard_policy_info", Help: "The policy in force.",
		}, []string{"id", "digest"}),
	}
	m.registry.MustRegister(m.decisions, m.refusals, m.deciding, m.answering, m.reads, m.valid,
		m.since, m.info, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

var _ guard.Observer = (*metrics)(nil)

// Decided implements [guard.Observer].
func (m *metrics) Decided(d policy.Decision, took time.Duration) {
	m.decisions.WithLabelValues(string(d.Verdict), m.rule(guard.RuleOf(d))).Inc()
	m.deciding.Observe(took.Seconds())
}

// Refused implements [guard.Observer].
func (m *metrics) Refused(rule, what string) {
	m.refusals.WithLabelValues(m.rule(rule), what).Inc()
}

// Answered implements [guard.Observer].
func (m *metrics) Answered(allowed bool, took time.Duration) {
	m.answering.WithLabelValues(strconv.FormatBool(allowed)).Observe(took.Seconds())
}

// PolicyRead implements [guard.Observer].
func (m *metrics) PolicyRead(inForce *guard.Policy, problem error) {
	m.reads.WithLabelValues(strconv.FormatBool(problem == nil)).Inc()
	if problem != nil {
		m.valid.Set(0)
		return
	}
	m.valid.Set(1)
	m.since.SetToCurrentTime()
	m.info.Reset()
	m.info.WithLabelValues(inForce.Identity().ID, inForce.Digest().String()).Set(1)
}

// watch adds what is asked of the guard when somebody reads the metrics.
func (m *metrics) watch(g *guard.Guard) {
	for name, of := range map[string]struct {
		help  string
		value func() int64
	}{
		"builds":       {"Builds under way.", func() int64 { return int64(g.Builds()) }},
		"connections":  {"Open connections of clients.", func() int64 { return int64(g.Connections()) }},
		"memory_bytes": {"What requests and answers of clients take, by an estimate.", g.Memory},
	} {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "policy_guard_" + name, Help: of.help,
		}, func() float64 { return float64(of.value()) }))
	}
}

// rule returns the label of a rule.
func (m *metrics) rule(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.rules[name] {
		if len(m.rules) >= maxRules {
			return otherRules
		}
		m.rules[name] = true
	}
	return name
}
