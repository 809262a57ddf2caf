package locust

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"syscall"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

// Errors of Client.Stats, for errors.Is.
var (
	// ErrLogin reports a web UI that requires a login, which the operator does not have.
	ErrLogin = errors.New("requires a login (--web-login)")
	// ErrPermission reports an API server that denies the operator access to the pod's proxy.
	ErrPermission = errors.New(`the API server does not permit "get pods/proxy"`)
	// ErrRefused reports a master that does not listen: it is still starting, or serves no web UI on the port.
	ErrRefused = errors.New("connection refused")
	// ErrNoAnswer reports a timeout.
	ErrNoAnswer = errors.New("no answer in time")
	// ErrTooLarge reports a response larger than report.MaxResponseBytes.
	ErrTooLarge = fmt.Errorf("the response is larger than %d MiB", report.MaxResponseBytes>>20)
	// ErrNotLocust reports a response that is not in Locust's format; it also wraps a *report.DecodeError.
	ErrNotLocust = errors.New("the response is not from Locust")
)

const (
	closed  = "the connection was closed without an answer"
	noRoute = "no route to the web UI"
	noTLS   = "does not speak TLS"
)

// requestError is the error of a failed request. Its reason is the same for every request that fails in the same way,
// because it is shown in a condition: no local ports, no times, no pointers.
type requestError struct {
	reason string
	// detail is a more specific text than the reason; empty if there is none.
	detail string
	// causes are the wrapped errors.
	causes []error
}

func (e *requestError) Error() string {
	if e.detail != "" {
		return e.detail
	}
	return e.reason
}

func (e *requestError) Unwrap() []error { return e.causes }

// Is matches ErrRefused by its text, because the API server's proxy reports it only as text. If the API server itself
// refuses the connection, the reason differs.
func (e *requestError) Is(target error) bool {
	return target == ErrRefused && e.reason == ErrRefused.Error()
}

// Reason returns a short reason for an error of Client.Stats. The same failure has the same reason each time, so that it
// can be shown in a condition. It returns "" for nil.
func Reason(err error) string {
	var e *requestError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.reason
	}
	return "the request failed"
}

// newRequestError returns an error whose reason is one of the Err variables.
func newRequestError(reason error, causes ...error) error {
	return &requestError{reason: reason.Error(), causes: append(causes, reason)}
}

// notLocustError returns the error for a response that package report rejects.
func notLocustError(err error) error {
	e := &requestError{reason: ErrNotLocust.Error(), causes: []error{ErrNotLocust, err}}
	var decoding *report.DecodeError
	if errors.As(err, &decoding) {
		e.detail = e.reason + ": " + decoding.Error()
		e.reason += ": " + decoding.Reason()
	}
	return e
}

// transportError returns the error for a request that ended without a response.
func (c *Client) transportError(ctx context.Context, err error) error {
	switch {
	case errors.Is(context.Cause(ctx), ErrNoAnswer):
		return c.timeoutError(err)
	case errors.Is(ctx.Err(), context.Canceled):
		return &requestError{reason: "the request was canceled", causes: []error{ctx.Err()}}
	case ctx.Err() != nil: // the caller's own deadline
		return newRequestError(ErrNoAnswer, ctx.Err())
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return c.timeoutError(err)
	}
	reason := networkReason(err)
	if c.proxied {
		reason = "the API server: " + reason
	}
	return &requestError{reason: reason, causes: []error{err}}
}

// timeoutError returns the error for a request that exceeded the client's own timeout.
func (c *Client) timeoutError(err error) error {
	return &requestError{reason: fmt.Sprintf("no answer within %g s", c.timeout.Seconds()), causes: []error{ErrNoAnswer, err}}
}

// networkReason returns the reason for a network error. A connection that the server closes may end with EOF or a reset,
// so both have the same reason.
func networkReason(err error) string {
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err // without the address, which is not part of the reason
	}
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return ErrRefused.Error()
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return closed
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return noRoute
	case errors.As(err, &record):
		return noTLS
	}
	return matchReason(err.Error(), "the request failed")
}

// matchReason finds a reason in the text of an error of net/http, or of the API server for its own request to Locust.
func matchReason(text, otherwise string) string {
	for _, phrase := range []struct{ part, reason string }{
		{"connection refused", ErrRefused.Error()},
		{"connection reset", closed},
		{"broken pipe", closed},
		{"EOF", closed},
		{"no route to host", noRoute},
		{"network is unreachable", noRoute},
		{"address not allowed", "the pod has no IP address that the API server may connect to"},
		{"server gave HTTP response to HTTPS client", noTLS},
		{"first record does not look like a TLS handshake", noTLS},
		{"malformed ", "does not speak HTTP"},
		{"tls: ", "the TLS handshake failed"},
	} {
		if strings.Contains(text, phrase.part) {
			return phrase.reason
		}
	}
	return otherwise
}

// statusError returns the error for a response with a status other than 200. A proxied response may be the API server's own,
// which is a Kubernetes Status.
func (c *Client) statusError(resp *http.Response, body []byte) error {
	reason := fmt.Sprintf("HTTP status %d", resp.StatusCode)
	if status := parseStatus(body); c.proxied && status.Kind == "Status" {
		switch {
		case resp.StatusCode == http.StatusForbidden:
			return newRequestError(ErrPermission)
		case resp.StatusCode == http.StatusNotFound && status.Reason == "NotFound":
			return &requestError{reason: "the pod does not exist"}
		case strings.Contains(status.Message, "i/o timeout"), strings.Contains(status.Message, "deadline exceeded"):
			return newRequestError(ErrNoAnswer)
		}
		return &requestError{reason: matchReason(status.Message, "the API server: "+reason)}
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return newRequestError(ErrLogin)
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect:
		// Flask-Login leads to the view "locust.login" of web.py.
		if to, err := resp.Location(); err == nil && path.Base(to.Path) == "login" {
			return newRequestError(ErrLogin)
		}
	}
	return &requestError{reason: reason}
}

// status has the required fields of a metav1.Status.
type status struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	Reason  string `json:"reason"`
}

// parseStatus returns an empty status if the body is not a Status.
func parseStatus(body []byte) status {
	var s status
	if json.Unmarshal(body, &s) != nil {
		return status{}
	}
	return s
}
