package controllers

import (
	"sync"
	"time"

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
	// observed is set once a status has been derived since the operator started.
	observed bool
	// written are the last writes, which the cache may not have yet.
	written writes
	// creation is what delays the creation of objects.
	creation creationDelay
	// run is what has been decoded of the run.
	run runCache
	// final is the decoded final report of the run's master; nil once the report of the run exists.
	final *status.FinalReport
	// report is the report of the run.
	report reportState
	// clocks convert the times in the test's objects; nil after the load has stopped.
	clocks *status.Clocks
}

// runCache is what has been decoded of a run, so that it is decoded once.
type runCache struct {
	// generation is that of the spec whose command line has been parsed, locust is the result; nil before that.
	generation int64
	locust     *resources.LocustConfig
	// drifted holds the runs of Jobs that were created from an earlier spec, by UID of the Job; nil if the annotations of the Job
	// are invalid. Without it, each poll of an edited test would read a Job of up to 200 KiB.
	drifted map[types.UID]*resources.Run
}

// current returns the run of the test's current spec.
func (c *runCache) current(test *v2.LocustTest) *resources.Run {
	if c.locust == nil || c.generation != test.Generation {
		c.generation, c.locust = test.Generation, new(resources.ConfigFor(&test.Spec))
	}
	return &resources.Run{Spec: test.Spec, Generation: test.Generation, Locust: *c.locust}
}

// writes are the last writes of the operator, by kind of the object. Until the cache has them, it is stale, and the test is
// reconciled later, as the Job controller does with its expectations.
type writes map[string]write

// write is a created, patched or deleted object.
type write struct {
	at time.Time
	// version is the resourceVersion after the write; deleted is the UID of the object instead, if it was deleted.
	version string
	deleted types.UID
	// created is true if the cache may not have the object at all.
	created bool
}

// expect records a write whose response is the object.
func (w *writes) expect(kind string, object client.Object, created bool, now time.Time) {
	w.set(kind, write{at: now, version: object.GetResourceVersion(), created: created})
}

// expectDeletion records that an object was deleted.
func (w *writes) expectDeletion(kind string, object client.Object, now time.Time) {
	w.set(kind, write{at: now, deleted: object.GetUID()})
}

func (w *writes) set(kind string, last write) {
	if *w == nil {
		*w = writes{}
	}
	(*w)[kind] = last
}

// wait returns how long to wait for a cache that does not have the last write of an object; zero if it has. Cached is nil if the
// cache does not have the object. The wait grows, because a broken watch may take half a minute to recover.
//
// A write of an object that the cache has not shown for staleTimeout is forgotten: the object may have been deleted since. A written
// status is expected for staleStatusTimeout: it may be the only sign that the run has started or ended.
//
// Resource versions of one resource can be compared (KEP-5504); where they cannot, the cache counts as current.
func (w writes) wait(kind string, cached client.Object, now time.Time) time.Duration {
	last, written := w[kind]
	age, timeout := now.Sub(last.at), staleTimeout
	if kind == testKind {
		timeout = staleStatusTimeout
	}
	if !written || age >= timeout || !last.isMissing(cached) {
		return 0
	}
	return min(max(age, staleInterval), maxStaleInterval)
}

// isMissing reports whether the cached object is older than the write.
func (w write) isMissing(cached client.Object) bool {
	switch {
	case w.deleted != "":
		return cached != nil && cached.GetUID() == w.deleted && cached.GetDeletionTimestamp() == nil
	case cached == nil:
		return w.created
	}
	order, err := resourceversion.CompareResourceVersion(cached.GetResourceVersion(), w.version)
	return err == nil && order < 0
}

// creationDelay is what delays the creation of a test's objects: a back-off after a refused creation, a name that has another
// owner, or objects of an earlier test.
type creationDelay struct {
	// refusal is the failure of the last creation, or taken is the object whose name has another owner. retryAt is when the
	// next attempt is due, and retryWait its back-off.
	refusal   *status.Failure
	taken     string
	retryAt   time.Time
	retryWait time.Duration
	// predecessorsSeenAt is when objects of an earlier test were last observed.
	predecessorsSeenAt time.Time
}

// refuse records a refused creation, doubles the back-off and returns it.
func (d *creationDelay) refuse(failure *status.Failure, now time.Time) time.Duration {
	d.refusal, d.taken = failure, ""
	d.retryWait = min(max(2*d.retryWait, retryInterval), maxRetryInterval)
	d.retryAt = now.Add(d.retryWait)
	return d.retryWait
}

// refuseName records that another owner has the object's name, and returns when to retry: no event reports when it becomes free.
func (d *creationDelay) refuseName(taken string, now time.Time) time.Duration {
	d.refusal, d.taken = nil, taken
	d.retryWait, d.retryAt = 0, now.Add(nameRetryInterval)
	return nameRetryInterval
}

// permit resets the refusals, because all objects exist.
func (d *creationDelay) permit() {
	d.refusal, d.taken, d.retryAt, d.retryWait = nil, "", time.Time{}, 0
}

// stateStore holds the state of all tests.
type stateStore struct {
	mu     sync.Mutex
	byName map[types.NamespacedName]storedState
}

type storedState struct {
	uid types.UID
	*testState
}

// getOrCreate returns the state of the test. A recreated test of the same name gets a new one.
func (s *stateStore) getOrCreate(test *v2.LocustTest) *testState {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := client.ObjectKeyFromObject(test)
	if known := s.byName[name]; known.uid == test.UID && known.testState != nil {
		return known.testState
	}
	if s.byName == nil {
		s.byName = map[types.NamespacedName]storedState{}
	}
	fresh := &testState{}
	s.byName[name] = storedState{test.UID, fresh}
	return fresh
}

func (s *stateStore) forget(name types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byName, name)
}
