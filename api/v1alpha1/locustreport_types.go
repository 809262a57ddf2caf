package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Bounds of a report. The schema has the same numbers.
const (
	// MaxReportBytes bounds a report as JSON, in bytes.
	MaxReportBytes = 512 << 10
	// MaxEndpoints, MaxErrors, MaxExceptions, MaxHistory and MaxWorkers bound the lists.
	MaxEndpoints  = 500
	MaxErrors     = 50
	MaxExceptions = 50
	MaxHistory    = 240
	MaxWorkers    = 500
	// MaxArguments bounds the arguments of the master, and MaxArgument each of them in bytes.
	MaxArguments = 64
	MaxArgument  = 1024
	// MaxVersion bounds the version of Locust in bytes.
	MaxVersion = 64
	// MaxMessage bounds the messages of the outcome in bytes.
	MaxMessage = 8192
)

// Fields of a report that Truncated names.
const (
	FieldSummary    = "summary"
	FieldEndpoints  = "endpoints"
	FieldErrors     = "errors"
	FieldExceptions = "exceptions"
	FieldHistory    = "history"
	FieldWorkers    = "workers"
	FieldArguments  = "run.arguments"
)

// LocustReport is the result of one finished LocustTest. The operator creates it once, at the end of the run, and nothing changes it
// afterwards. It is deleted with its test unless spec.report.retain was true when the run ended.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=lotreport,categories=locust
// +kubebuilder:storageversion
// +kubebuilder:printcolumn:name="Test",type=string,JSONPath=`.test.name`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.outcome.phase`
// +kubebuilder:printcolumn:name="Requests",type=integer,JSONPath=`.summary.totalRequests`
// +kubebuilder:printcolumn:name="Failures",type=integer,JSONPath=`.summary.failedRequests`,description="failed requests"
// +kubebuilder:printcolumn:name="P95",type=string,JSONPath=`.summary.p95`,description="95th percentile of the response times"
// +kubebuilder:printcolumn:name="RPS",type=string,JSONPath=`.summary.requestsPerSecond`,description="requests per second"
// +kubebuilder:printcolumn:name="Load",type=string,JSONPath=`.outcome.loadDelivered.reason`,priority=1,description="reason of the condition LoadDelivered"
// +kubebuilder:printcolumn:name="Image",type=string,JSONPath=`.run.image`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="has(self.summary) == has(oldSelf.summary) && has(self.endpoints) == has(oldSelf.endpoints) && has(self.errors) == has(oldSelf.errors) && has(self.exceptions) == has(oldSelf.exceptions) && has(self.history) == has(oldSelf.history) && has(self.workers) == has(oldSelf.workers) && has(self.truncated) == has(oldSelf.truncated)",message="a report is immutable"
type LocustReport struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Test is the LocustTest that ran.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a report is immutable"
	// +required
	Test Test `json:"test"`

	// Outcome is how the run ended, as in the status of the test.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a report is immutable"
	// +required
	Outcome Outcome `json:"outcome"`

	// Run is what ran, and when.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a report is immutable"
	// +required
	Run Run `json:"run"`

	// Summary is the result of all endpoints together, as in the status of the test; absent if Locust reported none.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a report is immutable"
	// +optional
	Summary *Summary `json:"summary,omitempty"`

	// Endpoints are the results of the single endpoints: those with the most failures first, then the slowest.
	// +kubebuilder:validation:MaxItems=500
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a report is immutable"
	// +listType=atomic
	// +optional
	Endpoints []Endpoint `json:"endpoints,omitempty"`

	// Errors are the failures of requests, by kind, most frequent first.
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a report is immutable"
	// +listType=atomic
	// +optional
	Errors []Error `json:"errors,omitempty"`

	// Exceptions are those of the locustfile, most frequent first.
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a report is immutable"
	// +listType=atomic
	// +optional
	Exceptions []Exception `json:"exceptions,omitempty"`

	// History is the load over time, oldest first, at equal intervals.
	// +kubebuilder:validation:MaxItems=240
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a report is immutable"
	// +listType=atomic
	// +optional
	History []HistoryPoint `json:"history,omitempty"`

	// Workers are the worker processes, the busiest first.
	// +kubebuilder:validation:MaxItems=500
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a report is immutable"
	// +listType=atomic
	// +optional
	Workers []Worker `json:"workers,omitempty"`

	// Truncated lists what the report lacks, and why; absent if it is complete.
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a report is immutable"
	// +listType=map
	// +listMapKey=field
	// +optional
	Truncated []Truncation `json:"truncated,omitempty"`
}

// Test identifies a LocustTest in the namespace of the report.
type Test struct {
	// Name of the test.
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// UID of the test.
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid"`
	// Generation of the test that the run was started from.
	Generation int64 `json:"generation"`
}

// Outcome is how a run ended.
type Outcome struct {
	// Phase of the test: Succeeded or Failed.
	// +kubebuilder:validation:Enum=Succeeded;Failed
	Phase string `json:"phase"`
	// Reason of the condition TestCompleted.
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason"`
	// Message of the condition TestCompleted; its first line is the cause.
	// +kubebuilder:validation:MaxLength=8192
	// +optional
	Message string `json:"message,omitempty"`
	// LoadDelivered is the condition LoadDelivered of the test.
	// +optional
	LoadDelivered *LoadDelivered `json:"loadDelivered,omitempty"`
}

// LoadDelivered is whether the load was delivered as planned.
type LoadDelivered struct {
	// Status of the condition: True, False or Unknown.
	// +kubebuilder:validation:Enum=True;False;Unknown
	Status metav1.ConditionStatus `json:"status"`
	// Reason of the condition.
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason"`
	// Message of the condition.
	// +kubebuilder:validation:MaxLength=8192
	// +optional
	Message string `json:"message,omitempty"`
}

// Run is what ran.
type Run struct {
	// StartTime is when the test became Running; absent if it never did.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// EndTime is the completionTime of the test.
	EndTime metav1.Time `json:"endTime"`
	// LoadStartTime is when the load started; absent if it did not, or if that is not known.
	// +optional
	LoadStartTime *metav1.Time `json:"loadStartTime,omitempty"`
	// LoadEndTime is when the load ended; absent if that is not known.
	// +optional
	LoadEndTime *metav1.Time `json:"loadEndTime,omitempty"`
	// LocustVersion is the version of Locust; absent if the reporter did not run.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	LocustVersion string `json:"locustVersion,omitempty"`
	// Image of master and workers.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Image string `json:"image,omitempty"`
	// Host is the target (--host), without credentials; absent if the locustfile sets it and the reporter did not run.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Host string `json:"host,omitempty"`
	// ExpectedWorkers is the number of worker processes of the run.
	ExpectedWorkers int32 `json:"expectedWorkers"`
	// ConnectedWorkers is the number of worker processes that were connected at the end of the load.
	ConnectedWorkers int32 `json:"connectedWorkers"`
	// Users is the number of users that Locust was to simulate; absent if it was not known in advance, as with a load shape.
	// +optional
	Users *int32 `json:"users,omitempty"`
	// RunTime is how long the load was to run; absent without a limit.
	// +optional
	RunTime *metav1.Duration `json:"runTime,omitempty"`
	// Arguments of the master. Values that look like secrets are replaced by "***".
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=1024
	// +listType=atomic
	// +optional
	Arguments []string `json:"arguments,omitempty"`
}

// Summary is the result of all endpoints together.
type Summary struct {
	// Final is true if Locust reported the result after the load had stopped.
	Final bool `json:"final"`
	// Source of the result: WebAPI, or Reporter.
	// +kubebuilder:validation:Enum=WebAPI;Reporter
	Source string `json:"source"`
	// FailureRatio is failedRequests divided by totalRequests, a decimal number between 0 and 1 as a string.
	// +kubebuilder:validation:MaxLength=32
	FailureRatio string `json:"failureRatio"`
	Statistics   `json:",inline"`
}

// Statistics are counts and response times. The response times are absent without a finished request, and each of them if its
// source does not have it.
type Statistics struct {
	// TotalRequests is the number of requests, failed ones included.
	TotalRequests int64 `json:"totalRequests"`
	// FailedRequests is the number of failed requests.
	FailedRequests int64 `json:"failedRequests"`
	// RequestsPerSecond is the average over the run, a decimal number as a string.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	RequestsPerSecond string `json:"requestsPerSecond,omitempty"`
	// AverageResponseTime of the requests.
	// +optional
	AverageResponseTime *metav1.Duration `json:"averageResponseTime,omitempty"`
	// Min is the shortest response time.
	// +optional
	Min *metav1.Duration `json:"min,omitempty"`
	// P50 is the median response time.
	// +optional
	P50 *metav1.Duration `json:"p50,omitempty"`
	// P90 is the 90th percentile.
	// +optional
	P90 *metav1.Duration `json:"p90,omitempty"`
	// P95 is the 95th percentile.
	// +optional
	P95 *metav1.Duration `json:"p95,omitempty"`
	// P99 is the 99th percentile.
	// +optional
	P99 *metav1.Duration `json:"p99,omitempty"`
	// P999 is the 99.9th percentile.
	// +optional
	P999 *metav1.Duration `json:"p999,omitempty"`
	// Max is the longest response time.
	// +optional
	Max *metav1.Duration `json:"max,omitempty"`
	// AverageContentBytes is the average size of a response in bytes.
	// +optional
	AverageContentBytes *int64 `json:"averageContentBytes,omitempty"`
}

// Endpoint is the result of one endpoint.
type Endpoint struct {
	// Method of the requests, for example GET.
	// +kubebuilder:validation:MaxLength=16
	// +optional
	Method string `json:"method,omitempty"`
	// Name of the endpoint as Locust groups it; long names are truncated.
	// +kubebuilder:validation:MaxLength=128
	Name       string `json:"name"`
	Statistics `json:",inline"`
}

// Error is one kind of failed requests.
type Error struct {
	// Method of the requests.
	// +kubebuilder:validation:MaxLength=16
	// +optional
	Method string `json:"method,omitempty"`
	// Name of the endpoint.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Name string `json:"name,omitempty"`
	// Error is Locust's message; long messages are truncated.
	// +kubebuilder:validation:MaxLength=256
	Error string `json:"error"`
	// Occurrences of the error.
	Occurrences int64 `json:"occurrences"`
}

// Exception is an exception in the locustfile.
type Exception struct {
	// Message of the exception; long messages are truncated.
	// +kubebuilder:validation:MaxLength=256
	Message string `json:"message"`
	// Occurrences of the exception.
	Occurrences int64 `json:"occurrences"`
}

// HistoryPoint is the load at one time, measured over the seconds before it.
type HistoryPoint struct {
	// Time of the point.
	Time metav1.Time `json:"time"`
	// Users that were running.
	Users int32 `json:"users"`
	// RequestsPerSecond, a decimal number as a string.
	// +kubebuilder:validation:MaxLength=32
	RequestsPerSecond string `json:"requestsPerSecond"`
	// FailuresPerSecond, a decimal number as a string.
	// +kubebuilder:validation:MaxLength=32
	FailuresPerSecond string `json:"failuresPerSecond"`
	// P50 is the median of the last seconds; absent without requests.
	// +optional
	P50 *metav1.Duration `json:"p50,omitempty"`
	// P95 is the 95th percentile of the last seconds; absent without requests.
	// +optional
	P95 *metav1.Duration `json:"p95,omitempty"`
}

// Worker is one worker process.
type Worker struct {
	// Name of the worker's pod.
	// +kubebuilder:validation:MaxLength=128
	Name string `json:"name"`
	// PeakProcessorPercent is the highest processor use in percent of one core.
	PeakProcessorPercent int32 `json:"peakProcessorPercent"`
	// PeakMemoryBytes is the highest memory use in bytes; absent if Locust does not report it.
	// +optional
	PeakMemoryBytes int64 `json:"peakMemoryBytes,omitempty"`
}

// Truncation is what one field of the report lacks.
type Truncation struct {
	// Field of the report, for example endpoints.
	// +kubebuilder:validation:MaxLength=64
	Field string `json:"field"`
	// Kept is the number of elements in the report.
	Kept int32 `json:"kept"`
	// Total is the number of elements that Locust had; absent if that is not known.
	// +optional
	Total *int32 `json:"total,omitempty"`
	// Message is why the others are missing.
	// +kubebuilder:validation:MaxLength=256
	Message string `json:"message"`
}

// LocustReportList is a list of LocustReports.
//
// +kubebuilder:object:root=true
type LocustReportList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []LocustReport `json:"items"`
}
