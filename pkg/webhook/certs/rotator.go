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

// propagationDelay is how long API servers may take to notice a changed bundle.
const propagationDelay = 10 * time.Second

// Rotator manages the certificate. Its reconcile is the same on every replica and for every event.
type Rotator struct {
	// Client writes; APIReader reads from the API server.
	Client    client.Client
	APIReader client.Reader
	Clock     clock.PassiveClock
	// Key is the name of the Secret and of the Service, whose host names the certificate is valid for.
	Key types.NamespacedName
	// Configuration and CRD are the names of the objects with bundles: a ValidatingWebhookConfiguration, which may be missing,
	// and the CRD.
	Configuration, CRD string

	// served is the current certificate; nil before the first.
	served atomic.Pointer[tls.Certificate]

	// servedPEM and trust are used by the reconcile only.
	servedPEM string
	trust     trust
}

// trust records since when a CA has been in all bundles, as far as this process knows.
type trust struct {
	ca    string
	since time.Time
}

// until returns how long other CAs are trusted beside it.
func (t trust) until() time.Time { return t.since.Add(oldCAPeriod) }

// Reconcile updates the Secret, then the bundles, then the served certificate. It may be interrupted after any step.
func (r *Rotator) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	secret, err := r.ensureSecret(ctx)
	if err != nil {
		if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
			return reconcile.Result{RequeueAfter: time.Second}, nil // another replica was first
		}
		return reconcile.Result{}, err
	}
	before, err := r.ensureTrust(ctx, secret.Data[keyCACert])
	if err != nil {
		if apierrors.IsConflict(err) {
			return reconcile.Result{RequeueAfter: time.Second}, nil
		}
		return reconcile.Result{}, err
	}
	if wait := r.servableIn(secret.Data[keyCACert], before); wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	if err := r.serve(ctx, secret); err != nil {
		return reconcile.Result{}, err
	}
	now := r.Clock.Now()
	return reconcile.Result{RequeueAfter: renewAt(secret.Data, r.trust.until(), now).Sub(now) + time.Second}, nil
}

// ensureSecret returns the Secret. It creates or renews the certificate if necessary.
func (r *Rotator) ensureSecret(ctx context.Context) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := r.APIReader.Get(ctx, r.Key, secret)
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return nil, fmt.Errorf("read the webhook Secret %s: %w", r.Key, err)
	}
	data, err := renew(secret.Data, r.hosts(), r.Clock.Now())
	if err != nil {
		return nil, err
	}
	if maps.EqualFunc(data, secret.Data, bytes.Equal) {
		return secret, nil
	}
	secret.Data = data
	log.FromContext(ctx).Info("created new webhook certificate", "secret", r.Key)
	if missing {
		secret.ObjectMeta = metav1.ObjectMeta{Namespace: r.Key.Namespace, Name: r.Key.Name,
			Labels: map[string]string{"app.kubernetes.io/name": "locust-k8s-operator"}}
		err = r.Client.Create(ctx, secret)
	} else {
		err = r.Client.Update(ctx, secret)
	}
	if err != nil {
		return nil, fmt.Errorf("write the webhook Secret %s: %w", r.Key, err)
	}
	return secret, nil
}

// hosts returns the host names of the Service that API servers use.
func (r *Rotator) hosts() []string {
	host := r.Key.Name + "." + r.Key.Namespace + ".svc"
	return []string{host, host + ".cluster.local"}
}

// servableIn returns how long to wait until a certificate of the CA may be served. before is the state of the bundles before
// they were updated.
func (r *Rotator) servableIn(ca []byte, before bundleState) time.Duration {
	now := r.Clock.Now()
	if r.trust.ca != string(ca) {
		r.trust = trust{ca: string(ca), since: now}
		// Without other CAs either no certificate was trusted before, or this CA has been the only one for long.
		if !before.otherCAs {
			r.trust.since = now.Add(-propagationDelay)
		}
	}
	return r.trust.since.Add(propagationDelay).Sub(now)
}

func (r *Rotator) serve(ctx context.Context, secret *corev1.Secret) error {
	cert, key := secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey]
	if r.servedPEM == string(cert) {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("load the certificate from Secret %s: %w", r.Key, err)
	}
	r.served.Store(&pair)
	r.servedPEM = string(cert)
	log.FromContext(ctx).Info("serving new webhook certificate", "serial", pair.Leaf.SerialNumber, "until", pair.Leaf.NotAfter)
	return nil
}

var errNoCertificate = errors.New("no webhook certificate yet; if this persists, see the operator's log")

// GetCertificate implements tls.Config.GetCertificate. It returns an error until the certificate may be served.
func (r *Rotator) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if pair := r.served.Load(); pair != nil {
		return pair, nil
	}
	return nil, errNoCertificate
}

// Ready is a readiness check. It returns an error until a certificate is served that the API server trusts.
func (r *Rotator) Ready(*http.Request) error {
	if r.served.Load() == nil {
		return errNoCertificate
	}
	return nil
}
