package webhook

import (
	"net/http"
	"sync/atomic"

	"sigs.k8s.io/controller-runtime/pkg/healthz"
)

// UntilStarted asks whether the server of the webhooks has started until it says so. Controller-runtime's check makes a TLS
// connection to it each time, which is most of what an operator without any tests would do; and a server that stops
// ends the process.
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
