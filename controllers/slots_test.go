package controllers

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
)

// TestPollSlots: which polls are started, in which order, and that nothing is left of namespaces without polls.
func TestPollSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slots := newPollSlots(4)
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
		expect("a", "a", "a") // a slot is left to others
		end("a")
		expect("a")
		ask("b", 3)
		ask("c", 2)
		ask("d", 1)
		expect("b")
		end("a") // c has none
		expect("c")
		end("a", "b")
		expect("d", "b")
		end("d", "a") // all have one, and a has waited longest, then b
		expect("a", "b")
		end("a")
		expect("c")
		end("b", "b", "c", "c")
		assert.Empty(t, slots.queues)
		assert.Equal(t, 4, slots.free)
		for n, share := range map[int]int{1: 1, 2: 1, 3: 2, 100: 75} {
			assert.Equal(t, share, newPollSlots(n).share)
		}
	})
}
