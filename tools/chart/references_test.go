package main

import (
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/config"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	testvalidation "github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/validation"
)

// everything turns on all objects.
const everything = `
monitoring: {serviceMonitor: {enabled: true}, rules: {enabled: true}, dashboard: {enabled: true}}
networkPolicy: {enabled: true}
`

// settingsOf returns the operator's settings, as the operator parses them.
func settingsOf(t *testing.T, d appsv1.Deployment) *config.Config {
	t.Helper()
	fs := flag.NewFlagSet("manager", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	manager := d.Spec.Template.Spec.Containers[0]
	settings, err := config.Load(fs, manager.Args, func(name string) string {
		for _, v := range manager.Env {
			if v.Name == name {
				return v.Value
			}
		}
		// In a pod, a file has it.
		return map[string]string{"LOCUST_OPERATOR_WEBHOOK_NAMESPACE": d.Namespace}[name]
	})
	require.NoError(t, err)
	return settings
}

// TestReferences: for any release, objects reference each other, and the operator's settings name them.
func TestReferences(t *testing.T) {
	for _, certificates := range []string{"self", "cert-manager"} {
		for _, c := range []struct{ release, namespace, prefix, values string }{
			{release, system, release, ""},
			{"other", "elsewhere", "other", ""},
			{"a-very-long-name-of-a-release-1", "elsewhere", "short", "fullnameOverride: short"},
			{"other", "elsewhere", "other", "serviceAccount: {name: mine}"},
		} {
			t.Run(certificates+"/"+c.release, func(t *testing.T) {
				all := render(t, c.release, c.namespace, everything+"certificates: "+certificates+"\n"+c.values)
				checkNames(t, all, c.prefix, c.namespace)
				checkBindings(t, all)
				d := as[appsv1.Deployment](t, all.only(t, "Deployment"))
				settings := settingsOf(t, d)
				assert.Equal(t, c.prefix+".locust.io", settings.LeaderElectionID)
				assert.Contains(t, all, "ServiceAccount "+c.namespace+"/"+d.Spec.Template.Spec.ServiceAccountName)
				checkSelectors(t, all, d)
				service := checkWebhooks(t, all, d, settings)
				if certificates == "cert-manager" {
					checkCertManager(t, all, d, service)
					return
				}
				assert.Equal(t, service.Name, settings.WebhookName)
				assert.Equal(t, service.Namespace, settings.WebhookNamespace)
				trust := as[rbacv1.ClusterRole](t, all["ClusterRole "+c.prefix+"-webhook-trust"])
				own := as[rbacv1.Role](t, all["Role "+c.namespace+"/"+c.prefix+"-webhook-certificate"])
				may := map[string][]string{}
				for _, rule := range append(trust.Rules, own.Rules[0]) {
					may[rule.Resources[0]] = rule.ResourceNames
				}
				assert.Equal(t, map[string][]string{
					"customresourcedefinitions": {"locusttests.locust.io"}, "validatingwebhookconfigurations": {settings.WebhookName},
					"secrets": {settings.WebhookName},
				}, may)
			})
		}
	}
}

func checkNames(t *testing.T, all objects, prefix, namespace string) {
	t.Helper()
	for id, o := range all {
		if o.kind() == "CustomResourceDefinition" || strings.HasSuffix(id, "/mine") {
			continue
		}
		assert.True(t, strings.HasPrefix(o.name(), prefix+"-"), "%s does not begin with %s", id, prefix)
		assert.Empty(t, validation.IsDNS1035Label(o.name()), id)
		if of := o.text("metadata/namespace"); of != "" {
			assert.Equal(t, namespace, of, id)
		}
	}
	if prefix == release {
		return
	}
	text, err := json.Marshal(all)
	require.NoError(t, err)
	for _, name := range []string{system, "locust-k8s-operator-webhook", "locust-k8s-operator-controller-manager", "locust-k8s-operator-demo"} {
		assert.NotContains(t, string(text), name, "a name of config")
	}
}

func checkBindings(t *testing.T, all objects) {
	t.Helper()
	for _, o := range append(all.kind("RoleBinding"), all.kind("ClusterRoleBinding")...) {
		role, subject := o.text("roleRef/kind")+" ", o.at("subjects").([]any)[0].(map[string]any)
		if o.text("roleRef/kind") == "Role" {
			role += o.text("metadata/namespace") + "/"
		}
		assert.Contains(t, all, role+o.text("roleRef/name"), o.id())
		assert.Contains(t, all, "ServiceAccount "+subject["namespace"].(string)+"/"+subject["name"].(string), o.id())
	}
}

// checkSelectors checks that all selectors select the operator's pods, or the Service of the metrics.
func checkSelectors(t *testing.T, all objects, d appsv1.Deployment) {
	t.Helper()
	matches := func(selector any, selected map[string]string) bool {
		wanted := map[string]string{}
		fields, _ := selector.(map[string]any)
		for key, value := range fields {
			wanted[key] = value.(string)
		}
		assert.Contains(t, wanted, "app.kubernetes.io/instance", "another release in the namespace is not selected")
		return labels.SelectorFromSet(wanted).Matches(labels.Set(selected))
	}
	pods := d.Spec.Template.Labels
	deployment := all.only(t, "Deployment")
	assert.True(t, matches(deployment.at("spec/selector/matchLabels"), pods), "Deployment")
	assert.True(t, matches(deployment.at(pod+"topologySpreadConstraints/[topologyKey=kubernetes.io~hostname]/labelSelector/matchLabels"), pods), "spread")
	assert.True(t, matches(all.only(t, "PodDisruptionBudget").at("spec/selector/matchLabels"), pods), "PodDisruptionBudget")
	assert.True(t, matches(all.only(t, "NetworkPolicy").at("spec/podSelector/matchLabels"), pods), "NetworkPolicy")
	monitor := all.only(t, "ServiceMonitor").at("spec/selector/matchLabels")
	monitored := 0
	for _, o := range all.kind("Service") {
		assert.True(t, matches(o.at("spec/selector"), pods), o.id())
		service := as[corev1.Service](t, o)
		if matches(monitor, service.Labels) {
			monitored++
			assert.Equal(t, "metrics", service.Spec.Ports[0].TargetPort.String())
		}
		assert.True(t, slices.ContainsFunc(d.Spec.Template.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool {
			return p.Name == service.Spec.Ports[0].TargetPort.String()
		}), o.id())
	}
	assert.Equal(t, 1, monitored, "Services that the monitor selects")
}

// checkWebhooks checks that both webhooks reach the operator, and returns their Service.
func checkWebhooks(t *testing.T, all objects, d appsv1.Deployment, settings *config.Config) corev1.Service {
	t.Helper()
	definition := as[apiextensionsv1.CustomResourceDefinition](t, all.called(t, "CustomResourceDefinition"))
	configuration := as[admissionregistrationv1.ValidatingWebhookConfiguration](t, all.only(t, "ValidatingWebhookConfiguration"))
	conversion, admission := definition.Spec.Conversion.Webhook.ClientConfig.Service, configuration.Webhooks[0].ClientConfig.Service
	assert.Equal(t, [2]string{conversion.Namespace, conversion.Name}, [2]string{admission.Namespace, admission.Name})
	id := "Service " + conversion.Namespace + "/" + conversion.Name
	require.Contains(t, all, id)
	service := as[corev1.Service](t, all[id])
	assert.Equal(t, service.Name, configuration.Name)
	assert.Equal(t, *conversion.Port, service.Spec.Ports[0].Port)
	index := slices.IndexFunc(d.Spec.Template.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool { return p.Name == service.Spec.Ports[0].TargetPort.String() })
	require.GreaterOrEqual(t, index, 0)
	assert.EqualValues(t, settings.WebhookPort, d.Spec.Template.Spec.Containers[0].Ports[index].ContainerPort)
	return service
}

func checkCertManager(t *testing.T, all objects, d appsv1.Deployment, service corev1.Service) {
	t.Helper()
	ref := service.Namespace + "/" + service.Name
	host := service.Name + "." + service.Namespace + ".svc"
	for _, kind := range []string{"CustomResourceDefinition", "ValidatingWebhookConfiguration"} {
		assert.Equal(t, ref, all.called(t, kind).text("metadata/annotations/cert-manager.io~inject-ca-from"), kind)
	}
	leaf := all["Certificate "+ref]
	assert.Equal(t, []any{host, host + ".cluster.local"}, leaf.at("spec/dnsNames"))
	issuer := all["Issuer "+service.Namespace+"/"+leaf.text("spec/issuerRef/name")]
	authority := all["Certificate "+service.Namespace+"/"+issuer.text("spec/ca/secretName")]
	assert.Equal(t, issuer.text("spec/ca/secretName"), authority.text("spec/secretName"))
	assert.Contains(t, all, "Issuer "+service.Namespace+"/"+authority.text("spec/issuerRef/name"))
	assert.True(t, slices.ContainsFunc(d.Spec.Template.Spec.Volumes, func(v corev1.Volume) bool {
		return v.Secret != nil && v.Secret.SecretName == leaf.text("spec/secretName")
	}))
}

// TestTwoReleases: they share no cluster-wide objects except the CRDs, which the second leaves to the first.
func TestTwoReleases(t *testing.T) {
	cluster := func(all objects) objects {
		maps.DeleteFunc(all, func(_ string, o object) bool { return o.text("metadata/namespace") != "" })
		return all
	}
	first, second := cluster(render(t, "a", "a", everything)), cluster(render(t, "b", "b", everything))
	var shared []string
	for id := range first {
		if second[id] != nil {
			shared = append(shared, id)
		}
	}
	assert.ElementsMatch(t, []string{"CustomResourceDefinition locustreports.locust.io", "CustomResourceDefinition locusttests.locust.io"}, shared)

	all := render(t, "b", "b", "crds: {install: false}\ncertificates: none\nwatchNamespaces: [team-b]")
	for id, o := range all {
		assert.NotContains(t, []string{"CustomResourceDefinition", "ValidatingWebhookConfiguration", "Certificate"}, o.kind(), id)
		assert.NotContains(t, id, "webhook")
	}
	settings := settingsOf(t, as[appsv1.Deployment](t, all.only(t, "Deployment")))
	assert.Equal(t, config.WebhooksOff, settings.WebhookCertificates)
	assert.Equal(t, []string{"team-b"}, settings.WatchNamespaces)
	assert.Equal(t, "team-b", all.kind("LocustTest")[0].text("metadata/namespace"), "the operator runs the test of `helm test`")
}

// TestUpgradeKeepsCABundles: an upgrade merges as Helm does, and keeps what the operator or cert-manager has written.
func TestUpgradeKeepsCABundles(t *testing.T) {
	before, after := render(t, release, system, ""), render(t, release, system, "commonLabels: {new: label}")
	for kind, c := range map[string]struct {
		typed any
		set   func(o object, bundle string)
		get   string
	}{
		"CustomResourceDefinition": {
			apiextensionsv1.CustomResourceDefinition{},
			func(o object, bundle string) {
				o.at("spec/conversion/webhook/clientConfig").(map[string]any)["caBundle"] = bundle
			},
			"spec/conversion/webhook/clientConfig/caBundle",
		},
		"ValidatingWebhookConfiguration": {
			admissionregistrationv1.ValidatingWebhookConfiguration{},
			func(o object, bundle string) {
				o.at("webhooks/[name=locusttests.validation.locust.io]/clientConfig").(map[string]any)["caBundle"] = bundle
			},
			"webhooks/[name=locusttests.validation.locust.io]/clientConfig/caBundle",
		},
	} {
		t.Run(kind, func(t *testing.T) {
			encode := func(o object) []byte {
				data, err := json.Marshal(o)
				require.NoError(t, err)
				return data
			}
			old, target := encode(before.called(t, kind)), encode(after.called(t, kind))
			var live object
			require.NoError(t, json.Unmarshal(old, &live))
			c.set(live, "Y2E=")
			meta, err := strategicpatch.NewPatchMetaFromStruct(c.typed)
			require.NoError(t, err)
			patch, err := strategicpatch.CreateThreeWayMergePatch(old, target, encode(live), meta, true)
			require.NoError(t, err)
			merged, err := strategicpatch.StrategicMergePatch(encode(live), patch, c.typed)
			require.NoError(t, err)
			var result object
			require.NoError(t, json.Unmarshal(merged, &result))
			assert.Equal(t, "Y2E=", result.text(c.get))
			assert.Equal(t, "label", result.text("metadata/labels/new"))
		})
	}
}

// TestEveryFlagIsOffered: each setting of the operator is a value, set by the chart, or left to extraEnv on purpose.
func TestEveryFlagIsOffered(t *testing.T) {
	left := map[string]string{
		"pprof-bind-address": "for development only",
		"metrics-secure":     "the ServiceMonitor uses TLS",
		"metrics-cert-dir":   "set with certificates: cert-manager",
		"webhook-port":       "the Service hides it",
		"webhook-cert-dir":   "the default",
		"webhook-namespace":  "the pod's own",
		"watch-namespace":    "WATCH_NAMESPACE",
		"pod-defaults":       "LOCUST_OPERATOR_POD_DEFAULTS, see TestPodDefaults",
	}
	args := strings.Join(settingsArgs(t), " ")
	fs := flag.NewFlagSet("manager", flag.ContinueOnError)
	_, err := config.Load(fs, nil, func(string) string { return "" })
	require.NoError(t, err)
	fs.VisitAll(func(f *flag.Flag) {
		_, isLeft := left[f.Name]
		assert.NotEqual(t, isLeft, strings.Contains(args+" ", "--"+f.Name+"=") || strings.Contains(args+" ", "--"+f.Name+" "), f.Name)
		delete(left, f.Name)
	})
	assert.Empty(t, left, "flags that do not exist")
}

// TestPodDefaults: the operator reads what the values say.
func TestPodDefaults(t *testing.T) {
	all := render(t, release, system, `podDefaults:
  master: {resources: {requests: {cpu: 250m, memory: 128Mi}, limits: {memory: 1Gi}}}
  worker: {resources: {requests: {cpu: 1}}}
  imagePullSecrets: [{name: registry}]
  nodeSelector: {pool: load}
  tolerations: [{key: load, operator: Exists, tolerationSeconds: 30}]
  priorityClassName: low
  runtimeClassName: gvisor`)
	defaults, err := resources.ParsePodDefaults(settingsOf(t, as[appsv1.Deployment](t, all.only(t, "Deployment"))).PodDefaults)
	require.NoError(t, err)
	assert.Equal(t, "1Gi", defaults.Master.Resources.Limits.Memory().String())
	assert.Equal(t, "1", defaults.Worker.Resources.Requests.Cpu().String())
	assert.Equal(t, map[string]string{"pool": "load"}, defaults.NodeSelector)
	assert.Equal(t, int64(30), *defaults.Tolerations[0].TolerationSeconds)
	assert.Equal(t, []string{"registry", "low", "gvisor"}, []string{defaults.ImagePullSecrets[0].Name, defaults.PriorityClassName, defaults.RuntimeClassName})
}

func settingsArgs(t *testing.T) []string {
	t.Helper()
	all := render(t, release, system, `config: {startupDeadline: 1m, jobTTL: 1h, statusRefreshInterval: 5s, pollInterval: 5s, pollConcurrency: 1,
  endpointMetrics: 1, locustAccess: auto, podUser: auto, concurrency: 1, kubeAPIQPS: 1, kubeAPIBurst: 1}`)
	d := as[appsv1.Deployment](t, all.only(t, "Deployment"))
	settingsOf(t, d)
	return d.Spec.Template.Spec.Containers[0].Args
}

// TestNetworkPolicy: the operator may reach the masters of its tests, and its own ports can be reached.
func TestNetworkPolicy(t *testing.T) {
	all := render(t, release, system, "networkPolicy: {enabled: true}")
	policy := as[networkingv1.NetworkPolicy](t, all.only(t, "NetworkPolicy"))
	test := as[v2.LocustTest](t, all.kind("LocustTest")[0])
	var masters []networkingv1.NetworkPolicyEgressRule
	for _, rule := range policy.Spec.Egress {
		if len(rule.To) > 0 {
			masters = append(masters, rule)
		}
	}
	require.Len(t, masters, 1)
	for role, want := range map[resources.Role]bool{resources.RoleMaster: true, resources.RoleWorker: false} {
		selector := labels.SelectorFromSet(masters[0].To[0].PodSelector.MatchLabels)
		assert.Equal(t, want, selector.Matches(labels.Set(resources.LabelsFor(&test, role))), role)
	}
	assert.EqualValues(t, resources.PortWeb, masters[0].Ports[0].Port.IntVal)

	var open, served []string
	for _, rule := range policy.Spec.Ingress {
		for _, port := range rule.Ports {
			open = append(open, port.Port.String())
		}
	}
	for _, port := range as[appsv1.Deployment](t, all.only(t, "Deployment")).Spec.Template.Spec.Containers[0].Ports {
		served = append(served, port.Name)
	}
	assert.ElementsMatch(t, served, open)
}

// TestVerifiedMetrics: the certificate of the metrics is valid for the name that Prometheus verifies, which is that of the Service,
// and Prometheus reads the CA from the Secret of the certificate.
func TestVerifiedMetrics(t *testing.T) {
	for source, all := range map[string]objects{
		"chart":  render(t, release, system, "certificates: cert-manager\nmonitoring: {serviceMonitor: {enabled: true}}"),
		"config": build(t, "cert-manager", "prometheus-verified"),
	} {
		config := all.only(t, "ServiceMonitor").at("spec/endpoints/0/tlsConfig").(map[string]any)
		found := 0
		for _, certificate := range all.kind("Certificate") {
			names, _ := certificate.at("spec/dnsNames").([]any)
			if !slices.Contains(names, config["serverName"]) {
				continue
			}
			found++
			assert.Equal(t, certificate.at("spec/secretName"), config["ca"].(map[string]any)["secret"].(map[string]any)["name"], source)
		}
		assert.Equal(t, 1, found, "%s: certificates for %s", source, config["serverName"])
		service, _, _ := strings.Cut(fmt.Sprint(config["serverName"]), ".")
		assert.Contains(t, all, "Service "+system+"/"+service, source)
		assert.NotContains(t, config, "insecureSkipVerify", source)
	}
}

// TestMastersPolicy: a master accepts the operator at its web API, workers at its other ports, and no other pod; the policy is that of
// config/network-policy/tests.yaml.
func TestMastersPolicy(t *testing.T) {
	all := render(t, release, system, "networkPolicy: {enabled: true, testNamespaces: [load]}")
	policy := as[networkingv1.NetworkPolicy](t, all["NetworkPolicy load/locust-k8s-operator-masters"])
	var file networkingv1.NetworkPolicy
	require.NoError(t, yaml.UnmarshalStrict([]byte(read(t, root, "config", "network-policy", "tests.yaml")), &file))
	test := as[v2.LocustTest](t, all.kind("LocustTest")[0])
	operator := as[appsv1.Deployment](t, all.only(t, "Deployment")).Spec.Template.Labels
	master, worker := resources.LabelsFor(&test, resources.RoleMaster), resources.LabelsFor(&test, resources.RoleWorker)
	for source, policy := range map[string]networkingv1.NetworkPolicy{"chart": policy, "config": file} {
		assert.True(t, selects(policy.Spec.PodSelector, master), source)
		assert.False(t, selects(policy.Spec.PodSelector, worker), source)
		for _, c := range []struct {
			name, namespace string
			pod             map[string]string
			ports           []int32
		}{
			{"operator", system, operator, []int32{resources.PortWeb}},
			{"worker", "load", worker, []int32{5557, 5558}},
			{"master", "load", master, nil},
			{"worker elsewhere", "other", worker, nil},
			{"forged operator", "other", operator, nil},
			{"stranger", "load", map[string]string{"app": "shop"}, nil},
		} {
			assert.Equal(t, c.ports, accepted(policy, "load", c.namespace, c.pod), "%s: %s", source, c.name)
		}
	}
}

func selects(selector metav1.LabelSelector, pod map[string]string) bool {
	s, err := metav1.LabelSelectorAsSelector(&selector)
	return err == nil && s.Matches(labels.Set(pod))
}

// everyPort stands for all ports.
const everyPort = -1

// accepted returns the ports at which the pods of a policy accept a pod, as the API reference describes NetworkPolicyIngressRule.
func accepted(policy networkingv1.NetworkPolicy, own, namespace string, pod map[string]string) []int32 {
	var ports []int32
	for _, rule := range policy.Spec.Ingress {
		from := len(rule.From) == 0 // everyone
		for _, peer := range rule.From {
			near := peer.NamespaceSelector == nil && namespace == own
			far := peer.NamespaceSelector != nil && selects(*peer.NamespaceSelector, map[string]string{corev1.LabelMetadataName: namespace})
			from = from || peer.IPBlock != nil || (near || far) && (peer.PodSelector == nil || selects(*peer.PodSelector, pod))
		}
		if !from {
			continue
		}
		if len(rule.Ports) == 0 {
			ports = append(ports, everyPort)
		}
		for _, port := range rule.Ports {
			ports = append(ports, port.Port.IntVal)
		}
	}
	return ports
}

// TestDemo: the objects of `helm test` are hooks in order, no user is set where the platform assigns one, and the operator
// accepts the LocustTest, whose target is its own master.
func TestDemo(t *testing.T) {
	all := render(t, release, system, "")
	weights := map[string]string{"Pod": "0", "LocustTest": "-1"}
	hooks := 0
	for id, o := range all {
		if !o.hook() {
			continue
		}
		hooks++
		assert.Equal(t, "test", o.text("metadata/annotations/helm.sh~hook"), id)
		policy := "before-hook-creation,hook-succeeded"
		if o.kind() == "Pod" { // it stays for its log
			policy = "before-hook-creation"
		}
		assert.Equal(t, policy, o.text("metadata/annotations/helm.sh~hook-delete-policy"), id)
		want, ok := weights[o.kind()]
		if !ok {
			want = "-2"
		}
		assert.Equal(t, want, o.text("metadata/annotations/helm.sh~hook-weight"), id)
	}
	assert.Equal(t, 7, hooks)
	test := as[v2.LocustTest](t, all.kind("LocustTest")[0])
	assert.Empty(t, testvalidation.Validate(&test))
	assert.Contains(t, all, "ConfigMap "+system+"/"+test.Spec.TestFiles.ConfigMapRef)
	assert.Contains(t, test.Spec.Master.Command, fmt.Sprintf(" --host http://%s:%d ", resources.MasterName(test.Name), resources.PortWeb))
	user := "spec/securityContext/runAsUser"
	assert.EqualValues(t, 1000, all.kind("Pod")[0].at(user))
	assert.Nil(t, render(t, release, system, "", "security.openshift.io/v1").kind("Pod")[0].at(user))
}

// TestWait runs the script of `helm test` against an API server that answers with each status in turn.
func TestWait(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	status := func(phase string) string {
		return `{"status": {"phase": "` + phase + `", "conditions": [{"type": "Ready", "status": "True", "reason": "R", "message": "the cause"}]}}`
	}
	for name, c := range map[string]struct {
		answers []string
		code    int
		output  string
	}{
		"succeeded":      {[]string{"{}", "503", "403", status("Pending"), status("Running"), status("Running"), status("Succeeded")}, 0, "Pending\nRunning\nSucceeded\nReady=True: R: the cause\n"},
		"failed":         {[]string{status("Running"), status("Failed")}, 1, "Running\nFailed\nReady=True: R: the cause\n"},
		"does not exist": {[]string{"404"}, 1, "404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, "Bearer secret", r.Header.Get("Authorization"))
				assert.Equal(t, "/apis/locust.io/v2/namespaces/n/locusttests/demo", r.URL.Path)
				answer := c.answers[0]
				c.answers = c.answers[1:]
				if code := map[string]int{"503": 503, "403": 403, "404": 404}[answer]; code != 0 {
					w.WriteHeader(code)
					return
				}
				_, _ = io.WriteString(w, answer)
			}))
			defer server.Close()
			account := t.TempDir()
			ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
			require.NoError(t, os.WriteFile(filepath.Join(account, "ca.crt"), ca, 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(account, "token"), []byte("secret"), 0o600))
			cmd := exec.CommandContext(t.Context(), python, filepath.Join(folder, "scripts", "wait.py"))
			cmd.Env = []string{"SERVICE_ACCOUNT=" + account, "API_SERVER=" + server.URL, "TEST_NAMESPACE=n", "TEST_NAME=demo", "POLL_SECONDS=0"}
			output, _ := cmd.CombinedOutput()
			assert.Equal(t, c.code, cmd.ProcessState.ExitCode(), "%s", output)
			assert.Contains(t, string(output), c.output)
		})
	}
}
