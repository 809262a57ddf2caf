// Package certs keeps the serving certificate of the operator's webhooks, and its authority in what names the webhooks:
// the CRD (conversion) and the ValidatingWebhookConfiguration (admission). It is for clusters without cert-manager or OLM,
// which do the same from outside.
//
// The order in which things change is what makes a rotation unnoticed. A new authority is first added to the bundles that
// the API server trusts, beside the old one; only when that has had time to reach every API server, the certificate
// that it signed is served; and the old authority is dropped long after. At any moment every certificate that is served is
// trusted. Every replica of the operator does this by itself, from the same Secret.
//
// Keys, signatures and their verification are cert-controller's. Its own controller is not used: it replaces an
// authority at once, and serves the new certificate when the kubelet has brought it into a mounted volume, up to
// minutes later. Requests in between would fail.
package certs
