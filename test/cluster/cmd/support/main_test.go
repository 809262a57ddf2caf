package main

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/version"
)

const root = "../../../.."

// TestMinimum checks that the bundle, the chart and the tests agree on the oldest supported Kubernetes.
func TestMinimum(t *testing.T) {
	v, err := read(root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.minimum(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*versions){
		"bundle":  func(v *versions) { v.MinKubeVersion = "1.29.0" },
		"chart":   func(v *versions) { v.ChartKubeVersion = "1.3.0" },
		"tests":   func(v *versions) { v.Older = []string{"v1.31.4", "v1.34.2"} },
		"nothing": func(v *versions) { v.Older = nil },
	} {
		changed := *v
		change(&changed)
		if _, err := changed.minimum(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// older compares two versions.
func older(a, b string) int {
	if version.MustParseGeneric(a).LessThan(version.MustParseGeneric(b)) {
		return -1
	}
	return 1
}

// TestOlder checks that the tested versions are in order, and older than the embedded cluster.
func TestOlder(t *testing.T) {
	v, err := read(root)
	if err != nil {
		t.Fatal(err)
	}
	if all := append(slices.Clone(v.Older), v.Kubernetes); !slices.IsSortedFunc(all, older) {
		t.Errorf("not in order: %v", all)
	}
	if !slices.Contains(v.Platforms, tested) {
		t.Errorf("%s is not in %v", tested, v.Platforms)
	}
}

func TestRender(t *testing.T) {
	v, err := read(root)
	if err != nil {
		t.Fatal(err)
	}
	text, err := render(v)
	if err != nil {
		t.Fatal(err)
	}
	want := append(slices.Clone(v.Older), v.Kubernetes, v.Etcd, v.Locust, v.DebianLocust, v.Helm, v.OLM, v.OPM, v.SDK, v.Kustomize, v.Kwok, v.CoreDNS)
	for _, platform := range v.Platforms {
		want = append(want, "`"+platform+"`")
	}
	for _, part := range want {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in\n%s", part, text)
		}
	}
}
