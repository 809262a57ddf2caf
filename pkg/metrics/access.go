package metrics

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
)

const (
	// accessTTL is how long the API server's yes is good: so often a scraper costs two requests. refusalTTL is how long its
	// no is.
	accessTTL, refusalTTL = time.Minute, 10 * time.Second
	// accessAtOnce is how many questions are asked at the same time: invented tokens must not become a flood of requests to
	// the API server, in the operator's name.
	accessAtOnce = 4
	// accessMost is how many answers are kept; a flood of invented tokens takes no more memory than that.
	accessMost = 256
	// accessPatience bounds the questions to the API server.
	accessPatience = 10 * time.Second
)

// Access lets only those read the metrics whose bearer token the API server knows (TokenReview) and who may do what they
// ask for on a non-resource URL (SubjectAccessReview): Kubernetes' delegated authentication and authorization.
//
// controller-runtime has the same in its metrics/filters, made with the library that API servers are built from. That
// library alone is a third of the program, and a quarter of its resident memory.
type Access struct {
	tokens  authenticationclient.TokenReviewInterface
	reviews authorizationclient.SubjectAccessReviewInterface
	// answers are of type answer.
	answers *cache.LRUExpireCache
	slots   chan struct{}
}

// answer is 200, 401 or 403.
type answer int

// NewAccess asks the API server of a configuration, through a client made for it.
func NewAccess(config *rest.Config, client *http.Client) (*Access, error) {
	authentication, err := authenticationclient.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("client for token reviews: %w", err)
	}
	authorization, err := authorizationclient.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("client for access reviews: %w", err)
	}
	return newAccess(authentication.TokenReviews(), authorization.SubjectAccessReviews()), nil
}

func newAccess(tokens authenticationclient.TokenReviewInterface, reviews authorizationclient.SubjectAccessReviewInterface) *Access {
	return &Access{tokens, reviews, cache.NewLRUExpireCache(accessMost), make(chan struct{}, accessAtOnce)}
}

// Handler serves what next serves to those who may have it: 401 without a valid token, 403 without the right, 503 while
// the API server cannot be asked, which the logger is told.
func (a *Access) Handler(log logr.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code, err := a.judge(r)
		if err != nil {
			log.Error(err, "cannot ask the API server who may read the metrics")
			http.Error(w, "the API server cannot be asked whether you may; try again", http.StatusServiceUnavailable)
			return
		}
		if code != http.StatusOK {
			http.Error(w, http.StatusText(int(code)), int(code))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (a *Access) judge(r *http.Request) (answer, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return http.StatusUnauthorized, nil
	}
	// Tokens themselves are not kept.
	key := sha256.Sum256([]byte(token + "\x00" + r.Method + "\x00" + r.URL.Path))
	if known, ok := a.answers.Get(key); ok {
		return known.(answer), nil
	}
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	default:
		return 0, errors.New("too many unknown tokens at once")
	}
	ctx, stop := context.WithTimeout(r.Context(), accessPatience)
	defer stop()
	code, err := a.ask(ctx, token, strings.ToLower(r.Method), r.URL.Path)
	switch {
	case err != nil:
	case code == http.StatusOK:
		a.answers.Add(key, code, accessTTL)
	default:
		a.answers.Add(key, code, refusalTTL)
	}
	return code, err
}

func (a *Access) ask(ctx context.Context, token, verb, path string) (answer, error) {
	who, err := a.tokens.Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return 0, fmt.Errorf("review token: %w", err)
	}
	// Status.Error is set for every token that nobody knows, too.
	if !who.Status.Authenticated {
		return http.StatusUnauthorized, nil
	}
	user := who.Status.User
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: map[string]authorizationv1.ExtraValue{},
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: verb},
	}}
	for key, value := range user.Extra {
		review.Spec.Extra[key] = authorizationv1.ExtraValue(value)
	}
	may, err := a.reviews.Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return 0, fmt.Errorf("review access: %w", err)
	}
	if !may.Status.Allowed {
		return http.StatusForbidden, nil
	}
	return http.StatusOK, nil
}
