package v2

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LocustTestSpec describes one load test: the image, the locustfile, the number of workers.
//
// It is read once, when the run's Jobs are created. Later changes are reported in the condition
// SpecDrifted and otherwise ignored; delete and create the test to run it again. Only report and stop may change later.
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.stop) || !oldSelf.stop || has(self.stop) && self.stop",message="stop cannot be changed back: the load has been stopped; create the test again to run it"
type LocustTestSpec struct {
	// Image is the Locust container image of master and workers, for example "locustio/locust:2.47.0".
	// Its entrypoint must be locust.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^\\\\S+$')",message="image must not contain white space"
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:com.tectonic.ui:text"}
	// +required
	Image string `json:"image"`

	// ImagePullPolicy of all containers of the test.
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	// +kubebuilder:default=IfNotPresent
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:com.tectonic.ui:imagePullPolicy"}
	// +optional
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// ImagePullSecrets name Secrets of the test's namespace that hold registry credentials.
	// +kubebuilder:validation:MaxItems=64
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// Master configures the Locust master.
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +required
	Master MasterSpec `json:"master"`

	// Worker configures the Locust workers.
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +required
	Worker WorkerSpec `json:"worker"`

	// TestFiles name the ConfigMaps that hold the locustfile and its libraries.
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	TestFiles *TestFilesConfig `json:"testFiles,omitempty"`

	// Scheduling constrains where the pods run.
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Scheduling *SchedulingConfig `json:"scheduling,omitempty"`

	// Env adds environment variables and secret files to all containers.
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Env *EnvConfig `json:"env,omitempty"`

	// Volumes are added to the pods; mount them with volumeMounts.
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=name
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Volumes []corev1.Volume `json:"volumes,omitempty"`

	// VolumeMounts mount entries of volumes into the master, the workers or both.
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	VolumeMounts []TargetedVolumeMount `json:"volumeMounts,omitempty"`

	// Security overrides the security contexts. Unset parts get defaults that pass the restricted
	// Pod Security Standard.
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Security *SecurityConfig `json:"security,omitempty"`

	// Observability configures OpenTelemetry export of the test.
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Observability *ObservabilityConfig `json:"observability,omitempty"`

	// SuccessCriteria are checked against the final result and decide whether the test Succeeded. They replace Locust's
	// exit code for failed requests.
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	SuccessCriteria *SuccessCriteria `json:"successCriteria,omitempty"`

	// LoadGuarantee decides how the condition LoadDelivered affects the phase. Basic: a run without a single finished
	// request (NoRequests), or whose load ended early (LoadCutShort), is Failed, although Locust exited with code 0.
	// Strict: any reason with status False makes the run Failed, and so does a load that was not observed. None: the
	// condition is only reported; choose it for users that fire no request events.
	// +kubebuilder:default=Basic
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:com.tectonic.ui:select:Basic","urn:alm:descriptor:com.tectonic.ui:select:Strict","urn:alm:descriptor:com.tectonic.ui:select:None"}
	// +optional
	LoadGuarantee LoadGuarantee `json:"loadGuarantee,omitempty"`

	// Report configures the LocustReport that the operator creates when the run ends. It may be changed until then.
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Report *ReportConfig `json:"report,omitempty"`

	// Stop ends the load as Locust's own stop does: the result is exact, and exit code and success criteria decide the phase.
	// A test that has not started yet never starts, and is Failed. Once true it cannot be changed back.
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:com.tectonic.ui:booleanSwitch"}
	// +optional
	Stop bool `json:"stop,omitempty"`
}

// ReportConfig configures the LocustReport of a test.
type ReportConfig struct {
	// Retain keeps the LocustReport when the test is deleted. Without it the report is deleted with its test.
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:com.tectonic.ui:booleanSwitch"}
	// +optional
	Retain bool `json:"retain,omitempty"`

	// HistoryLimit is how many retained LocustReports of tests with this name are kept; the oldest are deleted.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +kubebuilder:default=10
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:com.tectonic.ui:number"}
	// +optional
	HistoryLimit *int32 `json:"historyLimit,omitempty"`
}

// LoadGuarantee decides which reasons of the condition LoadDelivered make a run Failed.
// +kubebuilder:validation:Enum=Basic;Strict;None
type LoadGuarantee string

const (
	// LoadGuaranteeBasic makes a run Failed for NoRequests and LoadCutShort.
	LoadGuaranteeBasic LoadGuarantee = "Basic"
	// LoadGuaranteeStrict makes a run Failed for every reason with status False, and for NotObserved.
	LoadGuaranteeStrict LoadGuarantee = "Strict"
	// LoadGuaranteeNone leaves the phase to Locust's exit code and the success criteria.
	LoadGuaranteeNone LoadGuarantee = "None"
)

// MasterSpec configures the Locust master.
type MasterSpec struct {
	// Command holds the base arguments of the master, split into words as a POSIX shell would, without
	// its comments, never run through a shell, for example
	// "--locustfile /lotest/src/test.py --host https://example.com --users 100 --spawn-rate 10 --run-time 3m".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	// +kubebuilder:validation:XValidation:rule="self.matches('\\\\S')",message="command must not be blank; give at least --locustfile PATH"
	// +kubebuilder:validation:XValidation:rule="self.matches('^(#[^\\n]*)?([^\\'\"\\\\\\\\]|\\\\\\\\[\\\\s\\\\S]|\\\\s#[^\\n]*|\\'[^\\']*\\'|\"([^\"\\\\\\\\]|\\\\\\\\[\\\\s\\\\S])*\")*$')",message="command has an unbalanced quote or a trailing backslash; close the quote or escape it with a backslash"
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:com.tectonic.ui:text"}
	// +required
	Command string `json:"command"`

	// Resources of the master's container.
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:com.tectonic.ui:resourceRequirements"}
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`

	// Labels are added to the master's pod. The labels by which the operator selects its pods cannot be overridden.
	// +kubebuilder:validation:MaxProperties=1024
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// Annotations are added to the master's pod.
	// +kubebuilder:validation:MaxProperties=1024
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`

	// Autostart starts the test as soon as the workers are connected (--autostart), without the web UI's Start button.
	// +kubebuilder:default=true
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:com.tectonic.ui:booleanSwitch"}
	// +optional
	Autostart *bool `json:"autostart,omitempty"`

	// Autoquit ends the master after the test has finished (--autoquit). Absent means enabled, after 60 s.
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Autoquit *AutoquitConfig `json:"autoquit,omitempty"`

	// ExtraArgs are exact arguments, appended last, not split into words.
	// +kubebuilder:validation:MaxItems=256
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	ExtraArgs []string `json:"extraArgs,omitempty"`

	// Reporter loads a small second locustfile into the master, which writes the final statistics to the
	// container's termination message, so that testResult is exact however the master ends. It needs a locustfile
	// that is named in the command, extraArgs or the variable LOCUST_LOCUSTFILE as one or several .py files, and
	// Locust 2.11 or newer. It is omitted if the tag of locustio/locust names an older release. If false,
	// testResult is the last one that the master's web API reported.
	// +kubebuilder:default=true
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:com.tectonic.ui:booleanSwitch"}
	// +optional
	Reporter *bool `json:"reporter,omitempty"`
}

// AutoquitConfig configures when the master ends after the test has finished.
type AutoquitConfig struct {
	// Enabled passes --autoquit. If false, the master serves its web UI until the test is deleted.
	// +kubebuilder:default=true
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:com.tectonic.ui:booleanSwitch"}
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// Timeout in seconds between the end of the test and the end of the master.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:default=60
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:com.tectonic.ui:number"}
	// +optional
	Timeout *int32 `json:"timeout,omitempty"`
}

// WorkerSpec configures the Locust workers.
type WorkerSpec struct {
	// Command holds the base arguments of every worker, split into words as a POSIX shell would, without
	// its comments, never run through a shell, for example "--locustfile /lotest/src/test.py".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	// +kubebuilder:validation:XValidation:rule="self.matches('\\\\S')",message="command must not be blank; give at least --locustfile PATH"
	// +kubebuilder:validation:XValidation:rule="self.matches('^(#[^\\n]*)?([^\\'\"\\\\\\\\]|\\\\\\\\[\\\\s\\\\S]|\\\\s#[^\\n]*|\\'[^\\']*\\'|\"([^\"\\\\\\\\]|\\\\\\\\[\\\\s\\\\S])*\")*$')",message="command has an unbalanced quote or a trailing backslash; close the quote or escape it with a backslash"
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:com.tectonic.ui:text"}
	// +required
	Command string `json:"command"`

	// Replicas is the number of workers.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=500
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:com.tectonic.ui:podCount"}
	// +required
	Replicas int32 `json:"replicas"`

	// Resources of each worker's container.
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:com.tectonic.ui:resourceRequirements"}
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`

	// Labels are added to the workers' pods. The labels by which the operator selects its pods cannot be overridden.
	// +kubebuilder:validation:MaxProperties=1024
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// Annotations are added to the workers' pods.
	// +kubebuilder:validation:MaxProperties=1024
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`

	// ExtraArgs are exact arguments, appended last, not split into words.
	// +kubebuilder:validation:MaxItems=256
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	ExtraArgs []string `json:"extraArgs,omitempty"`
}

// TestFilesConfig holds the test's files, or names the ConfigMaps that do.
// +kubebuilder:validation:XValidation:rule="!has(self.inline) || size(self.inline) == 0 || !has(self.configMapRef) || size(self.configMapRef) == 0",message="inline and configMapRef exclude each other; put all files in one of them"
type TestFilesConfig struct {
	// Inline holds files by name, as an alternative to configMapRef: at most 64 KiB together. They appear below srcMountPath.
	// All pods hold a copy in their annotations, so larger files belong in a ConfigMap.
	// +kubebuilder:validation:MaxProperties=32
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Inline map[string]InlineFile `json:"inline,omitempty"`

	// ConfigMapRef names the ConfigMap with the locustfile; its keys appear as files below srcMountPath.
	// +kubebuilder:validation:MaxLength=253
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:io.kubernetes:ConfigMap"}
	// +optional
	ConfigMapRef string `json:"configMapRef,omitempty"`

	// LibConfigMapRef names the ConfigMap with library modules; its keys appear as files below libMountPath.
	// +kubebuilder:validation:MaxLength=253
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:io.kubernetes:ConfigMap"}
	// +optional
	LibConfigMapRef string `json:"libConfigMapRef,omitempty"`

	// SrcMountPath is the folder of the locustfile in the container.
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/')",message="srcMountPath must be an absolute path, for example /lotest/src"
	// +kubebuilder:default="/lotest/src"
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	SrcMountPath string `json:"srcMountPath,omitempty"`

	// LibMountPath is the folder of the libraries in the container; it is added to PYTHONPATH.
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/')",message="libMountPath must be an absolute path, for example /opt/locust/lib"
	// +kubebuilder:default="/opt/locust/lib"
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	LibMountPath string `json:"libMountPath,omitempty"`
}

// InlineFile is the content of a file.
// +kubebuilder:validation:MaxLength=65536
type InlineFile string

// SchedulingConfig constrains where the pods run.
type SchedulingConfig struct {
	// Affinity of all pods.
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// Tolerations of all pods.
	// +listType=atomic
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// NodeSelector of all pods.
	// +kubebuilder:validation:MaxProperties=1024
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// RuntimeClassName of all pods.
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	RuntimeClassName *string `json:"runtimeClassName,omitempty"`
}

// EnvConfig adds environment variables and secret files to all containers.
type EnvConfig struct {
	// ConfigMapRefs add all keys of ConfigMaps as variables.
	// +kubebuilder:validation:MaxItems=64
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	ConfigMapRefs []ConfigMapEnvSource `json:"configMapRefs,omitempty"`

	// SecretRefs add all keys of Secrets as variables.
	// +kubebuilder:validation:MaxItems=64
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	SecretRefs []SecretEnvSource `json:"secretRefs,omitempty"`

	// Variables are single variables, with a value or a source.
	// +kubebuilder:validation:MaxItems=256
	// +listType=map
	// +listMapKey=name
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Variables []corev1.EnvVar `json:"variables,omitempty"`

	// SecretMounts mount Secrets as files.
	// +kubebuilder:validation:MaxItems=64
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	SecretMounts []SecretMount `json:"secretMounts,omitempty"`
}

// ConfigMapEnvSource adds all keys of a ConfigMap as environment variables.
type ConfigMapEnvSource struct {
	// Name of the ConfigMap.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +required
	Name string `json:"name"`

	// Prefix is put before each key.
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Prefix string `json:"prefix,omitempty"`
}

// SecretEnvSource adds all keys of a Secret as environment variables.
type SecretEnvSource struct {
	// Name of the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +required
	Name string `json:"name"`

	// Prefix is put before each key.
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Prefix string `json:"prefix,omitempty"`
}

// SecretMount mounts a Secret's keys as files.
type SecretMount struct {
	// Name of the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +required
	Name string `json:"name"`

	// MountPath is the folder the files appear in.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/')",message="mountPath must be an absolute path, for example /etc/credentials"
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +required
	MountPath string `json:"mountPath"`

	// ReadOnly mounts the files read-only.
	// +kubebuilder:default=true
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	ReadOnly *bool `json:"readOnly,omitempty"`
}

// MountTarget selects the pods that get a volume mount.
// +kubebuilder:validation:Enum=master;worker;both
type MountTarget string

const (
	// MountTargetMaster mounts into the master's pod only.
	MountTargetMaster MountTarget = "master"
	// MountTargetWorker mounts into the workers' pods only.
	MountTargetWorker MountTarget = "worker"
	// MountTargetBoth mounts into all pods.
	MountTargetBoth MountTarget = "both"
)

// TargetedVolumeMount is a volume mount with the pods that get it.
type TargetedVolumeMount struct {
	corev1.VolumeMount `json:",inline"`

	// Target selects the pods that get the mount.
	// +kubebuilder:default=both
	// +optional
	Target MountTarget `json:"target,omitempty"`
}

// SecurityConfig overrides the security contexts of all pods.
type SecurityConfig struct {
	// PodSecurityContext of all pods. Defaults for unset fields: seccompProfile RuntimeDefault; and, if
	// neither runAsNonRoot nor runAsUser is set, runAsNonRoot with user 1000, the user of the Locust image, or
	// with the user that the platform assigns (OpenShift, or --pod-user=platform).
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	PodSecurityContext *corev1.PodSecurityContext `json:"podSecurityContext,omitempty"`

	// ContainerSecurityContext of all containers. Defaults for unset fields: no privilege escalation, all
	// capabilities dropped.
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	ContainerSecurityContext *corev1.SecurityContext `json:"containerSecurityContext,omitempty"`
}

// ObservabilityConfig configures telemetry of the test itself.
type ObservabilityConfig struct {
	// OpenTelemetry configures Locust's own OpenTelemetry export (--otel, Locust 2.32 or newer).
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	OpenTelemetry *OpenTelemetryConfig `json:"openTelemetry,omitempty"`
}

// OpenTelemetryConfig configures Locust's OpenTelemetry export.
// +kubebuilder:validation:XValidation:rule="!has(self.enabled) || !self.enabled || (has(self.endpoint) && size(self.endpoint) > 0)",message="endpoint is required when openTelemetry is enabled, for example http://otel-collector:4317"
type OpenTelemetryConfig struct {
	// Enabled passes --otel and sets the OTEL_* variables.
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:com.tectonic.ui:booleanSwitch"}
	// +optional
	Enabled bool `json:"enabled,omitempty"`

	// Endpoint of the OTLP collector, for example "http://otel-collector.monitoring:4317".
	// +kubebuilder:validation:MaxLength=2048
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Endpoint string `json:"endpoint,omitempty"`

	// Protocol of the OTLP exporter.
	// +kubebuilder:validation:Enum=grpc;http/protobuf
	// +kubebuilder:default=grpc
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Protocol string `json:"protocol,omitempty"`

	// Insecure turns TLS off for the exporter.
	// +kubebuilder:default=false
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:com.tectonic.ui:booleanSwitch"}
	// +optional
	Insecure bool `json:"insecure,omitempty"`

	// ExtraEnvVars are further OTEL_* variables, name to value.
	// +kubebuilder:validation:MaxProperties=1024
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	ExtraEnvVars map[string]string `json:"extraEnvVars,omitempty"`
}

// SuccessCriteria are limits for the final result of a test. All limits that are set must hold.
//
// +kubebuilder:validation:XValidation:rule="has(self.maxFailureRatio) || has(self.maxAverageResponseTime) || has(self.maxResponseTime) || has(self.minRequestsPerSecond) || has(self.minTotalRequests)",message="successCriteria needs at least one of maxFailureRatio, maxAverageResponseTime, maxResponseTime, minRequestsPerSecond, minTotalRequests"
// +kubebuilder:validation:XValidation:rule="!has(self.abortOnViolation) || !self.abortOnViolation || has(self.maxFailureRatio)",message="abortOnViolation watches maxFailureRatio; set maxFailureRatio, or remove abortOnViolation"
type SuccessCriteria struct {
	// MaxFailureRatio is the largest part of the requests that may fail, a decimal number between 0 and 1 as a
	// string, for example "0.01" for one percent.
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^(0([.][0-9]+)?|1([.]0+)?)$')",message="maxFailureRatio must be a decimal number between 0 and 1 in quotes, for example \"0.01\" for one percent"
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	MaxFailureRatio string `json:"maxFailureRatio,omitempty"`

	// MaxAverageResponseTime of all requests, for example 250ms.
	// +kubebuilder:validation:XValidation:rule="self != '' && self.matches('^([0-9]{1,6}([.][0-9]+)?h)?([0-9]{1,7}([.][0-9]+)?(m|s|ms|us|µs|ns)){0,3}$')",message="maxAverageResponseTime must be a duration, for example 250ms or 1.5s"
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	MaxAverageResponseTime *metav1.Duration `json:"maxAverageResponseTime,omitempty"`

	// MaxResponseTime per percentile of all requests.
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	MaxResponseTime *ResponseTimeLimits `json:"maxResponseTime,omitempty"`

	// MinRequestsPerSecond on average over the whole run, a decimal number as a string, for example "50" or "0.5".
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]+([.][0-9]+)?$')",message="minRequestsPerSecond must be a decimal number in quotes, for example \"50\" or \"0.5\""
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	MinRequestsPerSecond string `json:"minRequestsPerSecond,omitempty"`

	// MinTotalRequests is the minimum number of requests, failed ones included.
	// +kubebuilder:validation:Minimum=1
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	MinTotalRequests *int64 `json:"minTotalRequests,omitempty"`

	// AbortOnViolation ends the run early, as Failed, once maxFailureRatio can no longer hold: if it would be
	// exceeded even if no request failed during the rest of the run time. Without a run time (--run-time) the current
	// ratio decides. It needs the master's web API.
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:com.tectonic.ui:booleanSwitch"}
	// +optional
	AbortOnViolation bool `json:"abortOnViolation,omitempty"`

	// AbortGracePeriod is how long the load must run before the run may be aborted.
	// +kubebuilder:validation:XValidation:rule="self != '' && self.matches('^([0-9]{1,6}([.][0-9]+)?h)?([0-9]{1,7}([.][0-9]+)?(m|s|ms|us|µs|ns)){0,3}$')",message="abortGracePeriod must be a duration, for example 30s or 2m"
	// +kubebuilder:default="30s"
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	AbortGracePeriod *metav1.Duration `json:"abortGracePeriod,omitempty"`
}

// ResponseTimeLimits are the longest response times allowed, by percentile.
//
// +kubebuilder:validation:MinProperties=1
type ResponseTimeLimits struct {
	// P50 is the limit of the median, for example 100ms.
	// +kubebuilder:validation:XValidation:rule="self != '' && self.matches('^([0-9]{1,6}([.][0-9]+)?h)?([0-9]{1,7}([.][0-9]+)?(m|s|ms|us|µs|ns)){0,3}$')",message="p50 must be a duration, for example 250ms or 1.5s"
	// +operator-sdk:csv:customresourcedefinitions:type=spec,displayName="P50"
	// +optional
	P50 *metav1.Duration `json:"p50,omitempty"`

	// P90 is the limit of the 90th percentile.
	// +kubebuilder:validation:XValidation:rule="self != '' && self.matches('^([0-9]{1,6}([.][0-9]+)?h)?([0-9]{1,7}([.][0-9]+)?(m|s|ms|us|µs|ns)){0,3}$')",message="p90 must be a duration, for example 250ms or 1.5s"
	// +operator-sdk:csv:customresourcedefinitions:type=spec,displayName="P90"
	// +optional
	P90 *metav1.Duration `json:"p90,omitempty"`

	// P95 is the limit of the 95th percentile.
	// +kubebuilder:validation:XValidation:rule="self != '' && self.matches('^([0-9]{1,6}([.][0-9]+)?h)?([0-9]{1,7}([.][0-9]+)?(m|s|ms|us|µs|ns)){0,3}$')",message="p95 must be a duration, for example 250ms or 1.5s"
	// +operator-sdk:csv:customresourcedefinitions:type=spec,displayName="P95"
	// +optional
	P95 *metav1.Duration `json:"p95,omitempty"`

	// P99 is the limit of the 99th percentile.
	// +kubebuilder:validation:XValidation:rule="self != '' && self.matches('^([0-9]{1,6}([.][0-9]+)?h)?([0-9]{1,7}([.][0-9]+)?(m|s|ms|us|µs|ns)){0,3}$')",message="p99 must be a duration, for example 250ms or 1.5s"
	// +operator-sdk:csv:customresourcedefinitions:type=spec,displayName="P99"
	// +optional
	P99 *metav1.Duration `json:"p99,omitempty"`
}

// Progress is the progress of the load.
type Progress struct {
	// CurrentUsers is the number of users that Locust simulates; frozen at the end of the test.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	CurrentUsers int32 `json:"currentUsers"`

	// TargetUsers is the number of users that Locust is to simulate: by --users, LOCUST_USERS or its web UI. It is absent if
	// it is not known in advance, as with a load shape.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	// +optional
	TargetUsers *int32 `json:"targetUsers,omitempty"`

	// StartTime is when the load started; it may be later than the status' startTime, because Locust waits for its
	// workers.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// Elapsed is how long the load has been running.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	// +optional
	Elapsed *metav1.Duration `json:"elapsed,omitempty"`

	// Duration is how long the load is to run: by --run-time, LOCUST_RUN_TIME or Locust's web UI. It is absent without a
	// limit, and with a load shape.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	// +optional
	Duration *metav1.Duration `json:"duration,omitempty"`

	// Percent is elapsed in percent of duration, 0 to 100; absent without duration.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	// +optional
	Percent *int32 `json:"percent,omitempty"`
}

// Sources of the number of connected workers.
const (
	// WorkersSourceWebAPI is the web API of Locust's master.
	WorkersSourceWebAPI = "WebAPI"
	// WorkersSourceReporter is the termination message of the master's container.
	WorkersSourceReporter = "Reporter"
	// WorkersSourceReadyPods are the ready pods of the worker Job.
	WorkersSourceReadyPods = "ReadyPods"
)

// Sources of a test result.
const (
	// ResultSourceWebAPI is the web API of Locust's master.
	ResultSourceWebAPI = "WebAPI"
	// ResultSourceReporter is the termination message of the master's container.
	ResultSourceReporter = "Reporter"
)

// TestResult is what Locust measured over the whole test, all endpoints together. Response times have
// Locust's own precision.
type TestResult struct {
	// Final is true if Locust reported the result after the load had stopped: it is exact, and equal to the summary
	// that Locust prints.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	Final bool `json:"final"`

	// Source of the result: WebAPI, or Reporter.
	// +kubebuilder:validation:Enum=WebAPI;Reporter
	// +operator-sdk:csv:customresourcedefinitions:type=status
	Source string `json:"source"`

	// TotalRequests is the number of requests, failed ones included.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	TotalRequests int64 `json:"totalRequests"`

	// FailedRequests is the number of failed requests.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	FailedRequests int64 `json:"failedRequests"`

	// FailureRatio is failedRequests divided by totalRequests, a decimal number between 0 and 1 as a string.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	FailureRatio string `json:"failureRatio"`

	// RequestsPerSecond, a decimal number as a string: of the last seconds while the test runs, and the average over the
	// whole run once final is true.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	RequestsPerSecond string `json:"requestsPerSecond"`

	// AverageResponseTime; absent before the first request, as are the percentiles.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	// +optional
	AverageResponseTime *metav1.Duration `json:"averageResponseTime,omitempty"`

	// P50 is the median response time.
	// +operator-sdk:csv:customresourcedefinitions:type=status,displayName="P50"
	// +optional
	P50 *metav1.Duration `json:"p50,omitempty"`

	// P90 is the 90th percentile; absent while the test runs if Locust's web API does not report it.
	// +operator-sdk:csv:customresourcedefinitions:type=status,displayName="P90"
	// +optional
	P90 *metav1.Duration `json:"p90,omitempty"`

	// P95 is the 95th percentile; absent while the test runs if Locust's web API does not report it.
	// +operator-sdk:csv:customresourcedefinitions:type=status,displayName="P95"
	// +optional
	P95 *metav1.Duration `json:"p95,omitempty"`

	// P99 is the 99th percentile.
	// +operator-sdk:csv:customresourcedefinitions:type=status,displayName="P99"
	// +optional
	P99 *metav1.Duration `json:"p99,omitempty"`

	// Endpoints are the five worst endpoints: those with the most failures first, then the slowest.
	// +kubebuilder:validation:MaxItems=5
	// +listType=atomic
	// +operator-sdk:csv:customresourcedefinitions:type=status
	// +optional
	Endpoints []EndpointResult `json:"endpoints,omitempty"`

	// Errors are the five most frequent errors.
	// +kubebuilder:validation:MaxItems=5
	// +listType=atomic
	// +operator-sdk:csv:customresourcedefinitions:type=status
	// +optional
	Errors []ErrorResult `json:"errors,omitempty"`
}

// EndpointResult is what Locust measured at one endpoint.
type EndpointResult struct {
	// Method of the requests, for example GET.
	// +optional
	Method string `json:"method,omitempty"`

	// Name of the endpoint as Locust groups it; long names are truncated.
	Name string `json:"name"`

	// TotalRequests is the number of requests, failed ones included.
	TotalRequests int64 `json:"totalRequests"`

	// FailedRequests is the number of failed requests.
	FailedRequests int64 `json:"failedRequests"`

	// AverageResponseTime of the requests.
	// +optional
	AverageResponseTime *metav1.Duration `json:"averageResponseTime,omitempty"`

	// P95 is the 95th percentile; absent if Locust's web API does not report it.
	// +optional
	P95 *metav1.Duration `json:"p95,omitempty"`
}

// ErrorResult is one kind of error that Locust counted.
type ErrorResult struct {
	// Method of the requests; absent for an exception in the locustfile.
	// +optional
	Method string `json:"method,omitempty"`

	// Name of the endpoint; absent for an exception in the locustfile.
	// +optional
	Name string `json:"name,omitempty"`

	// Error is Locust's error message; long messages are truncated.
	Error string `json:"error"`

	// Occurrences of the error.
	Occurrences int64 `json:"occurrences"`
}

// LocustTestStatus is the observed state of a test. All of it is derived from the
// test's objects; nothing is accumulated. After Succeeded or Failed it does not change any more.
type LocustTestStatus struct {
	// ObservedGeneration is the metadata.generation that this status was derived from.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Phase of the test; it only moves forward, Succeeded and Failed are final.
	// +kubebuilder:validation:Enum=Pending;Running;Succeeded;Failed
	// +operator-sdk:csv:customresourcedefinitions:type=status,xDescriptors={"urn:alm:descriptor:io.kubernetes.phase"}
	// +optional
	Phase string `json:"phase,omitempty"`

	// ExpectedWorkers is worker.replicas of the spec that the run was started from, times the processes of each worker
	// (--processes).
	// +operator-sdk:csv:customresourcedefinitions:type=status
	// +optional
	ExpectedWorkers int32 `json:"expectedWorkers,omitempty"`

	// ConnectedWorkers is the number of workers connected to the master; connectedWorkersSource is the source of the
	// number. Frozen at the end of the test.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	// +optional
	ConnectedWorkers int32 `json:"connectedWorkers,omitempty"`

	// ConnectedWorkersSource is the source of connectedWorkers: WebAPI, Reporter, or ReadyPods, which counts the pods that
	// are ready while the master cannot be asked. Absent until the number is known.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	// +kubebuilder:validation:Enum=WebAPI;ReadyPods;Reporter
	// +optional
	ConnectedWorkersSource string `json:"connectedWorkersSource,omitempty"`

	// Workers is connectedWorkers/expectedWorkers as text, for example "8/10". For display only.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	// +optional
	Workers string `json:"workers,omitempty"`

	// StartTime is when the phase became Running.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// MasterPod is the name of the pod that runs Locust's master, or ran it. A run has one master pod: if the master
	// Job starts another, the run is lost.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	// +optional
	MasterPod string `json:"masterPod,omitempty"`

	// CompletionTime is when the master's Locust container ended, or when the operator decided that the test failed.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// Progress of the load, as reported by Locust's master; absent until the first report.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	// +optional
	Progress *Progress `json:"progress,omitempty"`

	// TestResult is what Locust measured: live while the test runs, exact once final is true. It outlives the pods.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	// +optional
	TestResult *TestResult `json:"testResult,omitempty"`

	// Report is the name of the LocustReport of the run, which the operator creates when the test has ended.
	// +operator-sdk:csv:customresourcedefinitions:type=status
	// +optional
	Report string `json:"report,omitempty"`

	// Conditions of the test: Ready, WorkersConnected, LoadDelivered, TestCompleted, PodsHealthy and SpecDrifted always;
	// Reconciling while Pending; Stalled when Failed.
	// +listType=map
	// +listMapKey=type
	// +patchStrategy=merge
	// +patchMergeKey=type
	// +operator-sdk:csv:customresourcedefinitions:type=status,xDescriptors={"urn:alm:descriptor:io.kubernetes.conditions"}
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`
}

// LocustTest is one distributed Locust load test.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=lotest,categories=locust
// +kubebuilder:storageversion
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Workers",type=string,JSONPath=`.status.workers`,description="connected/expected workers"
// +kubebuilder:printcolumn:name="Users",type=integer,JSONPath=`.status.progress.currentUsers`
// +kubebuilder:printcolumn:name="RPS",type=string,JSONPath=`.status.testResult.requestsPerSecond`,description="requests per second"
// +kubebuilder:printcolumn:name="Failures",type=integer,JSONPath=`.status.testResult.failedRequests`,description="failed requests"
// +kubebuilder:printcolumn:name="Load",type=string,JSONPath=`.status.conditions[?(@.type=="LoadDelivered")].reason`,priority=1,description="reason of the condition LoadDelivered"
// +kubebuilder:printcolumn:name="Image",type=string,JSONPath=`.spec.image`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="oldSelf.hasValue() || size(self.metadata.name) <= 51",optionalOldSelf=true,message="metadata.name must be no longer than 51 characters: Job, Service and worker names are made from it; choose a shorter name"
// +operator-sdk:csv:customresourcedefinitions:displayName="Locust Test",resources={{Job,v1,""},{Pod,v1,""},{Service,v1,""},{Event,v1,""}}
type LocustTest struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec LocustTestSpec `json:"spec"`
	// +optional
	Status LocustTestStatus `json:"status,omitempty"`

	// DecodeError is set by UnmarshalJSON if the test cannot be decoded. Spec is empty then, except for
	// worker.replicas.
	DecodeError *DecodeError `json:"-"`
}

// LocustTestList is a list of LocustTests.
//
// +kubebuilder:object:root=true
type LocustTestList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []LocustTest `json:"items"`
}
