// Package recipes tests the files that users copy for other tools: the health check for Argo CD, the expressions for Flux, and the
// recipes for pipelines. It has its own module, so that the operator does not depend on the interpreters.
package recipes
