package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/output"
)

// testApp returns an app that uses a server.
func testApp(t *testing.T, url string) *app {
	t.Helper()
	t.Setenv("KUBECONFIG", t.TempDir()+"/none")
	a := (&outputs{}).app()
	a.flags = genericclioptions.NewConfigFlags(true)
	a.flags.APIServer = &url
	return a
}

// listedAt is the time of the lists, one hour after the creation of the tests.
var listedAt = time.Unix(1_700_003_600, 0)

// history returns tests and reports of two namespaces.
func history(funcs interceptor.Funcs) client.WithWatch {
	pending := storedTest("api", func(test *v2.LocustTest) {
		test.UID, test.Status.Phase, test.Status.Workers = "api", v2.PhasePending, "0/2"
		test.Labels = map[string]string{"team": "api"}
		test.CreationTimestamp = metav1.NewTime(listedAt.Add(-time.Second))
	})
	running := storedTest("cart", func(test *v2.LocustTest) {
		start := metav1.NewTime(listedAt.Add(-30 * time.Second))
		test.Namespace, test.UID = "other", "cart"
		test.Status = v2.LocustTestStatus{Phase: v2.PhaseRunning, StartTime: &start, Workers: "2/2", Progress: &v2.Progress{CurrentUsers: 7, TargetUsers: new(int32(50))}}
	})
	unowned := storedReport("api-0", "api", "old", listedAt.Add(-24*time.Hour))
	unowned.Run.StartTime, unowned.Run.Users, unowned.Summary = nil, nil, nil
	return fake.NewClientBuilder().WithScheme(newScheme()).WithInterceptorFuncs(funcs).
		WithIndex(&v2.LocustTest{}, "metadata.name", func(o client.Object) []string { return []string{o.GetName()} }).
		WithObjects(pending, running, finishedTest(v2.PhaseFailed, "shop-11111111"), ownReport(), storedReport("shop-22222222", "shop", "2", listedAt.Add(-48*time.Hour)), unowned).Build()
}

func TestList(t *testing.T) {
	for name, row := range map[string]struct {
		options listOptions
		want    string
	}{
		"a namespace": {listOptions{namespace: "load"}, `
NAME   PHASE       AGE   DURATION   WORKERS   USERS   REQUESTS   FAILURES   P95    RPS     REPORT
api    Pending     1s    -          0/2       -       -          -          -      -       -
shop   Failed      59m   60s        2/2       20      500        5          90ms   8.33    shop-11111111
api    Succeeded   24h   -          2/3       -       -          -          -      -       api-0
shop   Succeeded   2d    60s        2/3       100     1000       10         41ms   16.67   shop-22222222
`},
		"all, wide": {listOptions{format: listWide}, `
NAMESPACE   NAME   PHASE       AGE   DURATION   WORKERS   USERS   REQUESTS   FAILURES   P95    RPS     REPORT          LOAD            KEPT AS        IMAGE
load        api    Pending     1s    -          0/2       -       -          -          -      -       -               -               locusttest     locustio/locust:2.47.0
other       cart   Running     30s   30s        2/2       7       -          -          -      -       -               -               locusttest     locustio/locust:2.47.0
load        shop   Failed      59m   60s        2/2       20      500        5          90ms   8.33    shop-11111111   LoadAsPlanned   locusttest     locustio/locust:2.47.0
load        api    Succeeded   24h   -          2/3       -       -          -          -      -       api-0           -               locustreport   locustio/locust:2.47.0
load        shop   Succeeded   2d    60s        2/3       100     1000       10         41ms   16.67   shop-22222222   -               locustreport   locustio/locust:2.47.0
`},
		"a test": {listOptions{namespace: "load", test: "shop"}, `
NAME   PHASE       AGE   DURATION   WORKERS   USERS   REQUESTS   FAILURES   P95    RPS     REPORT
shop   Failed      59m   60s        2/2       20      500        5          90ms   8.33    shop-11111111
shop   Succeeded   2d    60s        2/3       100     1000       10         41ms   16.67   shop-22222222
`},
		"labels": {listOptions{selector: "team=api"}, `
NAMESPACE   NAME   PHASE     AGE   DURATION   WORKERS   USERS   REQUESTS   FAILURES   P95   RPS   REPORT
load        api    Pending   1s    -          0/2       -       -          -          -     -     -
`},
		"names": {listOptions{namespace: "load", format: listName}, `
locusttest.locust.io/api
locusttest.locust.io/shop
locustreport.locust.io/api-0
locustreport.locust.io/shop-22222222
`},
	} {
		t.Run(name, func(t *testing.T) {
			o := &outputs{}
			a := o.app()
			a.now = func() time.Time { return listedAt }
			require.NoError(t, a.list(t.Context(), readerOf(history(interceptor.Funcs{})), row.options))
			assert.Equal(t, strings.TrimPrefix(row.want, "\n"), o.out.String())
			assert.Empty(t, o.errOut.String())
		})
	}
}

func TestList_Objects(t *testing.T) {
	for format, decode := range map[string]func([]byte, any) error{
		output.JSON: json.Unmarshal, output.YAML: func(data []byte, into any) error { return yaml.UnmarshalStrict(data, into) },
	} {
		managed := interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			err := c.List(ctx, list, opts...)
			if tests, isTests := list.(*v2.LocustTestList); isTests {
				tests.Items[1].ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
			}
			return err
		}}
		o := &outputs{}
		require.NoError(t, o.app().list(t.Context(), readerOf(history(managed)), listOptions{namespace: "load", format: format}))
		var list struct {
			APIVersion, Kind string
			Items            []map[string]any
		}
		require.NoError(t, decode(o.out.Bytes(), &list), format)
		assert.Equal(t, "v1 List", list.APIVersion+" "+list.Kind)
		require.Len(t, list.Items, 4)
		assert.Equal(t, []any{"locust.io/v2", "LocustTest"}, []any{list.Items[1]["apiVersion"], list.Items[1]["kind"]})
		assert.Equal(t, []any{"locust.io/v1alpha1", "LocustReport"}, []any{list.Items[2]["apiVersion"], list.Items[2]["kind"]})
		assert.NotContains(t, list.Items[1]["metadata"], "managedFields")
		assert.Contains(t, list.Items[1]["status"], "testResult")
		assert.Contains(t, list.Items[3], "outcome")
	}
	o := &outputs{}
	require.NoError(t, o.app().list(t.Context(), readerOf(fakeCluster(interceptor.Funcs{})), listOptions{namespace: "load", format: output.JSON}))
	assert.JSONEq(t, `{"apiVersion":"v1","kind":"List","items":[]}`, o.out.String())
}

func TestList_Nothing(t *testing.T) {
	empty := fake.NewClientBuilder().WithScheme(newScheme()).
		WithIndex(&v2.LocustTest{}, "metadata.name", func(o client.Object) []string { return []string{o.GetName()} }).Build()
	for want, options := range map[string]listOptions{
		"note: no tests and no reports in namespace load; -A lists all namespaces\n":                               {namespace: "load"},
		"note: no tests and no reports in all namespaces\n":                                                        {},
		"note: no test and no report of a test shop in namespace load; -A lists all namespaces\n":                  {namespace: "load", test: "shop"},
		"note: no tests and no reports in namespace load with the labels team=shop; -A lists all namespaces\n":     {namespace: "load", selector: "team=shop"},
		"note: no test and no report of a test Not_a_label! in namespace load; -A lists all namespaces\n":          {namespace: "load", test: "Not_a_label!"},
		"note: no test and no report of a test shop in all namespaces with the labels team in (shop, something)\n": {test: "shop", selector: "team in (shop, something)"},
	} {
		o := &outputs{}
		require.NoError(t, o.app().list(t.Context(), readerOf(empty), options))
		assert.Empty(t, o.out.String())
		assert.Equal(t, want, o.errOut.String())
	}
}

func TestList_Problems(t *testing.T) {
	refused := apierrors.NewForbidden(reportsResource, "", errors.New("eve cannot"))
	testsRefused := apierrors.NewForbidden(testsResource, "", errors.New("eve cannot"))
	old := &reader{Client: history(refusing(nil, refused)), served: oldCluster(nil).served}
	for name, row := range map[string]struct {
		reader  *reader
		options listOptions
		// tests is whether the tests are listed.
		tests     bool
		note, err string
	}{
		"an old operator": {&reader{Client: history(refusing(nil, notServed(reportsResource)))}, listOptions{namespace: "load"}, true,
			"note: this cluster does not serve LocustReports: only tests are listed. Its operator is older than reports; see docs/upgrade.md\n", ""},
		"an old operator, as viewer": {old, listOptions{namespace: "load"}, true, "note: this cluster does not serve LocustReports: only tests are listed.", ""},
		"no permission for reports": {readerOf(history(refusing(nil, refused))), listOptions{namespace: "load"}, true,
			"note: only tests are listed: list the reports of namespace load: locustreports.locust.io is forbidden: eve cannot. Ask an administrator for the ClusterRole", ""},
		"no permission for tests": {readerOf(history(refusing(testsRefused, nil))), listOptions{namespace: "load"}, false, "",
			"list the tests of namespace load: locusttests.locust.io is forbidden: eve cannot\nAsk an administrator for the ClusterRole locust-k8s-operator-locusttest-viewer-role"},
		"no permission in all namespaces": {readerOf(history(refusing(testsRefused, nil))), listOptions{}, false, "", "\nOr list those of one namespace: -n NAMESPACE instead of -A"},
		"no operator":                     {readerOf(history(refusing(notServed(testsResource), nil))), listOptions{}, false, "", "this cluster does not serve LocustTests"},
		"no connection":                   {readerOf(history(refusing(nil, errors.New("connection lost")))), listOptions{}, false, "", "list the reports of all namespaces: connection lost"},
		"a wrong selector":                {readerOf(history(interceptor.Funcs{})), listOptions{selector: "a b"}, false, "", "the label selector is invalid: "},
	} {
		t.Run(name, func(t *testing.T) {
			o := &outputs{}
			err := o.app().list(t.Context(), row.reader, row.options)
			assert.Equal(t, row.tests, strings.Contains(o.out.String(), "shop-11111111"), o.out.String())
			assert.Contains(t, o.errOut.String(), row.note)
			if row.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, row.err)
			assert.Empty(t, o.errOut.String())
		})
	}
}

// TestList_Hostile checks that nothing of the cluster reaches the terminal as a control character.
func TestList_Hostile(t *testing.T) {
	hostile := storedReport("shop-9", "shop", "9", listedAt)
	hostile.Outcome.Phase, hostile.Run.Image, hostile.Summary.RequestsPerSecond = "\x1b[2J", "a\tb\nc\u202e", "\r9"
	c := fakeCluster(interceptor.Funcs{}, hostile)
	for _, format := range listFormats() {
		o := &outputs{}
		require.NoError(t, o.app().list(t.Context(), readerOf(c), listOptions{namespace: "load", format: format}))
		assert.NotContains(t, o.out.String(), "\x1b")
		assert.NotContains(t, o.out.String(), "\u202e")
		assert.NotContains(t, o.out.String(), "\r")
		if format == listWide {
			assert.Equal(t, 2, strings.Count(o.out.String(), "\n"))
		}
	}
}

func TestListCommand(t *testing.T) {
	tests := `{"apiVersion":"locust.io/v2","kind":"LocustTestList","items":[{"metadata":{"name":"shop","namespace":"load"},"status":{"phase":"Running"}}]}`
	for args, want := range map[string]string{
		"list -n load": "NAME   PHASE", "ls -A": "NAMESPACE   NAME", "history shop -n load": "shop   Running", "list -n load -o name": "locusttest.locust.io/shop\n",
	} {
		url := serveAPI(t, map[string]string{"/apis/locust.io/v2/namespaces/load/locusttests": tests, "/apis/locust.io/v2/locusttests": tests})
		stdout, stderr, code := runCommand(t, append(strings.Fields(args), "--server", url)...)
		assert.Zero(t, code, stderr)
		assert.Contains(t, stdout, want, args)
		assert.Contains(t, stderr, "this cluster does not serve LocustReports")
	}
	for args, want := range map[string]string{
		"list -o csv": "error: unknown format \"csv\": use one of table, wide, name, json, yaml\n", "list a b": "error: accepts at most 1 arg(s), received 2",
	} {
		_, stderr, code := runCommand(t, strings.Fields(args)...)
		assert.Equal(t, 2, code)
		assert.Contains(t, stderr, want)
	}
}
