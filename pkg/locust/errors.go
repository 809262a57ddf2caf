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

// What may be wrong, for errors.Is.
var (
	// ErrLogin is a web UI that asks for a login, which the operator has none for.
	ErrLogin = errors.New("asks for a login (--web-login)")
	// ErrPermission is an API server that does not let the operator through to the pod.
	ErrPermission = errors.New(`the API server does not permit "get pods/proxy"`)
	// ErrRefused is a master that does not listen: it has not come that far yet, or serves no web UI there.
	ErrRefused = errors.New("connection refused")
	// ErrNoAnswer is an answer that did not come in time.
	ErrNoAnswer = errors.New("no answer in time")
	// ErrTooLarge is an answer beyond report.MaxAnswer.
	ErrTooLarge = fmt.Errorf("the answer is larger than %d MiB", report.MaxResponseBytes>>20)
	// ErrNotLocust is an answer that is not of Locust's form; a *report.DecodeError is in it, too.
	ErrNotLocust = errors.New("the answer is not Locust's")
)

const (
	closed  = "the connection was closed without an answer"
	noRoute = "no route to the web UI"
	noTLS   = "does not speak TLS"
)

// requestError is a request that failed. Its text is the reason, which holds nothing that changes from one request to
// the next: no ports of this side, no times, no pointers. It goes into a condition.
type requestError struct {
	reason string
	// detail is the error's text where it may tell more than the reason.
	detail string
	// causes are what errors.Is and errors.As find.
	causes []error
}

func (e *requestError) Error() string {
	if e.detail != "" {
		return e.detail
	}
	return e.reason
}

func (e *requestError) Unwrap() []error { return e.causes }

// Is finds ErrRefused by its words, because an API server in between tells it in words only. One that refuses itself is
// another reason.
func (e *requestError) Is(target error) bool {
	return target == ErrRefused && e.reason == ErrRefused.Error()
}

// Reason says in a few words why Client.Stats failed. The same failure has the same reason each time, so that it can be
// shown in a condition. Without an error it is empty.
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

// newRequestError is an error with one of the texts above.
func newRequestError(reason error, causes ...error) error {
	return &requestError{reason: reason.Error(), causes: append(causes, reason)}
}

// notLocustError is the error for an answer that report does not accept.
func notLocustError(err error) error {
	e := &requestError{reason: ErrNotLocust.Error(), causes: []error{ErrNotLocust, err}}
	var decoding *report.DecodeError
	if errors.As(err, &decoding) {
		e.detail = e.reason + ": " + decoding.Error()
		e.reason += ": " + decoding.Reason()
	}
	return e
}

// transportError is the error for a request that ended without an answer.
func (c *Client) transportError(ctx context.Context, err error) error {
	switch {
	case errors.Is(context.Cause(ctx), ErrNoAnswer):
		return c.timeoutError(err)
	case errors.Is(ctx.Err(), context.Canceled):
		return &requestError{reason: "the request was called off", causes: []error{ctx.Err()}}
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

// timeoutError is the error for an answer that did not come within the client's own limit.
func (c *Client) timeoutError(err error) error {
	return &requestError{reason: fmt.Sprintf("no answer within %g s", c.timeout.Seconds()), causes: []error{ErrNoAnswer, err}}
}

// networkReason is what is wrong with the connection. A server that closes a connection is seen as its end or as a reset,
// whichever comes first, so that both have the same text.
func networkReason(err error) string {
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err // without the address, which is no part of what went wrong
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

// matchReason finds a reason in the text of an error: that of net/http, or that of the API server about its own request to
// Locust.
func matchReason(text, otherwise string) string {
	for _, phrase := range []struct{ part, reason string }{
		{"connection refused", ErrRefused.Error()},
		{"connection reset", closed},
		{"broken pipe", closed},
		{"EOF", closed},
		{"no route to host", noRoute},
		{"network is unreachable", noRoute},
		{"address not allowed", "the pod has no IP address that may be asked"},
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

// statusError is the error for an answer with another status than 200. Through the API server it may be the API server's
// own, which is a Status of Kubernetes.
func (c *Client) statusError(resp *http.Response, body []byte) error {
	reason := fmt.Sprintf("HTTP status %d", resp.StatusCode)
	if status := parseStatus(body); c.proxied && status.Kind == "Status" {
		switch {
		case resp.StatusCode == http.StatusForbidden:
			return newRequestError(ErrPermission)
		case resp.StatusCode == http.StatusNotFound && status.Reason == "NotFound":
			return &requestError{reason: "the pod is not there"}
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

// status is what is needed of a metav1.Status.
type status struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	Reason  string `json:"reason"`
}

// parseStatus is empty when the body is another.
func parseStatus(body []byte) status {
	var s status
	if json.Unmarshal(body, &s) != nil {
		return status{}
	}
	return s
}
