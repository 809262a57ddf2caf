package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// prodApp returns an app with --context prod.
func prodApp() *app {
	a := (&outputs{}).app()
	a.flags = genericclioptions.NewConfigFlags(true)
	a.flags.Context = new("prod")
	return a
}

// TestClient_NeedsNoDiscovery checks that each kind costs one request, to the expected path.
func TestClient_NeedsNoDiscovery(t *testing.T) {
	var requests []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests = append(requests, r.Method+" "+r.URL.Path)
		assert.Contains(t, r.UserAgent(), "kubectl-locust/")
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(server.Close)
	t.Setenv("KUBECONFIG", t.TempDir()+"/none")
	a := &app{flags: genericclioptions.NewConfigFlags(true), now: time.Now}
	a.flags.APIServer = &server.URL
	c, err := a.client()
	require.NoError(t, err)
	assert.Contains(t, flagsFor(c, "load"), " -n load --server "+server.URL)
	for _, object := range []client.Object{&v2.LocustTest{}, &v1alpha1.LocustReport{}, &corev1.ConfigMap{}, &corev1.Pod{}, &batchv1.Job{}} {
		assert.Error(t, c.Get(t.Context(), client.ObjectKey{Namespace: "load", Name: "shop"}, object))
	}
	assert.Equal(t, strings.Join([]string{
		"GET /apis/locust.io/v2/namespaces/load/locusttests/shop",
		"GET /apis/locust.io/v1alpha1/namespaces/load/locustreports/shop",
		"GET /api/v1/namespaces/load/configmaps/shop",
		"GET /api/v1/namespaces/load/pods/shop",
		"GET /apis/batch/v1/namespaces/load/jobs/shop",
	}, "\n"), strings.Join(requests, "\n"))
}
