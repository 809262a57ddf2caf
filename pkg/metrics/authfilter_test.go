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

// fakeAPIServer authenticates the tokens "reader" and "guest", and authorizes the reader to get /metrics.
type fakeAPIServer struct {
	tokens, accesses int
	err              error
	// authError is the error in the status of a TokenReview.
	authError string
}

func (s *fakeAPIServer) filter() *AuthFilter {
	set := fake.NewClientset()
	set.PrependReactor("create", "tokenreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		s.tokens++
		review := action.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		token := review.Spec.Token
		review.Status.Authenticated = token == "reader" || token == "guest"
		review.Status.User = authenticationv1.UserInfo{Username: token, Groups: []string{"all"}, Extra: map[string]authenticationv1.ExtraValue{"scope": {"a"}}}
		review.Status.Error = s.authError
		return true, review, s.err
	})
	set.PrependReactor("create", "subjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		s.accesses++
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		attributes := review.Spec.NonResourceAttributes
		review.Status.Allowed = review.Spec.User == "reader" && len(review.Spec.Groups) == 1 && len(review.Spec.Extra["scope"]) == 1 &&
			attributes != nil && attributes.Path == "/metrics" && attributes.Verb == "get"
		return true, review, nil
	})
	return newAuthFilter(set.AuthenticationV1().TokenReviews(), set.AuthorizationV1().SubjectAccessReviews())
}

func respond(handler http.Handler, method, path, header string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, path, http.NoBody)
	if header != "" {
		request.Header.Set("Authorization", header)
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder
}

func TestAuthFilter(t *testing.T) {
	s := &fakeAPIServer{}
	handler := s.filter().Handler(logr.Discard(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("metrics")) }))
	request := func(method, path, header string) *httptest.ResponseRecorder {
		return respond(handler, method, path, header)
	}
	for _, row := range []struct {
		name, method, path, header string
		code                       int
	}{
		{"no header", http.MethodGet, "/metrics", "", http.StatusUnauthorized},
		{"no token", http.MethodGet, "/metrics", "Bearer ", http.StatusUnauthorized},
		{"another scheme", http.MethodGet, "/metrics", "Basic reader", http.StatusUnauthorized},
		{"an unknown token", http.MethodGet, "/metrics", "Bearer unknown", http.StatusUnauthorized},
		{"without the right", http.MethodGet, "/metrics", "Bearer guest", http.StatusForbidden},
		{"the reader", http.MethodGet, "/metrics", "Bearer reader", http.StatusOK},
		{"any case", http.MethodGet, "/metrics", "bearer  reader", http.StatusOK},
		{"another verb", http.MethodPost, "/metrics", "Bearer reader", http.StatusForbidden},
		{"another path", http.MethodGet, "/debug", "Bearer reader", http.StatusForbidden},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := request(row.method, row.path, row.header)
			assert.Equal(t, row.code, got.Code)
			assert.Equal(t, row.code == http.StatusOK, got.Body.String() == "metrics", "nothing is served to others")
		})
	}
	tokens, accesses := s.tokens, s.accesses
	for _, header := range []string{"Bearer reader", "Bearer guest", "Bearer unknown"} {
		request(http.MethodGet, "/metrics", header)
	}
	assert.Equal(t, []int{tokens, accesses}, []int{s.tokens, s.accesses}, "all decisions are cached")

	s.err = errors.New("no connection to 10.96.0.1")
	refused := request(http.MethodGet, "/metrics", "Bearer new")
	assert.Equal(t, http.StatusServiceUnavailable, refused.Code, "fails closed")
	assert.NotContains(t, refused.Body.String(), "10.96", "the response does not contain the error")
	s.err, s.authError = nil, "invalid bearer token" // as a real API server reports
	assert.Equal(t, http.StatusUnauthorized, request(http.MethodGet, "/metrics", "Bearer new").Code, "failed reviews are not cached")
}

// TestAuthFilter_Flood: a flood of unknown tokens does not become a flood of requests to the API server.
func TestAuthFilter_Flood(t *testing.T) {
	s := &fakeAPIServer{}
	filter := s.filter()
	for range maxConcurrentReviews {
		filter.slots <- struct{}{}
	}
	request := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	request.Header.Set("Authorization", "Bearer unknown")
	recorder := httptest.NewRecorder()
	filter.Handler(logr.Discard(), http.NotFoundHandler()).ServeHTTP(recorder, request)
	assert.Equal(t, http.StatusServiceUnavailable, recorder.Code)
	assert.Zero(t, s.tokens, "no reviews")
}
