package metrics

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// reviewer is an API server that knows the tokens "reader" and "guest", of which the reader may get /metrics.
type reviewer struct {
	tokens, accesses int
	broken           error
	// trouble is what the authenticator says.
	trouble string
}

func (s *reviewer) access() *Access {
	set := fake.NewClientset()
	set.PrependReactor("create", "tokenreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		s.tokens++
		review := action.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		token := review.Spec.Token
		review.Status.Authenticated = token == "reader" || token == "guest"
		review.Status.User = authenticationv1.UserInfo{Username: token, Groups: []string{"all"}, Extra: map[string]authenticationv1.ExtraValue{"scope": {"a"}}}
		review.Status.Error = s.trouble
		return true, review, s.broken
	})
	set.PrependReactor("create", "subjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		s.accesses++
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		asked := review.Spec.NonResourceAttributes
		review.Status.Allowed = review.Spec.User == "reader" && len(review.Spec.Groups) == 1 && len(review.Spec.Extra["scope"]) == 1 &&
			asked != nil && asked.Path == "/metrics" && asked.Verb == "get"
		return true, review, nil
	})
	return newAccess(set.AuthenticationV1().TokenReviews(), set.AuthorizationV1().SubjectAccessReviews())
}

func TestAccess(t *testing.T) {
	s := &reviewer{}
	handler := s.access().Handler(logr.Discard(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("metrics")) }))
	ask := func(method, path, header string) *httptest.ResponseRecorder {
		request := httptest.NewRequest(method, path, http.NoBody)
		if header != "" {
			request.Header.Set("Authorization", header)
		}
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		return recorder
	}
	for _, row := range []struct {
		name, method, path, header string
		code                       int
	}{
		{"nobody", http.MethodGet, "/metrics", "", http.StatusUnauthorized},
		{"no token", http.MethodGet, "/metrics", "Bearer ", http.StatusUnauthorized},
		{"another scheme", http.MethodGet, "/metrics", "Basic reader", http.StatusUnauthorized},
		{"an unknown token", http.MethodGet, "/metrics", "Bearer thief", http.StatusUnauthorized},
		{"without the right", http.MethodGet, "/metrics", "Bearer guest", http.StatusForbidden},
		{"the reader", http.MethodGet, "/metrics", "Bearer reader", http.StatusOK},
		{"any case", http.MethodGet, "/metrics", "bearer  reader", http.StatusOK},
		{"another verb", http.MethodPost, "/metrics", "Bearer reader", http.StatusForbidden},
		{"another path", http.MethodGet, "/debug", "Bearer reader", http.StatusForbidden},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := ask(row.method, row.path, row.header)
			assert.Equal(t, row.code, got.Code)
			assert.Equal(t, row.code == http.StatusOK, got.Body.String() == "metrics", "nothing is served to the others")
		})
	}
	tokens, accesses := s.tokens, s.accesses
	for _, header := range []string{"Bearer reader", "Bearer guest", "Bearer thief"} {
		ask(http.MethodGet, "/metrics", header)
	}
	assert.Equal(t, []int{tokens, accesses}, []int{s.tokens, s.accesses}, "answers are remembered, also bad ones")

	s.broken = errors.New("no connection to 10.96.0.1")
	refused := ask(http.MethodGet, "/metrics", "Bearer new")
	assert.Equal(t, http.StatusServiceUnavailable, refused.Code, "in doubt nothing is served")
	assert.NotContains(t, refused.Body.String(), "10.96", "strangers are not told what the operator knows")
	s.broken, s.trouble = nil, "invalid bearer token" // as a real API server says
	assert.Equal(t, http.StatusUnauthorized, ask(http.MethodGet, "/metrics", "Bearer new").Code, "what could not be asked is not remembered")
}

// TestAccess_Flood: invented tokens do not become as many requests to the API server.
func TestAccess_Flood(t *testing.T) {
	s := &reviewer{}
	access := s.access()
	for range accessAtOnce {
		access.slots <- struct{}{}
	}
	request := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	request.Header.Set("Authorization", "Bearer invented")
	recorder := httptest.NewRecorder()
	access.Handler(logr.Discard(), http.NotFoundHandler()).ServeHTTP(recorder, request)
	assert.Equal(t, http.StatusServiceUnavailable, recorder.Code)
	assert.Zero(t, s.tokens, "nobody is asked")
}
