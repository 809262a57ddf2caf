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

// testState holds what is known about one test beyond the cache. It only saves requests and work: the same status is derived
// without it after a restart.
type testState struct {
	uid types.UID
	// observedBefore is false on the first reconcile after the operator started.
	observedBefore bool
	// lastWrite holds UID, resourceVersion and status of the last write until the cache has caught up.
	lastWrite *v2.LocustTest
	// objects holds the last written version of each object, by kind, until the cache has caught up.
	objects map[string]writtenObject
	// deleted holds the UIDs of deleted objects that may still be in the cache.
	deleted map[types.UID]bool
	// recheck is when to reconcile to check objects again, for example one that is assumed to exist; zero means no requeue.
	recheck time.Duration
	// refusal is the failure of the last creation, or taken is the object whose name has another owner. retryAt is when the
	// next attempt is due, and retryWait its back-off.
	refusal   *status.Failure
	taken     string
	retryAt   time.Time
	retryWait time.Duration
	// predecessorsSeenAt is when objects of an earlier test were last observed.
	predecessorsSeenAt time.Time
	// drifted caches the runs decoded from Jobs after the test's spec changed, by UID of the Job; nil if the annotations of the
	// Job are invalid.
	drifted map[types.UID]*resources.Run
	// refreshed is when the status was last written.
	refreshed time.Time
	// eventsKnown is set once Events have been read, or once nothing is stuck.
	eventsKnown bool
	// clocks convert the times in the test's objects; nil after the load has stopped.
	clocks *status.Clocks
	// poll is the state of polling the test's master.
	poll masterPoll
}

// refuse records a refused creation and doubles the back-off.
func (m *testState) refuse(failure *status.Failure, now time.Time) {
	m.refusal, m.taken = failure, ""
	m.retryWait = min(max(2*m.retryWait, retryFirst), retryMax)
	m.retryAt = now.Add(m.retryWait)
	m.recheck = m.retryWait
}

// refuseName records that another owner has the object's name, and schedules a retry: no event reports when it becomes free.
func (m *testState) refuseName(taken string, now time.Time) {
	m.refusal, m.taken = nil, taken
	m.retryWait, m.retryAt = 0, now.Add(retryName)
	m.recheck = retryName
}

// refused reports whether the next attempt is not due yet, and adds the result of the last one to the observation.
func (m *testState) refused(obs *status.Observation, now time.Time) bool {
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

// permit resets the refusals, because all objects exist.
func (m *testState) permit() { m.refusal, m.taken, m.retryAt, m.retryWait = nil, "", time.Time{}, 0 }

type writtenObject struct {
	object client.Object
	at     time.Time
}

// withLastWrite returns the cached test, with the status of the last write if the cache is behind.
func (m *testState) withLastWrite(cached *v2.LocustTest) *v2.LocustTest {
	if m.lastWrite == nil {
		return cached
	}
	if !newer(m.lastWrite, cached) {
		m.lastWrite = nil
		return cached
	}
	test := *cached
	test.Status, test.ResourceVersion = m.lastWrite.Status, m.lastWrite.ResourceVersion
	return &test
}

// recordStatusWrite stores the written status and its resourceVersion.
func (m *testState) recordStatusWrite(test *v2.LocustTest, now time.Time) {
	version := metav1.ObjectMeta{UID: test.UID, ResourceVersion: test.ResourceVersion}
	m.lastWrite, m.refreshed = &v2.LocustTest{ObjectMeta: version, Status: test.Status}, now
}

// forgetAfter is how long the last writes of a finished test are kept; the cache has caught up by then.
const forgetAfter = 30 * time.Second

// forgetIn returns when to reconcile a finished test once more, only to drop its last writes: no event would do that before the
// test is deleted.
func (m *testState) forgetIn(now *v2.LocustTestStatus) time.Duration {
	if !now.IsTerminal() || (m.lastWrite == nil && len(m.objects) == 0) {
		return 0
	}
	return forgetAfter
}

// expectWrite stores a written object as the API server returned it, until the cache has caught up. It modifies the object:
// only the fields that the cache keeps remain.
func (m *testState) expectWrite(kind string, object client.Object, now time.Time) {
	if m.objects == nil {
		m.objects = map[string]writtenObject{}
	}
	m.objects[kind] = writtenObject{reduce(object).(client.Object), now}
}

// newer reports whether a is a later version of the same object than b. Resource versions of one resource can be compared
// (KEP-5504); if these cannot, b counts as the later.
func newer(a, b client.Object) bool {
	order, err := resourceversion.CompareResourceVersion(a.GetResourceVersion(), b.GetResourceVersion())
	return err == nil && order > 0 && a.GetUID() == b.GetUID()
}

// stateStore holds the state of all tests.
type stateStore struct {
	mu     sync.Mutex
	byName map[types.NamespacedName]*testState
}

// getOrCreate returns the state of the test. A recreated test of the same name gets a new one.
func (ms *stateStore) getOrCreate(test *v2.LocustTest) *testState {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	name := client.ObjectKeyFromObject(test)
	if known := ms.byName[name]; known != nil && known.uid == test.UID {
		return known
	}
	if ms.byName == nil {
		ms.byName = map[types.NamespacedName]*testState{}
	}
	fresh := &testState{uid: test.UID}
	ms.byName[name] = fresh
	return fresh
}

func (ms *stateStore) forget(name types.NamespacedName) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	delete(ms.byName, name)
}
