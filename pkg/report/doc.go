// Package report builds the LocustReport of a finished run from its observation, and decides which retained reports are kept.
//
// Its sources, merged: the status, which is final; the reporter's termination message; and what Locust's web API reported before the
// master ended. Lists count only if their source has the same number of requests and failures as the result in the status. What
// the sources do not have is listed in truncated.
//
// The package is pure: no client, no clock, no logger.
package report
