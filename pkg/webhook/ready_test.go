package webhook

import (
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestUntilStarted(t *testing.T) {
	asked := 0
	answer := errors.New("not yet")
	check := UntilStarted(func(*http.Request) error {
		asked++
		return answer
	})
	assert.Equal(t, answer, check(nil))
	assert.Equal(t, answer, check(nil), "an error is not remembered")
	answer = nil
	assert.NoError(t, check(nil))
	answer = errors.New("must not be asked")
	assert.NoError(t, check(nil))
	assert.Equal(t, 3, asked)
}
