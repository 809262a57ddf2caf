package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locustcli"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/validation"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/samples"
)

// execution is a command line that was run without a cluster.
type execution struct {
	out, errOut string
	code        int
}

func executeWithoutCluster(t *testing.T, args ...string) execution {
	t.Helper()
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	var out, errOut strings.Builder
	code := execute(t.Context(), genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errOut}, args)
	return execution{out.String(), errOut.String(), code}
}

// plainApp returns an app that writes into a builder.
func plainApp(out io.Writer) *app {
	return &app{
		IOStreams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: out},
		flags:     genericclioptions.NewConfigFlags(true), now: time.Now,
	}
}

func TestDefaultImageIsThatOfTheSamples(t *testing.T) {
	assert.Equal(t, "docker.io/"+samples.Image, defaultImage)
}

func TestDryRun(t *testing.T) {
	t.Setenv(imageVariable, "registry.example.com/locust:1")
	root := folder(t, map[string]string{"shop/locustfile.py": "print(1)\n"})
	got := executeWithoutCluster(t, "run", filepath.Join(root, "shop"), "--dry-run=client", "--name", "shop", "-H", "https://x.example/?q=a b", "-u", "20",
		"-r", "2.5", "-t", "1m30s", "-w", "3", "--max-failure-ratio", "0.01", "--max-response-time-p95", "500ms", "--max-average-response-time", "1s",
		"--min-rps", "10", "--min-requests", "100", "--retain", "-n", "perf", "--", "--tags", "a b")
	require.Equal(t, 0, got.code, got.errOut)
	assert.Empty(t, got.errOut)
	assert.Equal(t, `apiVersion: locust.io/v2
kind: LocustTest
metadata:
  name: shop
  namespace: perf
spec:
  image: registry.example.com/locust:1
  master:
    autoquit:
      timeout: 2
    command: --locustfile /lotest/src/locustfile.py --host 'https://x.example/?q=a
      b' --users 20 --spawn-rate 2.5 --run-time 1m30s
    extraArgs:
    - --tags
    - a b
  report:
    retain: true
  successCriteria:
    maxAverageResponseTime: 1s
    maxFailureRatio: "0.01"
    maxResponseTime:
      p95: 500ms
    minRequestsPerSecond: "10"
    minTotalRequests: 100
  testFiles:
    inline:
      locustfile.py: |
        print(1)
  worker:
    command: --locustfile /lotest/src/locustfile.py
    replicas: 3
`, got.out)
}

func TestDryRunWithConfigMap(t *testing.T) {
	root := folder(t, map[string]string{"locustfile.py": "print(1)", "data.bin": "\xff"})
	got := executeWithoutCluster(t, "run", root, "--dry-run=client", "--name", "shop")
	require.Equal(t, 0, got.code, got.errOut)
	documents := strings.Split(got.out, "---\n")
	require.Len(t, documents, 2)
	var cm corev1.ConfigMap
	var test v2.LocustTest
	require.NoError(t, yaml.UnmarshalStrict([]byte(documents[0]), &cm))
	require.NoError(t, yaml.Unmarshal([]byte(documents[1]), &test))
	assert.Equal(t, cm.Name, test.Spec.TestFiles.ConfigMapRef, "it comes first, so that the test finds it")
	assert.Equal(t, "ConfigMap", cm.Kind)
	assert.Empty(t, validation.Validate(&test))

	got = executeWithoutCluster(t, "run", root, "--dry-run=client", "-o", "json", "--name", "shop")
	var list struct {
		Kind  string            `json:"kind"`
		Items []json.RawMessage `json:"items"`
	}
	require.NoError(t, json.Unmarshal([]byte(got.out), &list))
	assert.Equal(t, "List", list.Kind)
	assert.Len(t, list.Items, 2)
}

func TestNestedFolderIsAVolume(t *testing.T) {
	files, err := readTestFiles(folder(t, map[string]string{"locustfile.py": "a", "lib/cart.py": "b"}))
	require.NoError(t, err)
	options := testOptions{name: "shop", image: defaultImage, workers: 1}
	test, cm, err := options.newTest("shop", files)
	require.NoError(t, err)
	assert.Nil(t, test.Spec.TestFiles)
	require.Len(t, test.Spec.Volumes, 1)
	assert.Equal(t, cm.Name, test.Spec.Volumes[0].ConfigMap.Name)
	assert.Equal(t, []corev1.KeyToPath{{Key: "lib..cart.py", Path: "lib/cart.py"}, {Key: "locustfile.py", Path: "locustfile.py"}}, test.Spec.Volumes[0].ConfigMap.Items)
	assert.Equal(t, v2.DefaultSrcMountPath, test.Spec.VolumeMounts[0].MountPath)
}

func TestRunRefuses(t *testing.T) {
	file := filepath.Join(folder(t, map[string]string{"shop.py": "a"}), "shop.py")
	manifest := filepath.Join(folder(t, map[string]string{"shop.yaml": minimalManifest}), "shop.yaml")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"missing file":        {[]string{"nothing.py"}, "nothing.py does not exist; name a locustfile"},
		"no file":             {nil, "name a locustfile, a folder with one, or a manifest with --filename"},
		"two files":           {[]string{file, file}, "2 locustfiles are given; name one, or a folder"},
		"run time":            {[]string{file, "-t", "1x"}, "--run-time 1x is no time for Locust; give seconds"},
		"workers":             {[]string{file, "-w", "501"}, "spec.worker.replicas: Invalid value: 501: must be between 1 and 500"},
		"criteria":            {[]string{file, "--max-failure-ratio", "2"}, "spec.successCriteria.maxFailureRatio"},
		"several errors":      {[]string{file, "--max-failure-ratio", "2", "-w", "0"}, "the test is invalid:\n  spec.worker.replicas"},
		"long name":           {[]string{file, "--name", strings.Repeat("a", 52)}, "must be no longer than 51 characters"},
		"image":               {[]string{file, "--image", "a b"}, "spec.image"},
		"role option":         {[]string{file, "--", "--worker"}, "locust rejects this option in the role that the operator sets; remove it"},
		"dry run of a server": {[]string{file, "--dry-run=server"}, "use --dry-run=client"},
		"output alone":        {[]string{file, "-o", "yaml"}, "add that, or leave --output out"},
		"unknown output":      {[]string{file, "--dry-run=client", "-o", "csv"}, "use yaml or json"},
		"replace without":     {[]string{file, "--replace"}, "--replace needs --name"},
		"manifest and file":   {[]string{file, "-f", manifest}, "--filename excludes the locustfile"},
		"manifest and users":  {[]string{"-f", manifest, "-u", "1", "--retain"}, "--filename excludes --retain, --users; set it in the manifest"},
		"manifest and --":     {[]string{"-f", manifest, "--", "--tags"}, "add them to spec.master.command"},
		"no manifest":         {[]string{"-f", "nothing.yaml"}, "read the manifest: open nothing.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			got := executeWithoutCluster(t, append([]string{"run"}, test.args...)...)
			assert.Equal(t, exitError, got.code)
			assert.Contains(t, got.errOut, test.want)
			assert.Empty(t, got.out)
		})
	}
}

func TestRunUsesTheLocustfileOfTheFolder(t *testing.T) {
	t.Chdir(folder(t, map[string]string{"locustfile.py": "a", "other.py": "b"}))
	got := executeWithoutCluster(t, "run", "--dry-run=client", "--", "--tags", "x")
	require.Equal(t, 0, got.code, got.errOut)
	assert.Contains(t, got.out, "--locustfile /lotest/src/locustfile.py")
	assert.NotContains(t, got.out, "other.py", "as Locust itself does")
}

func TestNames(t *testing.T) {
	for source, want := range map[string]string{
		"shop.py": "shop", "a/My Shop_test.v2.py": "my-shop-test-v2", "ä.py": "test", "9lives.py": "test-9lives", "---.py": "test",
		strings.Repeat("a", 60) + ".py": strings.Repeat("a", 45), "/x/shop/": "shop",
	} {
		name := nameFor(source)
		assert.Regexp(t, "^"+want+"-[a-z0-9]{5}$", name)
		assert.NotEqual(t, name, nameFor(source))
		assert.Empty(t, validation.Validate(&v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v2.LocustTestSpec{
			Image: defaultImage, Master: v2.MasterSpec{Command: "-f a.py"}, Worker: v2.WorkerSpec{Command: "-f a.py", Replicas: 1}}}))
		assert.Equal(t, want, randomSuffix.ReplaceAllString(name, ""), "rerun replaces the suffix")
	}
	t.Chdir(folder(t, map[string]string{"shop/locustfile.py": ""}))
	t.Chdir("shop")
	assert.Regexp(t, "^shop-", nameFor("."))
	for _, name := range []string{"shop-cart", "load-tests", "shop", "a-b"} {
		assert.Equal(t, name, randomSuffix.ReplaceAllString(name, ""))
	}
}

func FuzzQuote(f *testing.F) {
	f.Add(`a 'b' "c" \d $(E) #f`)
	f.Fuzz(func(t *testing.T, word string) {
		if strings.ContainsAny(word, "\x00\r") || word != strings.ToValidUTF8(word, "") || word == "" {
			t.Skip() // no argument of a program, or changed by YAML
		}
		words, err := locustcli.Split("--host " + quote(word))
		require.NoError(t, err)
		require.Equal(t, []string{"--host", word}, words)
	})
}

func TestSlowStart(t *testing.T) {
	for name, row := range map[string]struct {
		users         int32
		rate, runTime string
		want          string
	}{
		"in time":             {20, "", "30s", ""},
		"too slow":            {30, "", "30s", "30 users need 30 s to start at 1 per second"},
		"with a rate":         {30, "10", "30s", ""},
		"with a slow rate":    {10, "0.5", "10s", "10 users need 20 s to start at 0.5 per second"},
		"without a run time":  {1000, "", "", ""},
		"a rate of no number": {1000, "x", "5s", ""},
		"the locustfile's":    {0, "", "5s", ""},
	} {
		t.Run(name, func(t *testing.T) {
			options := testOptions{users: row.users, spawnRate: row.rate, runTime: row.runTime}
			note := options.slowStart()
			require.Equal(t, row.want == "", note == "", note)
			assert.Contains(t, note, row.want)
		})
	}
}

func TestIsEndless(t *testing.T) {
	test := newRunTest()
	assert.True(t, isEndless(test))
	test.Spec.Master.ExtraArgs = []string{"-t", "30s"}
	assert.False(t, isEndless(test), "options after -- count")
}

// newRunTest returns a test that `run` would create.
func newRunTest() *v2.LocustTest {
	options := testOptions{name: "shop", image: defaultImage, workers: 1}
	test, _, err := options.newTest("shop.py", &testFiles{locustfile: "shop.py", content: map[string][]byte{"shop.py": []byte("a")}})
	if err != nil {
		panic(err)
	}
	test.Namespace = "perf"
	return test
}

func newConfigMap() *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "shop-files-abcde"}, Data: map[string]string{"a.py": "a"}}
}

// tests returns the names of the tests and ConfigMaps of a cluster.
func objectsIn(t *testing.T, c client.Client) []string {
	t.Helper()
	var names []string
	var tests v2.LocustTestList
	var maps corev1.ConfigMapList
	require.NoError(t, c.List(t.Context(), &tests))
	require.NoError(t, c.List(t.Context(), &maps))
	for _, test := range tests.Items {
		names = append(names, "LocustTest "+test.Name)
	}
	for _, cm := range maps.Items {
		names = append(names, "ConfigMap "+cm.Name)
	}
	return names
}

func TestCreateTest(t *testing.T) {
	c := newFakeClient(t, interceptor.Funcs{})
	test := newRunTest()
	test.UID = "uid-1"
	require.NoError(t, plainApp(io.Discard).createUninterrupted(t.Context(), c, test, newConfigMap()))
	var cm corev1.ConfigMap
	require.NoError(t, c.Get(t.Context(), client.ObjectKey{Namespace: "perf", Name: "shop-files-abcde"}, &cm))
	require.Len(t, cm.OwnerReferences, 1)
	assert.Equal(t, metav1.OwnerReference{APIVersion: "locust.io/v2", Kind: "LocustTest", Name: "shop", UID: "uid-1"}, cm.OwnerReferences[0])
}

func TestCreateTestLeavesNothingBehind(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "x", nil)
	for name, test := range map[string]struct {
		// refuse returns the error for the creation of an object.
		refuse  func(object client.Object, dryRun bool) error
		created bool
	}{
		"no permission for ConfigMaps": {func(object client.Object, _ bool) error {
			if _, isMap := object.(*corev1.ConfigMap); isMap {
				return forbidden
			}
			return nil
		}, false},
		"quota reached meanwhile": {func(object client.Object, dryRun bool) error {
			if _, isMap := object.(*corev1.ConfigMap); isMap && !dryRun {
				return forbidden
			}
			return nil
		}, true},
		"test is refused": {func(object client.Object, _ bool) error {
			if _, isTest := object.(*v2.LocustTest); isTest {
				return forbidden
			}
			return nil
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			created := false
			c := newFakeClient(t, interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
				all := (&client.CreateOptions{}).ApplyOptions(options)
				if err := test.refuse(object, len(all.DryRun) > 0); err != nil {
					return err
				}
				if _, isTest := object.(*v2.LocustTest); isTest {
					created = true
					assert.Equal(t, metav1.FieldValidationStrict, all.FieldValidation)
				}
				return c.Create(ctx, object, options...)
			}})
			err := plainApp(io.Discard).createUninterrupted(t.Context(), c, newRunTest(), newConfigMap())
			assert.ErrorContains(t, err, "forbidden")
			assert.ErrorContains(t, err, "Ask an administrator")
			assert.Equal(t, test.created, created, "without the permission nothing starts")
			assert.Empty(t, objectsIn(t, c))
		})
	}
}

func TestInterruptWhileTheTestIsCreated(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	c := newFakeClient(t, interceptor.Funcs{Create: func(creating context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
		interrupt()
		require.NoError(t, creating.Err(), "the response is awaited")
		return c.Create(creating, object, options...)
	}})
	err := plainApp(io.Discard).createUninterrupted(ctx, c, newRunTest(), newConfigMap())
	assert.ErrorAs(t, err, &interruptedError{})
	assert.ErrorContains(t, err, "was deleted before it started")
	var tests v2.LocustTestList
	require.NoError(t, c.List(t.Context(), &tests))
	assert.Empty(t, tests.Items)

	err = plainApp(io.Discard).createUninterrupted(ctx, c, newRunTest(), nil)
	assert.ErrorContains(t, err, "was not created")
}

func TestExplainCreation(t *testing.T) {
	tests := schema.GroupResource{Group: "locust.io", Resource: "locusttests"}
	for name, test := range map[string]struct {
		err  error
		want string
		not  string
	}{
		"exists":         {apierrors.NewAlreadyExists(tests, "shop"), "already exists, and a test runs only once\nDelete it first with --replace", ""},
		"unknown field":  {apierrors.NewBadRequest(`strict decoding error: unknown field "spec.report"`), "older than this plugin: upgrade it with its CRDs", ""},
		"no namespace":   {apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "perf"), "Create the namespace", "not installed"},
		"no operator":    {apierrors.NewNotFound(tests, ""), "the operator is not installed", "namespace,"},
		"no permission":  {apierrors.NewForbidden(tests, "shop", nil), editorRole, ""},
		"policy":         {apierrors.NewForbidden(tests, "shop", assert.AnError), editorRole, ""},
		"webhook":        {&apierrors.StatusError{ErrStatus: metav1.Status{Reason: metav1.StatusReasonForbidden, Message: `admission webhook "x" denied the request: no`}}, "denied the request: no", "ClusterRole"},
		"something else": {apierrors.NewInternalError(assert.AnError), "create the test perf/shop: Internal error", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := explainCreation("perf", "shop", test.err)
			assert.ErrorContains(t, got, test.want)
			if test.not != "" {
				assert.NotContains(t, got.Error(), test.not)
			}
		})
	}
}

// TestCreationWithoutResponse checks that a test that may exist is neither deleted nor concealed.
func TestCreationWithoutResponse(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
	for name, row := range map[string]struct {
		err   error
		maybe bool
	}{
		"timeout of the command":    {&url.Error{Op: "Post", Err: context.DeadlineExceeded}, true},
		"timeout of the API server": {apierrors.NewTimeoutError("x", 1), true},
		"connection ended":          {&url.Error{Op: "Post", Err: io.EOF}, true},
		"connection reset":          {&url.Error{Op: "Post", Err: syscall.ECONNRESET}, true},
		"no connection":             {&url.Error{Op: "Post", Err: refused}, false},
		"refused":                   {apierrors.NewInternalError(assert.AnError), false},
	} {
		t.Run(name, func(t *testing.T) {
			c := newFakeClient(t, interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
				require.NoError(t, c.Create(ctx, object, options...))
				return row.err
			}})
			a := plainApp(io.Discard)
			*a.flags.Context = "prod"
			err := a.createUninterrupted(t.Context(), c, newRunTest(), nil)
			require.ErrorIs(t, err, row.err)
			assert.Equal(t, row.maybe, strings.Contains(err.Error(), "The API server may have created it nevertheless; follow it with: "+
				"kubectl locust watch -n perf --context prod shop; or delete it: kubectl delete locusttest -n perf --context prod shop"), "%v", err)
			assert.Len(t, objectsIn(t, c), 1, "it may be that of another command")
		})
	}
	generated := newRunTest()
	generated.Name, generated.GenerateName = "", "shop-"
	assert.ErrorContains(t, plainApp(io.Discard).explainUnknownResult(generated, io.EOF), "see: kubectl locust list -n perf")
}

func TestTestThatCannotBeRemoved(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	c := newFakeClient(t, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			interrupt()
			return c.Create(ctx, object, options...)
		},
		Delete: func(context.Context, client.WithWatch, client.Object, ...client.DeleteOption) error {
			return assert.AnError
		},
	})
	a := plainApp(io.Discard)
	*a.flags.KubeConfig = "/tmp/config"
	err := a.createUninterrupted(ctx, c, newRunTest(), nil)
	assert.ErrorAs(t, err, &interruptedError{})
	assert.ErrorContains(t, err, "Delete it: kubectl delete locusttest -n perf --kubeconfig /tmp/config shop")
}

func TestWarningsAreSafe(t *testing.T) {
	var out strings.Builder
	warningPrinter{&out}.HandleWarningHeader(299, "-", "spec.image: \x1b[31mold")
	warningPrinter{&out}.HandleWarningHeader(199, "-", "other")
	assert.Equal(t, "warning: spec.image: \uFFFD[31mold\n", out.String())
}

func TestConnectionFlags(t *testing.T) {
	a := plainApp(io.Discard)
	assert.Equal(t, "kubectl locust watch -n perf shop", a.suggest("watch", newRunTest()))
	*a.flags.Context, *a.flags.KubeConfig = "my cluster", "/tmp/config"
	assert.Equal(t, "kubectl locust watch -n perf --context 'my cluster' --kubeconfig /tmp/config shop", a.suggest("watch", newRunTest()))

	// The flags are those of the command line, by which another cluster or account is used.
	for _, given := range []string{
		" --context a", " --kubeconfig /b", " --cluster c", " --server https://d:6443", " --user e", " --as f", " --as-uid g", " --certificate-authority /h",
		" --tls-server-name i", " --as-group j --as-group k", " --insecure-skip-tls-verify",
	} {
		a := plainApp(io.Discard)
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		a.flags.AddFlags(flags)
		require.NoError(t, flags.Parse(strings.Fields(given)))
		assert.Equal(t, " -n perf"+given, a.connectionFlags("perf"))
		assert.Equal(t, given, a.connectionFlags(""))
	}
	a = plainApp(io.Discard)
	*a.flags.BearerToken = "secret"
	assert.NotContains(t, a.connectionFlags("perf"), "secret")
}

func TestMain(m *testing.M) {
	// The environment of the machine must not decide.
	_ = os.Unsetenv(imageVariable)
	os.Exit(m.Run())
}
