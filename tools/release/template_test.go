package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const twoVersions = `schema: olm.template.basic
entries:
  - {schema: olm.package, name: p, defaultChannel: stable}
  - schema: olm.channel
    package: p
    name: stable
    entries: [{name: p.v3.0.0}, {name: p.v3.0.1, replaces: p.v3.0.0}]
  - schema: olm.channel
    package: p
    name: old
    entries: [{name: p.v3.0.0}]
  - {schema: olm.bundle, image: "r/p-bundle@sha256:00"}
  - {schema: olm.bundle, image: "r/p-bundle:v3.0.1"}
`

func TestTemplate(t *testing.T) {
	got, err := template([]byte(twoVersions), "3.0.1", "r/p-bundle@sha256:01", false)
	require.NoError(t, err)
	assert.YAMLEq(t, `{schema: olm.template.basic, entries: [{schema: olm.package, name: p, defaultChannel: stable},
		{schema: olm.channel, package: p, name: stable, entries: [{name: p.v3.0.0}, {name: p.v3.0.1, replaces: p.v3.0.0}]},
		{schema: olm.channel, package: p, name: old, entries: [{name: p.v3.0.0}]},
		{schema: olm.bundle, image: "r/p-bundle@sha256:00"}, {schema: olm.bundle, image: "r/p-bundle@sha256:01"}]}`, string(got))

	got, err = template([]byte(twoVersions), "3.0.1", "r/p-bundle@sha256:01", true)
	require.NoError(t, err)
	assert.YAMLEq(t, `{schema: olm.template.basic, entries: [{schema: olm.package, name: p, defaultChannel: stable},
		{schema: olm.channel, package: p, name: stable, entries: [{name: p.v3.0.1}]}, {schema: olm.bundle, image: "r/p-bundle@sha256:01"}]}`, string(got))
}

func TestTemplate_Errors(t *testing.T) {
	_, err := template([]byte(twoVersions), "3.0.2", "r/p-bundle@sha256:01", false)
	require.ErrorContains(t, err, "the bundle r/p-bundle:v3.0.1 has no digest")
	require.ErrorContains(t, err, "no version 3.0.2")
	_, err = template([]byte("schema: x\nentry: []\n"), "3.0.1", "", false)
	assert.ErrorContains(t, err, `unknown field "entry"`)
}
