package report

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDecodeHeader(t *testing.T) {
	users := func(n int32) *int32 { return &n }
	lasting := func(d time.Duration) *time.Duration { return &d }
	for text, want := range map[string]*Target{
		`{"target_users":6,"run_time":null,"shape":false}`:           {Users: users(6)},
		`{"target_users":0,"run_time":90,"shape":false}`:             {Users: users(0), RunTime: lasting(90 * time.Second)},
		`{"target_users":null,"run_time":1.5,"shape":true,"new":[]}`: {RunTime: lasting(1500 * time.Millisecond), Shape: true},
		`{"target_users":1e3,"run_time":0,"shape":false}`:            {Users: users(1000)},
		`{"target_users":1,"run_time":1e-9,"shape":false}`:           {Users: users(1)},
		`{"target_users":1,"run_time":1576800000,"shape":false}`:     {Users: users(1), RunTime: lasting(maxRunTime)},
		`{"target_users":1,"run_time":1576800001,"shape":false}`:     nil,
		`{"target_users":1,"run_time":-1,"shape":false}`:             nil,
		`{"target_users":1,"run_time":"90s","shape":false}`:          nil,
		`{"target_users":1.5,"run_time":null,"shape":false}`:         nil,
		`{"target_users":3e9,"run_time":null,"shape":false}`:         nil,
		`{"target_users":true,"run_time":null,"shape":false}`:        nil,
		`{"target_users":1,"run_time":null,"shape":"x"}`:             nil,
		`{"target_users":1,"run_time":null}`:                         nil,
		`{"run_time":null,"shape":true}`:                             nil,
		`{"target_users":1,"shape":true}`:                            nil,
		`{"target_users":1,"run_time":null,"shape":false} x`:         nil,
		`{"target_users":1,"run_time":NaN,"shape":false}`:            nil,
		``:     nil,
		`null`: nil,
		`[]`:   nil,
		`{"target_users":6,"run_time":null,"shape":false` + strings.Repeat(" ", maxTarget) + `}`: nil,
	} {
		target, _ := DecodeHeader(text)
		assert.Equal(t, want, target, text)
	}
}

func TestDecodeFinal_Target(t *testing.T) {
	with := func(members string) *Final {
		f, err := DecodeFinal(strings.Replace(final, `"complete":true`, `"complete":true,`+members, 1))
		require.NoError(t, err)
		return f
	}
	f := with(`"target_users":12,"run_time":20,"shape":false`)
	assert.Equal(t, int32(12), *f.Target.Users)
	assert.Equal(t, 20*time.Second, *f.Target.RunTime)
	assert.Equal(t, &Target{Shape: true}, with(`"target_users":null,"run_time":null,"shape":true`).Target)

	// The statistics are still decoded.
	f = with(`"target_users":12,"run_time":"for ever","shape":false`)
	assert.Nil(t, f.Target)
	assert.Equal(t, int64(1130), f.Requests)
}

func FuzzDecodeHeader(f *testing.F) {
	f.Add(`{"target_users":6,"run_time":null,"shape":false}`)
	f.Add(`{"target_users":null,"run_time":1.5,"shape":true,"new":[]}`)
	f.Add(`{"ended_by":"shape","lost":1,"missing":[3,9],"cpu":[97.5,"shop-worker-0-x"],"exceptions":[{"error":"no","count":2}]}`)
	f.Fuzz(func(t *testing.T, header string) {
		target, delivery := DecodeHeader(header)
		again, alike := DecodeHeader(header)
		require.Equal(t, target, again)
		require.Equal(t, delivery, alike)
		checkTarget(t, target)
		checkDelivery(t, delivery)
	})
}

func checkTarget(t *testing.T, target *Target) {
	if target == nil {
		return
	}
	assert.True(t, target.Users == nil || *target.Users >= 0, target.Users)
	assert.True(t, target.RunTime == nil || *target.RunTime > 0 && *target.RunTime <= maxRunTime, target.RunTime)
}
