package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// difference is one that is allowed between config and the chart.
type difference struct {
	// object is a prefix of the objects' ids, path the path in them; empty is the whole object.
	object, path string
	reason       string
}

const (
	instance = "two releases may be in one namespace, so selectors contain the release"
	ofHelm   = "Helm's labels; config has the name of the operator on some objects only"
	names    = "the names of the release are always passed; those of config are the operator's defaults"
)

// everywhere are the differences of all overlays.
var everywhere = []difference{
	{"Namespace " + system, "", "the user creates the namespace: helm install --create-namespace"},
	{"PodDisruptionBudget", "spec/selector/matchLabels/app.kubernetes.io~instance", instance},
	{"Deployment", "spec/template/spec/topologySpreadConstraints", instance},
	{"", "metadata/labels/app.kubernetes.io~instance", ofHelm},
	{"", "metadata/labels/app.kubernetes.io~managed-by", ofHelm},
	{"", "metadata/labels/app.kubernetes.io~name", ofHelm},
	{"", "metadata/labels/helm.sh~chart", ofHelm},
	{"CustomResourceDefinition", "metadata/annotations/helm.sh~resource-policy", "the CRD is kept when the chart is uninstalled"},
	{"Deployment", "spec/selector/matchLabels/app.kubernetes.io~instance", instance},
	{"Deployment", "spec/template/metadata/labels/app.kubernetes.io~instance", instance},
	{"Service", "spec/selector/app.kubernetes.io~instance", instance},
	{"Deployment", "spec/template/spec/containers/[name=manager]/image", "a release has its own image; config has a placeholder"},
	{"Deployment", "spec/template/spec/containers/[name=manager]/args/--leader-election-id=locust-k8s-operator.locust.io", names},
}

func TestSameAsConfig(t *testing.T) {
	for name, c := range map[string]struct {
		folders []string
		values  string
		allowed []difference
	}{
		"default": {
			[]string{"default"}, "",
			[]difference{{"Deployment", "spec/template/spec/containers/[name=manager]/args/--webhook-name=locust-k8s-operator-webhook", names}},
		},
		"cert-manager": {[]string{"cert-manager"}, "certificates: cert-manager", nil},
		"network policy": {
			[]string{"default", "network-policy"}, "networkPolicy: {enabled: true}",
			[]difference{
				{"Deployment", "spec/template/spec/containers/[name=manager]/args/--webhook-name=locust-k8s-operator-webhook", names},
				{"NetworkPolicy", "spec/podSelector/matchLabels/app.kubernetes.io~instance", instance},
			},
		},
		"cert-manager and prometheus": {
			[]string{"cert-manager", "prometheus-verified"},
			"certificates: cert-manager\nmonitoring: {serviceMonitor: {enabled: true}, rules: {enabled: true}, dashboard: {enabled: true}}",
			[]difference{{"ServiceMonitor", "spec/selector/matchLabels/app.kubernetes.io~instance", instance}},
		},
		"prometheus": {
			[]string{"default", "prometheus"},
			"monitoring: {serviceMonitor: {enabled: true}, rules: {enabled: true}, dashboard: {enabled: true}}",
			[]difference{
				{"Deployment", "spec/template/spec/containers/[name=manager]/args/--webhook-name=locust-k8s-operator-webhook", names},
				{"ServiceMonitor", "spec/selector/matchLabels/app.kubernetes.io~instance", instance},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			allowed := append(slices.Clone(everywhere), c.allowed...)
			needed := make([]bool, len(allowed))
			for _, found := range compare(build(t, c.folders...), render(t, release, system, c.values).withoutHooks()) {
				index := slices.IndexFunc(allowed, func(d difference) bool {
					return strings.HasPrefix(found.object, d.object) && found.path == d.path
				})
				if index < 0 {
					t.Errorf("%s: %s: %s", found.object, found.path, found.reason)
					continue
				}
				needed[index] = true
			}
			for i, d := range allowed {
				assert.True(t, needed[i], "the allowed difference %q %q (%s) is not needed any more: remove it", d.object, d.path, d.reason)
			}
		})
	}
}

// compare returns the differences; the reason of each has both values.
func compare(config, chart objects) []difference {
	var all []difference
	both := maps.Clone(config)
	maps.Copy(both, chart)
	for _, id := range slices.Sorted(maps.Keys(both)) {
		switch {
		case config[id] == nil:
			all = append(all, difference{id, "", "only in the chart"})
		case chart[id] == nil:
			all = append(all, difference{id, "", "only in config"})
		default:
			walk(map[string]any(config[id]), map[string]any(chart[id]), "", func(path string, before, after any) {
				all = append(all, difference{id, path, fmt.Sprintf("config has %v, the chart %v", before, after)})
			})
		}
	}
	return all
}

// walk reports the lowest paths at which two values differ. Items of a list are matched by their names, words by
// themselves; other lists are compared as a whole.
func walk(config, chart any, path string, report func(path string, config, chart any)) {
	before, okBefore := fields(config)
	after, okAfter := fields(chart)
	if !okBefore || !okAfter {
		if !reflect.DeepEqual(config, chart) {
			report(path, config, chart)
		}
		return
	}
	keys := maps.Clone(before)
	maps.Copy(keys, after)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		walk(before[key], after[key], strings.TrimPrefix(path+"/"+key, "/"), report)
	}
}

// fields returns the fields of a map, or the items of a list that has names or words.
func fields(value any) (map[string]any, bool) {
	found := map[string]any{}
	switch value := value.(type) {
	case map[string]any:
		for key, field := range value {
			found[strings.ReplaceAll(key, "/", "~")] = field
		}
		return found, true
	case []any:
		for _, item := range value {
			switch item := item.(type) {
			case string:
				found[item] = true
			case map[string]any:
				name, ok := item["name"].(string)
				if !ok {
					return nil, false
				}
				found["[name="+name+"]"] = item
			default:
				return nil, false
			}
		}
		return found, len(found) == len(value)
	}
	return nil, false
}
