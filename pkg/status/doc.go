// Package status derives the status of a LocustTest.
//
// It is pure: previous status + observation + now → next status, events, next wake-up (Derive), and
// previous status + observation + now → what the cluster lacks (PlanFor). No I/O, no client, no clock,
// no logger. Whatever the operator missed, the same observation gives the same status.
//
// The rules, by file:
//
//   - table.go: every condition type, status and reason there is, as data
//   - phase.go: Pending, Running, Succeeded, Failed, and why
//   - workers.go: connected workers and the condition WorkersConnected
//   - podhealth.go: the verdicts of the condition PodsHealthy
//   - conditions.go: the other conditions
//   - plan.go: what to create, grow, stop and expire
//   - events.go: what is told as Kubernetes Events
//   - change.go: which differences are worth a write, and when
package status
