// Package controllers contains the LocustTest controller.
//
// Reconcile reads as its steps, most of them a file each: get, observe, plan, apply, derive, record, poll.
//
//   - get reads the test and what this process remembers of it (state.go).
//   - observe collects the test's objects, and the latest results of the background observers (pkg/background).
//   - plan (pkg/status) decides what to create, change and delete.
//   - apply carries out the plan, and returns what it changed.
//   - derive (pkg/status) computes the next status from the previous status and the observation.
//   - record writes the status if it differs, and sends the Events.
//   - poll requests the statistics of the Locust master if a poll is due. The result triggers another reconcile.
//
// The decisions are pure functions of pkg/status; pkg/validation says what cannot run, and
// pkg/resources builds the objects.
package controllers
