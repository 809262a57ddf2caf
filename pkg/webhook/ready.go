package webhook

import (
	"net/http"
	"sync/atomic"

	"sigs.k8s.io/controller-runtime/pkg/healthz"
)

// UntilStarted returns a checker that calls check until it succeeds once. Controller-runtime's check opens a TLS connection on
// each call, every few seconds during the whole lifetime of the operator. A server that stops with an error ends the process;
// one that no longer responds is noticed by the API server, whose requests fail.
func UntilStarted(check healthz.Checker) healthz.Checker {
	var started atomic.Bool
	return func(req *http.Request) error {
		if started.Load() {
			return nil
		}
		err := check(req)
		started.Store(err == nil)
		return err
	}
}
