package config

import (
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/pki"
)

var (
	testLayout = layout.Layout{Cache: "/x y"}
	machine    = Machine{OpenFiles: 20000, CNIBinDir: "/usr/lib/cni", ProxyMode: ProxyNFTables}
)

func decode(t *testing.T, data []byte, err error) map[string]any {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := yaml.UnmarshalStrict(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestKubeletFollowsTheMachine(t *testing.T) {
	data, err := Kubelet(testLayout, machine)
	weak := decode(t, data, err)
	if weak["maxOpenFiles"] != 20000.0 || weak["oomScoreAdj"] != 0.0 || weak["failCgroupV1"] != false || weak["makeIPTablesUtilChains"] != false { //nolint:revive // values of type any
		t.Errorf("without the capability: %v", weak)
	}
	data, err = Kubelet(testLayout, Machine{OpenFiles: 1 << 30, SysResource: true, ProxyMode: ProxyIPTables})
	strong := decode(t, data, err)
	if strong["maxOpenFiles"] != 1e6 || strong["oomScoreAdj"] != -999.0 || strong["makeIPTablesUtilChains"] != true { //nolint:revive // values of type any
		t.Errorf("with the capability: %v", strong)
	}
}

func TestContainerdFollowsTheMachine(t *testing.T) {
	if text := string(Containerd(testLayout, machine)); !strings.Contains(text, "restrict_oom_score_adj = true") ||
		!strings.Contains(text, `address = "/x y/cluster/containerd.sock"`) {
		t.Error(text)
	}
	if text := string(Containerd(testLayout, Machine{SysResource: true})); !strings.Contains(text, "restrict_oom_score_adj = false") {
		t.Error(text)
	}
}

func TestAuditPolicy(t *testing.T) {
	data, err := AuditPolicy()
	policy := decode(t, data, err)
	if !reflect.DeepEqual(policy["omitStages"], []any{"RequestReceived"}) {
		t.Errorf("stages %v", policy["omitStages"])
	}
	rules := policy["rules"].([]any)
	if len(rules) != 3 {
		t.Fatalf("%d rules", len(rules))
	}
	level := func(group, resource string) string {
		for _, r := range rules {
			rule := r.(map[string]any)
			resources, limited := rule["resources"].([]any)
			if !limited {
				return rule["level"].(string)
			}
			for _, g := range resources {
				entry := g.(map[string]any)
				names, some := entry["resources"].([]any)
				if entry["group"] != group {
					continue
				}
				if !some || strings.Contains(strings.Join(asStrings(names), " ")+" ", resource+" ") {
					return rule["level"].(string)
				}
			}
		}
		return "None"
	}
	for _, c := range []struct{ group, resource, want string }{
		{"locust.io", "locusttests", "RequestResponse"},
		{"batch", "jobs", "Metadata"},
		{"batch", "cronjobs", "None"},
		{"", "secrets", "Metadata"},
		{"", "events", "Metadata"},
		{"events.k8s.io", "events", "Metadata"},
		{"coordination.k8s.io", "leases", "Metadata"},
		{"apps", "deployments", "None"},
		{"", "nodes", "None"},
	} {
		if got := level(c.group, c.resource); got != c.want {
			t.Errorf("%s/%s: %s, want %s", c.group, c.resource, got, c.want)
		}
	}
}

func asStrings(list []any) []string {
	var out []string
	for _, v := range list {
		out = append(out, v.(string))
	}
	return out
}

func TestKubeconfigHoldsTheKeys(t *testing.T) {
	data, err := Kubeconfig("admin", []byte("CA"), pki.Pair{Cert: []byte("CERT"), Key: []byte("KEY")})
	v := decode(t, data, err)
	cluster := v["clusters"].([]any)[0].(map[string]any)["cluster"].(map[string]any)
	if cluster["server"] != "https://10.10.0.1:6443" || cluster["certificate-authority-data"] != "Q0E=" {
		t.Error(cluster)
	}
}

func TestCoreDNSIsFilledIn(t *testing.T) {
	text := CoreDNS()
	for _, doc := range strings.Split(text, "\n---\n") {
		decode(t, []byte(doc), nil)
	}
	if strings.Contains(text, "@") || !strings.Contains(text, layout.CoreDNSImage) {
		t.Error(text)
	}
}

func TestFingerprint(t *testing.T) {
	get := func(m Machine, bin string) string {
		f, err := Fingerprint(testLayout, m, bin)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	base := get(machine, "/bin1")
	if get(machine, "/bin1") != base {
		t.Error("not stable")
	}
	other := machine
	other.ProxyMode = ProxyIPTables
	if get(machine, "/bin2") == base || get(other, "/bin1") == base {
		t.Error("a change does not change the fingerprint")
	}
}

func TestParseProxyMode(t *testing.T) {
	if m, err := ParseProxyMode(""); err != nil || m != ProxyNFTables {
		t.Error(m, err)
	}
	if _, err := ParseProxyMode("ipvs"); err == nil {
		t.Error("ipvs must be refused")
	}
}
