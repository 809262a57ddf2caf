// Package controllers runs LocustTests.
//
// Reconcile reads as the story: get, observe, ensure, derive, record; one file per verb. What to do and what
// the status says is decided in pkg/status, which is pure; how the objects look is decided in pkg/resources.
package controllers
