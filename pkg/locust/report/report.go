// Package report decodes Locust's reports about a run: the response of its master's web API, and the final report that the
// reporter writes to the master container's termination message.
//
// Both come from the user's own code and are untrusted: sizes are bounded, numbers must be finite and not negative, text
// is truncated and made valid UTF-8. The package is pure: it reads bytes, and uses neither network nor clock.
package report

import (
	"slices"
	"time"
)

// Bounds of a decoded report.
const (
	// MaxEndpoints and MaxErrors bound the lists of the worst endpoints, and of the most frequent errors and exceptions.
	MaxEndpoints = 500
	MaxErrors    = 50
	// MaxHistory and MaxWorkers bound the lists of points and workers.
	MaxHistory = 240
	MaxWorkers = 500
	// MaxName, MaxMethod and MaxError bound texts in bytes.
	MaxName   = 128
	MaxMethod = 16
	MaxError  = 256
)

// State is a state of Locust's master (locust/runners.py).
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
	// StateStopped has no running users any more.
	StateStopped State = "stopped"
)

// Loading reports whether users are running.
func (s State) Loading() bool { return s == StateSpawning || s == StateRunning }

// Ended reports whether the load has ended or is ending.
func (s State) Ended() bool { return s == StateCleanup || s == StateStopping || s == StateStopped }

// Report is the state of the master at one moment.
type Report struct {
	State State
	// Users is the number of running users on all workers.
	Users int32
	// Workers is the number of workers that are connected and not missing: ready, spawning or running.
	Workers int32
	// Exact is true if the load has stopped and Stats, including the rate and all percentiles, cover the whole run.
	Exact bool
	// Target is the load that Locust is to generate; nil without a reporter that supports it.
	Target *Target
	// Delivery describes how the load was delivered; nil without a reporter that supports it.
	Delivery *Delivery
	// Busiest is the worker with the highest processor use at its last heartbeat; nil if unknown, and in a final report.
	Busiest *ProcessorUse
	// Details are what only the reporter knows; nil without a reporter that supports it, and while the load runs.
	Details *Details
	Stats
}

// Details are what only the reporter knows of a run.
type Details struct {
	// LocustVersion is the version of Locust, and Host the target without credentials; empty if unknown.
	LocustVersion, Host string
	// History is the load over time, oldest first, at equal intervals.
	History []Point
	// Workers are the worker processes, the busiest first.
	Workers []Worker
	// Counts is how much Locust had of each list.
	Counts Counts
	// Problem is why the lists cannot be read, or only in part; empty if all that the reporter wrote is there.
	Problem string
}

// Counts is how many elements the lists of Locust had.
type Counts struct {
	Endpoints, Errors, Exceptions, History, Workers int32
}

// Point is the load at one time.
type Point struct {
	Time                                 time.Time
	Users                                int32
	RequestsPerSecond, FailuresPerSecond float64
	// P50 and P95 are those of the last seconds; nil without requests.
	P50, P95 *time.Duration
}

// Worker is one worker process.
type Worker struct {
	// Name is that of the worker's pod.
	Name string
	// Processor is the highest use in percent of one core, and Memory the highest in bytes; zero if unknown.
	Processor float64
	Memory    int64
}

// Stats are the statistics of all endpoints together.
type Stats struct {
	// Requests and Failures count since the start of the load.
	Requests, Failures int64
	// RequestsPerSecond is that of the last seconds in a live report, and the average over the run in a final one.
	RequestsPerSecond float64
	// Average is the average response time; 0 without requests.
	Average time.Duration
	Percentiles
	Extremes
	// Endpoints are sorted by failures, then by response time, in descending order.
	Endpoints []Endpoint
	// Errors are those of requests, and Exceptions those of the user's code, most frequent first.
	Errors, Exceptions []Error
	// EndpointCount and ErrorCount are how many there are; more than in the lists if these are at their limit.
	EndpointCount, ErrorCount int32
}

// Percentiles are those of the response times over the whole run; nil if unknown.
type Percentiles struct {
	P50, P90, P95, P99, P999 *time.Duration
}

// Extremes are the shortest and the longest response time, and the average size of a response in bytes; nil if unknown.
type Extremes struct {
	Min, Max     *time.Duration
	ContentBytes *int64
}

// Endpoint holds the statistics of one endpoint.
type Endpoint struct {
	Method, Name       string
	Requests, Failures int64
	// RequestsPerSecond is that of the last seconds in a live report, and the average over the run in a final one.
	RequestsPerSecond float64
	Average           time.Duration
	Percentiles
	Extremes
}

// Error is one kind of failure. Method and Name are empty for an exception in the user's code.
type Error struct {
	Method, Name, Text string
	Occurrences        int64
}

// Final is the final report of the reporter.
type Final struct {
	// Report has the state and workers as of the last time the load was running.
	Report
	// Complete is true if the master ended normally. Otherwise the report is the last snapshot of a master that was
	// killed.
	Complete bool
	// LoadStart and LoadEnd are the times when the load started and ended; zero if it did not.
	LoadStart, LoadEnd time.Time
	// CustomExit is true if the exit code does not depend on failed requests: the user's code set it
	// (environment.process_exit_code), or an error ended the master.
	CustomExit bool
	// Log holds the last warnings and errors that the master logged, oldest first.
	Log []string
}

// TopErrors returns the most frequent errors and exceptions together.
func (s *Stats) TopErrors(limit int) []Error {
	all := slices.Concat(s.Errors, s.Exceptions)
	slices.SortStableFunc(all, compareErrors)
	return all[:min(len(all), limit)]
}

// AddDetails adds what only the reporter knows from its final report; nil adds nothing.
func (r *Report) AddDetails(f *Final) {
	if f == nil {
		return
	}
	r.Details, r.Exceptions = f.Details, f.Exceptions
	if r.P999 == nil {
		r.P999 = f.P999
	}
}
