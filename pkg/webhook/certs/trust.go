package certs

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// bundleState describes the bundles before an update.
type bundleState struct {
	// otherCAs is set if any bundle contained another CA.
	otherCAs bool
}

func (s *bundleState) inspect(bundle, ca []byte) {
	all := parseCerts(bundle)
	s.otherCAs = s.otherCAs || len(all) > 1 || len(all) == 1 && !trusts(bundle, ca)
}

// ensureTrust adds the CA to the bundles and returns their state before.
func (r *Rotator) ensureTrust(ctx context.Context, ca []byte) (bundleState, error) {
	var before bundleState
	// Keep the other CAs until this process has seen the CA in use for long enough. The age of the CA does not show that,
	// because it may come from a backup.
	now := r.Clock.Now()
	until := now.Add(oldCAPeriod)
	if r.trust.ca == string(ca) {
		until = r.trust.until()
	}
	wanted := func(old []byte) []byte { return bundle(ca, old, until, now) }
	if err := r.trustConversion(ctx, ca, wanted, &before); err != nil {
		return before, err
	}
	return before, r.trustAdmission(ctx, ca, wanted, &before)
}

// trustConversion updates the CRD without its Go type, which would decode the whole schema for one field.
func (r *Rotator) trustConversion(ctx context.Context, ca []byte, bundleOf func(old []byte) []byte, before *bundleState) error {
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	if err := r.APIReader.Get(ctx, client.ObjectKey{Name: r.CRD}, crd); err != nil {
		return fmt.Errorf("read the CustomResourceDefinition: %w", err)
	}
	path := []string{"spec", "conversion", "webhook", "clientConfig"}
	if _, ok, _ := unstructured.NestedMap(crd.Object, path...); !ok {
		return fmt.Errorf("CustomResourceDefinition %s has no conversion webhook, so v1 cannot be served; apply config/crd of this release", r.CRD)
	}
	path = append(path, "caBundle")
	encoded, _, _ := unstructured.NestedString(crd.Object, path...)
	old, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		old = nil
	}
	before.inspect(old, ca)
	wanted := bundleOf(old)
	if bytes.Equal(wanted, old) {
		return nil
	}
	if err := unstructured.SetNestedField(crd.Object, base64.StdEncoding.EncodeToString(wanted), path...); err != nil {
		return err
	}
	if err := r.Client.Update(ctx, crd); err != nil {
		return fmt.Errorf("update the CA bundle of the CustomResourceDefinition: %w", err)
	}
	log.FromContext(ctx).Info("updated the CA bundle of the CustomResourceDefinition", "certificates", len(parseCerts(wanted)))
	return nil
}

func (r *Rotator) trustAdmission(ctx context.Context, ca []byte, bundleOf func(old []byte) []byte, before *bundleState) error {
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := r.APIReader.Get(ctx, client.ObjectKey{Name: r.Configuration}, configuration); err != nil {
		// Without it tests are not validated at admission, which is the cluster administrator's decision.
		return client.IgnoreNotFound(err)
	}
	changed := false
	for i := range configuration.Webhooks {
		config := &configuration.Webhooks[i].ClientConfig
		before.inspect(config.CABundle, ca)
		wanted := bundleOf(config.CABundle)
		changed = changed || !bytes.Equal(wanted, config.CABundle)
		config.CABundle = wanted
	}
	if !changed {
		return nil
	}
	if err := r.Client.Update(ctx, configuration); err != nil {
		return fmt.Errorf("update the CA bundle of the ValidatingWebhookConfiguration: %w", err)
	}
	log.FromContext(ctx).Info("updated the CA bundle of the ValidatingWebhookConfiguration")
	return nil
}
