// Package locust asks the web API of Locust's master for the statistics of a run, and says in a few stable words why
// when it cannot.
//
// The answer is the user's: the locustfile may change every page of the web UI, and put anything in its place. So time
// and size of an answer are bounded, redirects are not followed, and package report checks what is in it.
package locust
