// Package status derives the status of a LocustTest.
//
// It is pure: Derive maps the previous status, an observation and the current time to the next status, the Events and
// the time of the next reconcile; PlanFor maps the same input to the changes that the cluster needs. There is no I/O, no client,
// no clock and no logger. The same observation gives the same status, whatever the operator missed.
//
// The rules, by file:
//
//   - table.go: every condition type, status and reason, as data
//   - phase.go: Pending, Running, Succeeded, Failed, and the cause
//   - workers.go: connected workers and the condition WorkersConnected
//   - podhealth.go: the pod problems that the condition PodsHealthy reports
//   - load.go: the condition LoadDelivered
//   - conditions.go: the other conditions
//   - plan.go: what to create, grow, stop and expire
//   - events.go: the Kubernetes Events
//   - change.go: which differences need a status write, and when
package status
