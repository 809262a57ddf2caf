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

// world is a cluster with one or more replicas of the operator.
type world struct {
	t        *testing.T
	clock    *clocktesting.FakePassiveClock
	client   client.Client
	replicas []*Keeper
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	w := &world{t: t, clock: clocktesting.NewFakePassiveClock(start),
		client: fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(objects...).Build()}
	w.join()
	return w
}

// join starts a replica.
func (w *world) join() *Keeper {
	k := &Keeper{Client: w.client, Live: w.client, Clock: w.clock, Key: testKey, Configuration: testConfiguration, CRD: testCRD}
	w.replicas = append(w.replicas, k)
	return k
}

func (w *world) reconcile(k *Keeper) reconcile.Result {
	w.t.Helper()
	result, err := k.Reconcile(w.t.Context(), reconcile.Request{})
	require.NoError(w.t, err)
	require.Positive(w.t, result.RequeueAfter, "it is always looked at again")
	return result
}

func (w *world) pass(d time.Duration) { w.clock.SetTime(w.clock.Now().Add(d)) }

func (w *world) secret() *corev1.Secret {
	w.t.Helper()
	secret := &corev1.Secret{}
	require.NoError(w.t, w.client.Get(w.t.Context(), testKey, secret))
	return secret
}

func (w *world) bundles() [][]byte {
	w.t.Helper()
	crd := newCRD(false)
	require.NoError(w.t, w.client.Get(w.t.Context(), client.ObjectKeyFromObject(crd), crd))
	encoded, _, err := unstructured.NestedString(crd.Object, "spec", "conversion", "webhook", "clientConfig", "caBundle")
	require.NoError(w.t, err)
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	require.NoError(w.t, err)
	configuration := newConfiguration()
	require.NoError(w.t, w.client.Get(w.t.Context(), client.ObjectKeyFromObject(configuration), configuration))
	return [][]byte{decoded, configuration.Webhooks[0].ClientConfig.CABundle, configuration.Webhooks[1].ClientConfig.CABundle}
}

// forget removes keys of the Secret, as someone who wants new ones does.
func (w *world) forget(keys ...string) {
	w.t.Helper()
	secret := w.secret()
	for _, key := range keys {
		delete(secret.Data, key)
	}
	require.NoError(w.t, w.client.Update(w.t.Context(), secret))
}

func served(t *testing.T, k *Keeper) *x509.Certificate {
	t.Helper()
	pair, err := k.GetCertificate(&tls.ClientHelloInfo{})
	require.NoError(t, err)
	return pair.Leaf
}

func accepts(bundle []byte, cert *x509.Certificate, now time.Time) error {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(bundle)
	_, err := cert.Verify(x509.VerifyOptions{Roots: pool, DNSName: hosts[0], CurrentTime: now})
	return err
}

func TestKeeper_FirstStart(t *testing.T) {
	w := newWorld(t, newCRD(true), newConfiguration())
	k := w.replicas[0]
	require.Error(t, k.Ready(nil), "before it has a certificate")
	_, err := k.GetCertificate(nil)
	require.ErrorIs(t, err, errNotYet)

	w.reconcile(k)
	require.NoError(t, k.Ready(nil), "nothing can break, so nothing is waited for")
	for _, bundle := range w.bundles() {
		require.NoError(t, accepts(bundle, served(t, k), start))
	}
	before := w.secret().ResourceVersion
	w.reconcile(k)
	assert.Equal(t, before, w.secret().ResourceVersion, "nothing is written twice")
}

func TestKeeper_RestoresBundles(t *testing.T) {
	w := newWorld(t, newCRD(true), newConfiguration())
	k := w.replicas[0]
	w.reconcile(k)
	cert := served(t, k)
	crd := newCRD(true)
	require.NoError(t, w.client.Get(t.Context(), client.ObjectKeyFromObject(crd), crd))
	unstructured.RemoveNestedField(crd.Object, "spec", "conversion", "webhook", "clientConfig", "caBundle")
	require.NoError(t, w.client.Update(t.Context(), crd))

	w.reconcile(k)
	for _, bundle := range w.bundles() {
		require.NoError(t, accepts(bundle, cert, start))
	}
	assert.Equal(t, cert, served(t, k))
}

func TestKeeper_ServesANewAuthorityLate(t *testing.T) {
	w := newWorld(t, newCRD(true), newConfiguration())
	k := w.replicas[0]
	w.reconcile(k)
	old := served(t, k)
	w.pass(time.Hour)
	w.forget(keyCAKey)

	result := w.reconcile(k)
	assert.Equal(t, settling, result.RequeueAfter)
	assert.Equal(t, old, served(t, k), "API servers may not know the new authority yet")
	w.pass(settling)
	w.reconcile(k)
	assert.NotEqual(t, old, served(t, k))
	for _, bundle := range w.bundles() {
		assert.NoError(t, accepts(bundle, old, w.clock.Now()), "another replica may still serve the old one")
		assert.NoError(t, accepts(bundle, served(t, k), w.clock.Now()))
	}
	w.pass(keptFor)
	w.reconcile(k)
	for _, bundle := range w.bundles() {
		assert.Error(t, accepts(bundle, old, w.clock.Now()), "a day later the old authority is gone")
		assert.NoError(t, accepts(bundle, served(t, k), w.clock.Now()))
	}
}

// TestKeeper_RestoredSecret: an authority of long ago is a new one when it comes back.
func TestKeeper_RestoredSecret(t *testing.T) {
	w := newWorld(t, newCRD(true), newConfiguration())
	k := w.replicas[0]
	w.reconcile(k)
	backup := w.secret().Data
	w.forget(keyCAKey)
	for range 3 {
		w.pass(keptFor)
		w.reconcile(k)
	}
	now := served(t, k)
	secret := w.secret()
	secret.Data = backup
	require.NoError(t, w.client.Update(t.Context(), secret))

	w.reconcile(k)
	assert.Equal(t, now, served(t, k))
	for range 2 {
		for _, bundle := range w.bundles() {
			assert.NoError(t, accepts(bundle, now, w.clock.Now()), "it is served still")
		}
		w.reconcile(k)
	}
	w.pass(settling)
	w.reconcile(k)
	assert.NotEqual(t, now, served(t, k))
}

func TestKeeper_NewCertificateOfAnOldAuthorityAtOnce(t *testing.T) {
	w := newWorld(t, newCRD(true), newConfiguration())
	k := w.replicas[0]
	w.reconcile(k)
	old := served(t, k)
	w.forget(corev1.TLSCertKey)
	w.reconcile(k)
	assert.NotEqual(t, old, served(t, k))
}

func TestKeeper_WithoutAdmissionWebhook(t *testing.T) {
	w := newWorld(t, newCRD(true))
	w.reconcile(w.replicas[0])
	assert.NoError(t, w.replicas[0].Ready(nil))
}

func TestKeeper_CRDWithoutConversion(t *testing.T) {
	w := newWorld(t, newCRD(false), newConfiguration())
	_, err := w.replicas[0].Reconcile(t.Context(), reconcile.Request{})
	require.ErrorContains(t, err, "apply config/crd")
	assert.Error(t, w.replicas[0].Ready(nil))
}

// TestKeeper_NeverUntrusted: whatever happens to the Secret, and whichever replica acts, an API server that learns of
// bundles late accepts every certificate that is served.
func TestKeeper_NeverUntrusted(t *testing.T) {
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t, newCRD(true), newConfiguration())
		w.join()
		for _, k := range w.replicas {
			w.reconcile(k)
		}
		type known struct {
			at      time.Time
			bundles [][]byte
		}
		var history []known
		look := func() { history = append(history, known{w.clock.Now(), w.bundles()}) }
		look()
		backup := w.secret().Data
		for range 40 {
			switch random.IntN(9) {
			case 8:
				secret := w.secret()
				secret.Data, backup = backup, secret.Data
				require.NoError(t, w.client.Update(t.Context(), secret))
			case 0:
				w.forget(keyCAKey)
			case 1:
				w.forget(corev1.TLSCertKey)
			case 2:
				require.NoError(t, w.client.Delete(t.Context(), w.secret()))
				w.reconcile(w.replicas[random.IntN(len(w.replicas))])
			case 3: // a replica is replaced; the new one answers once it is ready
				w.replicas = append(w.replicas[1:], nil)
				w.replicas = w.replicas[:len(w.replicas)-1]
				w.join()
			case 4: // time passes in which every replica looks again when it said it would
				for range 2 {
					for _, k := range w.replicas {
						w.reconcile(k)
					}
					look()
					w.pass(settling)
				}
				for _, k := range w.replicas {
					w.reconcile(k)
				}
				look()
				w.pass(time.Duration(random.IntN(200)) * 24 * time.Hour)
			default:
				w.pass(time.Duration(random.IntN(8)) * time.Second)
			}
			for _, k := range w.replicas {
				if random.IntN(3) > 0 {
					w.reconcile(k)
				}
			}
			now := w.clock.Now()
			look()
			// What an API server knows: the bundles of now, or any since a moment that is less than settling ago.
			for i := len(history) - 1; i >= 0; i-- {
				if i+1 < len(history) && now.Sub(history[i+1].at) >= settling {
					break
				}
				for _, k := range w.replicas {
					if k.Ready(nil) != nil {
						continue
					}
					for _, bundle := range history[i].bundles {
						// Half a year may pass between two looks here, but not in a cluster.
						if cert := served(t, k); now.Before(cert.NotAfter) {
							require.NoError(t, accepts(bundle, cert, now), "seed %d", seed)
						}
					}
				}
			}
		}
	}
}

func TestKeeper_AnotherReplicaWasFirst(t *testing.T) {
	w := newWorld(t, newCRD(true), newConfiguration())
	w.reconcile(w.replicas[0])
	w.forget(corev1.TLSCertKey)
	stale := w.secret()
	w.reconcile(w.replicas[0])
	second := w.join()
	second.Live = interceptor.NewClient(w.client.(client.WithWatch), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
			if secret, ok := into.(*corev1.Secret); ok {
				stale.DeepCopyInto(secret)
				return nil
			}
			return c.Get(ctx, key, into, opts...)
		}})
	before := w.secret().Data
	assert.Equal(t, time.Second, w.reconcile(second).RequeueAfter)
	assert.Equal(t, before, w.secret().Data, "what the other one wrote stays")
}

func TestKeeper_TellsWhatIsForbidden(t *testing.T) {
	w := newWorld(t, newCRD(true), newConfiguration())
	w.replicas[0].Live = interceptor.NewClient(w.client.(client.WithWatch), interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return errors.New("forbidden")
		}})
	_, err := w.replicas[0].Reconcile(t.Context(), reconcile.Request{})
	assert.ErrorContains(t, err, "operator/hook")
}
