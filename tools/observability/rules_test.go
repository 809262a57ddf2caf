package observability

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	promqlengine "github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// alerts returns the alerts of config/prometheus, parsed as Prometheus parses a rules file.
func alerts(t *testing.T) []rulefmt.Rule {
	t.Helper()
	object := rules(t)
	file, err := yaml.Marshal(object.Spec)
	require.NoError(t, err)
	groups, errs := rulefmt.Parse(file, false, model.UTF8Validation, promql)
	require.Empty(t, errs)
	var all []rulefmt.Rule
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			require.NotEmpty(t, rule.Alert, "a recording rule: %s", rule.Record)
			all = append(all, rule)
		}
	}
	require.NotEmpty(t, all)
	return all
}

func TestAlerts_QueryExistingSeries(t *testing.T) {
	c := exposed(t)
	seen := map[string]bool{}
	for _, alert := range alerts(t) {
		assert.Empty(t, c.problems(alert.Expr), alert.Alert)
		assert.False(t, seen[alert.Alert], "duplicate alert %s", alert.Alert)
		seen[alert.Alert] = true
	}
}

func TestAlerts_Annotations(t *testing.T) {
	for _, alert := range alerts(t) {
		assert.Contains(t, []string{"critical", "warning", "info"}, alert.Labels["severity"], alert.Alert)
		assert.Len(t, alert.Labels, 1, alert.Alert)
		for _, name := range []string{"summary", "description"} {
			text := alert.Annotations[name]
			assert.NotEmpty(t, text, "%s of %s", name, alert.Alert)
			assert.True(t, strings.HasSuffix(text, "."), "%s of %s is a sentence: %s", name, alert.Alert, text)
			assert.NotContains(t, text, "\n", "%s of %s", name, alert.Alert)
		}
		assert.NotContains(t, alert.Annotations["summary"], "{{", "a summary has no variables")
	}
}

// ruler evaluates alerts as Prometheus does: an alert fires once its expression has had a result with the same labels at
// every evaluation during `for`.
type ruler struct {
	alerts  []rulefmt.Rule
	pending map[string]time.Time
}

// firing is one alert that fires.
type firing struct {
	alert, labels, description string
}

// evaluate returns the firing alerts.
func (r *ruler) evaluate(t *testing.T, w *fixture) []firing {
	t.Helper()
	var all []firing
	pending := map[string]time.Time{}
	for _, alert := range r.alerts {
		for _, result := range w.query(t, alert.Expr) {
			series := labels.NewBuilder(result.Metric).Del(model.MetricNameLabel).Labels()
			key := alert.Alert + series.String()
			since, ok := r.pending[key]
			if !ok {
				since = w.now
			}
			pending[key] = since
			if w.now.Sub(since) >= time.Duration(alert.For) {
				all = append(all, firing{alert.Alert, series.String(), describe(t, w, alert, series, result)})
			}
		}
	}
	r.pending = pending
	return all
}

// describe expands the description as Prometheus does.
func describe(t *testing.T, w *fixture, alert rulefmt.Rule, series labels.Labels, result promqlengine.Sample) string {
	t.Helper()
	data := template.AlertTemplateData(series.Map(), nil, "", result)
	text := "{{$labels := .Labels}}{{$value := .Value}}" + alert.Annotations["description"]
	expander := template.NewTemplateExpander(t.Context(), text, alert.Alert, data, model.TimeFromUnixNano(w.now.UnixNano()), nil,
		&url.URL{}, []string{"missingkey=error"})
	expanded, err := expander.Expand()
	require.NoError(t, err, alert.Alert)
	return expanded
}

const (
	scrapeEvery   = 15 * time.Second
	evaluateEvery = 30 * time.Second
)

// span is the time during which an alert fires, from the first to the last such evaluation.
type span struct{ from, to time.Duration }

// watch runs for a duration and returns when alerts fired, and their last descriptions. It calls step before each
// scrape, which changes the fixture, and returns false if the target does not answer.
func watch(t *testing.T, long time.Duration, step func(w *fixture, at time.Duration) (answers bool)) (map[string]span, map[string]string) {
	t.Helper()
	w := newFixture(t)
	r := &ruler{alerts: alerts(t)}
	spans, descriptions := map[string]span{}, map[string]string{}
	for at := time.Duration(0); at <= long; at += scrapeEvery {
		w.now = t0.Add(at)
		w.scrape(t, step(w, at))
		if at%evaluateEvery != 0 {
			continue
		}
		for _, f := range r.evaluate(t, w) {
			key := f.alert + f.labels
			s, again := spans[key]
			if !again {
				s.from = at
			} else {
				require.Equal(t, at-evaluateEvery, s.to, "%s fired with an interruption", key)
			}
			s.to = at
			spans[key], descriptions[key] = s, f.description
		}
	}
	return spans, descriptions
}

// fired is the key of an alert in the results of watch.
func fired(alert string, pairs ...string) string {
	return alert + labels.FromStrings(pairs...).String()
}

func TestAlerts_EachFires(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range alertCases(t) {
		for key := range s.fires {
			name, _, _ := strings.Cut(key, "{")
			seen[name] = true
		}
	}
	for _, alert := range alerts(t) {
		assert.True(t, seen[alert.Alert], "no case fires %s", alert.Alert)
	}
}

func TestAlerts_Cases(t *testing.T) {
	for _, s := range alertCases(t) {
		t.Run(s.name, func(t *testing.T) {
			spans, descriptions := watch(t, s.long, s.step)
			if s.fires == nil {
				s.fires = map[string]span{}
			}
			assert.Equal(t, s.fires, spans, "firing alerts")
			for key, text := range s.descriptions {
				assert.Contains(t, descriptions[key], text)
			}
			for key, text := range descriptions {
				assert.NotContains(t, text, "NaN", key)
				t.Logf("%s: %s", key, text)
			}
		})
	}
}
