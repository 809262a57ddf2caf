package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	testCRD           = "things.example.com"
	testConfiguration = "hook"
)

var testKey = client.ObjectKey{Namespace: "operator", Name: "hook"}

func newCRD(conversion bool) *unstructured.Unstructured {
	crd := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{}}}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	crd.SetName(testCRD)
	if conversion {
		_ = unstructured.SetNestedMap(crd.Object, map[string]any{"service": map[string]any{"name": "hook"}}, "spec", "conversion", "webhook", "clientConfig")
	}
	return crd
}

func newConfiguration() *admissionregistrationv1.ValidatingWebhookConfiguration {
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: testConfiguration},
		Webhooks:   []admissionregistrationv1.ValidatingWebhook{{Name: "a.example.com"}, {Name: "b.example.com"}},
	}
}

// fixture is a cluster with one or more replicas of the operator.
type fixture struct {
	t        *testing.T
	clock    *clocktesting.FakePassiveClock
	client   client.Client
	replicas []*Rotator
}

func newFixture(t *testing.T, objects ...client.Object) *fixture {
	t.Helper()
	f := &fixture{t: t, clock: clocktesting.NewFakePassiveClock(start),
		client: fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(objects...).Build()}
	f.addReplica()
	return f
}

// addReplica starts a replica.
func (f *fixture) addReplica() *Rotator {
	r := &Rotator{Client: f.client, APIReader: f.client, Clock: f.clock, Key: testKey, Configuration: testConfiguration, CRD: testCRD}
	f.replicas = append(f.replicas, r)
	return r
}

func (f *fixture) reconcile(r *Rotator) reconcile.Result {
	f.t.Helper()
	result, err := r.Reconcile(f.t.Context(), reconcile.Request{})
	require.NoError(f.t, err)
	require.Positive(f.t, result.RequeueAfter, "it always requeues")
	return result
}

func (f *fixture) advance(d time.Duration) { f.clock.SetTime(f.clock.Now().Add(d)) }

func (f *fixture) secret() *corev1.Secret {
	f.t.Helper()
	secret := &corev1.Secret{}
	require.NoError(f.t, f.client.Get(f.t.Context(), testKey, secret))
	return secret
}

func (f *fixture) bundles() [][]byte {
	f.t.Helper()
	crd := newCRD(false)
	require.NoError(f.t, f.client.Get(f.t.Context(), client.ObjectKeyFromObject(crd), crd))
	encoded, _, err := unstructured.NestedString(crd.Object, "spec", "conversion", "webhook", "clientConfig", "caBundle")
	require.NoError(f.t, err)
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	require.NoError(f.t, err)
	configuration := newConfiguration()
	require.NoError(f.t, f.client.Get(f.t.Context(), client.ObjectKeyFromObject(configuration), configuration))
	return [][]byte{decoded, configuration.Webhooks[0].ClientConfig.CABundle, configuration.Webhooks[1].ClientConfig.CABundle}
}

// removeKeys removes keys of the Secret, as an administrator who wants new ones does.
func (f *fixture) removeKeys(keys ...string) {
	f.t.Helper()
	secret := f.secret()
	for _, key := range keys {
		delete(secret.Data, key)
	}
	require.NoError(f.t, f.client.Update(f.t.Context(), secret))
}

func served(t *testing.T, r *Rotator) *x509.Certificate {
	t.Helper()
	pair, err := r.GetCertificate(&tls.ClientHelloInfo{})
	require.NoError(t, err)
	return pair.Leaf
}

func accepts(bundle []byte, cert *x509.Certificate, now time.Time) error {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(bundle)
	_, err := cert.Verify(x509.VerifyOptions{Roots: pool, DNSName: hosts[0], CurrentTime: now})
	return err
}

// issued returns a fixture with a certificate, and its replica.
func issued(t *testing.T) (*fixture, *Rotator) {
	f := newFixture(t, newCRD(true), newConfiguration())
	f.reconcile(f.replicas[0])
	return f, f.replicas[0]
}

func TestRotator_FirstStart(t *testing.T) {
	f := newFixture(t, newCRD(true), newConfiguration())
	r := f.replicas[0]
	require.Error(t, r.Ready(nil), "before it has a certificate")
	_, err := r.GetCertificate(nil)
	require.ErrorIs(t, err, errNoCertificate)

	f.reconcile(r)
	require.NoError(t, r.Ready(nil), "no wait, because no certificate was served before")
	for _, bundle := range f.bundles() {
		require.NoError(t, accepts(bundle, served(t, r), start))
	}
	before := f.secret().ResourceVersion
	f.reconcile(r)
	assert.Equal(t, before, f.secret().ResourceVersion, "no second write")
}

func TestRotator_RestoresBundles(t *testing.T) {
	f, r := issued(t)
	cert := served(t, r)
	crd := newCRD(true)
	require.NoError(t, f.client.Get(t.Context(), client.ObjectKeyFromObject(crd), crd))
	unstructured.RemoveNestedField(crd.Object, "spec", "conversion", "webhook", "clientConfig", "caBundle")
	require.NoError(t, f.client.Update(t.Context(), crd))

	f.reconcile(r)
	for _, bundle := range f.bundles() {
		require.NoError(t, accepts(bundle, cert, start))
	}
	assert.Equal(t, cert, served(t, r))
}

func TestRotator_ServesNewCAAfterPropagation(t *testing.T) {
	f, r := issued(t)
	old := served(t, r)
	f.advance(time.Hour)
	f.removeKeys(keyCAKey)

	result := f.reconcile(r)
	assert.Equal(t, propagationDelay, result.RequeueAfter)
	assert.Equal(t, old, served(t, r), "API servers may not know the new CA yet")
	f.advance(propagationDelay)
	f.reconcile(r)
	assert.NotEqual(t, old, served(t, r))
	for _, bundle := range f.bundles() {
		assert.NoError(t, accepts(bundle, old, f.clock.Now()), "another replica may still serve the old certificate")
		assert.NoError(t, accepts(bundle, served(t, r), f.clock.Now()))
	}
	f.advance(oldCAPeriod)
	f.reconcile(r)
	for _, bundle := range f.bundles() {
		assert.Error(t, accepts(bundle, old, f.clock.Now()), "the old CA is dropped a day later")
		assert.NoError(t, accepts(bundle, served(t, r), f.clock.Now()))
	}
}

// TestRotator_RestoredSecret: an old CA that comes back is a new one.
func TestRotator_RestoredSecret(t *testing.T) {
	f, r := issued(t)
	backup := f.secret().Data
	f.removeKeys(keyCAKey)
	for range 3 {
		f.advance(oldCAPeriod)
		f.reconcile(r)
	}
	now := served(t, r)
	secret := f.secret()
	secret.Data = backup
	require.NoError(t, f.client.Update(t.Context(), secret))

	f.reconcile(r)
	assert.Equal(t, now, served(t, r))
	for range 2 {
		for _, bundle := range f.bundles() {
			assert.NoError(t, accepts(bundle, now, f.clock.Now()), "it is still served")
		}
		f.reconcile(r)
	}
	f.advance(propagationDelay)
	f.reconcile(r)
	assert.NotEqual(t, now, served(t, r))
}

func TestRotator_ServesNewCertificateOfSameCA(t *testing.T) {
	f, r := issued(t)
	old := served(t, r)
	f.removeKeys(corev1.TLSCertKey)
	f.reconcile(r)
	assert.NotEqual(t, old, served(t, r))
}

func TestRotator_WithoutAdmissionWebhook(t *testing.T) {
	f := newFixture(t, newCRD(true))
	f.reconcile(f.replicas[0])
	assert.NoError(t, f.replicas[0].Ready(nil))
}

func TestRotator_CRDWithoutConversion(t *testing.T) {
	f := newFixture(t, newCRD(false), newConfiguration())
	_, err := f.replicas[0].Reconcile(t.Context(), reconcile.Request{})
	require.ErrorContains(t, err, "apply config/crd")
	assert.Error(t, f.replicas[0].Ready(nil))
}

// TestRotator_NeverUntrusted: whatever happens to the Secret, and whichever replica acts first, an API server that notices
// bundles late accepts every served certificate.
func TestRotator_NeverUntrusted(t *testing.T) {
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 1))
		f := newFixture(t, newCRD(true), newConfiguration())
		f.addReplica()
		for _, r := range f.replicas {
			f.reconcile(r)
		}
		type known struct {
			at      time.Time
			bundles [][]byte
		}
		var history []known
		snapshot := func() { history = append(history, known{f.clock.Now(), f.bundles()}) }
		snapshot()
		backup := f.secret().Data
		for range 40 {
			switch random.IntN(9) {
			case 8:
				secret := f.secret()
				secret.Data, backup = backup, secret.Data
				require.NoError(t, f.client.Update(t.Context(), secret))
			case 0:
				f.removeKeys(keyCAKey)
			case 1:
				f.removeKeys(corev1.TLSCertKey)
			case 2:
				require.NoError(t, f.client.Delete(t.Context(), f.secret()))
				f.reconcile(f.replicas[random.IntN(len(f.replicas))])
			case 3: // a replica is replaced; the new one serves once it is ready
				f.replicas = append(f.replicas[1:], nil)
				f.replicas = f.replicas[:len(f.replicas)-1]
				f.addReplica()
			case 4: // every replica reconciles when its requeue is due
				for range 2 {
					for _, r := range f.replicas {
						f.reconcile(r)
					}
					snapshot()
					f.advance(propagationDelay)
				}
				for _, r := range f.replicas {
					f.reconcile(r)
				}
				snapshot()
				f.advance(time.Duration(random.IntN(200)) * 24 * time.Hour)
			default:
				f.advance(time.Duration(random.IntN(8)) * time.Second)
			}
			for _, r := range f.replicas {
				if random.IntN(3) > 0 {
					f.reconcile(r)
				}
			}
			now := f.clock.Now()
			snapshot()
			// An API server knows the current bundles, or older ones that were replaced less than propagationDelay ago.
			for i := len(history) - 1; i >= 0; i-- {
				if i+1 < len(history) && now.Sub(history[i+1].at) >= propagationDelay {
					break
				}
				for _, r := range f.replicas {
					if r.Ready(nil) != nil {
						continue
					}
					for _, bundle := range history[i].bundles {
						// Half a year may pass between two reconciles here, but not in a cluster.
						if cert := served(t, r); now.Before(cert.NotAfter) {
							require.NoError(t, accepts(bundle, cert, now), "seed %d", seed)
						}
					}
				}
			}
		}
	}
}

func TestRotator_Conflict(t *testing.T) {
	f := newFixture(t, newCRD(true), newConfiguration())
	f.reconcile(f.replicas[0])
	f.removeKeys(corev1.TLSCertKey)
	stale := f.secret()
	f.reconcile(f.replicas[0])
	second := f.addReplica()
	second.APIReader = interceptor.NewClient(f.client.(client.WithWatch), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
			if secret, ok := into.(*corev1.Secret); ok {
				stale.DeepCopyInto(secret)
				return nil
			}
			return c.Get(ctx, key, into, opts...)
		}})
	before := f.secret().Data
	assert.Equal(t, time.Second, f.reconcile(second).RequeueAfter)
	assert.Equal(t, before, f.secret().Data, "the write of the other replica is kept")
}

func TestRotator_NamesSecretInError(t *testing.T) {
	f := newFixture(t, newCRD(true), newConfiguration())
	f.replicas[0].APIReader = interceptor.NewClient(f.client.(client.WithWatch), interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return errors.New("forbidden")
		}})
	_, err := f.replicas[0].Reconcile(t.Context(), reconcile.Request{})
	assert.ErrorContains(t, err, "operator/hook")
}
