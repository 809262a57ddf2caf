package observability

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// dashboard has the checked fields of Grafana's format.
type dashboard struct {
	UID, Title string
	Panels     []panel
	Templating struct {
		List []variable
	}
}

type datasource struct{ Type, UID string }

type variable struct {
	Name, Type, Query string
	Datasource        datasource
}

type panel struct {
	ID          int
	Type, Title string
	Description string
	GridPos     struct{ X, Y, W, H int }
	Datasource  datasource
	Targets     []target
	Panels      []panel
}

type target struct {
	RefID, Expr, LegendFormat string
	Datasource                datasource
}

// readDashboard reads the dashboard from the ConfigMap for Grafana's sidecar.
func readDashboard(t *testing.T) dashboard {
	t.Helper()
	object := dashboardMap(t)
	assert.Equal(t, "1", object.Labels["grafana_dashboard"])
	require.Len(t, object.Data, 1)
	var d dashboard
	for name, text := range object.Data {
		assert.True(t, strings.HasSuffix(name, ".json"), "the sidecar loads only .json files: %s", name)
		require.NoError(t, json.Unmarshal([]byte(text), &d))
	}
	require.NotEmpty(t, d.Panels)
	return d
}

// allPanels returns all panels, including those in rows.
func (d *dashboard) allPanels() []panel {
	var all []panel
	for _, p := range d.Panels {
		all = append(all, p)
		all = append(all, p.Panels...)
	}
	return all
}

// charts returns the panels that show data.
func (d *dashboard) charts() []panel {
	return slices.DeleteFunc(d.allPanels(), func(p panel) bool { return p.Type == "row" })
}

func TestDashboard_Panels(t *testing.T) {
	d := readDashboard(t)
	assert.NotEmpty(t, d.UID)
	assert.NotEmpty(t, d.Title)
	ids, taken := map[int]string{}, map[[2]int]string{}
	for _, p := range d.allPanels() {
		assert.Positive(t, p.ID, p.Title)
		assert.Empty(t, ids[p.ID], "%s has the id of another panel", p.Title)
		ids[p.ID] = p.Title
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				assert.Empty(t, taken[[2]int{x, y}], "%s overlaps another panel", p.Title)
				assert.Less(t, x, 24, "%s exceeds the width", p.Title)
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
	source := datasource{"prometheus", "${datasource}"}
	for _, p := range d.charts() {
		assert.NotEmpty(t, p.Description, p.Title)
		assert.NotEmpty(t, p.Targets, p.Title)
		assert.Equal(t, source, p.Datasource, p.Title)
		refs := map[string]bool{}
		for _, query := range p.Targets {
			assert.NotEmpty(t, query.Expr, p.Title)
			assert.Equal(t, source, query.Datasource, p.Title)
			assert.False(t, refs[query.RefID], "%s has two targets %s", p.Title, query.RefID)
			refs[query.RefID] = true
		}
	}
}

var variableUse = regexp.MustCompile(`\$\{?(\w+)(:\w+)?\}?`)

// fill replaces the dashboard's variables with values, and returns the unknown ones.
func (d *dashboard) fill(expression string) (filled string, unknown []string) {
	values := map[string]string{"__rate_interval": "1m", "__interval": "15s", "__range": "1h"}
	for _, v := range d.Templating.List {
		values[v.Name] = ".*"
	}
	filled = variableUse.ReplaceAllStringFunc(expression, func(use string) string {
		name := variableUse.FindStringSubmatch(use)[1]
		value, ok := values[name]
		if !ok {
			unknown = append(unknown, name)
		}
		return value
	})
	return filled, unknown
}

// labelValues matches the query of a variable, which has a selector and a label.
var labelValues = regexp.MustCompile(`^label_values\((.+), *(\w+)\)$`)

// selected matches the labels of the selected tests, and the beginning of a selector that has others too.
var selected = regexp.MustCompile(`\{namespace=~"\$namespace", name=~"\$test"(, |\})`)

func TestDashboard_Variables(t *testing.T) {
	d, c := readDashboard(t), exposed(t)
	var names []string
	for _, v := range d.Templating.List {
		names = append(names, v.Name)
		if v.Type == "datasource" {
			assert.Equal(t, "prometheus", v.Query)
			continue
		}
		assert.Equal(t, datasource{"prometheus", "${datasource}"}, v.Datasource, v.Name)
		parts := labelValues.FindStringSubmatch(v.Query)
		require.NotNil(t, parts, "%s: %s", v.Name, v.Query)
		filled, unknown := d.fill(parts[1])
		assert.Empty(t, unknown, v.Name)
		assert.Empty(t, c.problems(fmt.Sprintf("count by (%s) (%s)", parts[2], filled)), v.Name)
	}
	assert.Equal(t, []string{"datasource", "namespace", "test"}, names)
	for _, p := range d.charts() {
		for _, query := range p.Targets {
			if strings.Contains(query.Expr, "locust_test_") {
				selectors := strings.Count(query.Expr, "locust_test_")
				assert.Len(t, selected.FindAllString(query.Expr, -1), selectors,
					"%s %s shows only the selected tests", p.Title, query.RefID)
			}
		}
	}
}

func TestDashboard_QueriesExistingSeries(t *testing.T) {
	d, c := readDashboard(t), exposed(t)
	for _, p := range d.charts() {
		for _, query := range p.Targets {
			filled, unknown := d.fill(query.Expr)
			assert.Empty(t, unknown, "%s %s: no such variables", p.Title, query.RefID)
			assert.Empty(t, c.problems(filled), "%s %s", p.Title, query.RefID)
		}
	}
}

var legendLabel = regexp.MustCompile(`\{\{ *(\w+) *\}\}`)

// TestDashboard_ShowsData: with a running and a finished test, no target is empty, and every label of a legend has a value.
func TestDashboard_ShowsData(t *testing.T) {
	d, w, running := readDashboard(t), newFixture(t), newLoad()
	for at := time.Duration(0); at <= 5*minute; at += scrapeEvery {
		w.now = t0.Add(at)
		work(w)
		running.run(0.1)
		w.Tests.Observe(running.LocustTest)
		observeEndpoints(w.Tests, running.LocustTest)
		w.Tests.Observe(example("done", v2.PhaseSucceeded))
		w.scrape(t, true, controllerFamilies(t)...)
	}
	for _, p := range d.charts() {
		for _, query := range p.Targets {
			filled, _ := d.fill(query.Expr)
			results := w.query(t, filled)
			assert.NotEmpty(t, results, "%s %s: %s", p.Title, query.RefID, filled)
			legends := map[string]bool{}
			for _, r := range results {
				legend := legendLabel.ReplaceAllStringFunc(query.LegendFormat, func(use string) string {
					value := r.Metric.Get(legendLabel.FindStringSubmatch(use)[1])
					assert.NotEmpty(t, value, "%s %s: no label for %s", p.Title, query.RefID, use)
					return value
				})
				assert.False(t, legends[legend] && p.Type != "table", "%s %s: two series with the legend %q", p.Title, query.RefID, legend)
				legends[legend] = true
			}
		}
	}
}
