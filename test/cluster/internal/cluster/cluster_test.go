package cluster

import (
	"strings"
	"testing"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/proc"
)

var place = layout.Layout{Cache: "/c"}

func TestEveryComponentIsRecognised(t *testing.T) {
	for _, comp := range components {
		args := comp.args(place, "/c/k8s/key/bin")
		if !Belongs(proc.Info{Args: args}, place) {
			t.Errorf("%s would be left behind: %q", comp.name, args)
		}
		if Belongs(proc.Info{Args: args}, layout.Layout{Cache: "/other"}) {
			t.Errorf("%s would be taken for another cluster's", comp.name)
		}
	}
}

func TestStrangersAreNot(t *testing.T) {
	for _, args := range [][]string{
		nil,
		{"vim", "/c/cluster/logs/etcd.log"},
		{"/c/k8s/key/bin/etcd", "--data-dir=/tmp/k8s_test_framework_1"},
		{"containerd", "--config", "/etc/containerd/config.toml"},
		{"kubectl", "--kubeconfig=/c/cluster/admin.kubeconfig"},
	} {
		if Belongs(proc.Info{Args: args}, place) {
			t.Errorf("%q is not ours", args)
		}
	}
	if !Belongs(proc.Info{Args: []string{"/usr/bin/containerd-shim-runc-v2", "-address", "/c/cluster/containerd.sock"}}, place) {
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
		t.Error("its sockets could not be made")
	}
	if err := (layout.Layout{Cache: "/var/cache/locust-operator"}).Validate(); err != nil {
		t.Error(err)
	}
}
