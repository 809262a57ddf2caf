package v2

// Condition types of a LocustTest. Reasons come only from the table in pkg/status, which also feeds docs/status.md.
const (
	// ConditionTypeReady reports whether the Service and both Jobs exist and none of them is known to be broken.
	ConditionTypeReady = "Ready"

	// ConditionTypeWorkersConnected reports whether all expected workers are connected to the master.
	ConditionTypeWorkersConnected = "WorkersConnected"

	// ConditionTypeLoadDelivered reports whether the requested load was delivered. spec.loadGuarantee decides whether a test
	// can succeed without it.
	ConditionTypeLoadDelivered = "LoadDelivered"

	// ConditionTypeTestCompleted reports whether the test has finished, and with which outcome.
	ConditionTypeTestCompleted = "TestCompleted"

	// ConditionTypePodsHealthy reports the most severe problem of the test's pods.
	ConditionTypePodsHealthy = "PodsHealthy"

	// ConditionTypeSpecDrifted reports whether the spec has changed since the start of the run.
	ConditionTypeSpecDrifted = "SpecDrifted"

	// ConditionTypeReconciling is present, and True, only while the phase is Pending (kstatus convention).
	ConditionTypeReconciling = "Reconciling"

	// ConditionTypeStalled is present, and True, only when the phase is Failed (kstatus convention).
	ConditionTypeStalled = "Stalled"
)

// Reasons for ConditionTypeReady.
const (
	ReasonResourcesCreating = "ResourcesCreating"
	ReasonResourcesCreated  = "ResourcesCreated"
	ReasonResourcesFailed   = "ResourcesFailed"
)

// Reasons for ConditionTypeWorkersConnected.
const (
	ReasonWaitingForWorkers   = "WaitingForWorkers"
	ReasonAllWorkersConnected = "AllWorkersConnected"
	ReasonWorkersMissing      = "WorkersMissing"
)

// Reasons for ConditionTypeLoadDelivered, in order of precedence.
const (
	ReasonNotObserved        = "NotObserved"
	ReasonLoadNotStarted     = "LoadNotStarted"
	ReasonNoRequests         = "NoRequests"
	ReasonLoadCutShort       = "LoadCutShort"
	ReasonUsersMissing       = "UsersMissing"
	ReasonWorkersLost        = "WorkersLost"
	ReasonGeneratorSaturated = "GeneratorSaturated"
	ReasonLoadAsPlanned      = "LoadAsPlanned"
)

// Reasons for ConditionTypeTestCompleted.
const (
	ReasonTestInProgress = "TestInProgress"
	ReasonTestSucceeded  = "TestSucceeded"
	ReasonTestFailed     = "TestFailed"
)

// Reasons for ConditionTypePodsHealthy.
const (
	ReasonPodsStarting        = "PodsStarting"
	ReasonPodsHealthy         = "PodsHealthy"
	ReasonImagePullError      = "ImagePullError"
	ReasonConfigurationError  = "ConfigurationError"
	ReasonSchedulingError     = "SchedulingError"
	ReasonCrashLoopBackOff    = "CrashLoopBackOff"
	ReasonInitializationError = "InitializationError"
	ReasonCreationError       = "CreationError"
	// ReasonSuspended is also a reason for ConditionTypeReconciling.
	ReasonSuspended = "Suspended"
)

// Reasons for ConditionTypeSpecDrifted.
const (
	ReasonSpecInSync        = "SpecInSync"
	ReasonSpecChangeIgnored = "SpecChangeIgnored"
)

// Phases of a LocustTest. They only move forward; Succeeded and Failed are final.
const (
	// PhasePending: the status was initialized; the master does not run yet.
	PhasePending = "Pending"
	// PhaseRunning: the master's pod runs.
	PhaseRunning = "Running"
	// PhaseSucceeded: the master Job completed.
	PhaseSucceeded = "Succeeded"
	// PhaseFailed: the master Job failed, or the test cannot run; the condition TestCompleted has the reason.
	PhaseFailed = "Failed"
)
