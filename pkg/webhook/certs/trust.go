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

// found is what the bundles were like before they were changed.
type found struct {
	// others: some other authority was in any of them.
	others bool
}

func (f *found) see(bundle, authority []byte) {
	all := authorities(bundle)
	f.others = f.others || len(all) > 1 || len(all) == 1 && !trusts(bundle, authority)
}

// ensureTrust puts the authority into the bundles.
func (k *Keeper) ensureTrust(ctx context.Context, authority []byte) (found, error) {
	var before found
	// The others are kept until this process has known for long enough that the authority is in use. Its age does not tell: it
	// may come from a backup.
	now := k.Clock.Now()
	until := now.Add(keptFor)
	if k.trust.authority == string(authority) {
		until = k.trust.until()
	}
	wanted := func(old []byte) []byte { return bundle(authority, old, until, now) }
	if err := k.trustConversion(ctx, authority, wanted, &before); err != nil {
		return before, err
	}
	return before, k.trustAdmission(ctx, authority, wanted, &before)
}

// trustConversion reads the CRD without its Go type: all of its schema would be decoded for one field.
func (k *Keeper) trustConversion(ctx context.Context, authority []byte, bundleOf func(old []byte) []byte, before *found) error {
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	if err := k.Live.Get(ctx, client.ObjectKey{Name: k.CRD}, crd); err != nil {
		return fmt.Errorf("read the CustomResourceDefinition: %w", err)
	}
	path := []string{"spec", "conversion", "webhook", "clientConfig"}
	if _, ok, _ := unstructured.NestedMap(crd.Object, path...); !ok {
		return fmt.Errorf("CustomResourceDefinition %s has no conversion webhook, so that v1 cannot be served; apply config/crd of this release", k.CRD)
	}
	path = append(path, "caBundle")
	encoded, _, _ := unstructured.NestedString(crd.Object, path...)
	old, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		old = nil
	}
	before.see(old, authority)
	wanted := bundleOf(old)
	if bytes.Equal(wanted, old) {
		return nil
	}
	if err := unstructured.SetNestedField(crd.Object, base64.StdEncoding.EncodeToString(wanted), path...); err != nil {
		return err
	}
	if err := k.Client.Update(ctx, crd); err != nil {
		return fmt.Errorf("write the bundle of the CustomResourceDefinition: %w", err)
	}
	log.FromContext(ctx).Info("the CustomResourceDefinition trusts the webhooks' authority", "authorities", len(authorities(wanted)))
	return nil
}

func (k *Keeper) trustAdmission(ctx context.Context, authority []byte, bundleOf func(old []byte) []byte, before *found) error {
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := k.Live.Get(ctx, client.ObjectKey{Name: k.Configuration}, configuration); err != nil {
		// Without it tests are not validated at admission. That is for the cluster's owner to decide.
		return client.IgnoreNotFound(err)
	}
	changed := false
	for i := range configuration.Webhooks {
		config := &configuration.Webhooks[i].ClientConfig
		before.see(config.CABundle, authority)
		wanted := bundleOf(config.CABundle)
		changed = changed || !bytes.Equal(wanted, config.CABundle)
		config.CABundle = wanted
	}
	if !changed {
		return nil
	}
	if err := k.Client.Update(ctx, configuration); err != nil {
		return fmt.Errorf("write the bundle of the ValidatingWebhookConfiguration: %w", err)
	}
	log.FromContext(ctx).Info("the ValidatingWebhookConfiguration trusts the webhooks' authority")
	return nil
}
