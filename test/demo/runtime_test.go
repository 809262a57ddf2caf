package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

func TestRunTime(t *testing.T) {
	const none = -1
	for _, test := range []struct {
		command string
		extra   []string
		want    time.Duration
	}{
		{command: "--users 10 --run-time 30s --host http://x", want: 30 * time.Second},
		{command: "--run-time=3m", want: 3 * time.Minute},
		{command: "-t 1m30s", want: 90 * time.Second},
		{command: "-t45", want: 45 * time.Second},
		{command: "--run-time 1h2m3s", want: time.Hour + 2*time.Minute + 3*time.Second},
		{command: "--run-time 2h5s", want: 2*time.Hour + 5*time.Second},
		{command: `--run-time "20m"`, want: 20 * time.Minute},
		{command: "--run-time 300", want: 5 * time.Minute},
		{command: "-t 10s -t 20s", want: 20 * time.Second},
		{command: "--users 1", extra: []string{"--run-time", "10s"}, want: 10 * time.Second},
		{command: "-t 5s", extra: []string{"--run-time=10s"}, want: 10 * time.Second},
		{command: "--tags fast --headless", want: none},
		{command: "--users 10", want: none},
		{command: "--run-time", want: none},
		{command: "--run-time soon", want: none},
		{command: "--run-time ''", want: none},
		{command: "--run-time 5s3m", want: none},
		{command: "--run-time 99999999999999999999s", want: none},
		{command: "--run-time '30s", want: none},
	} {
		t.Run(test.command, func(t *testing.T) {
			spec := v2.LocustTestSpec{Master: v2.MasterSpec{Command: test.command, ExtraArgs: test.extra}}
			got, ok := runTime(&spec)
			if !ok {
				got = none
			}
			assert.Equal(t, test.want, got)
		})
	}
}
