package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDecodeHeader_Delivery(t *testing.T) {
	none := `"missing":null,"cpu":[0,""]`
	for text, want := range map[string]*Delivery{
		`{"ended_by":null,"lost":0,` + none + `}`:                        {},
		`{"ended_by":null,"lost":0,` + none + `,"exceptions":[]}`:        {},
		`{"ended_by":"workers-missing","lost":2,` + none + `}`:           {EndedBy: EndedByWorkersMissing, WorkersLost: 2},
		`{"ended_by":"of a later version","lost":0,` + none + `}`:        {EndedBy: "of a later v …"},
		`{"ended_by":null,"lost":0,"missing":[3,9],"cpu":[0,""]}`:        {Missing: &UsersMissing{Users: 3, Due: 9}},
		`{"ended_by":null,"lost":0,"missing":[],"cpu":[97.4,"a-pod"]}`:   {Busiest: &ProcessorUse{Worker: "a-pod", Percent: 97}},
		`{"lost":0,` + none + `,"exceptions":[{"error":"e","count":1}]}`: {Exceptions: []Error{{Text: "e", Occurrences: 1}}},

		`{"ended_by":null,` + none + `}`:                                     nil,
		`{"ended_by":{},"lost":0,` + none + `}`:                              nil,
		`{"ended_by":null,"lost":-1,` + none + `}`:                           nil,
		`{"ended_by":null,"lost":1.5,` + none + `}`:                          nil,
		`{"ended_by":null,"lost":0,"missing":[3],"cpu":[0,""]}`:              nil,
		`{"ended_by":null,"lost":0,"missing":[3,"9"],"cpu":[0,""]}`:          nil,
		`{"ended_by":null,"lost":0,"missing":7,"cpu":[0,""]}`:                nil,
		`{"ended_by":null,"lost":0,"missing":null}`:                          nil,
		`{"ended_by":null,"lost":0,"missing":null,"cpu":[1e9,"a"]}`:          {Busiest: &ProcessorUse{Worker: "a", Percent: maxPercent}},
		`{"ended_by":null,"lost":0,"missing":null,"cpu":["a",1]}`:            nil,
		`{"lost":0,` + none + `,"exceptions":[{"error":"e","count":-1}]}`:    {},
		`{"target_users":6,"run_time":null,"shape":false}`:                   nil,
		`{"lost":0,` + none + `,"long":"` + strings.Repeat("x", 5000) + `"}`: nil,
		``: nil,
	} {
		_, delivery := DecodeHeader(text)
		assert.Equal(t, want, delivery, text)
	}
}

func TestDecodeFinal_Delivery(t *testing.T) {
	f, err := DecodeFinal(strings.Replace(final, `"complete":true`, `"complete":true,"ended_by":"shape","lost":1,"missing":null,"cpu":[12,"w"]`, 1))
	require.NoError(t, err)
	require.NotNil(t, f.Delivery)
	assert.Equal(t, EndedByShape, f.Delivery.EndedBy)
	assert.Equal(t, &ProcessorUse{Worker: "w", Percent: 12}, f.Delivery.Busiest)
	assert.NotEmpty(t, f.Delivery.Exceptions)
	assert.Equal(t, f.Exceptions, f.Delivery.Exceptions)

	f, err = DecodeFinal(final)
	require.NoError(t, err)
	assert.Nil(t, f.Delivery, "of an older reporter")
}

func TestDecodeStats_Busiest(t *testing.T) {
	with := func(workers string) *Report {
		r, err := DecodeStats(strings.NewReader(`{"state":"running","user_count":1,"stats":[{"method":"","name":"Aggregated","num_requests":0,` +
			`"num_failures":0,"current_rps":0,"avg_response_time":0}],"errors":[],"workers":` + workers + `}`))
		require.NoError(t, err)
		return r
	}
	assert.Equal(t, &ProcessorUse{Worker: "w-1", Percent: 88}, with(`[{"state":"running","id":"w-0_ab","cpu_usage":12},
		{"state":"spawning","id":"w-1_cd","cpu_usage":88.2},{"state":"missing","id":"w-2_ef","cpu_usage":99}]`).Busiest)
	for _, workers := range []string{`[]`, `[{"state":"running"}]`, `[{"state":"running","id":"a","cpu_usage":"much"}]`, `[{"state":"running","id":[],"cpu_usage":1}]`} {
		assert.Nil(t, with(workers).Busiest, workers)
	}
}

func checkDelivery(t *testing.T, d *Delivery) {
	if d == nil {
		return
	}
	checkText(t, string(d.EndedBy), MaxMethod)
	assert.GreaterOrEqual(t, d.WorkersLost, int32(0))
	checkErrors(t, d.Exceptions)
	assert.True(t, d.Missing == nil || d.Missing.Users >= 0 && d.Missing.Due >= 0)
	assert.True(t, d.Busiest == nil || d.Busiest.Percent >= 0 && d.Busiest.Percent <= maxPercent && len(d.Busiest.Worker) <= MaxName)
}
