package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// settling is how long after a bundle was written all API servers are taken to know it.
const settling = 10 * time.Second

// Keeper keeps the certificate. Its reconcile is the same on every replica, whatever the cause.
type Keeper struct {
	// Client writes; Live reads past any cache.
	Client client.Client
	Live   client.Reader
	Clock  clock.PassiveClock
	// Key is the name of the Secret, and the Service's: the certificate is for its host names.
	Key types.NamespacedName
	// Configuration and CRD name what gets the bundle: a ValidatingWebhookConfiguration, which may be missing, and the CRD.
	Configuration, CRD string

	// served is the certificate that answers the API server now; nil before the first.
	served atomic.Pointer[tls.Certificate]

	// servedPEM and trust belong to the reconcile alone.
	servedPEM string
	trust     trust
}

// trust is since when an authority has been in all bundles, as far as this process knows.
type trust struct {
	authority string
	since     time.Time
}

// until is how long others are trusted beside it.
func (t trust) until() time.Time { return t.since.Add(keptFor) }

// Reconcile goes one step at a time, so that it can be cut off anywhere: Secret, bundles, certificate.
func (k *Keeper) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	secret, err := k.ensureSecret(ctx)
	if err != nil {
		if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
			return reconcile.Result{RequeueAfter: time.Second}, nil // another replica was first
		}
		return reconcile.Result{}, err
	}
	before, err := k.ensureTrust(ctx, secret.Data[keyCACert])
	if err != nil {
		if apierrors.IsConflict(err) {
			return reconcile.Result{RequeueAfter: time.Second}, nil
		}
		return reconcile.Result{}, err
	}
	if wait := k.settled(secret.Data[keyCACert], before); wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	if err := k.serve(ctx, secret); err != nil {
		return reconcile.Result{}, err
	}
	now := k.Clock.Now()
	return reconcile.Result{RequeueAfter: renewAt(secret.Data, k.trust.until(), now).Sub(now) + time.Second}, nil
}

// ensureSecret returns the Secret with a certificate that is good for long enough.
func (k *Keeper) ensureSecret(ctx context.Context) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := k.Live.Get(ctx, k.Key, secret)
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return nil, fmt.Errorf("read the webhooks' Secret %s: %w", k.Key, err)
	}
	data, err := renew(secret.Data, k.hosts(), k.Clock.Now())
	if err != nil {
		return nil, err
	}
	if maps.EqualFunc(data, secret.Data, bytes.Equal) {
		return secret, nil
	}
	secret.Data = data
	log.FromContext(ctx).Info("new certificate for the webhooks", "secret", k.Key)
	if missing {
		secret.ObjectMeta = metav1.ObjectMeta{Namespace: k.Key.Namespace, Name: k.Key.Name,
			Labels: map[string]string{"app.kubernetes.io/name": "locust-k8s-operator"}}
		err = k.Client.Create(ctx, secret)
	} else {
		err = k.Client.Update(ctx, secret)
	}
	if err != nil {
		return nil, fmt.Errorf("write the webhooks' Secret %s: %w", k.Key, err)
	}
	return secret, nil
}

// hosts are the names that an API server may call the Service by.
func (k *Keeper) hosts() []string {
	host := k.Key.Name + "." + k.Key.Namespace + ".svc"
	return []string{host, host + ".cluster.local"}
}

// settled returns how long to wait until a certificate of the authority may be served; before is how the bundles were
// found.
func (k *Keeper) settled(authority []byte, before found) time.Duration {
	now := k.Clock.Now()
	if k.trust.authority != string(authority) {
		k.trust = trust{authority: string(authority), since: now}
		// Without others nothing has worked before, so that nothing can break; or it has been the only one for long.
		if !before.others {
			k.trust.since = now.Add(-settling)
		}
	}
	return k.trust.since.Add(settling).Sub(now)
}

func (k *Keeper) serve(ctx context.Context, secret *corev1.Secret) error {
	cert, key := secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey]
	if k.servedPEM == string(cert) {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("the certificate in Secret %s: %w", k.Key, err)
	}
	k.served.Store(&pair)
	k.servedPEM = string(cert)
	log.FromContext(ctx).Info("serve the webhooks' certificate", "serial", pair.Leaf.SerialNumber, "until", pair.Leaf.NotAfter)
	return nil
}

var errNotYet = errors.New("no certificate for the webhooks yet; the log tells why when it stays so")

// GetCertificate is the certificate to serve (tls.Config).
func (k *Keeper) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if pair := k.served.Load(); pair != nil {
		return pair, nil
	}
	return nil, errNotYet
}

// Ready is a readiness check: a certificate is served that the API server trusts.
func (k *Keeper) Ready(*http.Request) error {
	if k.served.Load() == nil {
		return errNotYet
	}
	return nil
}
