package cluster

import (
	"strings"
	"testing"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/proc"
)

var testLayout = layout.Layout{Cache: "/c"}

func TestEveryComponentIsRecognized(t *testing.T) {
	for _, comp := range components {
		args := comp.args(testLayout, "/c/k8s/key/bin")
		if !Belongs(proc.Info{Args: args}, testLayout) {
			t.Errorf("%s is not recognized: %q", comp.name, args)
		}
		if Belongs(proc.Info{Args: args}, layout.Layout{Cache: "/other"}) {
			t.Errorf("%s is recognized for another cluster", comp.name)
		}
	}
}

func TestForeignProcessesAreNotRecognized(t *testing.T) {
	for _, args := range [][]string{
		nil,
		{"vim", "/c/cluster/logs/etcd.log"},
		{"/c/k8s/key/bin/etcd", "--data-dir=/tmp/k8s_test_framework_1"},
		{"containerd", "--config", "/etc/containerd/config.toml"},
		{"kubectl", "--kubeconfig=/c/cluster/admin.kubeconfig"},
	} {
		if Belongs(proc.Info{Args: args}, testLayout) {
			t.Errorf("%q is not ours", args)
		}
	}
	if !Belongs(proc.Info{Args: []string{"/usr/bin/containerd-shim-runc-v2", "-address", "/c/cluster/containerd.sock"}}, testLayout) {
		t.Error("a shim of ours")
	}
}

func TestShellQuote(t *testing.T) {
	if got := shellQuote("a b'c"); got != `'a b'\''c'` {
		t.Error(got)
	}
}

func TestLongCacheIsRefused(t *testing.T) {
	if err := (layout.Layout{Cache: "/" + strings.Repeat("x", 80)}).Validate(); err == nil {
		t.Error("the path is too long for sockets")
	}
	if err := (layout.Layout{Cache: "/var/cache/locust-operator"}).Validate(); err != nil {
		t.Error(err)
	}
}
