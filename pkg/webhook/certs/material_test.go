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

func made(t *testing.T, before map[string][]byte, at time.Time) map[string][]byte {
	t.Helper()
	data, err := renew(before, hosts, at)
	require.NoError(t, err)
	return data
}

func TestRenew(t *testing.T) {
	good := made(t, nil, start)
	other := made(t, nil, start)
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
		data                         map[string][]byte
		after                        time.Duration
		newAuthority, newCertificate bool
	}{
		"good":                          {data: good},
		"good for 90 days more":         {data: good, after: serverLifetime - renewBefore - time.Hour},
		"the certificate ends soon":     {data: good, after: serverLifetime - renewBefore + time.Hour, newCertificate: true},
		"the certificate has ended":     {data: good, after: 2 * serverLifetime, newCertificate: true},
		"the authority ends soon":       {data: good, after: caLifetime - renewBefore + time.Hour, newAuthority: true, newCertificate: true},
		"nothing":                       {newAuthority: true, newCertificate: true},
		"no certificate":                {data: without(corev1.TLSCertKey), newCertificate: true},
		"no key":                        {data: without(corev1.TLSPrivateKeyKey), newCertificate: true},
		"no authority's key":            {data: without(keyCAKey), newAuthority: true, newCertificate: true},
		"no authority":                  {data: without(keyCACert), newAuthority: true, newCertificate: true},
		"nonsense for an authority":     {data: with(keyCACert, []byte("nonsense")), newAuthority: true, newCertificate: true},
		"another authority's key":       {data: with(keyCAKey, other[keyCAKey]), newAuthority: true, newCertificate: true},
		"another certificate's key":     {data: with(corev1.TLSPrivateKeyKey, other[corev1.TLSPrivateKeyKey]), newCertificate: true},
		"another authority's signature": {data: with(corev1.TLSCertKey, other[corev1.TLSCertKey]), newCertificate: true},
	} {
		t.Run(name, func(t *testing.T) {
			now := start.Add(c.after)
			data := made(t, c.data, now)
			assert.Equal(t, c.newAuthority, !bytes.Equal(data[keyCACert], c.data[keyCACert]), "a new authority")
			assert.Equal(t, c.newCertificate, !bytes.Equal(data[corev1.TLSCertKey], c.data[corev1.TLSCertKey]), "a new certificate")
			assert.True(t, servesAll(data, hosts, now.Add(renewBefore)), "the certificate is good for long enough")
			assert.Equal(t, data, made(t, data, now), "nothing changes twice")
		})
	}
}

func TestRenew_OtherHosts(t *testing.T) {
	good := made(t, nil, start)
	moved, err := renew(good, []string{"hook.elsewhere.svc"}, start)
	require.NoError(t, err)
	assert.Equal(t, good[keyCACert], moved[keyCACert])
	assert.NotEqual(t, good[corev1.TLSCertKey], moved[corev1.TLSCertKey])
}

func TestRenew_KeepsForeignKeys(t *testing.T) {
	assert.Equal(t, []byte("kept"), made(t, map[string][]byte{"note": []byte("kept")}, start)["note"])
}

func TestBundle(t *testing.T) {
	var all [10][]byte
	for i := range all {
		all[i] = made(t, nil, start.Add(time.Duration(i)*time.Minute))[keyCACert]
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	now := start.Add(10 * time.Minute)
	later := now.Add(time.Minute)

	assert.Equal(t, all[0], bundle(all[0], nil, later, now), "the first")
	assert.Equal(t, join(all[1], all[0]), bundle(all[1], all[0], later, now), "the authority before is kept")
	assert.Equal(t, join(all[1], all[0]), bundle(all[1], join(all[0], all[1]), later, now), "and none twice")
	assert.Equal(t, join(all[9], join(all[:7]...)), bundle(all[9], join(all[:9]...), later, now), "a bundle is bounded")
	assert.Equal(t, all[1], bundle(all[1], []byte("nonsense"), later, now), "nonsense is left out")
	assert.Equal(t, all[1], bundle(all[1], join(all[0], all[1]), now, now), "when its time is over the old one goes")
	assert.Equal(t, all[1], bundle(nil, all[1], later, now), "without an authority nothing changes")
}

func TestRenewAt(t *testing.T) {
	data := made(t, nil, start)
	until := start.Add(keptFor)
	assert.Equal(t, until, renewAt(data, until, start), "the bundles become smaller")
	assert.Equal(t, until.Add(time.Hour+renewBefore), renewAt(data, until, until.Add(time.Hour)), "it is looked at now and then")
	near := start.Add(serverLifetime - renewBefore - time.Hour)
	assert.WithinDuration(t, near.Add(time.Hour), renewAt(data, until, near), time.Second, "the certificate is due")
}
