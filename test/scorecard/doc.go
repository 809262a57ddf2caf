// Scorecard checks the status of LocustTests on the cluster where the operator runs: one test for each rule of the
// status contract that can be seen from outside. operator-sdk scorecard starts it in pods, with the name of a test as
// argument, and reads the result from its standard output (Operator SDK, "Writing Custom Scorecard Tests").
//
//	scorecard TEST [--locust-image IMAGE] [--time-limit 2m] [--namespace NAMESPACE]
//	scorecard config IMAGE    prints the tests as a patch of the scorecard's configuration
//
// It writes only to its namespace, and deletes the objects it created. It imports the operator's API and its
// table of conditions, but neither its Locust client nor its builders.
package main
