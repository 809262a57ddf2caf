package controllers

import "time"

// All intervals and timeouts of the controllers. Each is here with its reason; those of the derivation are in pkg/status.

// The queue.
const (
	// batchPeriod delays reconciles, so that one serves a burst of changes: the pods of a test are created, scheduled, started
	// and ended together. It is the Job controller's syncJobBatchPeriod.
	batchPeriod = time.Second
	// retryInterval and maxRetryInterval are the back-off of failed creations and reconciles.
	retryInterval    = time.Second
	maxRetryInterval = time.Minute
	// nameRetryInterval is the interval at which a test tries to create an object whose name has another owner.
	nameRetryInterval = 30 * time.Second
	// twinRetryInterval is the interval at which a test checks for leftover objects of a test with the same object names, whose
	// events reconcile that test only.
	twinRetryInterval = 2 * time.Second
)

// The cache.
const (
	// staleInterval is how long to wait at first for a cache that does not have the operator's own writes yet; the wait grows with
	// the age of the write up to maxStaleInterval.
	staleInterval    = 20 * time.Millisecond
	maxStaleInterval = time.Second
	// staleTimeout bounds the wait for objects: an object that is missing after it is read from the API server.
	staleTimeout = 5 * time.Second
	// staleStatusTimeout bounds the wait for the status: longer than a watch takes to recover from an outage of the API server
	// (client-go's reflector backs off for up to 30 s). After a restored backup of etcd, resource versions may be lower for good.
	staleStatusTimeout = 5 * time.Minute
	// conflictInterval is how long to wait for the cache after a conflicting status write of another client.
	conflictInterval = 200 * time.Millisecond
	// dnsTTL is slightly longer than the default TTL of CoreDNS for Services (5 s). A worker that resolves the address of the
	// old Service waits for minutes, until its connection times out.
	dnsTTL = 6 * time.Second
)
