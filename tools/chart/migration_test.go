package main

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

const account = "ServiceAccount " + system + "/locust-k8s-operator-controller-manager"

// sameValues has a value of the 2.x chart for each row of docs/migrate.md that says "same", and the field that it is for.
var sameValues = map[string]struct {
	values, object, path string
	want                 any
}{
	"image.repository":                   {"image: {repository: mirror/operator}", "Deployment", container + "image", "mirror/operator:v3.0.0"},
	"image.tag":                          {"image: {tag: v3.0.1}", "Deployment", container + "image", "ghcr.io/abdelrhmanhamouda/locust-k8s-operator:v3.0.1"},
	"image.pullPolicy":                   {"image: {pullPolicy: Always}", "Deployment", container + "imagePullPolicy", "Always"},
	"image.pullSecrets":                  {"image: {pullSecrets: [registry]}", "Deployment", pod + "imagePullSecrets/[name=registry]/name", "registry"},
	"replicaCount":                       {"replicaCount: 3", "Deployment", "spec/replicas", 3.0},
	"resources":                          {"resources: {limits: {cpu: 500m}}", "Deployment", container + "resources/limits/cpu", "500m"},
	"fullnameOverride":                   {"fullnameOverride: locust-operator", "Deployment", "metadata/name", "locust-operator-controller-manager"},
	"extraEnv":                           {"extraEnv: [{name: HTTPS_PROXY, value: proxy}]", "Deployment", variable + "HTTPS_PROXY]/value", "proxy"},
	"terminationGracePeriodSeconds":      {"terminationGracePeriodSeconds: 10", "Deployment", pod + "terminationGracePeriodSeconds", 10.0},
	"podDisruptionBudget.enabled":        {"podDisruptionBudget: {enabled: false}", "PodDisruptionBudget", "kind", nil},
	"podDisruptionBudget.maxUnavailable": {"podDisruptionBudget: {maxUnavailable: 2}", "PodDisruptionBudget", "spec/maxUnavailable", 2.0},
	"locustPods.ttlSecondsAfterFinished": {`locustPods: {ttlSecondsAfterFinished: "3600"}`, "Deployment", arg + "--job-ttl=3600s", "--job-ttl=3600s"},
	"serviceAccount.create":              {"serviceAccount: {create: false, name: mine}", account, "kind", nil},
	"serviceAccount.name":                {"serviceAccount: {name: mine}", "Deployment", pod + "serviceAccountName", "mine"},
	"serviceAccount.annotations":         {"serviceAccount: {annotations: {a: b}}", account, "metadata/annotations/a", "b"},
	"podAnnotations":                     {"podAnnotations: {a: b}", "Deployment", "spec/template/metadata/annotations/a", "b"},
	"podSecurityContext":                 {"podSecurityContext: {runAsUser: 65532}", "Deployment", pod + "securityContext/runAsUser", 65532.0},
	"containerSecurityContext":           {"containerSecurityContext: {runAsUser: 65532}", "Deployment", container + "securityContext/runAsUser", 65532.0},
	"nodeSelector":                       {"nodeSelector: {disk: ssd}", "Deployment", pod + "nodeSelector/disk", "ssd"},
	"tolerations":                        {"tolerations: [{key: a, operator: Exists}]", "Deployment", pod + "tolerations/[key=a]/operator", "Exists"},
	"affinity":                           {"affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone}]}}", "Deployment", pod + "affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0/topologyKey", "zone"},
}

// migration is a row of a table of values in docs/migrate.md, for one value.
type migration struct {
	here     string   // same, new name or gone
	newNames []string // with new name
	remark   string
}

var quoted = regexp.MustCompile("`([^`]+)`")

// backticked returns what is between backticks.
func backticked(cell string) []string {
	var found []string
	for _, match := range quoted.FindAllStringSubmatch(cell, -1) {
		found = append(found, match[1])
	}
	return found
}

// tables returns the rows of the tables below a heading of docs/migrate.md, by the first cell of their head.
func tables(t *testing.T, heading string) map[string][][]string {
	t.Helper()
	_, section, found := strings.Cut(read(t, root, "docs", "migrate.md"), "\n## "+heading+"\n")
	require.True(t, found, heading)
	section, _, _ = strings.Cut(section, "\n## ")
	all := map[string][][]string{}
	head := ""
	for line := range strings.Lines(section) {
		row, isRow := strings.CutPrefix(strings.TrimSpace(line), "| ")
		if !isRow {
			head = ""
			continue
		}
		cells := strings.Split(strings.TrimSuffix(row, "|"), " | ")
		require.Len(t, cells, 3, line)
		switch {
		case head == "":
			head = cells[0]
			all[head] = nil
		case !strings.HasPrefix(cells[0], "---"):
			all[head] = append(all[head], cells)
		}
	}
	return all
}

// migrations returns the rows for the values that the chart knows.
func migrations(t *testing.T) map[string]migration {
	t.Helper()
	all := map[string]migration{}
	sections := tables(t, "Chart values")
	require.Contains(t, sections, "value of the 2.x chart")
	require.Contains(t, sections, "value of the 1.x chart")
	for _, row := range slices.Concat(sections["value of the 2.x chart"], sections["value of the 1.x chart"]) {
		here, newNames, _ := strings.Cut(row[1], ": ")
		require.Contains(t, []string{"same", "new name", "gone"}, here, "%q", row)
		require.Equal(t, here == "new name", newNames != "", "%q", row)
		require.NotEmpty(t, backticked(row[0]), "%q", row)
		for _, name := range backticked(row[0]) {
			require.NotContains(t, all, name, "two rows")
			all[name] = migration{here, backticked(newNames), row[2]}
		}
	}
	return all
}

// nested returns values with one value.
func nested(t *testing.T, path string, value any) string {
	t.Helper()
	keys := strings.Split(path, ".")
	for _, key := range slices.Backward(keys) {
		value = map[string]any{key: value}
	}
	text, err := yaml.Marshal(value)
	require.NoError(t, err)
	return string(text)
}

// TestMigration_Values: the chart does with each value of the 2.x chart what docs/migrate.md says.
func TestMigration_Values(t *testing.T) {
	byDefault := render(t, release, system, "")
	known := theSchema(t)
	for name, row := range migrations(t) {
		t.Run(name, func(t *testing.T) {
			if row.here == "same" {
				c, ok := sameValues[name]
				require.True(t, ok, "add it to sameValues")
				// at returns the field of the first object that has it.
				at := func(all objects) any {
					for _, id := range slices.Sorted(maps.Keys(all)) {
						if id == c.object || strings.HasPrefix(id, c.object+" ") {
							if found := all[id].at(c.path); found != nil {
								return found
							}
						}
					}
					return nil
				}
				require.NotNil(t, values(t, c.values)[strings.Split(name, ".")[0]])
				got := at(render(t, release, system, c.values))
				assert.Equal(t, c.want, got, "%s of %s", c.path, c.object)
				assert.NotEqual(t, at(byDefault), got, "the value changes nothing")
				return
			}
			refused := any(true)
			if name == "leaderElection.enabled" {
				assert.Equal(t, byDefault, render(t, release, system, nested(t, name, true)), "true is accepted")
				refused = false
			}
			_, err := tryRender(t, release, system, nested(t, name, refused))
			require.Error(t, err)
			_, problems, found := strings.Cut(err.Error(), "invalid values:\n- ")
			require.True(t, found, "%v", err)
			value, remedy, found := strings.Cut(problems, " is a value of the 2.x chart: ")
			require.True(t, found, problems)
			assert.Contains(t, name+".", value+".")
			assert.Regexp(t, `^(set|remove|install) `, remedy)
			for _, newName := range row.newNames {
				assert.Contains(t, remedy, newName)
				_, isValue := known[newName]
				assert.True(t, isValue && !known[newName].removed() || isSection(known, newName), "%s is no value of the chart", newName)
			}
			if row.here == "gone" {
				for _, name := range backticked(row.remark) {
					if s, isValue := known[name]; isValue && !s.removed() || strings.HasPrefix(name, "spec.") {
						assert.Contains(t, remedy, name, "the remedy of the chart and the one of docs/migrate.md")
					}
				}
			}
		})
	}
}

// isSection reports whether there are values below a name.
func isSection(known map[string]schema, name string) bool {
	for path := range known {
		if strings.HasPrefix(path, name+".") {
			return true
		}
	}
	return false
}

// TestMigration_Complete: docs/migrate.md has every value of the 2.x chart that this chart knows, and no other.
func TestMigration_Complete(t *testing.T) {
	rows := migrations(t)
	known := theSchema(t)
	_, list, found := strings.Cut(read(t, folder, "templates", "_checks.tpl"), `{{- define "locust-k8s-operator.removed" -}}`)
	require.True(t, found)
	list, _, _ = strings.Cut(list, "{{- end }}")
	var removed []string
	for _, match := range regexp.MustCompile(`(?m)^([\w.]+): `).FindAllStringSubmatch(list, -1) {
		removed = append(removed, match[1])
	}
	require.NotEmpty(t, removed)
	// covers reports whether a removed value is the named one or contains it.
	covers := func(path, name string) bool { return name == path || strings.HasPrefix(name, path+".") }
	for _, path := range removed {
		assert.True(t, known[path].removed(), "%s is not in the schema", path)
		assert.True(t, slices.ContainsFunc(slices.Collect(maps.Keys(rows)), func(name string) bool { return covers(path, name) && rows[name].here != "same" }),
			"%s is not in docs/migrate.md", path)
	}
	for path, s := range known {
		if s.removed() {
			assert.Contains(t, removed, path)
		} else if strings.HasPrefix(s.Description, "2.x") || strings.HasPrefix(s.Description, "Only true") {
			assert.Contains(t, rows, path, "not in docs/migrate.md")
		}
	}
	for name, row := range rows {
		s, isValue := known[name]
		isRemoved := slices.ContainsFunc(removed, func(path string) bool { return covers(path, name) })
		switch {
		case row.here == "same":
			assert.True(t, isValue && !s.removed(), "%s is not in the schema", name)
		case name != "leaderElection.enabled":
			assert.True(t, isRemoved, "the chart does not know %s", name)
		}
	}
	for name := range sameValues {
		assert.Equal(t, "same", rows[name].here, name)
	}
}

// TestMigration_Unknown: values that docs/migrate.md calls unknown are refused as such.
func TestMigration_Unknown(t *testing.T) {
	rows := tables(t, "Chart values")["value"]
	require.NotEmpty(t, rows)
	for _, row := range rows {
		for _, name := range backticked(row[0]) {
			_, err := tryRender(t, release, system, nested(t, name, "a"))
			keys := strings.Split(name, ".")
			assert.ErrorContains(t, err, "additional properties '"+keys[len(keys)-1]+"' not allowed", name)
		}
	}
}

// TestMigration_PodDefaults: the values in docs/migrate.md that restore the defaults of the 2.x operator apply to both roles.
func TestMigration_PodDefaults(t *testing.T) {
	_, block, found := strings.Cut(read(t, root, "docs", "migrate.md"), "```yaml\n")
	require.True(t, found)
	block, _, _ = strings.Cut(block, "```")
	const resources = `{"resources":{"limits":{"cpu":"1","ephemeral-storage":"50M","memory":"1Gi"},"requests":{"cpu":"250m","ephemeral-storage":"30M","memory":"128Mi"}}}`
	assert.JSONEq(t, `{"master":`+resources+`,"worker":`+resources+`}`,
		render(t, release, system, block).only(t, "Deployment").text(variable+"LOCUST_OPERATOR_POD_DEFAULTS]/value"))
}

// TestMigration_Images: an image of the 2.x operator is refused, by its repository or its tag.
func TestMigration_Images(t *testing.T) {
	for _, image := range []string{"{repository: lotest/locust-k8s-operator}", "{tag: 2.3.0}", "{tag: v2.3.0}"} {
		_, err := tryRender(t, release, system, "image: "+image)
		assert.ErrorContains(t, err, "is one of the 2.x operator, which does not work with this chart: remove image.repository and image.tag", image)
	}
}

// TestMigration_Variables: extraEnv refuses each variable that docs/migrate.md lists, all at once.
func TestMigration_Variables(t *testing.T) {
	var names []string
	var set []any
	for _, row := range tables(t, "Environment variables")["variable of the 2.x operator"] {
		for _, name := range backticked(row[0]) {
			names = append(names, name)
			set = append(set, map[string]any{"name": name, "value": "1"})
		}
	}
	require.Greater(t, len(names), 30)
	_, err := tryRender(t, release, system, nested(t, "extraEnv", set))
	require.Error(t, err)
	for _, name := range names {
		assert.ErrorContains(t, err, "- extraEnv: "+name+" is a variable of the 2.x operator, without an effect here: remove it")
	}
}
