package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// pollInterval is the time between two reads of a test by commands that show no numbers of it.
const pollInterval = time.Second

// maxFailingPolls bounds how often in succession a test cannot be read, for example while an API server restarts.
const maxFailingPolls = 60

// deletedError reports that a test was deleted, and maybe created again, while a command waited for it.
type deletedError struct{ key client.ObjectKey }

func (e deletedError) Error() string { return "the test " + e.key.String() + " has been deleted" }

// pollTest reads a test until done returns true, the context ends, or the test is deleted. It returns the last state.
func pollTest(ctx context.Context, c client.Client, key client.ObjectKey, uid types.UID, every time.Duration, done func(*v2.LocustTest) bool) (*v2.LocustTest, error) {
	var last *v2.LocustTest
	for failing := 0; ; {
		test := &v2.LocustTest{}
		err := c.Get(ctx, key, test)
		switch {
		case ctx.Err() != nil:
			return last, ctx.Err()
		case apierrors.IsNotFound(err), err == nil && test.UID != uid:
			return last, deletedError{key}
		case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err), err != nil && failing == maxFailingPolls:
			return last, explain("read the test "+key.String(), viewerRole, err)
		case err != nil:
			failing++
		default:
			failing, last = 0, test
			if done(test) {
				return test, nil
			}
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return last, ctx.Err()
		}
	}
}

// completed returns the message of the condition TestCompleted.
func completed(test *v2.LocustTest) string {
	if condition := meta.FindStatusCondition(test.Status.Conditions, v2.ConditionTypeTestCompleted); condition != nil {
		return condition.Message
	}
	return ""
}

// describeEnd returns the phase of a finished test, and in one line why it has that phase.
func describeEnd(test *v2.LocustTest) string {
	text := fmt.Sprintf("%s has ended: %s", client.ObjectKeyFromObject(test), test.Status.Phase)
	if cause, _, _ := strings.Cut(completed(test), "\n"); cause != "" {
		text += ": " + cause
	}
	return text
}
