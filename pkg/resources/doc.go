// Package resources turns a LocustTest into the three objects that run it: the master's Service, the
// master Job and the worker Job.
//
// It is pure: the same test gives the same objects, no API server, clock or logger takes part, and
// the test passed in is never changed. Names, labels and ports are an interoperability contract;
// dashboards, scripts and network policies rely on them.
//
// The story in the order of the files: names and labels say what the objects are called, run records
// what a run was started from, defaults fills what the user left out, args, env, volumes and security
// make the container, pod and job put it together, validate says what cannot run and how to mend it.
//
// Others need to know what Locust will make of all that: options reads its arguments and variables, webapi and load
// say where it serves its web API and how much load it is asked for. The reporter is a second locustfile for the
// master, which leaves the result behind.
package resources
