// Scorecard checks the status of LocustTests on the cluster where the operator runs: one test for each rule of the
// status contract that can be seen from outside. operator-sdk scorecard starts it in pods, with the name of a test as
// argument, and reads the result from its standard output (Operator SDK, "Writing Custom Scorecard Tests").
//
//	scorecard TEST [--locust-image IMAGE] [--time-limit 2m] [--namespace NAMESPACE]
//	scorecard config IMAGE    prints the tests as a patch of the scorecard's configuration
//
// It writes only into the namespace it is given, and removes what it made. It uses the operator's API, and the operator's
// own description of the contract, but never the operator's client of Locust or its builders.
package main
