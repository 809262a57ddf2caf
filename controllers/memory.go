package controllers

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

// memory is what is known of one test beyond the cache. It only saves requests and work: after a restart the same
// status is derived without it.
type memory struct {
	uid types.UID
	// looked is false on the first look since this operator started.
	looked bool
	// written is the test as of the last status write, until the cache has it; of it only the status and what tells versions
	// apart.
	written *v2.LocustTest
	// objects are the test's objects as of their last write, by kind and name, until the cache has them.
	objects map[string]writtenObject
	// deleted are the objects that were deleted, until the cache knows.
	deleted map[types.UID]bool
	// recheck is when to look again at an object that was believed to exist because it had just been written; 0 for
	// none.
	recheck time.Duration
	// refusal is why an object could not be created the last time, or taken the object whose name has another owner; retryAt is
	// when the next try is due, and retryWait how long it waits for that.
	refusal   *status.Failure
	taken     string
	retryAt   time.Time
	retryWait time.Duration
	// blocked is when objects of an earlier test were last seen in the way.
	blocked time.Time
	// drifted are the runs that were read from Jobs, by the Job's UID, because the test's spec has changed; nil where the
	// Job's copy of the spec is damaged.
	drifted map[types.UID]*resources.Run
	// refreshed is when the status was last written.
	refreshed time.Time
	// eventsKnown is true since this operator knows what Events say of what hangs, or that nothing hangs.
	eventsKnown bool
	// clocks convert the times of the test's objects; nil when its load is over.
	clocks *status.Clocks
	// poll is what the test's master told.
	poll masterPoll
}

// refuse records a refused creation, and waits twice as long for the next try as for this one.
func (m *memory) refuse(failure *status.Failure, now time.Time) {
	m.refusal, m.taken = failure, ""
	m.retryWait = min(max(2*m.retryWait, retryFirst), retryMost)
	m.retryAt = now.Add(m.retryWait)
	m.recheck = m.retryWait
}

// refuseName records that an object's name has another owner, and when to try again: no event reports when it becomes free.
func (m *memory) refuseName(taken string, now time.Time) {
	m.refusal, m.taken = nil, taken
	m.retryWait, m.retryAt = 0, now.Add(retryName)
	m.recheck = retryName
}

// refused reports whether the next try is not due yet, and adds to the observation what came of the last one.
func (m *memory) refused(obs *status.Observation, now time.Time) bool {
	wait := m.retryAt.Sub(now)
	if wait <= 0 {
		return false
	}
	m.recheck = soonest(m.recheck, wait)
	obs.Failure = m.refusal
	if m.taken != "" {
		obs.Foreign = append(obs.Foreign, m.taken)
	}
	return true
}

// permit forgets refusals: all objects exist.
func (m *memory) permit() { m.refusal, m.taken, m.retryAt, m.retryWait = nil, "", time.Time{}, 0 }

type writtenObject struct {
	object client.Object
	at     time.Time
}

// newest is the test as last written, when the cache is behind.
func (m *memory) newest(cached *v2.LocustTest) *v2.LocustTest {
	if m.written == nil {
		return cached
	}
	if !newer(m.written, cached) {
		m.written = nil
		return cached
	}
	test := *cached
	test.Status, test.ResourceVersion = m.written.Status, m.written.ResourceVersion
	return &test
}

// wrote remembers a status that was written, with the resource version that it has since.
func (m *memory) wrote(test *v2.LocustTest, now time.Time) {
	version := metav1.ObjectMeta{UID: test.UID, ResourceVersion: test.ResourceVersion}
	m.written, m.refreshed = &v2.LocustTest{ObjectMeta: version, Status: test.Status}, now
}

// forgetAfter is how long after the end a test's last writes are remembered; the cache has them by then.
const forgetAfter = 30 * time.Second

// forgetIn is when to look once more at a test that is over, only to forget what was written: nothing else would ask for it
// before the test is deleted.
func (m *memory) forgetIn(now *v2.LocustTestStatus) time.Duration {
	if !now.IsTerminal() || (m.written == nil && len(m.objects) == 0) {
		return 0
	}
	return forgetAfter
}

// keep remembers an object as the API server returned it from a write, as the cache will have it. The object itself is reduced.
func (m *memory) keep(kind string, object client.Object, now time.Time) {
	if m.objects == nil {
		m.objects = map[string]writtenObject{}
	}
	m.objects[kind] = writtenObject{reduce(object).(client.Object), now}
}

// newer tells whether a is a later version of the same object than b. Resource versions of one resource can
// be compared (KEP-5504); where they cannot, b is believed.
func newer(a, b client.Object) bool {
	order, err := resourceversion.CompareResourceVersion(a.GetResourceVersion(), b.GetResourceVersion())
	return err == nil && order > 0 && a.GetUID() == b.GetUID()
}

// memories are the memory of all tests.
type memories struct {
	mu     sync.Mutex
	byName map[types.NamespacedName]*memory
}

// of is the memory of one test; a test created anew under the same name has a new one.
func (ms *memories) of(test *v2.LocustTest) *memory {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	name := client.ObjectKeyFromObject(test)
	if known := ms.byName[name]; known != nil && known.uid == test.UID {
		return known
	}
	if ms.byName == nil {
		ms.byName = map[types.NamespacedName]*memory{}
	}
	fresh := &memory{uid: test.UID}
	ms.byName[name] = fresh
	return fresh
}

func (ms *memories) forget(name types.NamespacedName) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	delete(ms.byName, name)
}
