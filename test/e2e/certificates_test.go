//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

// webhookName is the name of the webhooks' Service and Secret.
const webhookName = "locust-k8s-operator-webhook"

// caller continuously sends requests that need the webhooks, and records failures.
type caller struct {
	mu       sync.Mutex
	calls    int
	failures []string
	stop     context.CancelFunc
	done     sync.WaitGroup
}

func (c *caller) record(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	if err != nil && len(c.failures) < 20 {
		c.failures = append(c.failures, time.Now().Format(time.TimeOnly)+" "+err.Error())
	}
}

func (c *caller) end() (calls int, failures []string) {
	c.stop()
	c.done.Wait()
	return c.calls, c.failures
}

// callWebhooks reads and writes tests in both versions, which needs both webhooks. It writes the test of the name, and creates one
// that only the admission webhook refuses.
func (s *fixture) callWebhooks(name string) *caller {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &caller{stop: cancel}
	// write adds one to an annotation, and checks that the previous write was not lost.
	write := func(object client.Object, annotation string) func() error {
		written := 0
		return func() error {
			object.SetNamespace(s.namespace)
			object.SetName(name)
			if err := k8s.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
				return err
			}
			if is := object.GetAnnotations()[annotation]; written > 0 && is != strconv.Itoa(written) {
				return fmt.Errorf("%s is %q, not %d: a write was lost", annotation, is, written)
			}
			body := fmt.Sprintf(`{"metadata":{"annotations":{%q:"%d"}}}`, annotation, written+1)
			if err := k8s.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(body))); err != nil {
				return err
			}
			written++
			return nil
		}
	}
	for _, call := range []func() error{
		write(inV1(), "e2e/written-in-v1"),
		write(&v2.LocustTest{}, "e2e/written-in-v2"),
		func() error {
			list := &unstructured.UnstructuredList{}
			list.SetAPIVersion("locust.io/v1")
			list.SetKind("LocustTestList")
			return k8s.List(ctx, list, client.InNamespace(s.namespace))
		},
		func() error {
			bad := s.test("refused", 5, func(spec *v2.LocustTestSpec) { spec.Master.Labels = map[string]string{"managed-by": "me"} })
			err := k8s.Create(ctx, bad, client.DryRunAll)
			if err == nil {
				return fmt.Errorf("the admission webhook was not called")
			}
			if !strings.Contains(err.Error(), "spec.master.labels") {
				return err
			}
			return nil
		},
	} {
		c.done.Go(func() {
			for ctx.Err() == nil {
				if err := call(); ctx.Err() == nil {
					c.record(err)
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	return c
}

func inV1() *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetAPIVersion("locust.io/v1")
	object.SetKind("LocustTest")
	return object
}

// servedCertificate returns the certificate that the webhooks' Service serves to a pod, or nil.
func servedCertificate(t *testing.T) *x509.Certificate {
	t.Helper()
	raw, err := clientset.CoreV1().RESTClient().Get().Namespace("e2e-target").Resource("services").Name("target:80").
		SubResource("proxy").Suffix("certificate", webhookName+"."+framework.OperatorNamespace+".svc").DoRaw(t.Context())
	if err != nil {
		return nil
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	return certificate
}

// certificateOf returns the certificate in a key of the webhooks' Secret, or nil.
func certificateOf(t *testing.T, key string) []byte {
	t.Helper()
	var secret corev1.Secret
	if k8s.Get(t.Context(), client.ObjectKey{Namespace: framework.OperatorNamespace, Name: webhookName}, &secret) != nil {
		return nil
	}
	block, _ := pem.Decode(secret.Data[key])
	if block == nil {
		return nil
	}
	return block.Bytes
}

// TestCertificates checks that no request fails while the webhooks' certificate and CA change.
func TestCertificates(t *testing.T) {
	s := newFixture(t)
	disturbed.add(t)
	test := s.create(s.test("watched", 120))
	s.UntilPhase(test, v2.PhaseRunning)
	calls := s.callWebhooks(test.Name)
	patch := func(body string) {
		t.Helper()
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: framework.OperatorNamespace, Name: webhookName}}
		require.NoError(t, k8s.Patch(t.Context(), secret, client.RawPatch("application/merge-patch+json", []byte(body))))
	}
	for _, step := range []struct {
		name         string
		do           func()
		newAuthority bool
	}{
		{"the certificate is renewed", func() { patch(`{"data":{"tls.crt":null}}`) }, false},
		{"the CA is replaced", func() { patch(`{"data":{"ca.key":null}}`) }, true},
		{"the Secret is deleted", func() {
			old := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: framework.OperatorNamespace, Name: webhookName}}
			require.NoError(t, k8s.Delete(t.Context(), old))
		}, true},
	} {
		// Do not compare with the served certificate: one of the two pods may still serve the previous one.
		authority, before := certificateOf(t, "ca.crt"), certificateOf(t, corev1.TLSCertKey)
		require.NotNil(t, authority)
		require.NotNil(t, before)
		step.do()
		eventually(t, step.name, func() bool {
			now := servedCertificate(t)
			return now != nil && !bytes.Equal(now.Raw, before) && bytes.Equal(now.Raw, certificateOf(t, corev1.TLSCertKey))
		})
		assert.Equal(t, step.newAuthority, !bytes.Equal(authority, certificateOf(t, "ca.crt")), step.name)
	}

	n, failures := calls.end()
	assert.Empty(t, failures, "of %d requests", n)
	assert.Greater(t, n, 200, "requests were sent during the whole test")
	t.Logf("%d requests during the changes, %d failed", n, len(failures))
	assert.Equal(t, v2.PhaseRunning, s.get(test.Name).Status.Phase)
}
