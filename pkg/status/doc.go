// Package status derives the status of a LocustTest.
//
// It is pure: Derive maps the previous status, an observation and the current time to the next status, the Events and
// the time of the next reconcile; PlanFor maps the same input to the changes that the cluster needs. There is no I/O, no client,
// no clock and no logger. The same observation gives the same status, whatever the operator missed.
//
// Derive fills the facts once (facts.go), and walks through the rules in this order:
//
//   - podhealth.go: the pod problems that the condition PodsHealthy reports
//   - workers.go: connected workers
//   - load.go: whether the load was delivered
//   - phase.go and criteria.go: Pending, Running, Succeeded, Failed, and the cause
//   - conditions.go: the conditions
//   - progress.go: live progress and the result
//   - events.go: the Kubernetes Events
//   - poll.go: when to poll the master
//
// plan.go says what to create, grow, stop and expire; change.go which differences need a status write; table.go contains every
// condition type, status and reason as data, and timing.go every interval and grace period. The other files contain what
// several rules read.
package status
