// Package locust gets the statistics of a run from the web API of Locust's master, and returns errors with short, stable
// reasons.
//
// The response is untrusted: the locustfile may change or replace every page of the web UI. So the time and size of a
// response are bounded, redirects are not followed, and package report validates the content.
package locust
