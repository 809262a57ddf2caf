package resources

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

func TestConfigFor_Load(t *testing.T) {
	users := func(n int32) Load { return Load{Users: &n} }
	lasting := func(d time.Duration) Load { return Load{RunTime: &d} }
	for name, row := range map[string]struct {
		args string
		vars []corev1.EnvVar
		want Load
	}{
		"not given":             {},
		"users":                 {args: "--users 10", want: users(10)},
		"users, short":          {args: "-u10", want: users(10)},
		"users by a variable":   {vars: []corev1.EnvVar{{Name: "LOCUST_USERS", Value: "10"}}, want: users(10)},
		"no users":              {args: "-u 0", want: users(0)},
		"fewer than no users":   {args: "-u -1"},
		"part of a user":        {args: "-u 1.5"},
		"unknown users":         {args: "-u $(USERS)"},
		"users beyond counting": {args: "-u 99999999999"},
		"seconds":               {args: "-t 300", want: lasting(5 * time.Minute)},
		"seconds with letter":   {args: "-t20s", want: lasting(20 * time.Second)},
		"minutes":               {args: "--run-time 3m", want: lasting(3 * time.Minute)},
		"all parts":             {args: "--run-time=1h30m5s", want: lasting(time.Hour + 30*time.Minute + 5*time.Second)},
		"hours and seconds":     {args: "-t 100h100s", want: lasting(100*time.Hour + 100*time.Second)},
		"time by a variable":    {vars: []corev1.EnvVar{{Name: "LOCUST_RUN_TIME", Value: "2h"}}, want: lasting(2 * time.Hour)},
		"no limit":              {args: "-t 0s"},
		"other order":           {args: "-t 5s1m"},
		"number without unit":   {args: "-t 1m30"},
		"fraction":              {args: "-t 1.5h"},
		"no number":             {args: "-t h"},
		"Go's unit":             {args: "-t 100ms"},
		"empty":                 {args: "--run-time="},
		"too long for anyone":   {args: "-t 99999999h"},
		"too long for a number": {args: "-t 99999999999999999999"},
	} {
		t.Run(name, func(t *testing.T) {
			test := builder.MakeShop(image("locustio/locust:2.47.0"), builder.Variables(row.vars...), func(s *v2.LocustTestSpec) { s.Master.Command = "-f a.py " + row.args })
			assert.Equal(t, row.want, ConfigFor(&test.Spec).Load)
		})
	}
}

// TestConfigFor_LoadOfOldLocust: until 2.43 Locust reads the beginning of a time, and ignores the rest.
func TestConfigFor_LoadOfOldLocust(t *testing.T) {
	for text, seconds := range map[string]int{"6s30": 6, "'6s and more'": 6, "1m30": 60, "30": 30, "1h2m3s": 3723, "1.5h": 0, "x": 0} {
		test := builder.MakeShop(image("locustio/locust:2.12.1"), func(s *v2.LocustTestSpec) { s.Master.Command = "-f a.py -t " + text })
		runTime := ConfigFor(&test.Spec).Load.RunTime
		if seconds == 0 {
			assert.Nil(t, runTime, text)
			continue
		}
		require.NotNil(t, runTime, text)
		assert.Equal(t, time.Duration(seconds)*time.Second, *runTime, text)
	}
}
