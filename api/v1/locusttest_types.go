package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// LocustTestSpec describes one load test. Each field has the meaning of the v2 field that it is converted to.
type LocustTestSpec struct {
	// MasterCommandSeed holds the base arguments of the master (v2: master.command), for example
	// "--locustfile /lotest/src/test.py --host https://example.com --users 100 --spawn-rate 10 --run-time 3m".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	// +kubebuilder:validation:XValidation:rule="self.matches('\\\\S')",message="masterCommandSeed must not be blank; give at least --locustfile PATH"
	// +kubebuilder:validation:XValidation:rule="self.matches('^(#[^\\n]*)?([^\\'\"\\\\\\\\]|\\\\\\\\[\\\\s\\\\S]|\\\\s#[^\\n]*|\\'[^\\']*\\'|\"([^\"\\\\\\\\]|\\\\\\\\[\\\\s\\\\S])*\")*$')",message="masterCommandSeed has an unbalanced quote or a trailing backslash; close the quote or escape it with a backslash"
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +required
	MasterCommandSeed string `json:"masterCommandSeed"`

	// WorkerCommandSeed holds the base arguments of every worker (v2: worker.command), for example
	// "--locustfile /lotest/src/test.py".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	// +kubebuilder:validation:XValidation:rule="self.matches('\\\\S')",message="workerCommandSeed must not be blank; give at least --locustfile PATH"
	// +kubebuilder:validation:XValidation:rule="self.matches('^(#[^\\n]*)?([^\\'\"\\\\\\\\]|\\\\\\\\[\\\\s\\\\S]|\\\\s#[^\\n]*|\\'[^\\']*\\'|\"([^\"\\\\\\\\]|\\\\\\\\[\\\\s\\\\S])*\")*$')",message="workerCommandSeed has an unbalanced quote or a trailing backslash; close the quote or escape it with a backslash"
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +required
	WorkerCommandSeed string `json:"workerCommandSeed"`

	// WorkerReplicas is the number of workers (v2: worker.replicas).
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=500
	// +kubebuilder:default=1
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:com.tectonic.ui:podCount"}
	// +optional
	WorkerReplicas int32 `json:"workerReplicas,omitempty"`

	// Image is the Locust container image of master and workers.
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

	// ImagePullSecrets are names of Secrets that hold registry credentials.
	// +kubebuilder:validation:MaxItems=64
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	ImagePullSecrets []string `json:"imagePullSecrets,omitempty"`

	// ConfigMap is the name of the ConfigMap with the locustfile (v2: testFiles.configMapRef).
	// +kubebuilder:validation:MaxLength=253
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:io.kubernetes:ConfigMap"}
	// +optional
	ConfigMap string `json:"configMap,omitempty"`

	// LibConfigMap is the name of the ConfigMap with library modules (v2: testFiles.libConfigMapRef).
	// +kubebuilder:validation:MaxLength=253
	// +operator-sdk:csv:customresourcedefinitions:type=spec,xDescriptors={"urn:alm:descriptor:io.kubernetes:ConfigMap"}
	// +optional
	LibConfigMap string `json:"libConfigMap,omitempty"`

	// Labels are added to the pods (v2: master.labels, worker.labels).
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Labels *PodMaps `json:"labels,omitempty"`

	// Annotations are added to the pods (v2: master.annotations, worker.annotations).
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Annotations *PodMaps `json:"annotations,omitempty"`

	// Affinity of all pods (v2: scheduling.affinity).
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Affinity *Affinity `json:"affinity,omitempty"`

	// Tolerations of all pods (v2: scheduling.tolerations).
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Tolerations []Toleration `json:"tolerations,omitempty"`
}

// PodMaps are labels or annotations of the master's pod and of the workers' pods.
type PodMaps struct {
	// Master are those of the master's pod.
	// +kubebuilder:validation:MaxProperties=1024
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Master map[string]string `json:"master,omitempty"`

	// Worker are those of the workers' pods.
	// +kubebuilder:validation:MaxProperties=1024
	// +operator-sdk:csv:customresourcedefinitions:type=spec
	// +optional
	Worker map[string]string `json:"worker,omitempty"`
}

// Affinity constrains the nodes of all pods.
type Affinity struct {
	// NodeAffinity lists labels that a node must have.
	// +optional
	NodeAffinity *NodeAffinity `json:"nodeAffinity,omitempty"`
}

// NodeAffinity lists labels that a node must have.
type NodeAffinity struct {
	// RequiredDuringSchedulingIgnoredDuringExecution maps labels to values; a node must have all of them.
	// The map has one owner: in v2 it is part of a list, from which server-side apply could not remove a single label.
	// +kubebuilder:validation:MaxProperties=1024
	// +mapType=atomic
	// +optional
	RequiredDuringSchedulingIgnoredDuringExecution map[string]string `json:"requiredDuringSchedulingIgnoredDuringExecution,omitempty"`
}

// Toleration lets pods run on nodes with a taint (Kubernetes API, Toleration).
type Toleration struct {
	// Key of the taint; empty with operator Exists means all taints.
	// +optional
	Key string `json:"key,omitempty"`

	// Operator is Exists or Equal; empty means Equal.
	// +optional
	Operator corev1.TolerationOperator `json:"operator,omitempty"`

	// Value of the taint, with operator Equal.
	// +optional
	Value string `json:"value,omitempty"`

	// Effect of the taint: NoSchedule, PreferNoSchedule or NoExecute; empty means all.
	// +optional
	Effect corev1.TaintEffect `json:"effect,omitempty"`
}

// LocustTest is one distributed Locust load test, in the older version of the API.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=lotest,categories=locust
// +kubebuilder:deprecatedversion:warning="locust.io/v1 LocustTest is deprecated; use locust.io/v2 LocustTest"
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
	Status v2.LocustTestStatus `json:"status,omitempty"`

	// DecodeError is set by UnmarshalJSON if the test cannot be decoded. Spec is empty then.
	DecodeError *v2.DecodeError `json:"-"`
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
