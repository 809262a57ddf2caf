package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

func TestReport(t *testing.T) {
	for name, row := range map[string]struct {
		err    error
		code   int
		stderr string
	}{
		"success":                {nil, 0, ""},
		"a failed test":          {fmt.Errorf("load/shop: %w", errTestFailed), 1, ""},
		"an error":               {errors.New("no such test"), 2, "error: no such test\n"},
		"several errors":         {errors.Join(errors.New("one"), errors.New("two")), 2, "error: one\ntwo\n"},
		"an interrupt":           {interruptedError{"the test continues"}, 130, "interrupted: the test continues\n"},
		"an interrupted request": {fmt.Errorf("list: %w", context.Canceled), 130, "interrupted\n"},
		"escape sequences":       {errors.New("test \x1b]0;owned\x07 failed\nremedy\x1b[2J"), 2, "error: test \ufffd]0;owned\ufffd failed\nremedy\ufffd[2J\n"},
		"lines of an interrupt":  {interruptedError{"the test continues\n  remedy"}, 130, "interrupted: the test continues\n  remedy\n"},
		"in an interrupt":        {interruptedError{"a\x1b[31mb"}, 130, "interrupted: a\ufffd[31mb\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			a := &app{IOStreams: genericiooptions.IOStreams{ErrOut: &stderr}}
			assert.Equal(t, row.code, a.report(row.err))
			assert.Equal(t, row.stderr, stderr.String())
		})
	}
}

func TestExplain(t *testing.T) {
	resource := schema.GroupResource{Group: "locust.io", Resource: "locusttests"}
	assert.NoError(t, explain("read", viewerRole, nil))

	err := explain("read the test load/shop", viewerRole, apierrors.NewForbidden(resource, "shop", errors.New("no rule")))
	assert.ErrorContains(t, err, "read the test load/shop: ")
	assert.ErrorContains(t, err, "ClusterRole "+viewerRole)
	assert.True(t, apierrors.IsForbidden(err), "the cause is kept")

	err = explain("read the test load/shop", viewerRole, apierrors.NewUnauthorized("expired"))
	assert.ErrorContains(t, err, "Log in again")
	assert.NotContains(t, err.Error(), viewerRole)

	err = explain("read the test load/shop", viewerRole, &url.Error{Op: "Get", URL: "https://prod", Err: errors.New("connection refused")})
	assert.EqualError(t, err, "read the test load/shop: Get \"https://prod\": connection refused\n"+
		"Check the connection and the context: kubectl cluster-info and kubectl config get-contexts, with the same flags")
	err = explain("read the test load/shop", viewerRole, &url.Error{Op: "Get", URL: "https://prod", Err: context.Canceled})
	assert.EqualError(t, err, "read the test load/shop: Get \"https://prod\": context canceled", "an interrupt needs no remedy")

	err = explain("read the test load/shop", viewerRole, apierrors.NewServiceUnavailable("etcd has no leader"))
	assert.ErrorContains(t, err, "Try again later")

	err = explain("read the test load/shop", viewerRole, errors.New("unexpected"))
	assert.EqualError(t, err, "read the test load/shop: unexpected")
}

func TestExplain_Forbidden(t *testing.T) {
	const noRole = "No role permits this"
	configMaps := schema.GroupResource{Resource: "configmaps"}
	terminating := apierrors.NewForbidden(configMaps, "files", errors.New("unable to create new content in namespace load because it is being terminated"))
	for name, row := range map[string]struct {
		err        error
		role, want string
	}{
		"a role":              {apierrors.NewForbidden(configMaps, "files", errors.New(`User "eve" cannot create resource "configmaps"`)), "edit", "the ClusterRole edit or"},
		"names do not matter": {apierrors.NewForbidden(configMaps, "quota", errors.New(`User "quota" cannot create resource "configmaps"`)), "edit", "the ClusterRole edit or"},
		"an unknown role":     {apierrors.NewForbidden(schema.GroupResource{Resource: "namespaces"}, "load", errors.New(`User "eve" cannot patch resource "namespaces"`)), unknownRole, "Ask an administrator for a role that permits this verb and resource;"},
		"impersonation":       {apierrors.NewForbidden(schema.GroupResource{Resource: "users"}, "eve", errors.New(`User "me" cannot impersonate resource "users"`)), viewerRole, "Ask an administrator for a role that permits this verb and resource;"},
		"a quota":             {apierrors.NewForbidden(configMaps, "files", errors.New("exceeded quota: q, requested: count/configmaps=1")), "edit", noRole},
		"an incomplete pod":   {apierrors.NewForbidden(configMaps, "files", errors.New("failed quota: q: must specify limits.cpu")), unknownRole, noRole},
		"a webhook": {&apierrors.StatusError{ErrStatus: metav1.Status{Reason: metav1.StatusReasonForbidden, Code: 403,
			Message: `admission webhook "w" denied the request: no`}}, editorRole, noRole},
		"a policy":               {apierrors.NewForbidden(configMaps, "files", errors.New("ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no")), "edit", noRole},
		"the end of a namespace": {terminating, "edit", noRole},
		"the security of pods":   {apierrors.NewForbidden(configMaps, "p", errors.New(`violates PodSecurity "restricted:latest": runAsNonRoot`)), "edit", noRole},
		"a limit":                {apierrors.NewForbidden(configMaps, "p", errors.New("maximum cpu usage per Container is 1, but limit is 2")), "edit", noRole},
	} {
		t.Run(name, func(t *testing.T) {
			err := explain("create it", row.role, row.err)
			assert.ErrorContains(t, err, "create it: "+row.err.Error()+"\n")
			assert.ErrorContains(t, err, row.want)
			assert.Equal(t, row.want == noRole, strings.Contains(err.Error(), noRole))
			assert.NotContains(t, err.Error(), "ClusterRole  ")
			assert.True(t, apierrors.IsForbidden(err), "the cause is kept")
		})
	}
}

func TestExplain_NotServed(t *testing.T) {
	test := v2.GroupVersion.WithKind("LocustTest").GroupKind()
	for _, err := range []error{notServed(testsResource), &meta.NoKindMatchError{GroupKind: test}} {
		assert.Equal(t, errNotInstalled, explain("list", viewerRole, err))
	}
	for _, err := range []error{
		nil, notServed(reportsResource), apierrors.NewNotFound(testsResource, "shop"), &meta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: "Foo"}},
		apierrors.NewGenericServerResponse(500, "GET", testsResource, "shop", "broken", 0, true),
	} {
		assert.NotErrorIs(t, explain("list", viewerRole, err), errNotInstalled, "%v", err)
	}
}

func TestIsNotServed(t *testing.T) {
	assert.True(t, isNotServed(notServed(testsResource)))
	assert.True(t, isNotServed(&meta.NoResourceMatchError{}))
	assert.False(t, isNotServed(apierrors.NewNotFound(testsResource, "shop")))
	assert.False(t, isNotServed(apierrors.NewGenericServerResponse(500, "GET", testsResource, "shop", "broken", 0, true)))
	assert.False(t, isNotServed(nil))
}
