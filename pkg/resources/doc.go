// Package resources turns a LocustTest into the three objects that run it: the master's Service, the
// master Job and the worker Job.
//
// It is pure: the same test yields the same objects, without an API server, clock or logger, and
// the test passed in is never modified. Names, labels and ports are an interoperability contract;
// dashboards, scripts and network policies rely on them.
//
// The files, in the order of use: names and labels define the identity of the objects, run records the spec that a run was
// started from, defaults sets unset fields, args, env, volumes and security build the container, pod and job assemble the
// Jobs. config is what the operator reads from Locust's arguments and variables. The reporter is a second locustfile for
// the master, which writes the result to the termination message. pkg/validation says what cannot run.
package resources
