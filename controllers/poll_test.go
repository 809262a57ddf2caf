package controllers

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

type answers func() (*report.Report, error)

func (a answers) Stats(context.Context, locust.Target) (*report.Report, error) { return a() }

// TestPoller_Known: what is known of a master after each kind of answer.
func TestPoller_Known(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer *report.Report
		var err error
		p := NewPoller(answers(func() (*report.Report, error) { return answer, err }), time.Second, 1, clock.RealClock{}, nil)
		defer p.stop()
		one := &masterPoll{}
		ask := func() status.Locust {
			go p.poll(one, types.NamespacedName{Name: "shop"}, locust.Target{})
			assert.Equal(t, "shop", (<-p.tests).Object.Name)
			time.Sleep(time.Second)
			return one.known
		}

		err = locust.ErrRefused
		began := time.Now()
		known := ask()
		assert.Equal(t, began, known.RefusedAt)
		assert.Equal(t, 1, known.Failures)

		err = errors.New("something else")
		known = ask()
		assert.Equal(t, began, known.RefusedAt, "of the refusal before")
		assert.Equal(t, "the request failed", known.Trouble)
		assert.Equal(t, 2, known.Failures)

		answer, err = &report.Report{Workers: 2}, nil
		known = ask()
		assert.Equal(t, answer, known.Report)
		assert.Empty(t, known.Trouble)
		assert.Zero(t, known.Failures)
	})
}
