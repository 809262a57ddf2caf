// Package certs manages the serving certificate of the operator's webhooks, and the CA bundles of the CRD (conversion) and the
// ValidatingWebhookConfiguration (admission). It is for clusters without cert-manager or OLM, which do the same.
//
// The order of the steps makes a rotation seamless: every served certificate is trusted at any time. A new CA is first added to
// the bundles, beside the old one. Its certificate is served only after the bundles had time to reach every API server. The old
// CA is dropped long after. Every replica of the operator does this independently, from the same Secret.
//
// cert-controller creates and verifies keys and certificates. Its own controller is not used: it replaces a CA at once, and
// serves the new certificate only after the kubelet has updated a mounted volume, up to minutes later. Requests in between
// would fail.
package certs
