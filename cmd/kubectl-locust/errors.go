package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/terminal"
)

// The exit codes.
const (
	exitFailed      = 1
	exitError       = 2
	exitInterrupted = 130 // as a shell reports SIGINT
)

// The roles that have the permissions of the commands, as config/rbac installs them.
const (
	viewerRole = "locust-k8s-operator-locusttest-viewer-role"
	editorRole = "locust-k8s-operator-locusttest-editor-role"
)

// errTestFailed is the result of commands that follow a test to a phase Failed. They have printed the cause.
var errTestFailed = errors.New("the test failed")

// interruptedError is the result of a command that the user has interrupted.
type interruptedError struct {
	// state is what became of the test.
	state string
}

func (e interruptedError) Error() string { return "interrupted: " + e.state }

// report prints the error of a command, and returns the exit code.
func (a *app) report(err error) int {
	var interrupted interruptedError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errTestFailed):
		return exitFailed
	case errors.As(err, &interrupted):
		fmt.Fprintln(a.ErrOut, terminal.Safe(err.Error()))
		return exitInterrupted
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(a.ErrOut, "interrupted")
		return exitInterrupted
	}
	fmt.Fprintln(a.ErrOut, "error: "+terminal.SafeLines(err.Error()))
	return exitError
}

// explain adds the remedy to an error of a request. action is what failed, for example "read the test ns/name", role is the ClusterRole
// with the permission.
func explain(action, role string, err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s: %w\nAsk an administrator for the ClusterRole %s or the role that it is aggregated into; see docs/plugin.md", action, err, role)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%s: %w\nLog in again: the API server does not accept the credentials of the kubeconfig", action, err)
	case isConnectionError(err):
		return fmt.Errorf("%s: %w\nCheck the connection and the context: kubectl cluster-info; kubectl config get-contexts", action, err)
	case apierrors.IsServerTimeout(err), apierrors.IsTimeout(err), apierrors.IsTooManyRequests(err), apierrors.IsServiceUnavailable(err):
		return fmt.Errorf("%s: %w\nTry again later: the API server is overloaded or starting", action, err)
	}
	return fmt.Errorf("%s: %w", action, err)
}

// isConnectionError reports whether a request has got no response, for another reason than an interrupt.
func isConnectionError(err error) bool {
	var request *url.Error
	return errors.As(err, &request) && !errors.Is(err, context.Canceled)
}
