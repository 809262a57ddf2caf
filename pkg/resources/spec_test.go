package resources

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

// effect is the expected effect of a field: the fragments appear in the JSON of the role's pod template only
// once the field is set. An empty fragment means that the role's pods do not change.
type effect struct {
	given          edit // other fields that the field requires
	set            edit
	master, worker string
	// record appears in the run annotation of both Jobs. It is for fields that only affect the evaluation of the
	// result: they are not in the pods, but must be known when the run is over.
	record string
}

func both(given, set edit, fragment string) effect {
	return effect{given: given, set: set, master: fragment, worker: fragment}
}

func onMaster(set edit, fragment string) effect {
	return effect{given: nothing, set: set, master: fragment}
}

func onWorker(set edit, fragment string) effect {
	return effect{given: nothing, set: set, worker: fragment}
}

func criterion(set func(*v2.SuccessCriteria), fragment string) effect {
	given := func(s *v2.LocustTestSpec) {
		s.SuccessCriteria = &v2.SuccessCriteria{MaxFailureRatio: "0.5", MaxResponseTime: &v2.ResponseTimeLimits{P50: &metav1.Duration{Duration: time.Hour}}}
	}
	return effect{given: given, set: func(s *v2.LocustTestSpec) { set(s.SuccessCriteria) }, record: fragment}
}

func nothing(*v2.LocustTestSpec) {}

func noFiles(s *v2.LocustTestSpec)  { s.TestFiles = &v2.TestFilesConfig{} }
func schedule(s *v2.LocustTestSpec) { s.Scheduling = &v2.SchedulingConfig{} }
func secure(s *v2.LocustTestSpec)   { s.Security = &v2.SecurityConfig{} }
func env(s *v2.LocustTestSpec)      { s.Env = &v2.EnvConfig{} }
func envRefs(s *v2.LocustTestSpec) {
	s.Env = &v2.EnvConfig{
		ConfigMapRefs: []v2.ConfigMapEnvSource{{Name: "c"}},
		SecretRefs:    []v2.SecretEnvSource{{Name: "s"}},
		SecretMounts:  []v2.SecretMount{{Name: "s", MountPath: "/s"}},
	}
}
func volume(s *v2.LocustTestSpec) {
	s.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
}
func mount(s *v2.LocustTestSpec) {
	volume(s)
	s.VolumeMounts = []v2.TargetedVolumeMount{{VolumeMount: corev1.VolumeMount{Name: "data", MountPath: "/data"}}}
}

var minute = &metav1.Duration{Duration: time.Minute}

var cpu = corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("3")}}

// effects has a row for every field of the spec, by its JSON path.
var effects = map[string]effect{
	"image":            both(nothing, func(s *v2.LocustTestSpec) { s.Image = "mine:1" }, `"image":"mine:1"`),
	"imagePullPolicy":  both(nothing, func(s *v2.LocustTestSpec) { s.ImagePullPolicy = "Always" }, `"imagePullPolicy":"Always"`),
	"imagePullSecrets": both(nothing, func(s *v2.LocustTestSpec) { s.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "r"}} }, `"imagePullSecrets":[{"name":"r"}]`),

	"master.command":          onMaster(func(s *v2.LocustTestSpec) { s.Master.Command = "-u '4 2'" }, `"args":["-u","4 2","--master",`),
	"master.resources":        onMaster(func(s *v2.LocustTestSpec) { s.Master.Resources = cpu }, `"resources":{"limits":{"cpu":"3"}}`),
	"master.labels":           onMaster(func(s *v2.LocustTestSpec) { s.Master.Labels = map[string]string{"a": "b"} }, `"labels":{"a":"b"`),
	"master.annotations":      onMaster(func(s *v2.LocustTestSpec) { s.Master.Annotations = map[string]string{"a": "b"} }, `"annotations":{"a":"b"`),
	"master.autostart":        onMaster(func(s *v2.LocustTestSpec) { s.Master.Autostart = new(false) }, `"--expect-workers=3","--enable-rebalancing"`),
	"master.autoquit.enabled": onMaster(func(s *v2.LocustTestSpec) { s.Master.Autoquit = &v2.AutoquitConfig{Enabled: new(false)} }, `"--autostart","--enable-rebalancing"`),
	"master.autoquit.timeout": onMaster(func(s *v2.LocustTestSpec) { s.Master.Autoquit = &v2.AutoquitConfig{Timeout: new(int32(0))} }, `"--autoquit","0"`),
	"master.extraArgs":        onMaster(func(s *v2.LocustTestSpec) { s.Master.ExtraArgs = []string{"--host", "a 'b"} }, `"--only-summary","--host","a 'b"]`),

	"master.reporter": onMaster(builder.NoReporter, `"args":["--locustfile","/lotest/src/test.py",`),

	"worker.command":     onWorker(func(s *v2.LocustTestSpec) { s.Worker.Command = `-f "a b"` }, `"args":["-f","a b","--worker",`),
	"worker.replicas":    onMaster(func(s *v2.LocustTestSpec) { s.Worker.Replicas = 7 }, `"--expect-workers=7"`),
	"worker.resources":   onWorker(func(s *v2.LocustTestSpec) { s.Worker.Resources = cpu }, `"resources":{"limits":{"cpu":"3"}}`),
	"worker.labels":      onWorker(func(s *v2.LocustTestSpec) { s.Worker.Labels = map[string]string{"a": "b"} }, `"labels":{"a":"b"`),
	"worker.annotations": onWorker(func(s *v2.LocustTestSpec) { s.Worker.Annotations = map[string]string{"a": "b"} }, `"annotations":{"a":"b"}`),
	"worker.extraArgs":   onWorker(func(s *v2.LocustTestSpec) { s.Worker.ExtraArgs = []string{"--loglevel=DEBUG"} }, `"--master-port=5557","--loglevel=DEBUG"]`),

	"testFiles.inline":          both(noFiles, func(s *v2.LocustTestSpec) { s.TestFiles.Inline = map[string]v2.InlineFile{"a_b.py": "pass"} }, `"locust.io/file-0":"pass"`),
	"testFiles.configMapRef":    both(noFiles, func(s *v2.LocustTestSpec) { s.TestFiles.ConfigMapRef = "c" }, `{"name":"locust-src","configMap":{"name":"c"}}`),
	"testFiles.libConfigMapRef": both(noFiles, func(s *v2.LocustTestSpec) { s.TestFiles.LibConfigMapRef = "l" }, `{"name":"PYTHONPATH","value":"/opt/locust/lib"}`),
	"testFiles.srcMountPath":    both(builder.TestFiles, func(s *v2.LocustTestSpec) { s.TestFiles.SrcMountPath = "/src" }, `{"name":"locust-src","readOnly":true,"mountPath":"/src"}`),
	"testFiles.libMountPath":    both(builder.TestFiles, func(s *v2.LocustTestSpec) { s.TestFiles.LibMountPath = "/lib" }, `{"name":"locust-lib","readOnly":true,"mountPath":"/lib"}`),

	"scheduling.affinity": both(schedule, func(s *v2.LocustTestSpec) {
		s.Scheduling.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{}}
	}, `"affinity":{"podAffinity":{}}`),
	"scheduling.tolerations":      both(schedule, func(s *v2.LocustTestSpec) { s.Scheduling.Tolerations = []corev1.Toleration{{Key: "k"}} }, `"tolerations":[{"key":"k"}]`),
	"scheduling.nodeSelector":     both(schedule, func(s *v2.LocustTestSpec) { s.Scheduling.NodeSelector = map[string]string{"a": "b"} }, `"nodeSelector":{"a":"b"}`),
	"scheduling.runtimeClassName": both(schedule, func(s *v2.LocustTestSpec) { s.Scheduling.RuntimeClassName = new("kata") }, `"runtimeClassName":"kata"`),

	"env.configMapRefs.name":     both(env, func(s *v2.LocustTestSpec) { s.Env.ConfigMapRefs = []v2.ConfigMapEnvSource{{Name: "c"}} }, `"envFrom":[{"configMapRef":{"name":"c"}}]`),
	"env.configMapRefs.prefix":   both(envRefs, func(s *v2.LocustTestSpec) { s.Env.ConfigMapRefs[0].Prefix = "C_" }, `{"prefix":"C_","configMapRef":{"name":"c"}}`),
	"env.secretRefs.name":        both(env, func(s *v2.LocustTestSpec) { s.Env.SecretRefs = []v2.SecretEnvSource{{Name: "s"}} }, `"envFrom":[{"secretRef":{"name":"s"}}]`),
	"env.secretRefs.prefix":      both(envRefs, func(s *v2.LocustTestSpec) { s.Env.SecretRefs[0].Prefix = "S_" }, `{"prefix":"S_","secretRef":{"name":"s"}}`),
	"env.variables":              both(env, func(s *v2.LocustTestSpec) { s.Env.Variables = []corev1.EnvVar{{Name: "A", Value: "b"}} }, `"env":[{"name":"A","value":"b"}]`),
	"env.secretMounts.name":      both(envRefs, func(s *v2.LocustTestSpec) { s.Env.SecretMounts[0].Name = "other" }, `{"name":"locust-secret-0","secret":{"secretName":"other"}}`),
	"env.secretMounts.mountPath": both(envRefs, func(s *v2.LocustTestSpec) { s.Env.SecretMounts[0].MountPath = "/m" }, `{"name":"locust-secret-0","readOnly":true,"mountPath":"/m"}`),
	"env.secretMounts.readOnly":  both(envRefs, func(s *v2.LocustTestSpec) { s.Env.SecretMounts[0].ReadOnly = new(false) }, `{"name":"locust-secret-0","mountPath":"/s"}`),

	"volumes":             both(mount, func(s *v2.LocustTestSpec) { s.Volumes[0].EmptyDir.Medium = "Memory" }, `{"name":"data","emptyDir":{"medium":"Memory"}}`),
	"volumeMounts":        both(volume, mount, `{"name":"data","mountPath":"/data"}`),
	"volumeMounts.target": {given: mount, set: func(s *v2.LocustTestSpec) { s.VolumeMounts[0].Target = "master" }, worker: `"resources":{},"terminationMessagePolicy"`},

	"security.podSecurityContext": both(secure, func(s *v2.LocustTestSpec) {
		s.Security.PodSecurityContext = &corev1.PodSecurityContext{FSGroup: new(int64(7))}
	}, `"fsGroup":7`),
	"security.containerSecurityContext": both(secure, func(s *v2.LocustTestSpec) {
		s.Security.ContainerSecurityContext = &corev1.SecurityContext{ReadOnlyRootFilesystem: new(true)}
	}, `"readOnlyRootFilesystem":true`),

	"observability.openTelemetry.enabled":  {given: builder.OpenTelemetryOff, set: builder.OpenTelemetry, master: `"--only-summary","--otel"]`, worker: `"--master-port=5557","--otel"]`},
	"observability.openTelemetry.endpoint": both(builder.OpenTelemetry, func(s *v2.LocustTestSpec) { s.Observability.OpenTelemetry.Endpoint = "http://o" }, `{"name":"OTEL_EXPORTER_OTLP_ENDPOINT","value":"http://o"}`),
	"observability.openTelemetry.protocol": both(builder.OpenTelemetry, func(s *v2.LocustTestSpec) { s.Observability.OpenTelemetry.Protocol = "http/protobuf" }, `{"name":"OTEL_EXPORTER_OTLP_PROTOCOL","value":"http/protobuf"}`),
	"observability.openTelemetry.insecure": both(builder.OpenTelemetry, func(s *v2.LocustTestSpec) { s.Observability.OpenTelemetry.Insecure = true }, `{"name":"OTEL_EXPORTER_OTLP_INSECURE","value":"true"}`),
	"observability.openTelemetry.extraEnvVars": both(builder.OpenTelemetry, func(s *v2.LocustTestSpec) {
		s.Observability.OpenTelemetry.ExtraEnvVars = map[string]string{"OTEL_X": "y"}
	}, `{"name":"OTEL_X","value":"y"}`),

	"successCriteria.maxFailureRatio":        criterion(func(c *v2.SuccessCriteria) { c.MaxFailureRatio = "0.01" }, `"maxFailureRatio":"0.01"`),
	"successCriteria.maxAverageResponseTime": criterion(func(c *v2.SuccessCriteria) { c.MaxAverageResponseTime = minute }, `"maxAverageResponseTime":"1m0s"`),
	"successCriteria.maxResponseTime.p50":    criterion(func(c *v2.SuccessCriteria) { c.MaxResponseTime.P50 = minute }, `"p50":"1m0s"`),
	"successCriteria.maxResponseTime.p90":    criterion(func(c *v2.SuccessCriteria) { c.MaxResponseTime.P90 = minute }, `"p90":"1m0s"`),
	"successCriteria.maxResponseTime.p95":    criterion(func(c *v2.SuccessCriteria) { c.MaxResponseTime.P95 = minute }, `"p95":"1m0s"`),
	"successCriteria.maxResponseTime.p99":    criterion(func(c *v2.SuccessCriteria) { c.MaxResponseTime.P99 = minute }, `"p99":"1m0s"`),
	"successCriteria.minRequestsPerSecond":   criterion(func(c *v2.SuccessCriteria) { c.MinRequestsPerSecond = "50" }, `"minRequestsPerSecond":"50"`),
	"successCriteria.minTotalRequests":       criterion(func(c *v2.SuccessCriteria) { c.MinTotalRequests = new(int64(9)) }, `"minTotalRequests":9`),
	"successCriteria.abortOnViolation":       criterion(func(c *v2.SuccessCriteria) { c.AbortOnViolation = true }, `"abortOnViolation":true`),
	"successCriteria.abortGracePeriod":       criterion(func(c *v2.SuccessCriteria) { c.AbortGracePeriod = minute }, `"abortGracePeriod":"1m0s"`),

	"loadGuarantee": {given: nothing, set: func(s *v2.LocustTestSpec) { s.LoadGuarantee = v2.LoadGuaranteeNone }, record: `"loadGuarantee":"None"`},
}

// TestSameObjectsOutsideTheRun: spec.report and spec.stop do not belong to the run, and may change until it ends.
func TestSameObjectsOutsideTheRun(t *testing.T) {
	test := builder.MakeShop()
	configured := test.DeepCopy()
	configured.Spec.Report = &v2.ReportConfig{Retain: true, HistoryLimit: new(int32(3))}
	configured.Spec.Stop = true
	assert.Equal(t, asJSON(t, masterOf(t, test)), asJSON(t, masterOf(t, configured)))
	assert.Equal(t, asJSON(t, workerOf(t, test)), asJSON(t, workerOf(t, configured)))
	assert.True(t, SameSpec(&test.Spec, &configured.Spec))
	configured.Spec.Image = "another"
	assert.False(t, SameSpec(&test.Spec, &configured.Spec))
	assert.NotNil(t, configured.Spec.Report, "the spec is not modified")
	assert.True(t, configured.Spec.Stop, "the spec is not modified")
}

func TestEverySpecFieldHasAnEffect(t *testing.T) {
	paths := slices.DeleteFunc(leafPaths(reflect.TypeFor[v2.LocustTestSpec](), ""), func(path string) bool {
		return strings.HasPrefix(path, "report.") || path == "stop" // pkg/report, pkg/status
	})
	for _, path := range paths {
		assert.Contains(t, effects, path, "the field spec.%s does nothing that a test knows of: add a row to effects", path)
	}
	for path, row := range effects {
		t.Run(path, func(t *testing.T) {
			assert.Contains(t, paths, path, "no such field")
			assert.NotEmpty(t, row.master+row.worker+row.record, "a row has to show an effect")
			before, after := builder.MakeShop(row.given), builder.MakeShop(row.given, row.set)
			for role, fragment := range map[Role]string{RoleMaster: row.master, RoleWorker: row.worker} {
				build := workerOf
				if role == RoleMaster {
					build = masterOf
				}
				was, is := asJSON(t, build(t, before).Spec.Template), asJSON(t, build(t, after).Spec.Template)
				if row.record != "" {
					assert.NotContains(t, build(t, before).Annotations[AnnotationRunSpec], row.record)
					assert.Contains(t, build(t, after).Annotations[AnnotationRunSpec], row.record)
				}
				if fragment == "" {
					assert.Equal(t, was, is, "the %s's pods have nothing to do with spec.%s", role, path)
					continue
				}
				assert.NotContains(t, was, fragment, "of the %s before spec.%s was set", role, path)
				assert.Contains(t, is, fragment, "of the %s after spec.%s was set", role, path)
			}
		})
	}
}

// leafPaths lists the JSON paths of a type's fields, down to the first type that is not the API's own.
func leafPaths(typ reflect.Type, prefix string) []string {
	var paths []string
	for field := range typ.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		path := strings.Trim(prefix+"."+name, ".")
		inner := field.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && inner.PkgPath() == typ.PkgPath() {
			paths = append(paths, leafPaths(inner, path)...)
		} else {
			paths = append(paths, path)
		}
	}
	return paths
}

func TestInputsAreNotChanged(t *testing.T) {
	test := builder.MakeShop(builder.Everything)
	before := test.DeepCopy()

	master, worker, service := masterOf(t, test), workerOf(t, test), BuildService(test)
	assert.Equal(t, before, test, "building must not change the test")

	// The built objects must not share memory with the test.
	for _, labels := range []map[string]string{
		master.Spec.Template.Labels, master.Spec.Template.Annotations, master.Spec.Template.Spec.NodeSelector,
		worker.Spec.Template.Labels, worker.Spec.Template.Annotations, service.Labels, service.Spec.Selector,
	} {
		labels["x"] = "y"
	}
	container(master).Args[0] = "x"
	container(master).Env[0].Value = "x"
	master.Spec.Template.Spec.Tolerations[0].Key = "x"
	master.Spec.Template.Spec.Volumes[0].Name = "x"
	*master.Spec.Template.Spec.SecurityContext.RunAsUser = 5
	assert.Equal(t, before, test, "built objects must not share memory with the test")
}
