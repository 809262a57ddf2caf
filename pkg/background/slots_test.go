package background

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
)

// TestPollSlots: which polls start, in which order, and that namespaces without polls are removed.
func TestPollSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slots := newPollSlots(4)
		var started []string
		acquire := func(namespace string, n int) {
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
		release := func(namespaces ...string) {
			for _, namespace := range namespaces {
				slots.release(namespace)
				synctest.Wait()
			}
		}

		acquire("a", 5)
		expect("a", "a", "a") // one slot is reserved for other namespaces
		release("a")
		expect("a")
		acquire("b", 3)
		acquire("c", 2)
		acquire("d", 1)
		expect("b")
		release("a") // c has none
		expect("c")
		release("a", "b")
		expect("d", "b")
		release("d", "a") // all have one, and a has waited longest, then b
		expect("a", "b")
		release("a")
		expect("c")
		release("b", "b", "c", "c")
		assert.Empty(t, slots.queues)
		assert.Equal(t, 4, slots.free)
		for n, share := range map[int]int{1: 1, 2: 1, 3: 2, 100: 75} {
			assert.Equal(t, share, newPollSlots(n).share)
		}
	})
}
