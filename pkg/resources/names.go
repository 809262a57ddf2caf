package resources

import (
	"strings"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// Role is the role of a pod in a test.
type Role string

const (
	// RoleMaster coordinates the workers, serves Locust's web API and decides when the test is over.
	RoleMaster Role = "master"
	// RoleWorker generates load.
	RoleWorker Role = "worker"
)

// TCP ports of the master.
const (
	// PortMaster is the port that workers connect to (Locust's --master-port).
	PortMaster = 5557
	// PortMasterBind was the second port of Locust before 1.0; scripts and network policies still name it.
	PortMasterBind = 5558
	// PortWeb serves Locust's web UI and API. The Service keeps it when the master listens on another (WebAPIOf).
	PortWeb = 8089
)

// MasterName returns the name of the master's Job, container and Service: "<test>-master". Dots become
// dashes because a Service name, and a pod's host name, is a single DNS label. So the tests "a.b" and
// "a-b" of one namespace need the same name: check the owner of an existing object.
func MasterName(test string) string {
	return objectName(test, RoleMaster)
}

// WorkerName returns the name of the worker Job and its container: "<test>-worker", dots become dashes.
func WorkerName(test string) string {
	return objectName(test, RoleWorker)
}

// maxReportName bounds the part of a report's name that comes from the test, so that the name has at most 253 characters.
const maxReportName = 253 - 1 - 8

// ReportName returns the name of the LocustReport of a test: "<test>-<first part of its UID>". So each run has its own, and a restarted
// operator creates no second one.
func ReportName(test *v2.LocustTest) string {
	name, uid := test.Name, strings.ReplaceAll(string(test.UID), "-", "")
	return strings.TrimRight(name[:min(len(name), maxReportName)], "-.") + "-" + uid[:min(len(uid), 8)]
}

func objectName(test string, role Role) string {
	return strings.ReplaceAll(test, ".", "-") + "-" + string(role)
}
