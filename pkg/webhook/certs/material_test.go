package certs

import (
	"bytes"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

var (
	start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	hosts = []string{"hook.operator.svc", "hook.operator.svc.cluster.local"}
)

func mustRenew(t *testing.T, before map[string][]byte, at time.Time) map[string][]byte {
	t.Helper()
	data, err := renew(before, hosts, at)
	require.NoError(t, err)
	return data
}

func TestRenew(t *testing.T) {
	good := mustRenew(t, nil, start)
	other := mustRenew(t, nil, start)
	without := func(keys ...string) map[string][]byte {
		data := maps.Clone(good)
		for _, key := range keys {
			delete(data, key)
		}
		return data
	}
	with := func(key string, value []byte) map[string][]byte {
		data := maps.Clone(good)
		data[key] = value
		return data
	}
	for name, c := range map[string]struct {
		data                  map[string][]byte
		after                 time.Duration
		newCA, newCertificate bool
	}{
		"good":                         {data: good},
		"good for 90 days more":        {data: good, after: serverLifetime - renewBefore - time.Hour},
		"the certificate expires soon": {data: good, after: serverLifetime - renewBefore + time.Hour, newCertificate: true},
		"the certificate has expired":  {data: good, after: 2 * serverLifetime, newCertificate: true},
		"the CA expires soon":          {data: good, after: caLifetime - renewBefore + time.Hour, newCA: true, newCertificate: true},
		"nothing":                      {newCA: true, newCertificate: true},
		"no certificate":               {data: without(corev1.TLSCertKey), newCertificate: true},
		"no key":                       {data: without(corev1.TLSPrivateKeyKey), newCertificate: true},
		"no CA key":                    {data: without(keyCAKey), newCA: true, newCertificate: true},
		"no CA":                        {data: without(keyCACert), newCA: true, newCertificate: true},
		"invalid CA":                   {data: with(keyCACert, []byte("nonsense")), newCA: true, newCertificate: true},
		"key of another CA":            {data: with(keyCAKey, other[keyCAKey]), newCA: true, newCertificate: true},
		"key of another certificate":   {data: with(corev1.TLSPrivateKeyKey, other[corev1.TLSPrivateKeyKey]), newCertificate: true},
		"signature of another CA":      {data: with(corev1.TLSCertKey, other[corev1.TLSCertKey]), newCertificate: true},
	} {
		t.Run(name, func(t *testing.T) {
			now := start.Add(c.after)
			data := mustRenew(t, c.data, now)
			assert.Equal(t, c.newCA, !bytes.Equal(data[keyCACert], c.data[keyCACert]), "a new CA")
			assert.Equal(t, c.newCertificate, !bytes.Equal(data[corev1.TLSCertKey], c.data[corev1.TLSCertKey]), "a new certificate")
			assert.True(t, servesAll(data, hosts, now.Add(renewBefore)), "the certificate is valid for long enough")
			assert.Equal(t, data, mustRenew(t, data, now), "no second change")
		})
	}
}

func TestRenew_OtherHosts(t *testing.T) {
	good := mustRenew(t, nil, start)
	moved, err := renew(good, []string{"hook.elsewhere.svc"}, start)
	require.NoError(t, err)
	assert.Equal(t, good[keyCACert], moved[keyCACert])
	assert.NotEqual(t, good[corev1.TLSCertKey], moved[corev1.TLSCertKey])
}

func TestRenew_KeepsForeignKeys(t *testing.T) {
	assert.Equal(t, []byte("kept"), mustRenew(t, map[string][]byte{"note": []byte("kept")}, start)["note"])
}

func TestBundle(t *testing.T) {
	var all [10][]byte
	for i := range all {
		all[i] = mustRenew(t, nil, start.Add(time.Duration(i)*time.Minute))[keyCACert]
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	now := start.Add(10 * time.Minute)
	later := now.Add(time.Minute)

	assert.Equal(t, all[0], bundle(all[0], nil, later, now), "the first")
	assert.Equal(t, join(all[1], all[0]), bundle(all[1], all[0], later, now), "the old CA is kept")
	assert.Equal(t, join(all[1], all[0]), bundle(all[1], join(all[0], all[1]), later, now), "without duplicates")
	assert.Equal(t, join(all[9], join(all[:7]...)), bundle(all[9], join(all[:9]...), later, now), "a bundle is bounded")
	assert.Equal(t, all[1], bundle(all[1], []byte("nonsense"), later, now), "invalid data is dropped")
	assert.Equal(t, all[1], bundle(all[1], join(all[0], all[1]), now, now), "the old CA is dropped after its period")
	assert.Equal(t, all[1], bundle(nil, all[1], later, now), "no change without a CA")
}

func TestRenewAt(t *testing.T) {
	data := mustRenew(t, nil, start)
	until := start.Add(oldCAPeriod)
	assert.Equal(t, until, renewAt(data, until, start), "CAs are dropped")
	assert.Equal(t, until.Add(time.Hour+renewBefore), renewAt(data, until, until.Add(time.Hour)), "it is checked regularly")
	near := start.Add(serverLifetime - renewBefore - time.Hour)
	assert.WithinDuration(t, near.Add(time.Hour), renewAt(data, until, near), time.Second, "the certificate is due")
}
