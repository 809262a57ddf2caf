// Package report is what Locust tells about a run: the answer of its master's web API, and the final report that the
// reporter leaves in the master container's termination message.
//
// Both come from the user's own code, so nothing in them is trusted: sizes are bounded, numbers have to be finite and
// not negative, text is cut and made valid UTF-8. The package is pure: it reads bytes, no network and no clock.
package report

import "time"

// Bounds of what is kept of a report; the status and the termination message are small.
const (
	// MaxEndpoints and MaxErrors are how many endpoints and errors are kept: the worst, the most frequent.
	MaxEndpoints = 5
	MaxErrors    = 5
	// MaxName, MaxMethod and MaxError bound texts in bytes.
	MaxName   = 128
	MaxMethod = 16
	MaxError  = 256
)

// State of Locust's master (locust/runners.py).
type State string

const (
	// StateReady waits for the start; workers may connect.
	StateReady State = "ready"
	// StateSpawning starts users.
	StateSpawning State = "spawning"
	// StateRunning has all its users.
	StateRunning State = "running"
	// StateCleanup stops the users of a Locust without workers.
	StateCleanup State = "cleanup"
	// StateStopping waits for the workers to stop their users.
	StateStopping State = "stopping"
	// StateStopped has no users at work any more.
	StateStopped State = "stopped"
)

// Loading tells whether users are at work.
func (s State) Loading() bool { return s == StateSpawning || s == StateRunning }

// Ended tells whether the load has ended or is ending.
func (s State) Ended() bool { return s == StateCleanup || s == StateStopping || s == StateStopped }

// Report is what the master knows at one moment.
type Report struct {
	State State
	// Users is the number of users at work on all workers.
	Users int32
	// Workers is the number of workers that are connected and not missing: ready, spawning or running.
	Workers int32
	// Exact is true when the load has stopped and Stats are those over the whole run, the rate and all percentiles too.
	Exact bool
	// Target is what Locust aims at; nil when there is no reporter that reports it.
	Target *Target
	// Delivery is how the load was delivered; nil when there is no reporter that reports it.
	Delivery *Delivery
	// Busiest is the worker that used most processor time when it was last asked; nil when it is not known, and in a final
	// report.
	Busiest *ProcessorUse
	Stats
}

// Stats are the statistics of all endpoints together.
type Stats struct {
	// Requests and Failures count since the start of the load.
	Requests, Failures int64
	// RequestsPerSecond is that of the last seconds in a live report, and the average over the run in a final one.
	RequestsPerSecond float64
	// Average response time; 0 without requests.
	Average time.Duration
	Percentiles
	// Endpoints, worst first (most failures, then the slowest), and Errors, most frequent first.
	Endpoints []Endpoint
	Errors    []Error
}

// Percentiles of the response times over the whole run; nil when they are not known.
type Percentiles struct {
	P50, P90, P95, P99 *time.Duration
}

// Endpoint is the statistics of one endpoint.
type Endpoint struct {
	Method, Name       string
	Requests, Failures int64
	Average            time.Duration
	P95                *time.Duration
}

// Error is one kind of failure. Method and Name are empty for an exception in the user's code.
type Error struct {
	Method, Name, Text string
	Occurrences        int64
}

// Final is what the reporter left behind.
type Final struct {
	// Report has the state and workers as of the time the load was running last.
	Report
	// Complete is true when the master came to its own end. Otherwise the report is the last snapshot of a master that
	// was killed.
	Complete bool
	// LoadStart and LoadEnd are when the load started and ended; zero when it did not.
	LoadStart, LoadEnd time.Time
	// CustomExit is true when the exit code is not Locust's word on the requests: the user's code set it
	// (environment.process_exit_code), or an error ended the master.
	CustomExit bool
	// Log are the last warnings and errors that the master logged, oldest first.
	Log []string
}
