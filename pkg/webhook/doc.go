// Package webhook validates LocustTests at admission and serves the conversion between the versions of the API. The rules are in
// pkg/validation. The reconciler applies the same rules, so a cluster without the webhook is as safe, but users see their errors
// later.
//
// The failure policy of the admission webhook is Ignore, because an unavailable operator must not block writes of users, GitOps
// tools or the namespace controller.
//
// The CRD marks v1 as deprecated, so every response of the API server for v1 has a warning, reads included.
package webhook
