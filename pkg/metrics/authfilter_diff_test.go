package metrics

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
)

// reviewServer is an API server with the two review APIs. It knows the tokens "reader", who may get /metrics, and "guest", who
// may do nothing.
type reviewServer struct {
	*httptest.Server
	// failTokens and failAccess are the status codes that TokenReviews and SubjectAccessReviews fail with; zero means success.
	failTokens, failAccess int
	reviews                atomic.Int32
}

func newReviewServer(t *testing.T) *reviewServer {
	s := &reviewServer{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /apis/authentication.k8s.io/v1/tokenreviews", func(w http.ResponseWriter, r *http.Request) {
		review := &authenticationv1.TokenReview{}
		s.serve(t, w, r, s.failTokens, review, func() {
			switch review.Spec.Token {
			case "reader", "guest":
				review.Status.Authenticated = true
				review.Status.User = authenticationv1.UserInfo{
					Username: review.Spec.Token, UID: "uid", Groups: []string{"all", "system:authenticated"},
					Extra: map[string]authenticationv1.ExtraValue{"scope": {"a"}},
				}
			case "expired": // as service account tokens that have expired
				review.Status.Error = "[invalid bearer token, service account token has expired]"
			default:
				review.Status.Error = "invalid bearer token"
			}
		})
	})
	mux.HandleFunc("POST /apis/authorization.k8s.io/v1/subjectaccessreviews", func(w http.ResponseWriter, r *http.Request) {
		review := &authorizationv1.SubjectAccessReview{}
		s.serve(t, w, r, s.failAccess, review, func() {
			spec := review.Spec
			complete := spec.UID == "uid" && len(spec.Groups) == 2 && len(spec.Extra["scope"]) == 1 && spec.ResourceAttributes == nil
			assert.True(t, complete, "incomplete review: %+v", spec)
			attributes := spec.NonResourceAttributes
			review.Status.Allowed = spec.User == "reader" && attributes != nil && attributes.Path == "/metrics" && attributes.Verb == "get"
		})
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// serve decodes the review, completes it, and sends it back; or fails with a status code.
func (s *reviewServer) serve(t *testing.T, w http.ResponseWriter, r *http.Request, fail int, review any, complete func()) {
	s.reviews.Add(1)
	w.Header().Set("Content-Type", "application/json")
	if fail != 0 {
		w.WriteHeader(fail)
		reason := metav1.StatusReasonInternalError
		if fail == http.StatusForbidden {
			reason = metav1.StatusReasonForbidden
		}
		_ = json.NewEncoder(w).Encode(metav1.Status{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Reason: reason, Code: int32(fail),
		})
		return
	}
	if !assert.NoError(t, json.NewDecoder(r.Body).Decode(review)) {
		return
	}
	complete()
	_ = json.NewEncoder(w).Encode(review)
}

// filtered returns both filters, with the same server and the same handler.
func (s *reviewServer) filtered(t *testing.T) (own, theirs http.Handler) {
	config := &rest.Config{Host: s.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("metrics")) })
	filter, err := NewAuthFilter(config, s.Client())
	require.NoError(t, err)
	provide, err := filters.WithAuthenticationAndAuthorization(config, s.Client())
	require.NoError(t, err)
	theirs, err = provide(logr.Discard(), next)
	require.NoError(t, err)
	return filter.Handler(logr.Discard(), next), theirs
}

func serveMetrics(handler http.Handler, method, path, header string) (code int, served bool) {
	recorder := respond(handler, method, path, header)
	return recorder.Code, recorder.Body.String() == "metrics"
}

// TestAuthFilter_Differential compares AuthFilter with the filter of controller-runtime: both serve the same requests, and
// respond with the same status code, with these intended differences:
//
//   - An unknown or expired token is 401 here, and 500 there, where the authenticator returns an error for it.
//   - A failing API server is 503 here, and 500 there: it is not this server's fault, and the client should try again.
//   - Several spaces after "Bearer" are accepted here, as RFC 9110 does (1*SP). There the token is empty.
//   - A second word after the token is part of the token here, so that it is unknown. There it is ignored.
//
// Caches differ too (TestAuthFilter tests the one here). There TokenReviews are cached for 1 min, and SubjectAccessReviews for
// 5 min if allowed and 30 s if denied; here the decision is cached for 1 min or 10 s. There a failed review is retried with
// back-off for some seconds; here the client has to retry.
func TestAuthFilter_Differential(t *testing.T) {
	const get, metrics, reader = http.MethodGet, "/metrics", "Bearer reader"
	type failure struct{ tokens, access int }
	for name, row := range map[string]struct {
		method, path, header string
		failure              failure
		code                 int
		// theirs is controller-runtime's status code if it differs.
		theirs int
	}{
		"no header":               {method: get, path: metrics, code: 401},
		"no token":                {method: get, path: metrics, header: "Bearer", code: 401},
		"empty token":             {method: get, path: metrics, header: "Bearer ", code: 401},
		"only a token":            {method: get, path: metrics, header: "reader", code: 401},
		"another scheme":          {method: get, path: metrics, header: "Basic reader", code: 401},
		"prefix of a scheme":      {method: get, path: metrics, header: "Bearerer reader", code: 401},
		"separated by a tab":      {method: get, path: metrics, header: "Bearer\treader", code: 401},
		"lower case":              {method: get, path: metrics, header: "bearer reader", code: 200},
		"trailing space":          {method: get, path: metrics, header: "Bearer reader ", code: 200},
		"two spaces":              {method: get, path: metrics, header: "Bearer  reader", code: 200, theirs: 401},
		"two tokens":              {method: get, path: metrics, header: "Bearer reader guest", code: 401, theirs: 200},
		"unknown token":           {method: get, path: metrics, header: "Bearer unknown", code: 401, theirs: 500},
		"expired token":           {method: get, path: metrics, header: "Bearer expired", code: 401, theirs: 500},
		"without the right":       {method: get, path: metrics, header: "Bearer guest", code: 403},
		"right token":             {method: get, path: metrics, header: reader, code: 200},
		"with a query":            {method: get, path: "/metrics?a=b", header: reader, code: 200},
		"another path":            {method: get, path: "/debug", header: reader, code: 403},
		"path below":              {method: get, path: "/metrics/x", header: reader, code: 403},
		"trailing slash":          {method: get, path: "/metrics/", header: reader, code: 403},
		"path in upper case":      {method: get, path: "/METRICS", header: reader, code: 403},
		"POST":                    {method: http.MethodPost, path: metrics, header: reader, code: 403},
		"HEAD":                    {method: http.MethodHead, path: metrics, header: reader, code: 403},
		"lower-case method":       {method: "get", path: metrics, header: reader, code: 200},
		"token review forbidden":  {method: get, path: metrics, header: reader, failure: failure{tokens: 403}, code: 503, theirs: 500},
		"token review fails":      {method: get, path: metrics, header: reader, failure: failure{tokens: 500}, code: 503, theirs: 500},
		"access review forbidden": {method: get, path: metrics, header: reader, failure: failure{access: 403}, code: 503, theirs: 500},
		"access review fails":     {method: get, path: metrics, header: reader, failure: failure{access: 500}, code: 503, theirs: 500},
		"failing, without token":  {method: get, path: metrics, failure: failure{500, 500}, code: 401},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // their filter retries for seconds
			s := newReviewServer(t)
			s.failTokens, s.failAccess = row.failure.tokens, row.failure.access
			own, theirs := s.filtered(t)
			want := row.theirs
			if want == 0 {
				want = row.code
			}
			for range 2 { // the second response may come from a cache
				code, served := serveMetrics(own, row.method, row.path, row.header)
				assert.Equal(t, row.code, code, "AuthFilter")
				assert.Equal(t, code == http.StatusOK, served, "AuthFilter serves the metrics")
			}
			code, served := serveMetrics(theirs, row.method, row.path, row.header)
			assert.Equal(t, want, code, "controller-runtime")
			assert.Equal(t, code == http.StatusOK, served, "controller-runtime serves the metrics")
		})
	}
}

// TestAuthFilter_DifferentialUnreachable: the API server does not accept connections.
func TestAuthFilter_DifferentialUnreachable(t *testing.T) {
	s := newReviewServer(t)
	own, theirs := s.filtered(t)
	s.Close()
	code, _ := serveMetrics(own, http.MethodGet, "/metrics", "Bearer reader")
	assert.Equal(t, http.StatusServiceUnavailable, code)
	code, _ = serveMetrics(theirs, http.MethodGet, "/metrics", "Bearer reader")
	assert.Equal(t, http.StatusInternalServerError, code)
	assert.Zero(t, s.reviews.Load())
}
