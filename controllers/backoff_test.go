package controllers

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func TestBackOff(t *testing.T) {
	b := newBackOff()
	test := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "ns", Name: "test"}}
	for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		assert.Equal(t, want, b.When(test))
	}
	b.dueIn(test, 5*time.Second)
	assert.Equal(t, 5*time.Second, b.When(test), "the next poll is due before the next retry")
	assert.Equal(t, 16*time.Second, b.When(test), "it applies once")
	b.dueIn(test, 0)
	assert.Equal(t, 32*time.Second, b.When(test), "nothing else is due")
	b.dueIn(test, time.Hour)
	assert.Equal(t, time.Minute, b.When(test))
	b.Forget(test)
	assert.Equal(t, time.Second, b.When(test))
	(*backOff)(nil).dueIn(test, time.Second)
}
