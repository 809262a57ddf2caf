package v2

// Condition types of a LocustTest. Reasons come only from the table in pkg/status, which also feeds docs/status.md.
const (
	// ConditionTypeReady tells whether the Service and both Jobs exist and nothing of them is known to be broken.
	ConditionTypeReady = "Ready"

	// ConditionTypeWorkersConnected tells whether all expected workers are connected to the master.
	ConditionTypeWorkersConnected = "WorkersConnected"

	// ConditionTypeLoadDelivered reports whether the load that was asked for was delivered. A success needs it, as far as
	// spec.loadGuarantee says.
	ConditionTypeLoadDelivered = "LoadDelivered"

	// ConditionTypeTestCompleted tells whether the test has finished, and how.
	ConditionTypeTestCompleted = "TestCompleted"

	// ConditionTypePodsHealthy carries the worst verdict over all pods of the test.
	ConditionTypePodsHealthy = "PodsHealthy"

	// ConditionTypeSpecDrifted tells whether the spec still is the one the run was started from.
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

// Reasons for ConditionTypeLoadDelivered, in the order in which the first that holds is reported.
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
	// ReasonSuspended is a reason for ConditionTypeReconciling, too.
	ReasonSuspended = "Suspended"
)

// Reasons for ConditionTypeSpecDrifted.
const (
	ReasonSpecInSync        = "SpecInSync"
	ReasonSpecChangeIgnored = "SpecChangeIgnored"
)

// Phases of a LocustTest. They only move forward; Succeeded and Failed are final.
const (
	// PhasePending: the status was initialised; the master does not run yet.
	PhasePending = "Pending"
	// PhaseRunning: the master's pod runs.
	PhaseRunning = "Running"
	// PhaseSucceeded: the master Job completed.
	PhaseSucceeded = "Succeeded"
	// PhaseFailed: the master Job failed, or the test cannot run; the condition TestCompleted tells why.
	PhaseFailed = "Failed"
)
