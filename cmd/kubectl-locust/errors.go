package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
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
	// unknownRole stands for a role that depends on the administrators, such as one for objects without a namespace.
	unknownRole = ""
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
		fmt.Fprintln(a.ErrOut, terminal.SafeLines(err.Error()))
		return exitInterrupted
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(a.ErrOut, "interrupted")
		return exitInterrupted
	}
	fmt.Fprintln(a.ErrOut, "error: "+terminal.SafeLines(err.Error()))
	return exitError
}

// explain adds the remedy to an error of a request. action is what failed, for example "read the test ns/name", role is the ClusterRole
// with the permission, or unknownRole. If the API server does not serve LocustTests, the error is errNotInstalled.
func explain(action, role string, err error) error {
	switch {
	case err == nil:
		return nil
	case isNotServed(err) && isAboutTests(err):
		return errNotInstalled
	case isAdmissionDenial(err):
		return fmt.Errorf("%s: %w\nNo role permits this: a quota, a policy or the state of the namespace refuses it. Change what the message names, or ask "+
			"an administrator", action, err)
	case apierrors.IsForbidden(err) && (role == unknownRole || strings.Contains(err.Error(), " cannot impersonate ")):
		return fmt.Errorf("%s: %w\nAsk an administrator for a role that permits this verb and resource; see docs/plugin.md", action, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s: %w\nAsk an administrator for the ClusterRole %s or the role that it is aggregated into; see docs/plugin.md", action, err, role)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%s: %w\nLog in again: the API server does not accept the credentials of the kubeconfig", action, err)
	case isConnectionError(err):
		return fmt.Errorf("%s: %w\nCheck the connection and the context: kubectl cluster-info and kubectl config get-contexts, with the same flags", action, err)
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

// isNotServed reports whether the API server does not serve a kind at all. It responds as to an object that does not exist, but the
// response is no Status, because no handler of a kind has written it.
func isNotServed(err error) bool {
	return meta.IsNoMatchError(err) || apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// isAboutTests reports whether an error names LocustTests as what was requested.
func isAboutTests(err error) bool {
	var kind *meta.NoKindMatchError
	if errors.As(err, &kind) {
		return kind.GroupKind == v2.GroupVersion.WithKind("LocustTest").GroupKind()
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return false
	}
	details := status.Status().Details
	return details.Group == v2.GroupVersion.Group && details.Kind == "locusttests"
}

// isAdmissionDenial reports whether a webhook, a policy, a quota or the end of the namespace refuses an object, which no role changes. The API
// server reports this and missing permissions in the same way, but for the text.
func isAdmissionDenial(err error) bool {
	if !apierrors.IsForbidden(err) {
		return false
	}
	return slices.ContainsFunc([]string{
		"denied the request", "denied request", "exceeded quota", "failed quota", "insufficient quota", "is being terminated",
		"violates PodSecurity", "usage per Container is", "usage per Pod is",
	}, func(text string) bool { return strings.Contains(err.Error(), text) })
}
