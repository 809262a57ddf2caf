package validation

import (
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locustcli"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"

	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

type edit = func(*v2.LocustTestSpec)

func secretMount(name, path string) edit {
	return func(s *v2.LocustTestSpec) {
		if s.Env == nil {
			s.Env = &v2.EnvConfig{}
		}
		s.Env.SecretMounts = append(s.Env.SecretMounts, v2.SecretMount{Name: name, MountPath: path})
	}
}

func userMount(path string, target v2.MountTarget) edit {
	return func(s *v2.LocustTestSpec) {
		if len(s.Volumes) == 0 {
			s.Volumes = []corev1.Volume{{Name: "data"}}
		}
		s.VolumeMounts = append(s.VolumeMounts, builder.Targeted("data", path, target))
	}
}

// readOnlyMount mounts an empty volume read-only.
func readOnlyMount(path string) edit {
	return func(s *v2.LocustTestSpec) {
		s.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
		userMount(path, "")(s)
		s.VolumeMounts[len(s.VolumeMounts)-1].ReadOnly = true
	}
}

// filledByKubelet makes the volume of userMount a ConfigMap.
func filledByKubelet(s *v2.LocustTestSpec) {
	s.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: "files"}}}}}
}

// oneKey makes the last mount a single file.
func oneKey(s *v2.LocustTestSpec) { s.VolumeMounts[len(s.VolumeMounts)-1].SubPath = "key" }

// criteria sets valid criteria with a change.
func criteria(change func(*v2.SuccessCriteria)) edit {
	return func(s *v2.LocustTestSpec) {
		s.SuccessCriteria = &v2.SuccessCriteria{MaxFailureRatio: "0.01", MinTotalRequests: new(int64(1))}
		change(s.SuccessCriteria)
	}
}

func seconds(n int) *metav1.Duration {
	return &metav1.Duration{Duration: time.Duration(n) * time.Second}
}

func TestValidate_AcceptsWhatRuns(t *testing.T) {
	for name, edits := range map[string][]edit{
		"smallest":                          nil,
		"everything":                        {builder.Everything},
		"one path in different pods":        {userMount("/x", "master"), userMount("/x", "worker")},
		"neighbours with a common prefix":   {builder.TestFiles, userMount("/lotest/src2", ""), userMount("/opt/locust/library", "")},
		"default paths without test files":  {userMount("/lotest/src", ""), userMount("/opt/locust/lib", "")},
		"inline files":                      {inline("a.py", strings.Repeat("x", v2.MaxInlineBytes-4))},
		"libraries inside the sources":      {builder.TestFiles, func(s *v2.LocustTestSpec) { s.TestFiles.LibMountPath = "/lotest/src/lib" }},
		"nested mounts of the user":         {userMount("/data", ""), userMount("/data/cache", "")},
		"folders in what the kubelet fills": {filledByKubelet, secretMount("a", "/s"), userMount("/s/x", ""), userMount("/s/x/y", "")},
		"nested mounts in different pods": {func(s *v2.LocustTestSpec) {
			readOnlyMount("/data")(s)
			s.VolumeMounts[0].Target = "master"
		}, userMount("/data/cache", "worker")},
		"every request may fail": {criteria(func(c *v2.SuccessCriteria) { c.MaxFailureRatio = "1.0" })},
		"all criteria": {criteria(func(c *v2.SuccessCriteria) {
			*c = v2.SuccessCriteria{MaxFailureRatio: "0", MinRequestsPerSecond: "0.5", MinTotalRequests: new(int64(1)), AbortOnViolation: true, AbortGracePeriod: seconds(0),
				MaxAverageResponseTime: seconds(1), MaxResponseTime: &v2.ResponseTimeLimits{P50: seconds(1), P90: seconds(2), P95: seconds(3), P99: seconds(4)}}
		})},
		"the environment's unusual names":    {builder.Variables(corev1.EnvVar{Name: "my.var-1"})},
		"telemetry variables, telemetry off": {builder.OpenTelemetryOff, builder.Variables(corev1.EnvVar{Name: "OTEL_EXPORTER_OTLP_ENDPOINT"})},
		"no endpoint, telemetry off":         {builder.OpenTelemetryOff, func(s *v2.LocustTestSpec) { s.Observability.OpenTelemetry.Endpoint = "" }},
		"the operator's label as it is":      {func(s *v2.LocustTestSpec) { s.Worker.Labels = map[string]string{"performance-test-name": "shop.load"} }},
		"operator's flags in the command":    {func(s *v2.LocustTestSpec) { s.Worker.Command = "--worker --master-host=x" }},
		"autoquit 0":                         {func(s *v2.LocustTestSpec) { s.Master.Autoquit = &v2.AutoquitConfig{Timeout: new(int32(0))} }},
		"500 workers":                        {func(s *v2.LocustTestSpec) { s.Worker.Replicas = 500 }},
		"autoquit of the user with autostart": {func(s *v2.LocustTestSpec) {
			s.Master.Autostart = new(false)
			s.Master.ExtraArgs = []string{"--autostart", "--autoquit", "1"}
		}},
		"the reporter's place, no reporter":   {builder.NoReporter, userMount("/locust.io", "")},
		"the reporter's place in the workers": {userMount("/locust.io", "worker")},
		"an annotation of the reporter's name": {func(s *v2.LocustTestSpec) {
			s.Master.Annotations = map[string]string{resources.AnnotationReporter: "mine"}
		}},
		"an empty name among the pull secrets": {func(s *v2.LocustTestSpec) { s.ImagePullSecrets = []corev1.LocalObjectReference{{}} }},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Empty(t, Validate(builder.MakeShop(edits...)))
		})
	}
}

func TestValidate(t *testing.T) {
	type spec = v2.LocustTestSpec
	for name, row := range map[string]struct {
		edits        []edit
		path, remedy string
	}{
		"image blank":      {[]edit{func(s *spec) { s.Image = " " }}, "spec.image", "name a Locust image"},
		"image with space": {[]edit{func(s *spec) { s.Image = "a b" }}, "spec.image", "remove it"},
		"pull policy":      {[]edit{func(s *spec) { s.ImagePullPolicy = "Sometimes" }}, "spec.imagePullPolicy", "choose Always, IfNotPresent or Never"},

		"master command blank":     {[]edit{func(s *spec) { s.Master.Command = " \n" }}, "spec.master.command", "give at least --locustfile"},
		"worker command blank":     {[]edit{func(s *spec) { s.Worker.Command = "" }}, "spec.worker.command", "give at least --locustfile"},
		"no arguments":             {[]edit{func(s *spec) { s.Master.Command = "\\\n" }}, "spec.master.command", "give at least --locustfile"},
		"single quote":             {[]edit{func(s *spec) { s.Worker.Command = "it's" }}, "spec.worker.command", "close it"},
		"double quote":             {[]edit{func(s *spec) { s.Master.Command = `--tags "a` }}, "spec.master.command", "close it"},
		"trailing backslash":       {[]edit{func(s *spec) { s.Master.Command = `a \` }}, "spec.master.command", "remove it"},
		"NUL in a command":         {[]edit{func(s *spec) { s.Master.Command = "a\x00b" }}, "spec.master.command", "remove it"},
		"NUL in an argument":       {[]edit{func(s *spec) { s.Worker.ExtraArgs = []string{"a", "b\x00"} }}, "spec.worker.extraArgs[1]", "remove it"},
		"autoquit not autostarted": {[]edit{func(s *spec) { s.Master.Autostart = new(false); s.Master.Command = "-f t --autoquit 5" }}, "spec.master.autostart", "set autostart to true"},
		"autoquit by a variable":   {[]edit{builder.Variables(corev1.EnvVar{Name: "LOCUST_AUTOQUIT", Value: "5"}), func(s *spec) { s.Master.Autostart = new(false) }}, "spec.master.autostart", "set autostart to true"},
		"a worker as master":       {[]edit{func(s *spec) { s.Master.Command = "-f t --worker" }}, "spec.master.command", "remove it"},
		"processes of a master":    {[]edit{func(s *spec) { s.Master.ExtraArgs = []string{"--processes=4"} }}, "spec.master.extraArgs[0]", "remove it"},
		"a master as worker":       {[]edit{func(s *spec) { s.Worker.ExtraArgs = []string{"-L", "INFO", "--master"} }}, "spec.worker.extraArgs[2]", "remove it"},
		"negative autoquit":        {[]edit{func(s *spec) { s.Master.Autoquit = &v2.AutoquitConfig{Timeout: new(int32(-1))} }}, "spec.master.autoquit.timeout", "set autoquit.enabled to false"},
		"no workers":               {[]edit{func(s *spec) { s.Worker.Replicas = 0 }}, "spec.worker.replicas", "between 1 and 500"},
		"too many workers":         {[]edit{func(s *spec) { s.Worker.Replicas = 501 }}, "spec.worker.replicas", "between 1 and 500"},

		"label key":           {[]edit{func(s *spec) { s.Master.Labels = map[string]string{"a b": "c"} }}, "spec.master.labels[a b]", "rename or remove"},
		"label value":         {[]edit{func(s *spec) { s.Worker.Labels = map[string]string{"a": "b c"} }}, "spec.worker.labels[a]", "use an annotation"},
		"operator's label":    {[]edit{func(s *spec) { s.Master.Labels = map[string]string{resources.LabelPodName: "x"} }}, "spec.master.labels[performance-test-pod-name]", "choose another key"},
		"operator's UID":      {[]edit{func(s *spec) { s.Worker.Labels = map[string]string{resources.LabelTestUID: "x"} }}, "spec.worker.labels[locust.io/test-uid]", "choose another key"},
		"annotation key":      {[]edit{func(s *spec) { s.Worker.Annotations = map[string]string{"a b": "c"} }}, "spec.worker.annotations[a b]", "rename or remove"},
		"pull secret":         {[]edit{func(s *spec) { s.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "A"}} }}, "spec.imagePullSecrets[0].name", "correct the name"},
		"source ConfigMap":    {[]edit{func(s *spec) { s.TestFiles = &v2.TestFilesConfig{ConfigMapRef: "a_b"} }}, "spec.testFiles.configMapRef", "correct the name"},
		"library ConfigMap":   {[]edit{func(s *spec) { s.TestFiles = &v2.TestFilesConfig{LibConfigMapRef: "a/b"} }}, "spec.testFiles.libConfigMapRef", "correct the name"},
		"variables' source":   {[]edit{func(s *spec) { s.Env = &v2.EnvConfig{ConfigMapRefs: []v2.ConfigMapEnvSource{{Name: "A"}}} }}, "spec.env.configMapRefs[0].name", "correct the name"},
		"unnamed Secret":      {[]edit{func(s *spec) { s.Env = &v2.EnvConfig{SecretRefs: []v2.SecretEnvSource{{}}} }}, "spec.env.secretRefs[0].name", "name a Secret"},
		"mounted Secret":      {[]edit{secretMount("-", "/s")}, "spec.env.secretMounts[0].name", "correct the name"},
		"prefix":              {[]edit{func(s *spec) { s.Env = &v2.EnvConfig{SecretRefs: []v2.SecretEnvSource{{Name: "s", Prefix: "="}}} }}, "spec.env.secretRefs[0].prefix", "rename"},
		"variable without":    {[]edit{builder.Variables(corev1.EnvVar{})}, "spec.env.variables[0].name", "rename"},
		"variable misnamed":   {[]edit{builder.Variables(corev1.EnvVar{Name: "a=b"})}, "spec.env.variables[0].name", "rename"},
		"variable twice":      {[]edit{builder.Variables(corev1.EnvVar{Name: "A"}, corev1.EnvVar{Name: "A"})}, "spec.env.variables[1].name", "remove one of the two"},
		"variable also extra": {[]edit{builder.ExtraEnv(map[string]string{"A": "1"}), builder.Variables(corev1.EnvVar{Name: "A"})}, "spec.env.variables[0].name", "remove one of the two"},
		"variable is a field": {[]edit{builder.OpenTelemetry, builder.Variables(corev1.EnvVar{Name: "OTEL_EXPORTER_OTLP_PROTOCOL"})}, "spec.env.variables[0].name", "spec.observability.openTelemetry.protocol; use that field"},
		"extra is a field":    {[]edit{builder.ExtraEnv(map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "x"})}, "spec.observability.openTelemetry.extraEnvVars[OTEL_EXPORTER_OTLP_ENDPOINT]", "use that field"},
		"extra misnamed":      {[]edit{builder.ExtraEnv(map[string]string{"=": "x"})}, "spec.observability.openTelemetry.extraEnvVars[=]", "rename"},
		"no endpoint":         {[]edit{builder.OpenTelemetry, func(s *spec) { s.Observability.OpenTelemetry.Endpoint = "" }}, "spec.observability.openTelemetry.endpoint", "name the collector"},
		"unknown protocol":    {[]edit{builder.OpenTelemetry, func(s *spec) { s.Observability.OpenTelemetry.Protocol = "thrift" }}, "spec.observability.openTelemetry.protocol", "choose grpc or http/protobuf"},

		"volume twice":       {[]edit{func(s *spec) { s.Volumes = []corev1.Volume{{Name: "a"}, {Name: "a"}} }}, "spec.volumes[1].name", "rename or remove"},
		"volume locust-src":  {[]edit{func(s *spec) { s.Volumes = []corev1.Volume{{Name: "locust-src"}} }}, "spec.volumes[0].name", "rename the volume"},
		"volume of reporter": {[]edit{builder.NoReporter, func(s *spec) { s.Volumes = []corev1.Volume{{Name: "locust-reporter"}} }}, "spec.volumes[0].name", "rename the volume"},
		"volume of a secret": {[]edit{func(s *spec) { s.Volumes = []corev1.Volume{{Name: "locust-secret-9"}} }}, "spec.volumes[0].name", "rename the volume"},
		"no such volume":     {[]edit{func(s *spec) { s.VolumeMounts = []v2.TargetedVolumeMount{builder.Targeted("x", "/x", "")} }}, "spec.volumeMounts[0].name", "add it to spec.volumes"},
		"unknown target":     {[]edit{userMount("/x", "slave")}, "spec.volumeMounts[0].target", "choose master, worker or both"},

		"relative path":            {[]edit{userMount("x", "")}, "spec.volumeMounts[0].mountPath", "start it with /"},
		"no path":                  {[]edit{secretMount("s", "")}, "spec.env.secretMounts[0].mountPath", "start it with /"},
		"colon":                    {[]edit{userMount("/x:ro", "")}, "spec.volumeMounts[0].mountPath", "choose another path"},
		"up":                       {[]edit{secretMount("s", "/a/../b")}, "spec.env.secretMounts[0].mountPath", "write the path without it"},
		"root":                     {[]edit{userMount("//", "")}, "spec.volumeMounts[0].mountPath", "choose a folder below"},
		"inline and ConfigMap":     {[]edit{builder.TestFiles, inline("a.py", "")}, "spec.testFiles.inline", "put all files in one of them"},
		"inline name":              {[]edit{inline("a/b.py", "")}, "spec.testFiles.inline[a/b.py]", "rename the file"},
		"inline parent":            {[]edit{inline("..", "")}, "spec.testFiles.inline[..]", "rename the file"},
		"inline too large":         {[]edit{inline("a.py", strings.Repeat("x", v2.MaxInlineBytes-3))}, "spec.testFiles.inline", "move files into a ConfigMap"},
		"inline too large as JSON": {[]edit{inline("a.py", strings.Repeat("\x01", v2.MaxInlineJSON/6))}, "spec.testFiles.inline", "as JSON"},
		"too many inline files": {[]edit{func(spec *v2.LocustTestSpec) {
			spec.TestFiles = &v2.TestFilesConfig{Inline: map[string]v2.InlineFile{}}
			for i := range 33 {
				spec.TestFiles.Inline[fmt.Sprint(i)] = ""
			}
		}}, "spec.testFiles.inline", "must have at most 32 items"},
		"inline file at the mount point of libraries": {[]edit{inline("lib", ""), func(spec *v2.LocustTestSpec) {
			spec.TestFiles.LibConfigMapRef, spec.TestFiles.LibMountPath = "libraries", "/lotest/src/lib/shared"
		}}, "spec.testFiles.libMountPath", "rename the file"},
		"inline hidden":            {[]edit{inline("a.py", ""), userMount("/lotest", "worker")}, "spec.volumeMounts[0].mountPath", "outside"},
		"source path relative":     {[]edit{builder.TestFiles, func(s *spec) { s.TestFiles.SrcMountPath = "src" }}, "spec.testFiles.srcMountPath", "start it with /"},
		"sources on libraries":     {[]edit{builder.TestFiles, func(s *spec) { s.TestFiles.LibMountPath = "/lotest//src/" }}, "spec.testFiles.libMountPath", "choose another path"},
		"two secrets on a path":    {[]edit{secretMount("a", "/s"), secretMount("b", "/s/")}, "spec.env.secretMounts[1].mountPath", "choose another path"},
		"secret on sources":        {[]edit{builder.TestFiles, secretMount("a", "/lotest/src")}, "spec.env.secretMounts[0].mountPath", "choose another path"},
		"secret in libraries":      {[]edit{builder.TestFiles, secretMount("a", "/opt/locust/lib/x")}, "spec.env.secretMounts[0].mountPath", "outside"},
		"volume on secret":         {[]edit{secretMount("a", "/s"), userMount("/s", "worker")}, "spec.volumeMounts[0].mountPath", "choose another path"},
		"volume around sources":    {[]edit{builder.TestFiles, userMount("/lotest", "worker")}, "spec.volumeMounts[0].mountPath", "outside"},
		"volume in sources":        {[]edit{builder.TestFiles, userMount("/lotest/src/data", "master")}, "spec.volumeMounts[0].mountPath", "outside"},
		"two volumes on a path":    {[]edit{userMount("/x", ""), userMount("/x", "worker")}, "spec.volumeMounts[1].mountPath", "choose another path"},
		"file in secret":           {[]edit{filledByKubelet, secretMount("a", "/s"), userMount("/s/x", "worker"), oneKey}, "spec.volumeMounts[0].mountPath", "spec.env.secretMounts[0].mountPath is read-only, so that this cannot be mounted inside"},
		"read-only around secret":  {[]edit{secretMount("a", "/v/s"), readOnlyMount("/v")}, "spec.volumeMounts[0].mountPath", "spec.volumeMounts[0].mountPath is read-only"},
		"volume in read-only":      {[]edit{readOnlyMount("/v"), userMount("/v/x", "")}, "spec.volumeMounts[1].mountPath", "choose another path"},
		"file in ConfigMap":        {[]edit{filledByKubelet, userMount("/v", ""), userMount("/v/x", ""), oneKey}, "spec.volumeMounts[1].mountPath", "choose another path"},
		"volume on reporter":       {[]edit{userMount("/locust.io/", "master")}, "spec.volumeMounts[0].mountPath", "choose another path"},
		"secret in reporter":       {[]edit{secretMount("a", "/locust.io/x")}, "spec.env.secretMounts[0].mountPath", "overlaps spec.master.reporter (/locust.io), which holds the operator's reporter; choose a path outside"},
		"sources in reporter":      {[]edit{builder.TestFiles, func(s *spec) { s.TestFiles.SrcMountPath = "/locust.io/src" }}, "spec.testFiles.srcMountPath", "outside"},
		"no criterion":             {[]edit{criteria(func(c *v2.SuccessCriteria) { *c = v2.SuccessCriteria{} })}, "spec.successCriteria", "add one, or remove successCriteria"},
		"ratio above 1":            {[]edit{criteria(func(c *v2.SuccessCriteria) { c.MaxFailureRatio = "1.01" })}, "spec.successCriteria.maxFailureRatio", "between 0 and 1"},
		"ratio with an exponent":   {[]edit{criteria(func(c *v2.SuccessCriteria) { c.MaxFailureRatio = "1e-2" })}, "spec.successCriteria.maxFailureRatio", "between 0 and 1"},
		"negative rate":            {[]edit{criteria(func(c *v2.SuccessCriteria) { c.MinRequestsPerSecond = "-1" })}, "spec.successCriteria.minRequestsPerSecond", "must be a decimal number"},
		"no requests":              {[]edit{criteria(func(c *v2.SuccessCriteria) { c.MinTotalRequests = new(int64(0)) })}, "spec.successCriteria.minTotalRequests", "raise it, or remove it"},
		"nothing to abort on":      {[]edit{criteria(func(c *v2.SuccessCriteria) { c.MaxFailureRatio, c.AbortOnViolation = "", true })}, "spec.successCriteria.abortOnViolation", "set maxFailureRatio"},
		"negative grace":           {[]edit{criteria(func(c *v2.SuccessCriteria) { c.AbortGracePeriod = seconds(-1) })}, "spec.successCriteria.abortGracePeriod", "must not be negative"},
		"instant responses":        {[]edit{criteria(func(c *v2.SuccessCriteria) { c.MaxAverageResponseTime = seconds(0) })}, "spec.successCriteria.maxAverageResponseTime", "greater than 0"},
		"no percentile":            {[]edit{criteria(func(c *v2.SuccessCriteria) { c.MaxResponseTime = &v2.ResponseTimeLimits{} })}, "spec.successCriteria.maxResponseTime", "at least one of p50, p90, p95, p99"},
		"negative percentile":      {[]edit{criteria(func(c *v2.SuccessCriteria) { c.MaxResponseTime = &v2.ResponseTimeLimits{P99: seconds(-1)} })}, "spec.successCriteria.maxResponseTime.p99", "greater than 0"},
		"unknown load guarantee":   {[]edit{func(s *spec) { s.LoadGuarantee = "none" }}, "spec.loadGuarantee", "choose Basic, Strict or None"},
		"more than an annotation":  {[]edit{func(s *spec) { s.Master.ExtraArgs = slices.Repeat([]string{strings.Repeat("x", v2.MaxSpecBytes/4)}, 4) }}, "spec", "move data into a ConfigMap"},
		"long argument":            {[]edit{func(s *spec) { s.Worker.ExtraArgs = []string{strings.Repeat("x", locustcli.MaxWord+1)} }}, "spec.worker.extraArgs", "shorten it"},
		"variables that double":    {[]edit{bomb}, "spec.master.command", "Linux does not start the container"},
		"long variable":            {[]edit{builder.Variables(corev1.EnvVar{Name: "A", Value: strings.Repeat("x", locustcli.MaxWord)}, corev1.EnvVar{Name: "B", Value: "$(A)$(A)"})}, "spec.env.variables", "put data into a file"},
		"annotations and reporter": {[]edit{func(s *spec) { s.Master.Annotations = map[string]string{"a": strings.Repeat("x", 1<<18-8000)} }}, "spec.master.annotations", "move data into a ConfigMap"},
		"annotations of all sizes": {[]edit{func(s *spec) { s.Master.Annotations = map[string]string{"a": strings.Repeat("x", 1<<18)} }}, "spec.master.annotations", "move data into a ConfigMap"},
	} {
		t.Run(name, func(t *testing.T) {
			errs := Validate(builder.MakeShop(row.edits...))
			require.NotEmpty(t, errs, "the test must not be accepted")
			assert.Equal(t, row.path, errs[0].Field)
			assert.Contains(t, errs[0].Error(), row.remedy, "the message must contain the remedy")
			assert.Less(t, len(errs[0].Error()), 1024, "the message must fit in an event")
			if !strings.HasPrefix(name, "annotations") { // they are too large for the run-spec as well
				assert.Len(t, errs, 1, "one mistake, one message")
			}
		})
	}
}

func inline(name, content string) edit {
	return func(s *v2.LocustTestSpec) {
		if s.TestFiles == nil {
			s.TestFiles = &v2.TestFilesConfig{}
		}
		s.TestFiles.Inline = map[string]v2.InlineFile{name: v2.InlineFile(content)}
	}
}

func TestValidate_Name(t *testing.T) {
	test := builder.MakeShop()
	test.Name = strings.Repeat("a", 51)
	assert.Empty(t, Validate(test))
	host := fmt.Sprintf("%s-%d", resources.WorkerName(test.Name), 9999)
	assert.Empty(t, validation.IsDNS1123Label(host), "the host name of the last worker")

	test.Name += "a"
	errs := Validate(test)
	require.Len(t, errs, 1)
	assert.Equal(t, "metadata.name", errs[0].Field)
	assert.Contains(t, errs[0].Detail, "choose a shorter name")
}

func TestValidate_ReportsAllErrorsInTheSameOrder(t *testing.T) {
	test := builder.MakeShop(builder.TestFiles, builder.OpenTelemetry, secretMount("A", "x"), func(s *v2.LocustTestSpec) {
		s.Image = ""
		s.Master.Labels = map[string]string{"a b": "", "c d": "", "e f": ""}
		s.Master.Annotations = map[string]string{"a b": "", "c d": "", "e f": ""}
		s.Observability.OpenTelemetry.ExtraEnvVars = map[string]string{"a=": "", "b=": "", "c=": ""}
	})
	first := Validate(test).ToAggregate().Error()
	for range 20 {
		require.Equal(t, first, Validate(test).ToAggregate().Error(), "otherwise the status would change with every reconcile")
	}
	assert.Len(t, Validate(test), 12)
}

// TestValidate_NotDecoded: for a spec that cannot be decoded the DecodeError is the only error.
func TestValidate_NotDecoded(t *testing.T) {
	test := builder.MakeShop()
	test.Spec = v2.LocustTestSpec{}
	test.DecodeError = &v2.DecodeError{Field: "spec.master.resources.limits[cpu]", Value: "1e1.5", Detail: "must be a quantity; correct it"}
	errs := Validate(test)
	require.Len(t, errs, 1)
	assert.Equal(t, `spec.master.resources.limits[cpu]: Invalid value: "1e1.5": must be a quantity; correct it`, errs[0].Error())
}
