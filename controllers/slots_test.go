package controllers

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
)

// TestPollSlots: which polls are started, in which order, and that nothing is left of namespaces without polls.
func TestPollSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slots := newPollSlots(8)
		var started []string
		ask := func(namespace string, n int) {
			for range n {
				slots.acquire(namespace, func() { started = append(started, namespace) })
				synctest.Wait()
			}
		}
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			assert.Equal(t, want, started)
			started = nil
		}
		end := func(namespaces ...string) {
			for _, namespace := range namespaces {
				slots.release(namespace)
				synctest.Wait()
			}
		}

		ask("a", 5)
		expect("a", "a")
		end("a")
		expect("a")
		for _, namespace := range []string{"b", "c", "d", "e"} {
			ask(namespace, 3)
		}
		expect("b", "b", "c", "c", "d", "d")
		end("a", "d") // e has none, then a has waited longest
		expect("e", "a")
		end("b", "b")
		expect("b", "d")
		end("a", "c", "b", "d", "e") // a slot is free, but e has its share
		expect("a", "c", "e", "e")
		assert.Equal(t, 1, slots.free)
		end("a", "a", "c", "c", "d", "e", "e")
		assert.Empty(t, slots.queues)
		assert.Equal(t, 8, slots.free)
		assert.Equal(t, 1, newPollSlots(1).share)
	})
}
