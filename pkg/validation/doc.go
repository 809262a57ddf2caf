// Package validation finds what cannot run: the errors that retries cannot fix, and warnings of what probably runs otherwise than
// intended, each with its field and its remedy. The admission webhook and the reconciler share it. It is pure.
package validation
