package schema

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	kjson "sigs.k8s.io/json"

	v1 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

var (
	objects = flag.Int("objects", 2000, "number of objects of each version")
	seed    = flag.Uint64("seed", 1, "seed of the first object")
)

// The limits hold for one step with one object. The best of ten tries counts, because a busy machine only adds to a cost.
// On a slow machine large objects may exceed maxTime, but not the time of maxReads passes over their JSON.
const (
	maxTime   = 50 * time.Millisecond // of processor time
	maxReads  = 10
	maxMemory = 16 << 20 // bytes allocated
)

func read(t testing.TB) map[string]*Version {
	t.Helper()
	versions, err := Read(filepath.Join("..", "..", "config", "crd", "bases", "locust.io_locusttests.yaml"))
	require.NoError(t, err)
	return versions
}

// cost is the cost of a step.
type cost struct {
	time   time.Duration
	memory uint64
}

// measure returns the lowest cost of up to ten runs of a step. It stops as soon as the step is within the limits.
func measure(step func()) cost {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best := cost{time: time.Hour, memory: 1 << 62}
	for range 10 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		started := threadTime()
		step()
		spent := threadTime() - started
		runtime.ReadMemStats(&after)
		best = cost{min(best.time, spent), min(best.memory, after.TotalAlloc-before.TotalAlloc)}
		if !checksCosts || best.time <= maxTime && best.memory <= maxMemory {
			break
		}
	}
	return best
}

func threadTime() time.Duration {
	const thread = 1 // RUSAGE_THREAD of Linux
	var usage syscall.Rusage
	_ = syscall.Getrusage(thread, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// walk counts the generated objects by outcome.
type walk struct {
	t                           *testing.T
	refused, passed, notDecoded int
	worst                       map[string]cost
}

func (w *walk) step(name string, raw []byte, step func()) {
	w.t.Helper()
	took := measure(step)
	if checksCosts && (took.memory > maxMemory || took.time > maxTime && took.time > maxReads*measure(func() { json.Valid(raw) }).time) {
		_ = os.WriteFile(filepath.Join(os.TempDir(), "walk-"+name+".json"), raw, 0o600)
		w.t.Errorf("%s took %s and %d KiB for an object of %d bytes: %.300s", name, took.time, took.memory>>10, len(raw), raw)
	}
	worst := w.worst[name]
	w.worst[name] = cost{max(worst.time, took.time), max(worst.memory, took.memory)}
}

func (w *walk) report() {
	w.t.Logf("%d objects passed the schema, %d were refused; %d that passed have too large a spec to decode", w.passed, w.refused, w.notDecoded)
	for name, worst := range w.worst {
		w.t.Logf("%s: at most %s and %d KiB", name, worst.time, worst.memory>>10)
	}
	assert.Greater(w.t, w.passed, w.refused/4, "enough objects pass")
}

// admit returns the object as the API server stores it, or nil if it is refused.
func (w *walk) admit(version *Version, object map[string]any) []byte {
	w.t.Helper()
	sent, err := json.Marshal(object)
	require.NoError(w.t, err)
	var received map[string]any
	require.NoError(w.t, kjson.UnmarshalCaseSensitivePreserveInts(sent, &received))
	if err := version.Admit(w.t.Context(), received); err != nil {
		w.refused++
		return nil
	}
	w.passed++
	stored, err := json.Marshal(received)
	require.NoError(w.t, err)
	return stored
}

// TestWalk_V2 checks that every object that the schema of v2 admits is decoded, compared and converted at a bounded cost.
// Decoding may fail only because of the size, and then the error reports the size.
func TestWalk_V2(t *testing.T) {
	version := read(t)["v2"]
	generator := NewGenerator(version, *seed)
	w := &walk{t: t, worst: map[string]cost{}}
	defer w.report()
	for range *objects {
		raw := w.admit(version, generator.Object())
		if raw == nil {
			continue
		}
		var test v2.LocustTest
		w.step("decode", raw, func() {
			test = v2.LocustTest{}
			require.NoError(t, json.Unmarshal(raw, &test), "%s", raw)
		})
		if failure := test.DecodeError; failure != nil {
			w.notDecoded++
			require.Equal(t, "spec", failure.Field, "the schema must refuse objects that cannot be decoded: %v", failure)
			require.Contains(t, failure.Detail, "no ")
		}
		requireStatus(t, raw, &test.Status)
		other := test.DeepCopy()
		w.step("compare", raw, func() { resources.SameSpec(&test.Spec, &other.Spec) })
		var inV1 v1.LocustTest
		w.step("convert to v1", raw, func() { require.NoError(t, inV1.ConvertFrom(&test)) })
		w.step("convert from v1", raw, func() {
			var back v2.LocustTest
			if err := inV1.ConvertTo(&back); err == nil && test.DecodeError == nil {
				require.True(t, resources.SameSpec(&test.Spec, &back.Spec), "%s", raw)
			}
		})
	}
}

// requireStatus checks that decoding keeps every field of a valid status.
func requireStatus(t *testing.T, raw []byte, status *v2.LocustTestStatus) {
	t.Helper()
	var stored struct {
		Status map[string]json.RawMessage `json:"status"`
	}
	require.NoError(t, json.Unmarshal(raw, &stored))
	type plain v2.LocustTestStatus // has no UnmarshalJSON, so decoding leaves out nothing
	text, err := json.Marshal(stored.Status)
	require.NoError(t, err)
	var strict plain
	if err := kjson.UnmarshalCaseSensitivePreserveInts(text, &strict); err != nil {
		// The API server's validator accepts a list for a string with a format, such as a time. The decoder leaves it out.
		require.ErrorContains(t, err, "cannot unmarshal array", "the schema must refuse this status: %s", text)
		return
	}
	require.Equal(t, strict, plain(*status))
}

// TestWalk_V1 checks the same for v1, with random annotations.
func TestWalk_V1(t *testing.T) {
	versions := read(t)
	generator, specs := NewGenerator(versions["v1"], *seed), NewGenerator(versions["v2"], *seed+1)
	w := &walk{t: t, worst: map[string]cost{}}
	defer w.report()
	validAnnotations := 0
	for i := range *objects {
		object := generator.Object()
		if i%2 == 0 {
			text, err := json.Marshal(specs.Spec())
			require.NoError(t, err)
			object["metadata"].(map[string]any)["annotations"] = map[string]any{v1.AnnotationV2Spec: string(text)}
		}
		raw := w.admit(versions["v1"], object)
		if raw == nil {
			continue
		}
		var test v1.LocustTest
		w.step("decode", raw, func() {
			test = v1.LocustTest{}
			require.NoError(t, json.Unmarshal(raw, &test), "%s", raw)
		})
		var hub v2.LocustTest
		w.step("convert to v2", raw, func() {
			hub = v2.LocustTest{}
			require.NoError(t, test.ConvertTo(&hub), "%s", raw)
		})
		checked := hub
		if v1.CheckAnnotation(&checked); i%2 == 0 && checked.DecodeError == nil {
			validAnnotations++
		}
		w.step("convert from v2", raw, func() {
			var back v1.LocustTest
			require.NoError(t, back.ConvertFrom(&hub))
		})
	}
	assert.Positive(t, validAnnotations, "some annotations are valid")
}

// TestWalk_Largest checks the cost of specs at and beyond the limits of size.
func TestWalk_Largest(t *testing.T) {
	version := read(t)["v2"]
	spec := func(field string, value any) map[string]any {
		all := map[string]any{
			"image":  "locustio/locust:2.47.0",
			"master": map[string]any{"command": "--locustfile /a.py"},
			"worker": map[string]any{"command": "--locustfile /a.py", "replicas": int64(1)},
		}
		all[field] = value
		return all
	}
	repeat := func(item any, n int) []any {
		items := make([]any, n)
		for i := range items {
			items[i] = item
		}
		return items
	}
	tolerations := func(n int) map[string]any {
		return spec("scheduling", map[string]any{"tolerations": repeat(map[string]any{}, n)})
	}
	arguments := func(size int) map[string]any {
		master := map[string]any{"command": "--locustfile /a.py", "extraArgs": repeat(strings.Repeat("<", size/6/200), 200)}
		return spec("master", master)
	}
	projected := spec("volumes", repeat(map[string]any{"name": "v", "projected": map[string]any{"sources": repeat(map[string]any{}, v2.MaxValues-50)}}, 1))
	limits := map[string]any{}
	for i := range 64 {
		limits[fmt.Sprintf("example.com/r%d", i)] = "99999999999999999999999999999e99"
	}
	for name, row := range map[string]struct {
		spec    map[string]any
		decoded bool
	}{
		"many tolerations":         {tolerations(v2.MaxValues - 50), true},
		"too many tolerations":     {tolerations(v2.MaxValues), false},
		"far too many tolerations": {tolerations(300_000), false},
		"long arguments":           {arguments(190 << 10), true},
		"too long arguments":       {arguments(300 << 10), false},
		"far too long arguments":   {arguments(1400 << 10), false},
		"many sources":             {projected, true},
		"many large quantities": {spec("master", map[string]any{
			"command": "--locustfile /a.py", "resources": map[string]any{"limits": limits}}), true},
	} {
		t.Run(name, func(t *testing.T) {
			w := &walk{t: t, worst: map[string]cost{}}
			raw := w.admit(version, map[string]any{
				"apiVersion": version.APIVersion, "kind": version.Kind, "metadata": map[string]any{"name": "large"}, "spec": row.spec})
			require.NotNil(t, raw, "the schema admits it")
			var test v2.LocustTest
			w.step("decode", raw, func() {
				test = v2.LocustTest{}
				require.NoError(t, json.Unmarshal(raw, &test))
			})
			assert.Equal(t, row.decoded, test.DecodeError == nil, "%v", test.DecodeError)
			other := test.DeepCopy()
			w.step("compare", raw, func() { resources.SameSpec(&test.Spec, &other.Spec) })
			var inV1 v1.LocustTest
			w.step("convert to v1", raw, func() { require.NoError(t, inV1.ConvertFrom(&test)) })
			w.step("convert from v1", raw, func() { _ = inV1.ConvertTo(&v2.LocustTest{}) })
			for name, worst := range w.worst {
				t.Logf("%s: %s and %d KiB for %d bytes", name, worst.time, worst.memory>>10, len(raw))
			}
		})
	}
}
