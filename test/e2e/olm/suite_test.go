//go:build olm

// Package olm installs, checks, upgrades and removes the operator with the Operator Lifecycle Manager, from a catalog and
// with operator-sdk, on a real cluster. `make test-olm` prepares its prerequisites.
package olm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// timeout bounds each wait.
	timeout = 3 * time.Minute
	// operators is the namespace of OLM's own global OperatorGroup.
	operators = "operators"
	pkg       = "locust-k8s-operator"
)

// TestMain removes the remains of an interrupted run.
func TestMain(m *testing.M) {
	for _, args := range [][]string{
		{"-n", operators, "delete", "subscriptions,clusterserviceversions,installplans", "--all"},
		{"-n", operators, "delete", "catalogsources", "--all"},
		{"-n", "olm", "delete", "catalogsource", "locust", "--ignore-not-found"},
	} {
		if out, err := exec.CommandContext(context.Background(), "kubectl", args...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "error: kubectl %s: %v: %s", strings.Join(args, " "), err, out)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// setting returns a setting of prepare.sh.
func setting(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	require.NotEmpty(t, value, "%s is not set; run `make test-olm`", name)
	return value
}

func csvOf(version string) string { return pkg + ".v" + version }

// run runs a program and returns its standard output.
func run(t *testing.T, stdin string, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := run(t, "", "kubectl", args...)
	require.NoError(t, err)
	return out
}

// apply applies a manifest.
func apply(t *testing.T, manifest string) {
	t.Helper()
	_, err := run(t, manifest, "kubectl", "apply", "-f", "-")
	require.NoError(t, err)
}

// get returns an object; it is empty if it does not exist.
func get(t *testing.T, args ...string) map[string]any {
	t.Helper()
	out := kubectl(t, append([]string{"get", "--ignore-not-found", "-o", "json"}, args...)...)
	object := map[string]any{}
	if strings.TrimSpace(out) != "" {
		require.NoError(t, json.Unmarshal([]byte(out), &object))
	}
	return object
}

// at returns the value at a path in an object, or nil.
func at(object any, path ...string) any {
	for _, name := range path {
		fields, _ := object.(map[string]any)
		object = fields[name]
	}
	return object
}

func text(object any, path ...string) string {
	s, _ := at(object, path...).(string)
	return s
}

func items(object map[string]any) []any {
	all, _ := object["items"].([]any)
	return all
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	began := time.Now()
	for !is() {
		if time.Since(began) > timeout {
			dump(t)
			require.FailNow(t, "timed out waiting until "+what)
		}
		time.Sleep(500 * time.Millisecond)
	}
	t.Logf("%5.1f s  %s", time.Since(began).Seconds(), what)
}

// dump logs OLM's objects and the operator's logs.
func dump(t *testing.T) {
	for _, args := range [][]string{
		{"get", "catalogsources,subscriptions,installplans,clusterserviceversions,pods,jobs", "-A"},
		{"-n", operators, "get", "subscriptions,clusterserviceversions", "-o", "yaml"},
		{"-n", "olm", "logs", "deployment/catalog-operator", "--tail", "30"},
		{"-n", operators, "logs", "-l", "control-plane=controller-manager", "--tail", "40"},
	} {
		out, err := run(t, "", "kubectl", args...)
		t.Logf("kubectl %s\n%s%v", strings.Join(args, " "), out, err)
	}
}

// catalog creates or updates a CatalogSource with an image.
func catalog(t *testing.T, image string) {
	t.Helper()
	apply(t, `apiVersion: operators.coreos.com/v1alpha1
kind: CatalogSource
metadata: {name: locust, namespace: olm}
spec:
  sourceType: grpc
  image: `+image+`
  displayName: Locust
  grpcPodConfig: {securityContextConfig: restricted}
`)
	eventually(t, "the catalog is served", func() bool {
		source := get(t, "-n", "olm", "catalogsource", "locust")
		return text(source, "status", "connectionState", "lastObservedState") == "READY" && strings.Contains(kubectl(t, "-n", "olm", "get", "pods", "-l", "olm.catalogSource=locust", "-o", "jsonpath={.items[*].spec.containers[*].image}"), image)
	})
}

func subscribe(t *testing.T, approval, startingVersion string) {
	t.Helper()
	apply(t, `apiVersion: operators.coreos.com/v1alpha1
kind: Subscription
metadata: {name: locust, namespace: `+operators+`}
spec: {channel: stable, name: `+pkg+`, source: locust, sourceNamespace: olm, installPlanApproval: `+approval+`, startingCSV: `+csvOf(startingVersion)+`}
`)
}

// approve waits for the InstallPlan of a version and approves it.
func approve(t *testing.T, version string) {
	t.Helper()
	var plan string
	eventually(t, "an InstallPlan for "+version+" waits for approval", func() bool {
		for _, p := range items(get(t, "-n", operators, "installplans")) {
			names, _ := at(p, "spec", "clusterServiceVersionNames").([]any)
			if text(p, "status", "phase") == "RequiresApproval" && len(names) == 1 && names[0] == csvOf(version) {
				plan = text(p, "metadata", "name")
				return true
			}
		}
		return false
	})
	kubectl(t, "-n", operators, "patch", "installplan", plan, "--type", "merge", "-p", `{"spec":{"approved":true}}`)
}

// installed waits until only the given version runs.
func installed(t *testing.T, version, image string) {
	t.Helper()
	eventually(t, csvOf(version)+" is installed", func() bool {
		csv := get(t, "-n", operators, "clusterserviceversion", csvOf(version))
		return text(csv, "status", "phase") == "Succeeded"
	})
	eventually(t, "only the operator "+version+" runs", func() bool {
		pods := items(get(t, "-n", operators, "pods", "-l", "control-plane=controller-manager"))
		if len(pods) != 1 {
			return false
		}
		containers, _ := at(pods[0], "spec", "containers").([]any)
		return text(containers[0], "image") == image && strings.Contains(kubectl(t, "-n", operators, "logs", text(pods[0], "metadata", "name")), `"version":"`+version+`"`)
	})
}

// uninstall removes the operator as described in the documentation, and keeps the CRD and the tests.
func uninstall(t *testing.T) {
	t.Helper()
	kubectl(t, "-n", operators, "delete", "subscription", "locust", "--ignore-not-found")
	kubectl(t, "-n", operators, "delete", "clusterserviceversions", "-l", "operators.coreos.com/"+pkg+"."+operators, "--ignore-not-found")
	eventually(t, "the operator is removed", func() bool {
		return len(items(get(t, "-n", operators, "pods", "-l", "control-plane=controller-manager"))) == 0
	})
	kubectl(t, "-n", operators, "delete", "installplans", "--all")
	kubectl(t, "-n", "olm", "delete", "catalogsource", "locust", "--ignore-not-found")
}
