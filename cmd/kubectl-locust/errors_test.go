package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
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
		"Check the connection and the context: kubectl cluster-info; kubectl config get-contexts")
	err = explain("read the test load/shop", viewerRole, &url.Error{Op: "Get", URL: "https://prod", Err: context.Canceled})
	assert.EqualError(t, err, "read the test load/shop: Get \"https://prod\": context canceled", "an interrupt needs no remedy")

	err = explain("read the test load/shop", viewerRole, apierrors.NewServiceUnavailable("etcd has no leader"))
	assert.ErrorContains(t, err, "Try again later")

	err = explain("read the test load/shop", viewerRole, errors.New("unexpected"))
	assert.EqualError(t, err, "read the test load/shop: unexpected")
}
