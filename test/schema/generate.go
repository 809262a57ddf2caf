package schema

import (
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"

	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
)

// Generator generates random objects of a version. Most are valid; the values prefer edge cases of decoders.
type Generator struct {
	version *Version
	random  *rand.Rand
	// left is the number of values that the object may still get.
	left int
}

// NewGenerator returns a Generator whose objects depend only on the seed.
func NewGenerator(version *Version, seed uint64) *Generator {
	return &Generator{version: version, random: rand.New(rand.NewPCG(seed, seed))}
}

// Object returns the next object, with metadata that the API server accepts.
func (g *Generator) Object() map[string]any {
	g.left = 200
	if g.oneIn(50) {
		g.left = 20_000
	}
	object := map[string]any{
		"apiVersion": g.version.APIVersion, "kind": g.version.Kind,
		"metadata": map[string]any{"name": "walk", "namespace": "default"},
	}
	for _, part := range []string{"spec", "status"} {
		if part == "spec" || g.oneIn(2) {
			schema := g.version.structural.Properties[part]
			object[part] = g.value(&schema)
		}
	}
	return object
}

// Spec returns only the next spec, which may be invalid, for the annotation of v1.
func (g *Generator) Spec() any {
	g.left = 200
	schema := g.version.structural.Properties["spec"]
	return g.value(&schema)
}

func (g *Generator) oneIn(n int) bool { return g.random.IntN(n) == 0 }

func (g *Generator) value(schema *structuralschema.Structural) any {
	g.left--
	switch {
	case g.oneIn(200):
		return pick(g, []any{nil, nil, nil, nil, nil, nil, nil, "", "x", int64(-1), 1.5, true, []any{}, map[string]any{}})
	case schema.XIntOrString && g.oneIn(3):
		return g.integer(schema)
	}
	switch schema.Type {
	case "object":
		return g.object(schema)
	case "array":
		return g.array(schema)
	case "integer":
		return g.integer(schema)
	case "number":
		return pick(g, []any{0.0, 1.5, -1e300, 1e-300})
	case "boolean":
		return g.oneIn(2)
	}
	return g.text(schema)
}

func (g *Generator) object(schema *structuralschema.Structural) map[string]any {
	object := map[string]any{}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Structural != nil {
		for range g.length(schema) {
			object[pick(g, keys)] = g.value(schema.AdditionalProperties.Structural)
		}
		return object
	}
	var required []string
	if schema.ValueValidation != nil {
		required = schema.ValueValidation.Required
	}
	names := make([]string, 0, len(schema.Properties))
	for name := range schema.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	g.random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		wanted := slices.Contains(required, name)
		if !wanted && (g.left <= 0 || !g.oneIn(1+len(names)/3)) {
			continue
		}
		property := schema.Properties[name]
		object[name] = g.value(&property)
	}
	return object
}

func (g *Generator) array(schema *structuralschema.Structural) []any {
	items := []any{}
	if schema.Items == nil {
		return items
	}
	for range g.length(schema) {
		items = append(items, g.value(schema.Items))
	}
	return items
}

// length returns the length of a list or map: mostly short, sometimes as long as allowed.
func (g *Generator) length(schema *structuralschema.Structural) int {
	longest := 3
	if g.oneIn(20) {
		longest = max(g.left, 0)
	}
	if v := schema.ValueValidation; v != nil {
		for _, limit := range []*int64{v.MaxItems, v.MaxProperties} {
			if limit != nil && !g.oneIn(50) {
				longest = min(longest, int(*limit))
			}
		}
	}
	return min(g.random.IntN(longest+1), max(g.left, 0))
}

func (g *Generator) integer(schema *structuralschema.Structural) any {
	v := schema.ValueValidation
	switch {
	case g.oneIn(100):
		return pick(g, integers)
	case v != nil && v.Minimum != nil:
		largest := *v.Minimum + 10
		if v.Maximum != nil {
			largest = *v.Maximum
		}
		return int64(*v.Minimum) + g.random.Int64N(int64(largest-*v.Minimum)+1)
	case v != nil && v.Format == "int32":
		return pick(g, []any{int64(0), int64(1), int64(-1), int64(math.MaxInt32), int64(math.MinInt32)})
	}
	return pick(g, []any{int64(0), int64(1), int64(-1), int64(math.MaxInt64), int64(math.MinInt64)})
}

// text returns a string, mostly one that the schema accepts.
func (g *Generator) text(schema *structuralschema.Structural) any {
	candidates := texts
	if v := schema.ValueValidation; v != nil && !g.oneIn(100) {
		if len(v.Enum) > 0 {
			return pick(g, v.Enum).Object
		}
		candidates = matching(v)
	}
	text := pick(g, candidates)
	if g.oneIn(200) {
		text += strings.Repeat(pick(g, []string{"a", "\x00", "<", "µ", "$(A)"}), g.random.IntN(1<<pick(g, []int{4, 8, 16})))
	}
	return text
}

func pick[T any](g *Generator, from []T) T { return from[g.random.IntN(len(from))] }

// matching returns the texts within a schema's bounds, or all texts if there is none.
func matching(v *structuralschema.ValueValidation) []string {
	if found, ok := matches[v]; ok {
		return found
	}
	from := texts
	if v.Format == "date-time" {
		from = times
	}
	pattern, err := regexp.Compile(v.Pattern)
	if err != nil {
		return texts
	}
	var found []string
	for _, text := range from {
		long := v.MaxLength != nil && len(text) > int(*v.MaxLength)
		short := v.MinLength != nil && len(text) < int(*v.MinLength)
		if !long && !short && pattern.MatchString(text) {
			found = append(found, text)
		}
	}
	if len(found) == 0 {
		found = texts
	}
	matches[v] = found
	return found
}

var matches = map[*structuralschema.ValueValidation][]string{}

var integers = []any{
	int64(0), int64(1), int64(-1), int64(65535), int64(math.MaxInt32), int64(math.MaxInt32 + 1), int64(math.MinInt32 - 1),
	int64(math.MaxInt64), int64(math.MinInt64), 1.0, 1e15, 1e19, 1e21, -1e300,
}

var keys = []string{"", "a", "b", "cpu", "memory", "app.kubernetes.io/name", "x y", "ephemeral-storage", strings.Repeat("k", 300), "1", "\u0000"}

var times = []string{
	"2026-11-27T12:00:00Z", "2026-11-27T12:00:00.123456789Z", "1970-01-01T00:00:00Z", "2026-11-27T00:00:00Z", "0001-01-01T00:00:00Z", "2026-11-27t12:00:00z", "2026-11-27T12:00:00x5Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:00",
	"2026-11-27T12:00:00+99:99", "2026-02-31T12:00:00Z", "2026-11-27T23:59:60Z", "", "x",
}

// texts are values for string fields: names, paths, quantities, times, durations, and slightly invalid ones.
var texts = slices.Concat(times, []string{
	"a", "shop", "Not_A_Name", "/data", "/lotest/src", "--locustfile /a.py", "--host 'http://x y'", `"`, `\`, "$(A)$(B)", "true", "null", "A", "µ", "<&>", "\u2028",
	"0", "1", "-1", "+1", ".5", "1.", "1.5", "100m", "1Gi", "1E", "1e3", "1e99", "1e-99", "9e99", "1e100", "1e1000000000", "1111111111111111111e20000000",
	"1111111111111111111e99", "11111111111111111111111111111111", "1e1.5", "1e.5", "0.1e-5", "1Ki5", "1n", "1u", "0x10", "Inf", "NaN",
	"9223372036854775807", "9223372036854775808", "0.000000000000000000000000000001", "99999999999999999999999999999E",
	"1s", "1h2m3s", "0s", "5ms", "1.5h", "999999h", "9999999h", "9999999m", "1d", "5us", "5µs", "-5s", "3m", "999999.999999h9999999m9999999m9999999m",
	"0.5", "0.01", "1000000", "Always", "ClusterFirst", "In", "Exists", "NoSchedule", "grpc", "master", "True", "Reason", "ResourcesCreated",
})
