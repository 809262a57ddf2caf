package report

import (
	"encoding/json"
	"math"
	"time"
)

// TargetHeader is the header of the statistics response in which the reporter sends the Target and the Delivery.
const TargetHeader = "X-Locust-Operator"

const (
	// maxTarget bounds the header in bytes; the reporter's has a few hundred, mostly for exceptions.
	maxTarget = 4 << 10
	// maxRunTime is also the longest run time that package resources accepts.
	maxRunTime = 50 * 365 * 24 * time.Hour
)

// Target is the load that Locust is to generate, according to the reporter: by arguments, the web UI or code.
type Target struct {
	// Users is the target number of users; nil if unknown.
	Users *int32
	// RunTime is the duration of the load; nil if unlimited.
	RunTime *time.Duration
	// Shape is true if a load shape determines both.
	Shape bool
}

// DecodeHeader decodes the value of TargetHeader. It returns nil for an invalid header, because the statistics are valid
// without it.
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

// rawTarget is part of the header, and of the termination message.
type rawTarget struct {
	Users   value `json:"target_users"`
	RunTime value `json:"run_time"`
	Shape   value `json:"shape"`
}

// read returns nil if a field is invalid, or missing as with older reporters.
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
