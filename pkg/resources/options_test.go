package resources

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

func TestOptions_Value(t *testing.T) {
	for name, row := range map[string]struct {
		args string
		vars []corev1.EnvVar
		want string
	}{
		"not given":                        {args: "-u 1"},
		"long":                             {args: "--locustfile a.py", want: "a.py"},
		"long with equals sign":            {args: "--locustfile=a=b.py", want: "a=b.py"},
		"short":                            {args: "-f a.py", want: "a.py"},
		"short, attached":                  {args: "-fa.py", want: "a.py"},
		"short, attached, with equals":     {args: "-fa=b.py", want: "a=b.py"},
		"short with equals sign":           {args: "-f=a.py", want: "a.py"},
		"abbreviated":                      {args: "--locustf a.py", want: "a.py"},
		"abbreviated with equals sign":     {args: "--loc=a.py", want: "a.py"},
		"abbreviation of several":          {args: "--lo a.py"},
		"longer than the name":             {args: "--locustfiles a.py"},
		"capital letters":                  {args: "-F a.py --LOCUSTFILE b.py"},
		"the last one counts":              {args: "-f a.py --locustfile=b.py -fc.py -u 1", want: "c.py"},
		"empty":                            {args: "-f a.py --locustfile="},
		"no value":                         {args: "-u 1 -f"},
		"an option instead of a value":     {args: "-f --master"},
		"value of another":                 {args: "--host -f -f a.py", want: "a.py"},
		"a dash":                           {args: "-f -", want: "-"},
		"only user classes follow":         {args: "-f a.py -- -f b.py", want: "a.py"},
		"argument over variable":           {args: "-f a.py", vars: []corev1.EnvVar{{Name: "LOCUST_LOCUSTFILE", Value: "b.py"}}, want: "a.py"},
		"variable":                         {vars: []corev1.EnvVar{{Name: "LOCUST_LOCUSTFILE", Value: "b.py"}}, want: "b.py"},
		"variable in the variable":         {vars: []corev1.EnvVar{{Name: "DIR", Value: "/a"}, {Name: "LOCUST_LOCUSTFILE", Value: "$(DIR)/b.py"}}, want: "/a/b.py"},
		"variable with a source":           {vars: []corev1.EnvVar{{Name: "LOCUST_LOCUSTFILE", ValueFrom: &corev1.EnvVarSource{}}}},
		"variable in the argument":         {args: "-f $(DIR)/a.py", vars: []corev1.EnvVar{{Name: "DIR", Value: "/a"}}, want: "/a/a.py"},
		"unknown variable in the argument": {args: "-f $(DIR)/a.py", want: "$(DIR)/a.py"},
		"option in a variable":             {args: "$(OPTION)", vars: []corev1.EnvVar{{Name: "OPTION", Value: "-fa.py"}}, want: "a.py"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := parseOptions(&makeTest(variables(row.vars...)).Spec, strings.Fields(row.args))
			assert.Equal(t, row.want, opts.value(optLocustfile))
		})
	}
}

func TestOptions_IsHeadless(t *testing.T) {
	for name, row := range map[string]struct {
		args, variable string
		want           bool
	}{
		"not given":               {args: "-f a.py"},
		"argument":                {args: "--headless", want: true},
		"abbreviated":             {args: "--headl", want: true},
		"abbreviation of several": {args: "--head"},
		"variable":                {variable: "Yes", want: true},
		"false variable":          {variable: "false"},
		"reverted":                {args: "--headless --headful"},
		"does not take a value":   {args: "--headless --headful=x"},
	} {
		t.Run(name, func(t *testing.T) {
			test := makeTest(variables(corev1.EnvVar{Name: "LOCUST_HEADLESS", Value: row.variable}))
			assert.Equal(t, row.want, parseOptions(&test.Spec, strings.Fields(row.args)).isHeadless())
		})
	}
}

func TestExpand(t *testing.T) {
	variables := map[string]string{"A": "a", "DOLLAR": "$(A)", "": "none"}
	for text, want := range map[string]string{
		"":                "",
		"plain":           "plain",
		"$(A)-$(A)":       "a-a",
		"$(B)":            "$(B)",
		"$(B$(A))":        "$(B$(A))",
		"$$(A)":           "$(A)",
		"$$$(A)":          "$a",
		"$(DOLLAR)":       "$(A)", // what was put in is not expanded again
		"a$":              "a$",
		"$A":              "$A",
		"$(A":             "$(A",
		"100$ for $(A) $": "100$ for a $",
	} {
		assert.Equal(t, want, (&expansion{variables: variables}).expand(text), text)
	}
}

// FuzzOptions: escaped arguments reach Locust unchanged, and an option's value is at the position that the argument holds.
func FuzzOptions(f *testing.F) {
	for _, seed := range []string{"-f\na.py", "--locustfile=$(A).py", "-f=a\n--", "--loc\n-", "-P80\n--web-port\n-1", "$$(A)", "--=\n-\n--web"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		words := strings.Split(text, "\n")
		opts := parseOptions(&v2.LocustTestSpec{}, escapeExpansions(words))
		assert.Equal(t, words, opts.words)
		for _, arg := range opts.arguments {
			assert.True(t, strings.HasSuffix(opts.words[arg.word][arg.offset:], arg.value))
		}
	})
}

// TestExpand_Bounded: 60 variables that each double the preceding one would exhaust the memory.
func TestExpand_Bounded(t *testing.T) {
	spec := &v2.LocustTestSpec{Env: &v2.EnvConfig{Variables: []corev1.EnvVar{{Name: "V0", Value: "0123456789"}}}}
	for i := range 60 {
		before := fmt.Sprintf("$(V%d)", i)
		spec.Env.Variables = append(spec.Env.Variables, corev1.EnvVar{Name: fmt.Sprintf("V%d", i+1), Value: before + before})
	}
	x := expandVariables(spec, RoleMaster)
	for name, value := range x.variables {
		require.LessOrEqual(t, len(value), maxWord, name)
	}
	require.Equal(t, "$(V13)$(V13)", *x.refused)
	spec.Env.Variables = spec.Env.Variables[:13]
	spec.Master.Command = "--locustfile /t.py --users 7 --host $(V12)"
	require.EqualValues(t, 7, *LoadFor(spec).Users)
	spec.Master.Command += strings.Repeat("$(V12)", 2000)
	require.Nil(t, LoadFor(spec).Users, "no container starts with it")
}

// bomb is a spec of 17 KiB that expands to many gigabytes: each word of the command is a variable of maximum length.
func bomb(s *v2.LocustTestSpec) {
	s.Env = &v2.EnvConfig{Variables: []corev1.EnvVar{{Name: "A", Value: strings.Repeat("x", 1000)}}}
	for name := 'B'; name <= 'H'; name++ {
		before := fmt.Sprintf("$(%c)", name-1)
		s.Env.Variables = append(s.Env.Variables, corev1.EnvVar{Name: string(name), Value: before + before})
	}
	s.Master.Command = strings.Repeat("$(H) ", 3200)
}

// TestExpansion_Memory: memory use is bounded for any spec.
func TestExpansion_Memory(t *testing.T) {
	const most = 32 << 20
	variables := func(n int, value string) edit {
		return func(s *v2.LocustTestSpec) {
			s.Env = &v2.EnvConfig{Variables: []corev1.EnvVar{{Name: "V", Value: value}}}
			for i := range n {
				s.Env.Variables = append(s.Env.Variables, corev1.EnvVar{Name: fmt.Sprintf("V%d", i), Value: "$(V)"})
			}
		}
	}
	long := strings.Repeat("x", maxWord-1)
	for name, edits := range map[string][]edit{
		"doubling variables and a command of them": {bomb},
		"the same in arguments of the worker":      {bomb, func(s *v2.LocustTestSpec) { s.Worker.Command, s.Master.Command = s.Master.Command, "-f a.py" }},
		"long variables":                           {variables(255, long)},
		"as many as Linux allows":                  {variables(6, long), func(s *v2.LocustTestSpec) { s.Master.Command = "-f a.py" + strings.Repeat(" $(V)", 7) }},
		"two halves that do not fit":               {variables(1, long), func(s *v2.LocustTestSpec) { s.Master.Command = strings.Repeat("$(V)$(V) ", 1700) }},
		"many short words":                         {func(s *v2.LocustTestSpec) { s.Master.Command = strings.Repeat("- ", 8000) }},
		"a long variable, nothing closed":          {variables(0, strings.Repeat("$(", maxWord/2-1))},
		"many dollars":                             {func(s *v2.LocustTestSpec) { s.Master.Command = strings.Repeat("$", 16000) }},
	} {
		test := makeTest(edits...)
		for what, call := range map[string]func(){
			"Validate":        func() { Validate(test) },
			"Warnings":        func() { Warnings(test) },
			"WebAPIOf":        func() { WebAPIFor(&test.Spec) },
			"LoadOf":          func() { LoadFor(&test.Spec) },
			"ExitCodeOnError": func() { ExitCodeOnError(&test.Spec) },
			"HasReporter":     func() { HasReporter(&test.Spec) },
			"BuildService":    func() { BuildService(test) },
			"BuildMasterJob":  func() { _, _ = BuildMasterJob(test) },
			"BuildWorkerJob":  func() { _, _ = BuildWorkerJob(test) },
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				started := time.Now()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				call()
				runtime.ReadMemStats(&after)
				assert.Less(t, (after.TotalAlloc-before.TotalAlloc)>>20, uint64(most>>20), "MiB allocated, collected or not")
				t.Logf("%d KiB in %s", (after.TotalAlloc-before.TotalAlloc)>>10, time.Since(started))
			})
		}
	}
}

// TestExpansion_Linear: the time is linear in the size, also with unclosed parentheses. A quadratic algorithm would take a
// thousand times as long.
func TestExpansion_Linear(t *testing.T) {
	parts := 0
	measure := func(text string) { (&expansion{}).eachPart(text, func(string) { parts++ }) }
	measure(strings.Repeat("$(", 1000))
	assert.Equal(t, 2*1000+1, parts)
	plain := testing.Benchmark(func(b *testing.B) {
		text := strings.Repeat("$$", 50_000)
		for b.Loop() {
			measure(text)
		}
	})
	open := testing.Benchmark(func(b *testing.B) {
		text := strings.Repeat("$(", 50_000)
		for b.Loop() {
			measure(text)
		}
	})
	assert.Less(t, open.NsPerOp(), 50*plain.NsPerOp(), "compared with text of the same length without parentheses")
}
