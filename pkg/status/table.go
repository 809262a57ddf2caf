package status

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// Row is a state that a condition may have.
type Row struct {
	Type   string
	Status metav1.ConditionStatus
	Reason string
	// When describes when the condition has this state.
	When string
	// Do describes what the user should do about it.
	Do string
}

// Table lists every state that a condition of a LocustTest may have. Unit tests, the watcher of the end-to-end suite and
// docs/status.md use it; a state that is not in it is a defect.
var Table = []Row{
	{v2.ConditionTypeReady, metav1.ConditionFalse, v2.ReasonResourcesCreating,
		"The Service, the master Job or the worker Job does not exist yet.",
		"Wait. The message names terminating objects with the same names, for example of a previous test."},
	{v2.ConditionTypeReady, metav1.ConditionTrue, v2.ReasonResourcesCreated,
		"The Service and both Jobs exist and have no known problem. Stays True after Succeeded.",
		"Nothing."},
	{v2.ConditionTypeReady, metav1.ConditionFalse, v2.ReasonResourcesFailed,
		"An object could not be created, pods stayed unhealthy past the startup deadline, or the phase is Failed.",
		"Read the message: it names the field or object and contains the API server's error. While the phase is Pending the operator retries; once it is Failed, fix the cause, delete the test and create it again."},

	{v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWaitingForWorkers,
		"Not all expected workers have been connected to Locust's master at the same time yet.",
		"Wait; if it persists, check PodsHealthy and the workers' logs, or the master's log if the message reports that Locust's web API has not answered yet."},
	{v2.ConditionTypeWorkersConnected, metav1.ConditionTrue, v2.ReasonAllWorkersConnected,
		"At least the expected number of workers is connected. Frozen when the test ends.",
		"Nothing. If the message contains \"counted from the worker Job's ready pods\", it also shows why Locust's web API cannot be reached."},
	{v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWorkersMissing,
		"All workers were connected before, now fewer are, and the test is not complete. An unresponsive worker is missing too, although its pod is ready.",
		"Usually nothing: lost workers are replaced, up to a limit that the message then shows. If it persists, check PodsHealthy and the nodes; the load was lower than intended in the meantime."},

	{v2.ConditionTypeLoadDelivered, metav1.ConditionUnknown, v2.ReasonNotObserved,
		"Locust cannot be observed: there is neither a reporter nor a reachable web API, or they do not report enough. The message contains the reason. With loadGuarantee Strict a run that ends like this is Failed; otherwise Locust's exit code decides.",
		"Let the master run the reporter (spec.master.reporter, a locustfile named by path) or serve its web API (no --headless, no login)."},
	{v2.ConditionTypeLoadDelivered, metav1.ConditionUnknown, v2.ReasonLoadNotStarted,
		"No load has started yet, and the master has not ended.",
		"Wait, or check WorkersConnected and PodsHealthy. Without autostart, start the load in Locust's web UI."},
	{v2.ConditionTypeLoadDelivered, metav1.ConditionFalse, v2.ReasonNoRequests,
		"No request had finished 30 s after the load started, or by the time the master ended. The first request clears it. Fails the run unless loadGuarantee is None.",
		"Check --host, the target and its port, and the exceptions that the message names. Users that fire no request events need spec.loadGuarantee: None."},
	{v2.ConditionTypeLoadDelivered, metav1.ConditionFalse, v2.ReasonLoadCutShort,
		"The load ended early, and was not ended by its run time, a load shape, the web UI, the locustfile or `spec.stop`; for example all workers were lost. Fails the run unless loadGuarantee is None; after 30 s without workers the operator does not wait for the master.",
		"Check PodsHealthy and the workers' logs for why they ended; often their memory limit is too low."},
	{v2.ConditionTypeLoadDelivered, metav1.ConditionFalse, v2.ReasonUsersMissing,
		"For 30 s or more fewer users were running than Locust's target; users that ended by themselves are not missing. Fails the run when loadGuarantee is Strict.",
		"Check the workers' logs for exceptions in the users' __init__, and whether workers are too busy to start users; add workers."},
	{v2.ConditionTypeLoadDelivered, metav1.ConditionFalse, v2.ReasonWorkersLost,
		"A worker was lost during the load: its measurements since its last report are lost. Fails the run when loadGuarantee is Strict.",
		"Check why the worker ended: memory limit, eviction, a deleted pod."},
	{v2.ConditionTypeLoadDelivered, metav1.ConditionFalse, v2.ReasonGeneratorSaturated,
		"A worker used more than 90 % of the processor time available to it, in two samples at least 10 s apart: response times include delays in the generator. Fails the run when loadGuarantee is Strict.",
		"Add workers (worker.replicas), raise their CPU limit up to one core for each process, or use FastHttpUser."},
	{v2.ConditionTypeLoadDelivered, metav1.ConditionTrue, v2.ReasonLoadAsPlanned,
		"The load is running or has ended, and none of the other reasons applies.",
		"Nothing."},

	{v2.ConditionTypeTestCompleted, metav1.ConditionFalse, v2.ReasonTestInProgress,
		"The test has not started, or is running, as shown in the message.",
		"Wait."},
	{v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestSucceeded,
		"The phase is Succeeded: the master exited with code 0, or with a code that the success criteria permit, the load was delivered, and success criteria, if there are any, are met.",
		"Nothing."},
	{v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed,
		"The phase is Failed; the message contains the cause, for example the exit code with the most frequent errors or the last log lines, or the success criterion with its limit and the measured value.",
		"Fix the cause, delete the test and create it again."},

	{v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsStarting,
		"No pod has a known problem, and not all pods are running yet.",
		"Wait."},
	{v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsHealthy,
		"All expected pods are running.",
		"Nothing."},
	{v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonSuspended,
		"A Job of the test is suspended, or its parallelism is 0, for example by a queue: the master Job before its pod has started, or the worker Job before the load has started. The startup deadline does not apply.",
		"Wait until the queue resumes the Job, or resume it: kubectl patch job NAME --type merge -p '{\"spec\":{\"suspend\":false}}'."},
	{v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v2.ReasonImagePullError,
		"The image of a pod cannot be pulled.",
		"Check spec.image, spec.imagePullPolicy, spec.imagePullSecrets and the registry. An image that appears before the startup deadline is picked up."},
	{v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v2.ReasonConfigurationError,
		"A ConfigMap, Secret, key or volume that a pod needs does not exist or cannot be mounted, or its container cannot be created.",
		"Create what the message names; the pod picks it up before the startup deadline."},
	{v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v2.ReasonSchedulingError,
		"The scheduler finds no node for a pod.",
		"Check spec.scheduling and the resource requests against the nodes, or add nodes."},
	{v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v2.ReasonCrashLoopBackOff,
		"A container fails repeatedly.",
		"Read the exit code and the last log lines in the message, then the pod's log."},
	{v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v2.ReasonInitializationError,
		"An init container fails, or the pod's sandbox or network cannot be set up.",
		"Check what your cluster injects into pods, and the node."},
	{v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v2.ReasonCreationError,
		"The Job controller cannot create pods, or the operator cannot create the Service or a Job: a quota, a limit range or an admission policy rejects them, or an object of that name has another owner.",
		"Raise the quota, satisfy the policy or delete the object that the message names; missing objects are created as soon as possible before the startup deadline."},

	{v2.ConditionTypeSpecDrifted, metav1.ConditionFalse, v2.ReasonSpecInSync,
		"The spec is the one the run was started from.",
		"Nothing."},
	{v2.ConditionTypeSpecDrifted, metav1.ConditionTrue, v2.ReasonSpecChangeIgnored,
		"The spec was changed after the run's Jobs were created; the run continues unchanged.",
		"Revert the change, or delete the test and create it with the new spec."},

	{v2.ConditionTypeReconciling, metav1.ConditionTrue, v2.ReasonResourcesCreating,
		"The phase is Pending and objects are missing. Absent in any other phase.",
		"Wait."},
	{v2.ConditionTypeReconciling, metav1.ConditionTrue, v2.ReasonPodsStarting,
		"The phase is Pending and the master is not running yet. Absent in any other phase.",
		"Wait, or check PodsHealthy."},
	{v2.ConditionTypeReconciling, metav1.ConditionTrue, v2.ReasonSuspended,
		"The phase is Pending and a Job of the test is suspended. Absent in any other phase.",
		"See PodsHealthy."},
	{v2.ConditionTypeStalled, metav1.ConditionTrue, v2.ReasonTestFailed,
		"The phase is Failed. Absent in any other phase.",
		"See TestCompleted."},
}

// PermanentTypes are the condition types that are present from the first status write on.
var PermanentTypes = []string{
	v2.ConditionTypeReady,
	v2.ConditionTypeWorkersConnected,
	v2.ConditionTypeLoadDelivered,
	v2.ConditionTypeTestCompleted,
	v2.ConditionTypePodsHealthy,
	v2.ConditionTypeSpecDrifted,
}

// Known reports whether the table has a row for the condition's type, status and reason.
func Known(c metav1.Condition) bool {
	for _, row := range Table {
		if row.Type == c.Type && row.Status == c.Status && row.Reason == c.Reason {
			return true
		}
	}
	return false
}
