package report

import (
	"encoding/json"
	"math"
	"time"
)

// TargetHeader is the header of the answer with the statistics in which the reporter gives the Target.
const TargetHeader = "X-Locust-Operator"

const (
	// maxTarget bounds the header in bytes; the reporter's has a few hundred, mostly of exceptions.
	maxTarget = 4 << 10
	// maxRunTime is the longest that arguments can ask for, too.
	maxRunTime = 50 * 365 * 24 * time.Hour
)

// Target is what Locust aims at, by the reporter's word: not only arguments decide that, but also the web UI and code.
type Target struct {
	// Users is how many users are to be at work; nil when it is not known.
	Users *int32
	// RunTime is how long the load is to run; nil when it has no limit.
	RunTime *time.Duration
	// Shape is true when a load shape decides both.
	Shape bool
}

// DecodeHeader reads the value of TargetHeader. Both are nil for one that is not of the form: the statistics are worth as
// much without them.
func DecodeHeader(header string) (*Target, *Delivery) {
	if len(header) > maxTarget {
		return nil, nil
	}
	var raw struct {
		rawTarget
		rawDelivery
	}
	if json.Unmarshal([]byte(header), &raw) != nil {
		return nil, nil
	}
	return raw.rawTarget.read(), raw.rawDelivery.read()
}

// rawTarget is the header, and is part of the termination message.
type rawTarget struct {
	Users   value `json:"target_users"`
	RunTime value `json:"run_time"`
	Shape   value `json:"shape"`
}

// read is nil when something is wrong, or missing as in the reports of older reporters.
func (raw *rawTarget) read() *Target {
	r := &reader{}
	t := &Target{Shape: r.flag(raw.Shape, "shape")}
	if raw.Users != "null" {
		t.Users = new(r.userCount(raw.Users, "target_users"))
	}
	if raw.RunTime != "null" {
		seconds := r.number(raw.RunTime, "run_time", maxRunTime.Seconds())
		if runTime := time.Duration(math.Round(seconds*1e3)) * time.Millisecond; runTime > 0 { // 0 is no limit (main.py)
			t.RunTime = &runTime
		}
	}
	if r.err != nil {
		return nil
	}
	return t
}
