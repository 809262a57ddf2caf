package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart"
)

const (
	pod       = "spec/template/spec/"
	container = pod + "containers/[name=manager]/"
	arg       = container + "args/"
	variable  = container + "env/[name="
)

// present and absent are wanted values: any value, and none.
const (
	present = "(present)"
	absent  = "(absent)"
)

// effects has the effect of each value: values, an object by the beginning of its id, a path in it and what is there.
var effects = map[string]struct {
	values, object, path string
	want                 any
}{
	"image.repository":                   {"image: {repository: mirror/operator}", "Deployment", container + "image", "mirror/operator:v3.0.0"},
	"image.tag":                          {"image: {tag: dev}", "Deployment", container + "image", "ghcr.io/abdelrhmanhamouda/locust-k8s-operator:dev"},
	"image.digest":                       {"image: {digest: " + digest + "}", "Deployment", container + "image", "ghcr.io/abdelrhmanhamouda/locust-k8s-operator@" + digest},
	"image.pullPolicy":                   {"image: {pullPolicy: Always}", "Deployment", container + "imagePullPolicy", "Always"},
	"image.pullSecrets":                  {"image: {pullSecrets: [a]}", "Deployment", pod + "imagePullSecrets/[name=a]", present},
	"imagePullSecrets":                   {"imagePullSecrets: [{name: a}]", "LocustTest", "spec/imagePullSecrets/[name=a]", present},
	"fullnameOverride":                   {"fullnameOverride: short", "Deployment", "metadata/name", "short-controller-manager"},
	"commonLabels":                       {"commonLabels: {team: load}", "CustomResourceDefinition locustreports", "metadata/labels/team", "load"},
	"replicas":                           {"replicas: 3", "Deployment", "spec/replicas", 3.0},
	"replicaCount":                       {"replicaCount: 0", "Deployment", "spec/replicas", 0.0},
	"resources":                          {"resources: {limits: {memory: 1Gi}}", "Deployment", variable + "GOMEMLIMIT]/value", "800MiB"},
	"podDisruptionBudget.enabled":        {"podDisruptionBudget: {enabled: false}", "PodDisruptionBudget", "", absent},
	"podDisruptionBudget.maxUnavailable": {"podDisruptionBudget: {maxUnavailable: 50%}", "PodDisruptionBudget", "spec/maxUnavailable", "50%"},
	"topologySpreadConstraints":          {"topologySpreadConstraints: [{topologyKey: zone, maxSkew: 2, whenUnsatisfiable: DoNotSchedule}]", "Deployment", pod + "topologySpreadConstraints/[topologyKey=zone]/labelSelector", present},
	"nodeSelector":                       {"nodeSelector: {disk: ssd}", "Deployment", pod + "nodeSelector/disk", "ssd"},
	"tolerations":                        {"tolerations: [{operator: Exists}]", "Deployment", pod + "tolerations/[operator=Exists]", present},
	"affinity":                           {"affinity: {podAntiAffinity: {}}", "Deployment", pod + "affinity/podAntiAffinity", present},
	"priorityClassName":                  {"priorityClassName: high", "Deployment", pod + "priorityClassName", "high"},
	"podAnnotations":                     {"podAnnotations: {a: b}", "Deployment", "spec/template/metadata/annotations/a", "b"},
	"podLabels":                          {"podLabels: {a: b}", "Deployment", "spec/template/metadata/labels/a", "b"},
	"podSecurityContext":                 {"podSecurityContext: {fsGroup: 1}", "Deployment", pod + "securityContext/fsGroup", 1.0},
	"containerSecurityContext":           {"containerSecurityContext: {runAsUser: 1}", "Deployment", container + "securityContext/runAsUser", 1.0},
	"terminationGracePeriodSeconds":      {"terminationGracePeriodSeconds: 30", "Deployment", pod + "terminationGracePeriodSeconds", 30.0},
	"serviceAccount.create":              {"serviceAccount: {create: false, name: mine}", "ServiceAccount " + system + "/locust-k8s-operator-controller-manager", "", absent},
	"serviceAccount.name":                {"serviceAccount: {name: mine}", "ClusterRoleBinding", "subjects/[kind=ServiceAccount]/name", "mine"},
	"serviceAccount.annotations":         {"serviceAccount: {annotations: {a: b}}", "ServiceAccount " + system + "/locust-k8s-operator-controller-manager", "metadata/annotations/a", "b"},
	"certificates":                       {"certificates: cert-manager", "Certificate", "spec/dnsNames", present},
	"crds.install":                       {"crds: {install: false}", "CustomResourceDefinition locustreports", "", absent},
	"crds.keep":                          {"crds: {keep: false}", "CustomResourceDefinition locustreports", "metadata/annotations/helm.sh~resource-policy", absent},
	"watchNamespaces":                    {"watchNamespaces: [a, b]", "Deployment", variable + "WATCH_NAMESPACE]/value", "a,b"},
	"config.startupDeadline":             {"config: {startupDeadline: 10m}", "Deployment", arg + "--startup-deadline=10m", present},
	"config.jobTTL":                      {"config: {jobTTL: 1h}", "Deployment", arg + "--job-ttl=1h", present},
	"config.statusRefreshInterval":       {"config: {statusRefreshInterval: 20s}", "Deployment", arg + "--status-refresh-interval=20s", present},
	"config.pollInterval":                {"config: {pollInterval: 0s}", "Deployment", arg + "--poll-interval=0s", present},
	"config.pollConcurrency":             {"config: {pollConcurrency: 1000000}", "Deployment", arg + "--poll-concurrency=1000000", present},
	"config.endpointMetrics":             {"config: {endpointMetrics: 20}", "Deployment", arg + "--endpoint-metrics=20", present},
	"config.locustAccess":                {"config: {locustAccess: direct}", "Deployment", arg + "--locust-access=direct", present},
	"config.podUser":                     {"config: {podUser: platform}", "Deployment", arg + "--pod-user=platform", present},
	"podDefaults.master.resources":       {"podDefaults: {master: {resources: {limits: {memory: 1Gi}}}}", "Deployment", variable + "LOCUST_OPERATOR_POD_DEFAULTS]/value", `{"master":{"resources":{"limits":{"memory":"1Gi"}}}}`},
	"podDefaults.worker.resources":       {"podDefaults: {worker: {resources: {requests: {cpu: 1}}}}", "Deployment", variable + "LOCUST_OPERATOR_POD_DEFAULTS]/value", `{"worker":{"resources":{"requests":{"cpu":1}}}}`},
	"podDefaults.imagePullSecrets":       {"podDefaults: {imagePullSecrets: [{name: a}]}", "Deployment", variable + "LOCUST_OPERATOR_POD_DEFAULTS]/value", `{"imagePullSecrets":[{"name":"a"}]}`},
	"podDefaults.nodeSelector":           {"podDefaults: {nodeSelector: {a: b}}", "Deployment", variable + "LOCUST_OPERATOR_POD_DEFAULTS]/value", `{"nodeSelector":{"a":"b"}}`},
	"podDefaults.tolerations":            {"podDefaults: {tolerations: [{operator: Exists}]}", "Deployment", variable + "LOCUST_OPERATOR_POD_DEFAULTS]/value", `{"tolerations":[{"operator":"Exists"}]}`},
	"podDefaults.priorityClassName":      {"podDefaults: {priorityClassName: low}", "Deployment", variable + "LOCUST_OPERATOR_POD_DEFAULTS]/value", `{"priorityClassName":"low"}`},
	"podDefaults.runtimeClassName":       {"podDefaults: {runtimeClassName: gvisor}", "Deployment", variable + "LOCUST_OPERATOR_POD_DEFAULTS]/value", `{"runtimeClassName":"gvisor"}`},
	"config.concurrency":                 {"config: {concurrency: 20}", "Deployment", arg + "--concurrency=20", present},
	"config.kubeAPIQPS":                  {"config: {kubeAPIQPS: 2.5}", "Deployment", arg + "--kube-api-qps=2.5", present},
	"config.kubeAPIBurst":                {"config: {kubeAPIQPS: 5, kubeAPIBurst: 10}", "Deployment", arg + "--kube-api-burst=10", present},
	"locustPods.ttlSecondsAfterFinished": {"locustPods: {ttlSecondsAfterFinished: 0}", "Deployment", arg + "--job-ttl=0s", present},
	"leaderElection.enabled":             {"leaderElection: {enabled: true}", "Deployment", arg + "--leader-elect", present},
	"extraEnv":                           {"extraEnv: [{name: GOGC, value: '100'}]", "Deployment", variable + "GOGC]/value", "100"},
	"monitoring.serviceMonitor.enabled":  {"monitoring: {serviceMonitor: {enabled: true}}", "ServiceMonitor", "spec/endpoints", present},
	"monitoring.serviceMonitor.labels":   {"monitoring: {serviceMonitor: {enabled: true, labels: {release: p}}}", "ServiceMonitor", "metadata/labels/release", "p"},
	"monitoring.rules.enabled":           {"monitoring: {rules: {enabled: true}}", "PrometheusRule", "spec/groups", present},
	"monitoring.rules.labels":            {"monitoring: {rules: {enabled: true, labels: {release: p}}}", "PrometheusRule", "metadata/labels/release", "p"},
	"monitoring.dashboard.enabled":       {"monitoring: {dashboard: {enabled: true}}", "ConfigMap " + system + "/locust-k8s-operator-grafana-dashboard", "metadata/labels/grafana_dashboard", "1"},
	"monitoring.dashboard.labels":        {"monitoring: {dashboard: {enabled: true, labels: {a: b}}}", "ConfigMap " + system + "/locust-k8s-operator-grafana-dashboard", "metadata/labels/a", "b"},
	"networkPolicy.enabled":              {"networkPolicy: {enabled: true}", "NetworkPolicy", "spec/egress", present},
	"networkPolicy.apiServerAddresses":   {"networkPolicy: {enabled: true, apiServerAddresses: [10.0.0.1/32]}", "NetworkPolicy", "spec/ingress/0/from/0/ipBlock/cidr", "10.0.0.1/32"},
	"networkPolicy.testNamespaces":       {"networkPolicy: {enabled: true, testNamespaces: [load]}", "NetworkPolicy load/locust-k8s-operator-masters", "spec/ingress", present},
	"networkPolicy.apiServerPorts":       {"networkPolicy: {enabled: true, apiServerPorts: [16443]}", "NetworkPolicy", "spec/egress/1/ports/0/port", 16443.0},
	"test.image":                         {"test: {image: mirror/locust:1}", "LocustTest", "spec/image", "mirror/locust:1"},
}

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// TestEffects: each value changes what it is for, and nothing is there without it.
func TestEffects(t *testing.T) {
	byDefault := render(t, release, system, "")
	for value, c := range effects {
		t.Run(value, func(t *testing.T) {
			// find returns the first object that has the path, and what is there.
			find := func(all objects) any {
				for _, id := range slices.Sorted(maps.Keys(all)) {
					if !strings.HasPrefix(id, c.object) {
						continue
					}
					if c.path == "" {
						return id
					}
					if found := all[id].at(c.path); found != nil {
						return found
					}
				}
				return nil
			}
			found, before := find(render(t, release, system, c.values)), find(byDefault)
			switch c.want {
			case present:
				assert.NotNil(t, found, "%s of %s", c.path, c.object)
			case absent:
				assert.Nil(t, found, "%s of %s", c.path, c.object)
			default:
				assert.Equal(t, c.want, found, "%s of %s", c.path, c.object)
			}
			if value != "leaderElection.enabled" { // true is all that is accepted
				assert.NotEqual(t, found, before, "the value has an effect")
			}
		})
	}
}

// schema is what the tests read of a JSON schema.
type schema struct {
	Type        any               `json:"type"`
	Description string            `json:"description"`
	Additional  any               `json:"additionalProperties"`
	Properties  map[string]schema `json:"properties"`
}

func (s schema) removed() bool {
	return s.Type == nil && strings.HasPrefix(s.Description, "A value of the 2.x chart")
}

// leaves returns the values of a schema that have no values below them.
func (s schema) leaves(path string, into map[string]schema) {
	for name, property := range s.Properties {
		name = strings.TrimPrefix(path+"."+name, ".")
		if len(property.Properties) == 0 {
			into[name] = property
		}
		property.leaves(name, into)
	}
}

func theSchema(t *testing.T) map[string]schema {
	t.Helper()
	var s schema
	require.NoError(t, json.Unmarshal([]byte(read(t, folder, "values.schema.json")), &s))
	all := map[string]schema{}
	s.leaves("", all)
	return all
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	return string(data)
}

// TestEveryValueIsEverywhere: schema, values.yaml, README.md and the table of effects have the same values.
func TestEveryValueIsEverywhere(t *testing.T) {
	defaults := values(t, read(t, folder, "values.yaml"))
	readme := read(t, folder, "README.md")
	ofSchema := theSchema(t)
	// defined reports whether values.yaml has a value.
	defined := func(path string) bool {
		var value any = defaults
		for key := range strings.SplitSeq(path, ".") {
			fields, ok := value.(map[string]any)
			if value = fields[key]; !ok {
				return false
			}
			if _, ok := fields[key]; !ok {
				return false
			}
		}
		return true
	}
	for path, s := range ofSchema {
		if s.removed() || path == "global" {
			assert.False(t, defined(path), path)
			continue
		}
		assert.Contains(t, effects, path, "a value without an effect")
		assert.NotEqual(t, defined(path), strings.HasPrefix(s.Description, "2.x") || strings.HasPrefix(s.Description, "Only true"),
			"%s: values.yaml has all values but those of the 2.x chart", path)
		assert.Regexp(t, "(?m)^\\| `"+regexp.QuoteMeta(path)+"[`:]", readme)
	}
	for path := range effects {
		assert.Contains(t, ofSchema, path)
	}
	for _, match := range regexp.MustCompile("(?m)^\\| `([\\w.]+)[`:]").FindAllStringSubmatch(readme, -1) {
		assert.Contains(t, ofSchema, match[1], "README.md")
	}
	var walk func(fields map[string]any, path string)
	walk = func(fields map[string]any, path string) {
		for name, value := range fields {
			name = strings.TrimPrefix(path+"."+name, ".")
			below, isMap := value.(map[string]any)
			if _, isLeaf := ofSchema[name]; !isLeaf {
				require.True(t, isMap, "%s is not in the schema", name)
				walk(below, name)
			}
		}
	}
	walk(defaults, "")
}

// TestSchemaIsStrict: every map is either free, or refuses unknown names.
func TestSchemaIsStrict(t *testing.T) {
	free := []string{"resources", "podDefaults.master.resources", "podDefaults.worker.resources", "affinity", "podSecurityContext", "containerSecurityContext", "global"}
	for path, s := range theSchema(t) {
		if s.Type == "object" && s.Additional == nil {
			assert.Contains(t, free, path, "set additionalProperties")
		}
	}
}

// TestRefused: what is misspelt or has a wrong type is refused, and the message names it.
func TestRefused(t *testing.T) {
	for vals, want := range map[string]string{
		"replica: 3":                                    "replica",
		"image: {repo: x}":                              "repo",
		"monitoring: {servicemonitor: {}}":              "servicemonitor",
		"config: {startUpDeadline: 5m}":                 "startUpDeadline",
		"config: {startupDeadline: 5 minutes}":          "startupDeadline",
		"config: {startupDeadline: 300}":                "startupDeadline",
		"config: {concurrency: 0}":                      "concurrency",
		"config: {locustAccess: Proxy}":                 "locustAccess",
		"replicas: two":                                 "replicas",
		"certificates: certmanager":                     "certificates",
		"image: {digest: abc}":                          "digest",
		"watchNamespaces: a,b":                          "watchNamespaces",
		"watchNamespaces: ['a,b']":                      "watchNamespaces",
		"nodeSelector: {a: true}":                       "nodeSelector",
		"extraEnv: [{name: A, vale: b}]":                "extraEnv",
		"extraEnv: [{name: A, value: 1}]":               "extraEnv",
		"networkPolicy: {enabled: 'true'}":              "enabled",
		"podDisruptionBudget: {minAvailable: 1}":        "minAvailable",
		"imagePullSecrets: [registry]":                  "imagePullSecrets",
		"crds: {install: true, keep: 'no'}":             "keep",
		"podDefaults: {resources: {}}":                  "resources",
		"podDefaults: {worker: {limits: {}}}":           "limits",
		"topologySpreadConstraints: [{topologyKey: a}]": "topologySpreadConstraints",
		"certificates: none":                            "crds.install: false",
		"serviceAccount: {create: false}":               "serviceAccount.name",
		"fullnameOverride: " + strings.Repeat("a", 37):  "at most 36",
		"fullnameOverride: 1st":                         "beginning with a letter",
		"leaderElection: {enabled: false}":              "leader election is always on",
	} {
		_, err := tryRender(t, release, system, vals)
		assert.ErrorContains(t, err, want, vals)
	}
}

// TestRemoved: a value of the 2.x chart that means nothing here is refused by its name, with the remedy, all at once.
func TestRemoved(t *testing.T) {
	var paths []string
	together := map[string]any{}
	for path, s := range theSchema(t) {
		if !s.removed() {
			continue
		}
		paths = append(paths, path)
		keys := strings.Split(path, ".")
		fields := together
		for _, key := range keys[:len(keys)-1] {
			if fields[key] == nil {
				fields[key] = map[string]any{}
			}
			fields = fields[key].(map[string]any)
		}
		fields[keys[len(keys)-1]] = map[string]any{"a": true}
	}
	assert.Len(t, paths, 16)
	text, err := json.Marshal(together)
	require.NoError(t, err)
	_, err = tryRender(t, release, system, string(text))
	require.Error(t, err)
	for _, path := range paths {
		assert.Regexp(t, `(?m)^- `+regexp.QuoteMeta(path)+` is a value of the 2\.x chart: .{20,}$`, err.Error())
	}
	assert.Equal(t, len(paths), strings.Count(err.Error(), "2.x chart"))
	// Each value that a remedy names exists.
	known := theSchema(t)
	for _, match := range regexp.MustCompile(`(?m)(?:set|to) ((?:config|monitoring|podDefaults)\.[\w.]*\w|fullnameOverride|certificates|watchNamespaces)`).FindAllStringSubmatch(err.Error(), -1) {
		assert.Contains(t, known, match[1])
	}
}

// TestFrom2x: a remedy is not needed for the values that the 2.x chart and this one share.
func TestFrom2x(t *testing.T) {
	all := render(t, "locust", system, `
image: {repository: mirror/operator, tag: v3.0.0, pullPolicy: Always, pullSecrets: [registry]}
resources: {limits: {cpu: 500m, memory: 256Mi}, requests: {cpu: 10m, memory: 64Mi}}
replicaCount: 1
fullnameOverride: locust-operator
extraEnv: [{name: LOG_LEVEL, value: debug}]
terminationGracePeriodSeconds: 10
leaderElection: {enabled: true}
podDisruptionBudget: {enabled: true, maxUnavailable: 1}
locustPods: {ttlSecondsAfterFinished: ""}
serviceAccount: {create: true, name: "", annotations: {}}
podAnnotations: {}
podSecurityContext: {runAsNonRoot: true}
containerSecurityContext: {allowPrivilegeEscalation: false}
nodeSelector: {}
tolerations: []
affinity: {}
`)
	d := all.only(t, "Deployment")
	assert.Equal(t, "locust-operator-controller-manager", d.name())
	assert.Equal(t, "mirror/operator:v3.0.0", d.at(container+"image"))
}

// TestSubchart: the chart can be a dependency of another one.
func TestSubchart(t *testing.T) {
	sub, err := theChart()
	require.NoError(t, err)
	parent := &chart.Chart{Metadata: &chart.Metadata{APIVersion: "v2", Name: "parent", Version: "1.0.0"}}
	parent.AddDependency(sub)
	_, err = renderAll(parent, "parent", system, values(t, "global: {a: b}\nlocust-k8s-operator: {replicas: 1}"))
	assert.NoError(t, err)
}
