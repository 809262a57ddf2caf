package webhook

import (
	"net/http"
	"sync/atomic"

	"sigs.k8s.io/controller-runtime/pkg/healthz"
)

// UntilStarted asks whether the server of the webhooks has started until it says so. Controller-runtime's check makes a TLS
// connection to it each time, every few seconds for as long as the operator lives. A server that stops with an error ends the
// process; one that hangs is no longer noticed here, but by the API server, whose requests to it fail.
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
