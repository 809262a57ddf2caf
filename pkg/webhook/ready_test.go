package webhook

import (
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestUntilStarted(t *testing.T) {
	calls := 0
	result := errors.New("not yet")
	check := UntilStarted(func(*http.Request) error {
		calls++
		return result
	})
	assert.Equal(t, result, check(nil))
	assert.Equal(t, result, check(nil), "errors are not cached")
	result = nil
	assert.NoError(t, check(nil))
	result = errors.New("must not be called")
	assert.NoError(t, check(nil))
	assert.Equal(t, 3, calls)
}
