//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// field is a row of the tests: a field of the spec, how to set it, and how to check its effect.
type field[S any] struct {
	// path is the path in the CRD's schema.
	path  string
	set   func(spec S)
	check func(t *testing.T, live *liveTest)
}

type fieldV2 = field[*v2.LocustTestSpec]

// fieldRun is a load test that covers several fields. Rows share a run unless they conflict.
type fieldRun struct {
	name string
	// prepare sets up the prerequisites of the rows.
	prepare func(s *fixture, spec *v2.LocustTestSpec)
	// observe waits until the rows can be checked.
	observe func(s *fixture, test *v2.LocustTest) *liveTest
	rows    []fieldV2
}

var fieldRuns = []fieldRun{
	{"everything", aroundEverything, (*fixture).inspectConnected, everything},
	{"at-rest", secured, (*fixture).inspectConnected, slices.Concat(atRest, securityFields, telemetryFields)},
	{"stays", shortLoad, untilResult, stays},
	{"criteria", failingRequests, untilFailed, criteria},
	{"aborted", endless, untilFailed, aborted},
	{"no-requests", idleLoad, untilSucceeded, notGuaranteed},
	{"stopped", shortLoad, untilFailed, stopped},
}

func TestFields_V2(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.fieldObjects()
	for _, run := range fieldRuns {
		t.Run(run.name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			test := s.test(run.name, 600, func(spec *v2.LocustTestSpec) {
				spec.Worker.Replicas = 1
				run.prepare(s, spec)
				for _, row := range run.rows {
					row.set(spec)
				}
			})
			live := run.observe(s, s.create(test))
			for _, row := range run.rows {
				t.Run(row.path, func(t *testing.T) { row.check(t, live) })
			}
			require.NoError(t, k8s.Delete(t.Context(), test))
		})
	}
}

func pathsOf[S any](rows []field[S]) []string {
	var paths []string
	for _, row := range rows {
		paths = append(paths, row.path)
	}
	return paths
}

// curious has two custom options, and needs its library.
const curious = `
from library import NAME
from locust import HttpUser, constant, events, task
@events.init_command_line_parser.add_listener
def arguments(parser):
    parser.add_argument("--note")
    parser.add_argument("--exact")
class User(HttpUser):
    host = "http://target.e2e-target"
    wait_time = constant(1)
    @task
    def ask(self):
        self.client.get("/hit/fields", name=NAME)
`

const library = `NAME = "/fields"`

// poor reports failed requests of one second without sending any.
const failingRequestsFile = `
from locust import User, constant, task
class Poor(User):
    wait_time = constant(0.25)
    @task
    def fail(self):
        self.environment.events.request.fire(request_type="GET", name="/poor", response_time=1000, response_length=0, context={}, exception=OSError("poor"))
`

// idle sends no requests.
const idle = `
from locust import User, constant, task
class Idle(User):
    wait_time = constant(0.25)
    @task
    def rest(self):
        pass
`

// fieldObjects creates the objects that the fields refer to.
func (s *fixture) fieldObjects() {
	s.configMap("curious", map[string]string{"locustfile.py": curious})
	s.configMap("library", map[string]string{"library.py": library})
	s.configMap("poor", map[string]string{"locustfile.py": failingRequestsFile})
	s.configMap("variables", map[string]string{"FROM_CONFIGMAP": "of the ConfigMap"})
	s.secret("credentials", corev1.SecretTypeOpaque, map[string]string{"FROM_SECRET": "of the Secret"})
	registry, _, _ := strings.Cut(guardedImage(), "/")
	s.secret("registry", corev1.SecretTypeDockerConfigJson, map[string]string{
		corev1.DockerConfigJsonKey: fmt.Sprintf(`{"auths":{%q:{"username":"e2e","password":%q}}}`, registry, fieldsName),
	})
}

// guardedImage is the image under test in a registry that requires a password: this process is a proxy for the real registry.
// It needs a node on this machine; on another cluster it is the image itself.
var guardedImage = sync.OnceValue(func() string {
	if auditLog() == "" {
		return locustImage
	}
	registry, name, _ := strings.Cut(locustImage, "/")
	behind := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: registry})
	guard := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "e2e" || password != fieldsName {
			w.Header().Set("WWW-Authenticate", `Basic realm="e2e"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		behind.ServeHTTP(w, r)
	}))
	_, port, _ := strings.Cut(guard.Listener.Addr().String(), ":")
	return "localhost:" + port + "/" + name // containerd uses plain HTTP for localhost
})

func (s *fixture) secret(name string, kind corev1.SecretType, data map[string]string) {
	s.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}, Type: kind, StringData: data}
	require.NoError(s.t, k8s.Create(s.t.Context(), secret))
}

// fieldsName is the unique name of the cluster-scoped RuntimeClass and node label of this run.
var fieldsName = "e2e-fields-" + rand.String(5)

func nodeLabel() string { return "e2e.locust.io/" + fieldsName }

func aroundEverything(s *fixture, spec *v2.LocustTestSpec) {
	labelNode(s, nodeLabel())
	s.runtimeClass()
	spec.Scheduling = &v2.SchedulingConfig{}
}

var overhead = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("7Mi")}

// runtimeClass creates a RuntimeClass for the default runtime, with an overhead that identifies its pods.
func (s *fixture) runtimeClass() {
	class := &nodev1.RuntimeClass{
		ObjectMeta: metav1.ObjectMeta{Name: fieldsName},
		Handler:    "runc", // containerd's default
		Overhead:   &nodev1.Overhead{PodFixed: overhead},
	}
	require.NoError(s.t, k8s.Create(s.t.Context(), class))
	s.t.Cleanup(func() { _ = k8s.Delete(context.Background(), class) })
}

// onLabelled returns the affinity to nodes with a label.
func onLabelled(label string) *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
			{Key: label, Operator: corev1.NodeSelectorOpIn, Values: []string{"yes"}},
		}}},
	}}}
}

// runsOn checks that a pod runs on a node with a label.
func runsOn(t *testing.T, r *runningPod, label string) {
	node, err := clientset.CoreV1().Nodes().Get(t.Context(), r.Spec.NodeName, metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "yes", node.Labels[label], "the node %s", node.Name)
}

// memory returns resources with a memory limit, which is visible in the container's cgroup.
func memory(limit string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(limit)},
	}
}

func hasMemory(limit, bytes string) func(*testing.T, *runningPod) {
	return func(t *testing.T, r *runningPod) {
		assert.Equal(t, bytes, r.MemoryLimit, "the memory limit of the container's cgroup")
		assert.True(t, apiequality.Semantic.DeepEqual(memory(limit), r.container(t).Resources), "%v", r.container(t).Resources)
	}
}

// everything are the rows that do not conflict.
var everything = slices.Concat(imageFields, masterFields, workerFields, fileFields, schedulingFields, envFields, volumeFields)

var imageFields = []fieldV2{
	{"image", func(spec *v2.LocustTestSpec) { spec.Image = guardedImage() }, onBoth(runsTheImage)},
	{"imagePullPolicy", func(spec *v2.LocustTestSpec) { spec.ImagePullPolicy = corev1.PullAlways }, onBoth(pullsAlways)},
	{"imagePullSecrets[].name", func(spec *v2.LocustTestSpec) {
		spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}}
	}, onBoth(pullsWithSecret)},
}

// runsTheImage checks that the container runs the image that the registry has under the given name.
func runsTheImage(t *testing.T, r *runningPod) {
	assert.Equal(t, guardedImage(), r.container(t).Image)
	_, digest, _ := strings.Cut(r.Status.ContainerStatuses[0].ImageID, "@")
	assert.Equal(t, imageDigest(t), digest)
}

// imageDigest returns the digest of the image under test, from the registry if it is reachable, otherwise from a pod.
func imageDigest(t *testing.T) string {
	t.Helper()
	var digest string
	if auditLog() == "" {
		target, err := clientset.CoreV1().Pods("e2e-target").Get(t.Context(), "target", metav1.GetOptions{})
		require.NoError(t, err)
		_, digest, _ = strings.Cut(target.Status.ContainerStatuses[0].ImageID, "@")
	} else {
		registry, name, _ := strings.Cut(locustImage, "/")
		name, tag, _ := strings.Cut(name, ":")
		request, err := http.NewRequestWithContext(t.Context(), http.MethodHead, "http://"+registry+"/v2/"+name+"/manifests/"+tag, nil)
		require.NoError(t, err)
		request.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json")
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		digest = response.Header.Get("Docker-Content-Digest")
	}
	require.NotEmpty(t, digest)
	return digest
}

// pullsAlways checks that the kubelet pulls an image although it is present.
func pullsAlways(t *testing.T, r *runningPod) {
	untilEvent(t, &r.Pod, "Pulling", "Pulling image", guardedImage())
}

func pullsWithSecret(t *testing.T, r *runningPod) {
	assert.Equal(t, []corev1.LocalObjectReference{{Name: "registry"}}, r.Spec.ImagePullSecrets)
	untilEvent(t, &r.Pod, "Pulled", "Successfully pulled image", guardedImage())
}

var masterFields = []fieldV2{
	{"master.command", func(spec *v2.LocustTestSpec) {
		spec.Master.Command = `--locustfile /e2e/src/locustfile.py --users 2 --spawn-rate 2 --run-time 10m --note 'of the "master"'`
	}, onMaster(hasArguments("--run-time", "10m", "--note", `of the "master"`))},
	{"master.resources", func(spec *v2.LocustTestSpec) { spec.Master.Resources = memory("300Mi") }, onMaster(hasMemory("300Mi", "314572800"))},
	{"master.labels", func(spec *v2.LocustTestSpec) {
		spec.Master.Labels = map[string]string{"e2e.locust.io/label": "of-the-master"}
	}, onMaster(hasVariable("LABEL", "of-the-master"))},
	{"master.annotations", func(spec *v2.LocustTestSpec) {
		spec.Master.Annotations = map[string]string{"e2e.locust.io/annotation": "of the master"}
	}, onMaster(hasVariable("ANNOTATION", "of the master"))},
	{"master.autoquit.timeout", func(spec *v2.LocustTestSpec) { spec.Master.Autoquit = &v2.AutoquitConfig{Timeout: new(int32(7))} },
		onMaster(hasArguments("--autostart", "--autoquit", "7"))},
	{"master.extraArgs", func(spec *v2.LocustTestSpec) { spec.Master.ExtraArgs = []string{"--exact", `$(E2E_KEY) 'as it is'`} },
		onMaster(hasArguments("--exact", `$(E2E_KEY) 'as it is'`))},
}

var workerFields = []fieldV2{
	{"worker.command", func(spec *v2.LocustTestSpec) {
		spec.Worker.Command = `--locustfile /e2e/src/locustfile.py --note "of the 'worker'"`
	}, onWorker(hasArguments("--note", "of the 'worker'"))},
	{"worker.replicas", func(spec *v2.LocustTestSpec) { spec.Worker.Replicas = 2 }, func(t *testing.T, live *liveTest) {
		assert.Len(t, live.workers, 2)
		assert.EqualValues(t, 2, live.status.ConnectedWorkers, "as counted by Locust")
		hasArguments("--expect-workers=2")(t, live.master)
	}},
	{"worker.resources", func(spec *v2.LocustTestSpec) { spec.Worker.Resources = memory("310Mi") }, onWorker(hasMemory("310Mi", "325058560"))},
	{"worker.labels", func(spec *v2.LocustTestSpec) {
		spec.Worker.Labels = map[string]string{"e2e.locust.io/label": "of-the-worker"}
	}, onWorker(hasVariable("LABEL", "of-the-worker"))},
	{"worker.annotations", func(spec *v2.LocustTestSpec) {
		spec.Worker.Annotations = map[string]string{"e2e.locust.io/annotation": "of the worker"}
	}, onWorker(hasVariable("ANNOTATION", "of the worker"))},
	{"worker.extraArgs", func(spec *v2.LocustTestSpec) { spec.Worker.ExtraArgs = []string{"--exact", `$$ "as it is"`} },
		onWorker(hasArguments("--exact", `$$ "as it is"`))},
}

var fileFields = []fieldV2{
	{"testFiles.configMapRef", func(spec *v2.LocustTestSpec) { spec.TestFiles.ConfigMapRef = "curious" }, onBoth(hasFile("/e2e/src/locustfile.py", curious))},
	{"testFiles.libConfigMapRef", func(spec *v2.LocustTestSpec) { spec.TestFiles.LibConfigMapRef = "library" }, onBoth(hasFile("/e2e/lib/library.py", library))},
	{"testFiles.srcMountPath", func(spec *v2.LocustTestSpec) { spec.TestFiles.SrcMountPath = "/e2e/src" }, onBoth(func(t *testing.T, r *runningPod) {
		assert.Contains(t, r.Mounts, "/e2e/src")
		assert.NotContains(t, r.Mounts, "/lotest/src")
	})},
	{"testFiles.libMountPath", func(spec *v2.LocustTestSpec) { spec.TestFiles.LibMountPath = "/e2e/lib" }, onBoth(func(t *testing.T, r *runningPod) {
		assert.Contains(t, r.Mounts, "/e2e/lib")
		hasVariable("PYTHONPATH", "/e2e/lib")(t, r)
	})},
}

// notReady has a custom time; without it the API server would add a toleration of five minutes.
var notReady = corev1.Toleration{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(77))}

var schedulingFields = []fieldV2{
	{"scheduling.affinity", func(spec *v2.LocustTestSpec) { spec.Scheduling.Affinity = onLabelled(nodeLabel()) }, onBoth(func(t *testing.T, r *runningPod) {
		assert.Equal(t, onLabelled(nodeLabel()), r.Spec.Affinity)
		runsOn(t, r, nodeLabel())
	})},
	{"scheduling.nodeSelector", func(spec *v2.LocustTestSpec) { spec.Scheduling.NodeSelector = map[string]string{nodeLabel(): "yes"} }, onBoth(func(t *testing.T, r *runningPod) {
		assert.Equal(t, map[string]string{nodeLabel(): "yes"}, r.Spec.NodeSelector)
		runsOn(t, r, nodeLabel())
	})},
	{"scheduling.tolerations", func(spec *v2.LocustTestSpec) {
		spec.Scheduling.Tolerations = []corev1.Toleration{{Key: "e2e", Operator: corev1.TolerationOpEqual, Value: "yes", Effect: corev1.TaintEffectNoSchedule}, notReady}
	}, onBoth(func(t *testing.T, r *runningPod) {
		assert.Contains(t, r.Spec.Tolerations, corev1.Toleration{Key: "e2e", Operator: corev1.TolerationOpEqual, Value: "yes", Effect: corev1.TaintEffectNoSchedule})
		var kept []corev1.Toleration
		for _, toleration := range r.Spec.Tolerations {
			if toleration.Key == corev1.TaintNodeNotReady {
				kept = append(kept, toleration)
			}
		}
		assert.Equal(t, []corev1.Toleration{notReady}, kept)
	})},
	{"scheduling.runtimeClassName", func(spec *v2.LocustTestSpec) { spec.Scheduling.RuntimeClassName = &fieldsName }, onBoth(func(t *testing.T, r *runningPod) {
		assert.Equal(t, &fieldsName, r.Spec.RuntimeClassName)
		assert.True(t, apiequality.Semantic.DeepEqual(overhead, r.Spec.Overhead), "the class adds its overhead: %v", r.Spec.Overhead)
	})},
}

func withVariable(v corev1.EnvVar) func(*v2.LocustTestSpec) {
	return func(spec *v2.LocustTestSpec) { spec.Env.Variables = append(spec.Env.Variables, v) }
}

func fromSource(name string, source corev1.EnvVarSource) func(*v2.LocustTestSpec) {
	return withVariable(corev1.EnvVar{Name: name, ValueFrom: &source})
}

func fromPod(name, path string) func(*v2.LocustTestSpec) {
	return fromSource(name, corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}})
}

var envFields = []fieldV2{
	{"env.configMapRefs[].name", func(spec *v2.LocustTestSpec) {
		spec.Env.ConfigMapRefs = append(spec.Env.ConfigMapRefs, v2.ConfigMapEnvSource{Name: "variables"})
	}, onBoth(hasVariable("FROM_CONFIGMAP", "of the ConfigMap"))},
	{"env.configMapRefs[].prefix", func(spec *v2.LocustTestSpec) {
		spec.Env.ConfigMapRefs = append(spec.Env.ConfigMapRefs, v2.ConfigMapEnvSource{Name: "variables", Prefix: "C_"})
	}, onBoth(hasVariable("C_FROM_CONFIGMAP", "of the ConfigMap"))},
	{"env.secretRefs[].name", func(spec *v2.LocustTestSpec) {
		spec.Env.SecretRefs = append(spec.Env.SecretRefs, v2.SecretEnvSource{Name: "credentials"})
	}, onBoth(hasVariable("FROM_SECRET", "of the Secret"))},
	{"env.secretRefs[].prefix", func(spec *v2.LocustTestSpec) {
		spec.Env.SecretRefs = append(spec.Env.SecretRefs, v2.SecretEnvSource{Name: "credentials", Prefix: "S_"})
	}, onBoth(hasVariable("S_FROM_SECRET", "of the Secret"))},

	{"env.variables[].value", withVariable(corev1.EnvVar{Name: "PLAIN", Value: "after $(E2E_KEY)"}), func(t *testing.T, live *liveTest) {
		onBoth(hasVariable("PLAIN", "after "+live.key(live.test.Name)))(t, live)
	}},
	{"env.variables[].valueFrom.configMapKeyRef", fromSource("ONE_OF_CONFIGMAP", corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: "variables"}, Key: "FROM_CONFIGMAP",
	}}), onBoth(hasVariable("ONE_OF_CONFIGMAP", "of the ConfigMap"))},
	{"env.variables[].valueFrom.secretKeyRef", fromSource("ONE_OF_SECRET", corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: "credentials"}, Key: "FROM_SECRET",
	}}), onBoth(hasVariable("ONE_OF_SECRET", "of the Secret"))},
	{"env.variables[].valueFrom.resourceFieldRef", fromSource("MEMORY", corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{
		Resource: "requests.memory",
	}}), onBoth(hasVariable("MEMORY", "67108864"))},
	{"env.variables[].valueFrom.fieldRef", func(spec *v2.LocustTestSpec) {
		fromPod("POD", "metadata.name")(spec)
		fromPod("LABEL", "metadata.labels['e2e.locust.io/label']")(spec)
		fromPod("ANNOTATION", "metadata.annotations['e2e.locust.io/annotation']")(spec)
	}, onBoth(func(t *testing.T, r *runningPod) { hasVariable("POD", r.Name)(t, r) })},

	{"env.secretMounts[].name", func(spec *v2.LocustTestSpec) {
		spec.Env.SecretMounts = append(spec.Env.SecretMounts, v2.SecretMount{Name: "credentials", MountPath: "/e2e/named"})
	}, onBoth(hasFile("/e2e/named/FROM_SECRET", "of the Secret"))},
	{"env.secretMounts[].mountPath", func(spec *v2.LocustTestSpec) {
		spec.Env.SecretMounts = append(spec.Env.SecretMounts, v2.SecretMount{Name: "registry", MountPath: "/e2e/placed"})
	}, onBoth(func(t *testing.T, r *runningPod) {
		assert.Contains(t, r.Files["/e2e/placed/"+corev1.DockerConfigJsonKey], fieldsName)
	})},
	{"env.secretMounts[].readOnly", func(spec *v2.LocustTestSpec) {
		spec.Env.SecretMounts = append(spec.Env.SecretMounts, v2.SecretMount{Name: "credentials", MountPath: "/e2e/loose", ReadOnly: new(false)})
	}, onBoth(func(t *testing.T, r *runningPod) {
		readOnly := map[string]bool{}
		for _, m := range r.container(t).VolumeMounts {
			readOnly[m.MountPath] = m.ReadOnly
		}
		assert.True(t, readOnly["/e2e/named"], "the default")
		assert.Contains(t, readOnly, "/e2e/loose")
		assert.False(t, readOnly["/e2e/loose"])
		// The field has no further effect: the kubelet always mounts Secrets read-only.
		assert.Contains(t, r.Mounts["/e2e/loose"].Options, "ro")
	})},
}

// mounting returns a change that adds a volume and its mount.
func mounting(source corev1.VolumeSource, m v2.TargetedVolumeMount) func(*v2.LocustTestSpec) {
	return func(spec *v2.LocustTestSpec) {
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: m.Name, VolumeSource: source})
		spec.VolumeMounts = append(spec.VolumeMounts, m)
	}
}

func at(name, path string) v2.TargetedVolumeMount {
	return v2.TargetedVolumeMount{VolumeMount: corev1.VolumeMount{Name: name, MountPath: path}}
}

var (
	scratch   = corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
	inMemory  = corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: new(resource.MustParse("1Mi"))}}
	aLibrary  = corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "library"}}}
	aSecret   = corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "credentials"}}
	itsName   = []corev1.DownwardAPIVolumeFile{{Path: "name", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}
	downward  = corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: itsName}}
	projected = corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "credentials"}}},
		{DownwardAPI: &corev1.DownwardAPIProjection{Items: itsName}},
	}}}
)

var volumeFields = []fieldV2{
	{"volumes[].emptyDir", mounting(inMemory, at("in-memory", "/e2e/in-memory")), onBoth(func(t *testing.T, r *runningPod) {
		assert.Equal(t, "tmpfs", r.Mounts["/e2e/in-memory"].Type)
		assert.True(t, r.Mounts["/e2e/in-memory"].Writable)
	})},
	{"volumes[].configMap", mounting(aLibrary, at("a-library", "/e2e/a-library")), onBoth(hasFile("/e2e/a-library/library.py", library))},
	{"volumes[].secret", mounting(aSecret, at("a-secret", "/e2e/a-secret")), onBoth(hasFile("/e2e/a-secret/FROM_SECRET", "of the Secret"))},
	{"volumes[].downwardAPI", mounting(downward, at("downward", "/e2e/downward")), onBoth(func(t *testing.T, r *runningPod) {
		hasFile("/e2e/downward/name", r.Name)(t, r)
	})},
	{"volumes[].projected", mounting(projected, at("projected", "/e2e/projected")), onBoth(func(t *testing.T, r *runningPod) {
		hasFile("/e2e/projected/FROM_SECRET", "of the Secret")(t, r)
		hasFile("/e2e/projected/name", r.Name)(t, r)
	})},

	{"volumeMounts[].name", func(spec *v2.LocustTestSpec) {
		spec.VolumeMounts = append(spec.VolumeMounts, at("a-library", "/e2e/again"))
	}, onBoth(hasFile("/e2e/again/library.py", library))},
	{"volumeMounts[].mountPath", mounting(scratch, at("scratch", "/e2e/scratch")), onBoth(func(t *testing.T, r *runningPod) {
		assert.True(t, r.Mounts["/e2e/scratch"].Writable, "a folder is mounted there, and the process may write to it")
	})},
	{"volumeMounts[].subPath", mounting(aLibrary, v2.TargetedVolumeMount{VolumeMount: corev1.VolumeMount{
		Name: "one-file", MountPath: "/e2e/one.py", SubPath: "library.py",
	}}), onBoth(hasFile("/e2e/one.py", library))},
	{"volumeMounts[].subPathExpr", mounting(scratch, v2.TargetedVolumeMount{VolumeMount: corev1.VolumeMount{
		Name: "own-part", MountPath: "/e2e/own-part", SubPathExpr: "of-$(POD)",
	}}), onBoth(func(t *testing.T, r *runningPod) {
		assert.Regexp(t, "/of-"+r.Name+"$", r.Mounts["/e2e/own-part"].Root)
	})},
	{"volumeMounts[].readOnly", mounting(scratch, v2.TargetedVolumeMount{VolumeMount: corev1.VolumeMount{
		Name: "sealed", MountPath: "/e2e/sealed", ReadOnly: true,
	}}), onBoth(func(t *testing.T, r *runningPod) {
		assert.Contains(t, r.Mounts["/e2e/sealed"].Options, "ro")
		assert.False(t, r.Mounts["/e2e/sealed"].Writable)
	})},
	{"volumeMounts[].recursiveReadOnly", mounting(scratch, v2.TargetedVolumeMount{VolumeMount: corev1.VolumeMount{
		Name: "all-sealed", MountPath: "/e2e/all-sealed", ReadOnly: true, RecursiveReadOnly: new(corev1.RecursiveReadOnlyIfPossible),
	}}), onBoth(func(t *testing.T, r *runningPod) {
		i := slices.IndexFunc(r.Status.ContainerStatuses[0].VolumeMounts, func(m corev1.VolumeMountStatus) bool { return m.MountPath == "/e2e/all-sealed" })
		require.GreaterOrEqual(t, i, 0)
		assert.NotNil(t, r.Status.ContainerStatuses[0].VolumeMounts[i].RecursiveReadOnly, "the kubelet reports whether it was possible")
	})},
	{"volumeMounts[].mountPropagation", mounting(scratch, v2.TargetedVolumeMount{VolumeMount: corev1.VolumeMount{
		Name: "followed", MountPath: "/e2e/followed", MountPropagation: new(corev1.MountPropagationHostToContainer),
	}}), onBoth(func(t *testing.T, r *runningPod) {
		require.Len(t, r.Mounts["/e2e/followed"].Tags, 1)
		assert.Regexp(t, "^master:", r.Mounts["/e2e/followed"].Tags[0])
		assert.Empty(t, r.Mounts["/e2e/scratch"].Tags, "without it")
	})},
	{"volumeMounts[].target", func(spec *v2.LocustTestSpec) {
		for target, path := range map[v2.MountTarget]string{v2.MountTargetMaster: "/e2e/masters", v2.MountTargetWorker: "/e2e/workers", v2.MountTargetBoth: "/e2e/everyones"} {
			m := at("scratch", path)
			m.Target = target
			spec.VolumeMounts = append(spec.VolumeMounts, m)
		}
	}, func(t *testing.T, live *liveTest) {
		for path, mounted := range map[string][2]bool{"/e2e/masters": {true, false}, "/e2e/workers": {false, true}, "/e2e/everyones": {true, true}} {
			_, onMaster := live.master.Mounts[path]
			_, onWorker := live.worker.Mounts[path]
			assert.Equal(t, mounted[0], onMaster, "%s in the master", path)
			assert.Equal(t, mounted[1], onWorker, "%s in the worker", path)
		}
	}},
}

// secured adds the empty structs that the rows of the run at rest fill.
func secured(_ *fixture, spec *v2.LocustTestSpec) {
	spec.Security = &v2.SecurityConfig{}
	spec.Observability = &v2.ObservabilityConfig{OpenTelemetry: &v2.OpenTelemetryConfig{}}
}

// atRest are the rows of a run whose load is not started.
var atRest = []fieldV2{
	{"master.autostart", func(spec *v2.LocustTestSpec) { spec.Master.Autostart = new(false) }, func(t *testing.T, live *liveTest) {
		assert.False(t, live.master.hasArgs("--autostart"))
		assert.False(t, live.master.hasArgs("--autoquit"), "Locust refuses it without --autostart")
		assert.Equal(t, v2.PhaseRunning, live.status.Phase)
		assert.Zero(t, count(t, "started", live.key(live.test.Name)), "the load has not started, although all workers are there")
	}},
}

var securityFields = []fieldV2{
	{"security.podSecurityContext", func(spec *v2.LocustTestSpec) {
		spec.Security.PodSecurityContext = &corev1.PodSecurityContext{
			RunAsUser: new(int64(1234)), RunAsGroup: new(int64(2345)), FSGroup: new(int64(3456)), SupplementalGroups: []int64{4567},
		}
	}, onBoth(func(t *testing.T, r *runningPod) {
		assert.Equal(t, "1234\t1234\t1234\t1234", r.Process["Uid"])
		assert.Equal(t, "2345\t2345\t2345\t2345", r.Process["Gid"])
		assert.Subset(t, strings.Fields(r.Process["Groups"]), []string{"3456", "4567"})
		assert.Equal(t, "2", r.Process["Seccomp"], "what is not set keeps its default")
	})},
	{"security.containerSecurityContext", func(spec *v2.LocustTestSpec) {
		spec.Security.ContainerSecurityContext = &corev1.SecurityContext{
			ReadOnlyRootFilesystem: new(true),
			Capabilities:           &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"NET_BIND_SERVICE"}},
		}
	}, onBoth(func(t *testing.T, r *runningPod) {
		assert.Contains(t, r.Mounts["/"].Options, "ro")
		assert.Equal(t, "0000000000000400", r.Process["CapBnd"], "CAP_NET_BIND_SERVICE is bit 10")
		assert.Equal(t, "1", r.Process["NoNewPrivs"], "what is not set keeps its default")
	})},
}

func withTelemetry(set func(*v2.OpenTelemetryConfig)) func(*v2.LocustTestSpec) {
	return func(spec *v2.LocustTestSpec) { set(spec.Observability.OpenTelemetry) }
}

var telemetryFields = []fieldV2{
	{"observability.openTelemetry.enabled", withTelemetry(func(o *v2.OpenTelemetryConfig) { o.Enabled = true }), onBoth(hasArguments("--otel"))},
	{"observability.openTelemetry.endpoint", withTelemetry(func(o *v2.OpenTelemetryConfig) { o.Endpoint = "http://collector:4318" }),
		onBoth(hasVariable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"))},
	{"observability.openTelemetry.protocol", withTelemetry(func(o *v2.OpenTelemetryConfig) { o.Protocol = "http/protobuf" }),
		onBoth(hasVariable("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"))},
	{"observability.openTelemetry.insecure", withTelemetry(func(o *v2.OpenTelemetryConfig) { o.Insecure = true }),
		onBoth(hasVariable("OTEL_EXPORTER_OTLP_INSECURE", "true"))},
	{"observability.openTelemetry.extraEnvVars", withTelemetry(func(o *v2.OpenTelemetryConfig) {
		o.ExtraEnvVars = map[string]string{"OTEL_SERVICE_NAME": "fields", "OTEL_TRACES_EXPORTER": "none"}
	}), onBoth(func(t *testing.T, r *runningPod) {
		hasVariable("OTEL_SERVICE_NAME", "fields")(t, r)
		hasVariable("OTEL_TRACES_EXPORTER", "none")(t, r)
	})},
}

func shortLoad(_ *fixture, spec *v2.LocustTestSpec) {
	spec.Master.Command = "--locustfile /lotest/src/locustfile.py --users 1 --spawn-rate 1 --run-time 1s"
}

// untilResult waits until the status reports the end of the load.
func untilResult(s *fixture, test *v2.LocustTest) *liveTest {
	live := s.inspectConnected(test)
	live.status = s.Until(test, "the load has ended", func(status *v2.LocustTestStatus) bool {
		return status.IsTerminal() || status.TestResult != nil && status.TestResult.Final
	})
	return live
}

// stays are the rows of a run whose master serves its web UI after the load.
var stays = []fieldV2{
	{"master.autoquit.enabled", func(spec *v2.LocustTestSpec) { spec.Master.Autoquit = &v2.AutoquitConfig{Enabled: new(false)} },
		func(t *testing.T, live *liveTest) {
			assert.False(t, live.master.hasArgs("--autoquit"))
			assert.True(t, live.master.hasArgs("--autostart"))
			assert.Equal(t, v2.PhaseRunning, live.status.Phase)
			assert.Len(t, live.livePods(live.test, "master"), 1, "the load has ended, the master has not")
		}},
	{"master.reporter", func(spec *v2.LocustTestSpec) { spec.Master.Reporter = new(false) }, func(t *testing.T, live *liveTest) {
		hasArguments("--locustfile", "/lotest/src/locustfile.py")(t, live.master)
		assert.NotContains(t, live.master.Mounts, "/locust.io")
		assert.Equal(t, v2.ResultSourceWebAPI, live.status.TestResult.Source)
	}},
}

func failingRequests(_ *fixture, spec *v2.LocustTestSpec) {
	spec.TestFiles.ConfigMapRef = "poor"
	spec.Master.Command = "--locustfile /lotest/src/locustfile.py --users 2 --spawn-rate 2 --run-time 3s"
	spec.SuccessCriteria = &v2.SuccessCriteria{}
}

// untilFailed waits for the failure of the test; criteria have no effect in the pods.
func untilFailed(s *fixture, test *v2.LocustTest) *liveTest {
	return &liveTest{fixture: s, test: test, status: s.UntilPhase(test, v2.PhaseFailed)}
}

func criterion(path string, set func(*v2.SuccessCriteria), want string) fieldV2 {
	return fieldV2{"successCriteria." + path, func(spec *v2.LocustTestSpec) { set(spec.SuccessCriteria) }, func(t *testing.T, live *liveTest) {
		assert.Contains(t, condition(live.status, v2.ConditionTypeTestCompleted).Message, want)
	}}
}

func limit(path string, of func(*v2.ResponseTimeLimits) **metav1.Duration, duration time.Duration) fieldV2 {
	return criterion("maxResponseTime."+path, func(c *v2.SuccessCriteria) {
		if c.MaxResponseTime == nil {
			c.MaxResponseTime = &v2.ResponseTimeLimits{}
		}
		*of(c.MaxResponseTime) = &metav1.Duration{Duration: duration}
	}, fmt.Sprintf("maxResponseTime.%s is %s, measured 1s", path, duration))
}

// criteria are missed; the message reports each one with its limit and the measured value.
var criteria = []fieldV2{
	criterion("maxFailureRatio", func(c *v2.SuccessCriteria) { c.MaxFailureRatio = "0.25" }, "maxFailureRatio is 0.25, measured 1 "),
	criterion("maxAverageResponseTime", func(c *v2.SuccessCriteria) {
		c.MaxAverageResponseTime = &metav1.Duration{Duration: 45 * time.Millisecond}
	}, "maxAverageResponseTime is 45ms, measured 1s"),
	limit("p50", func(l *v2.ResponseTimeLimits) **metav1.Duration { return &l.P50 }, 50*time.Millisecond),
	limit("p90", func(l *v2.ResponseTimeLimits) **metav1.Duration { return &l.P90 }, 90*time.Millisecond),
	limit("p95", func(l *v2.ResponseTimeLimits) **metav1.Duration { return &l.P95 }, 95*time.Millisecond),
	limit("p99", func(l *v2.ResponseTimeLimits) **metav1.Duration { return &l.P99 }, 99*time.Millisecond),
	criterion("minRequestsPerSecond", func(c *v2.SuccessCriteria) { c.MinRequestsPerSecond = "123456" }, "minRequestsPerSecond is 123456, measured "),
	criterion("minTotalRequests", func(c *v2.SuccessCriteria) { c.MinTotalRequests = new(int64(654321)) }, "minTotalRequests is 654321, measured "),
}

func endless(s *fixture, spec *v2.LocustTestSpec) {
	failingRequests(s, spec)
	spec.Master.Command = "--locustfile /lotest/src/locustfile.py --users 2 --spawn-rate 2"
	spec.SuccessCriteria.MaxFailureRatio = "0.25"
	require.NoError(s.t, k8s.Create(s.t.Context(), earlierReport(s.namespace, "aborted")))
}

// earlierReport returns the retained report of an earlier test of a name.
func earlierReport(namespace, name string) *v1alpha1.LocustReport {
	return &v1alpha1.LocustReport{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name + "-earlier", Labels: map[string]string{
			resources.LabelTestName: name, resources.LabelManagedBy: resources.ManagedBy,
		}},
		Test:    v1alpha1.Test{Name: name, UID: "earlier"},
		Outcome: v1alpha1.Outcome{Phase: v2.PhaseSucceeded, Reason: v2.ReasonTestSucceeded},
		Run:     v1alpha1.Run{EndTime: metav1.Now()},
	}
}

var aborted = []fieldV2{
	{"report.retain", func(spec *v2.LocustTestSpec) {
		spec.Report = &v2.ReportConfig{Retain: true, HistoryLimit: new(int32(1))}
	}, func(t *testing.T, live *liveTest) {
		r := live.in(t).report(live.test, live.status)
		assert.Empty(t, r.OwnerReferences)
		assert.NotEmpty(t, r.Endpoints, "from the web API, because the master was stopped")
	}},
	{"report.historyLimit", func(*v2.LocustTestSpec) {}, func(t *testing.T, live *liveTest) {
		earlier := earlierReport(live.test.Namespace, "aborted")
		eventually(t, "the earlier report is deleted", func() bool {
			return apierrors.IsNotFound(k8s.Get(t.Context(), client.ObjectKeyFromObject(earlier), earlier))
		})
	}},
	criterion("abortOnViolation", func(c *v2.SuccessCriteria) { c.AbortOnViolation = true }, "aborted after "),
	{"successCriteria.abortGracePeriod", func(spec *v2.LocustTestSpec) {
		spec.SuccessCriteria.AbortGracePeriod = &metav1.Duration{Duration: 4 * time.Second}
	}, func(t *testing.T, live *liveTest) {
		message := condition(live.status, v2.ConditionTypeTestCompleted).Message
		after := regexp.MustCompile(`aborted after (\d+s)`).FindStringSubmatch(message)
		require.Len(t, after, 2, message)
		ran, err := time.ParseDuration(after[1])
		require.NoError(t, err)
		assert.GreaterOrEqual(t, ran, 4*time.Second)
		assert.Less(t, ran, 30*time.Second, "the default")
	}},
}

var stopped = []fieldV2{
	{"stop", func(spec *v2.LocustTestSpec) { spec.Stop = true }, func(t *testing.T, live *liveTest) {
		assert.Equal(t, "stopped before it started, as spec.stop requests", condition(live.status, v2.ConditionTypeTestCompleted).Message)
		assert.Empty(t, live.livePods(live.test, ""), "they were not created")
	}},
}

func idleLoad(s *fixture, spec *v2.LocustTestSpec) {
	spec.TestFiles.ConfigMapRef = ""
	shortLoad(s, spec)
}

func untilSucceeded(s *fixture, test *v2.LocustTest) *liveTest {
	return &liveTest{fixture: s, test: test, status: s.UntilPhase(test, v2.PhaseSucceeded)}
}

// notGuaranteed are the rows of a run without requests, which would fail by default.
var notGuaranteed = []fieldV2{
	{"testFiles.inline", func(spec *v2.LocustTestSpec) { spec.TestFiles.Inline = map[string]v2.InlineFile{"locustfile.py": idle} }, func(t *testing.T, live *liveTest) {
		assert.EqualValues(t, 1, live.status.ConnectedWorkers, "master and worker have loaded the file")
	}},
	{"loadGuarantee", func(spec *v2.LocustTestSpec) { spec.LoadGuarantee = v2.LoadGuaranteeNone }, func(t *testing.T, live *liveTest) {
		assert.Equal(t, v2.ReasonNoRequests, condition(live.status, v2.ConditionTypeLoadDelivered).Reason)
	}},
}
