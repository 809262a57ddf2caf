package v2

import "time"

// The schema's defaults, for objects that did not pass through the API server.
const (
	// DefaultLoadGuarantee is the default of loadGuarantee.
	DefaultLoadGuarantee = LoadGuaranteeBasic
	// DefaultAutostart is the default of master.autostart.
	DefaultAutostart = true
	// DefaultReporter is the default of master.reporter.
	DefaultReporter = true
	// DefaultSrcMountPath is the default of testFiles.srcMountPath.
	DefaultSrcMountPath = "/lotest/src"
	// DefaultLibMountPath is the default of testFiles.libMountPath.
	DefaultLibMountPath = "/opt/locust/lib"
	// DefaultAutoquitSeconds is the default of master.autoquit.timeout.
	DefaultAutoquitSeconds = int32(60)
	// DefaultAbortGracePeriod is the default of successCriteria.abortGracePeriod.
	DefaultAbortGracePeriod = 30 * time.Second
	// DefaultHistoryLimit is the default of report.historyLimit.
	DefaultHistoryLimit = int32(10)
	// DefaultOpenTelemetryProtocol is the default of observability.openTelemetry.protocol.
	DefaultOpenTelemetryProtocol = "grpc"
)
