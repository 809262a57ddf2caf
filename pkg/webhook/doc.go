// Package webhook tells users what is wrong with a LocustTest when they write it, and serves the conversion between the
// versions of the API. What is wrong or odd is decided in pkg/resources; the reconciler asks the same again, so that a
// cluster without the webhook is not less safe, only less helpful.
//
// That is why the failure policy of the admission webhook is Ignore: an operator that is down, or being upgraded, must not
// keep people, GitOps tools or the namespace controller from writing tests.
//
// v1 is announced as deprecated by the CRD itself, in every answer of the API server, reads included.
package webhook
