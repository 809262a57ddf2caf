package report

import "math"

// EndedBy is the cause of the end of the load, as observed by the reporter.
type EndedBy string

const (
	// EndedByRunTime is the end by --run-time, or by the run time set in the web UI.
	EndedByRunTime EndedBy = "run-time"
	// EndedByShape is the end of a load shape.
	EndedByShape EndedBy = "shape"
	// EndedByShapeFailed is the end by an exception of the load shape.
	EndedByShapeFailed EndedBy = "shape-failed"
	// EndedByWebUI is the Stop button of the web UI.
	EndedByWebUI EndedBy = "web-ui"
	// EndedByLocustfile is the user's own code on the master.
	EndedByLocustfile EndedBy = "locustfile"
	// EndedByWorkersMissing is Locust itself, after the last worker stopped sending heartbeats.
	EndedByWorkersMissing EndedBy = "workers-missing"
	// EndedByWorkersQuit is Locust itself, after the last worker has quit: by its locustfile, or on SIGTERM.
	EndedByWorkersQuit EndedBy = "workers-quit"
	// EndedBySignal is SIGTERM to the master.
	EndedBySignal EndedBy = "signal"
	// EndedByMain is Locust's main function, which continues once the web UI stops, or on SIGINT.
	EndedByMain EndedBy = "main"
)

// Delivery describes how the latest load of the master was delivered.
type Delivery struct {
	// EndedBy is the cause of the end; empty while the load runs, and if unknown.
	EndedBy EndedBy
	// WorkersLost is the number of workers that left the master during the load, for any reason.
	WorkersLost int32
	// Missing is the largest shortage of users that lasted for 30 s or more; nil if there was none.
	Missing *UsersMissing
	// Busiest is the highest processor use of one worker in two samples at least 10 s apart; nil if no worker was sampled
	// twice.
	Busiest *ProcessorUse
	// Exceptions are those of the user's code, most frequent first: at most MaxErrors.
	Exceptions []Error
}

// UsersMissing is a shortage of users.
type UsersMissing struct {
	// Users is the actual number of users, Due the expected one.
	Users, Due int32
}

// ProcessorUse is the processor use of one worker.
type ProcessorUse struct {
	// Worker is the name of the worker's pod.
	Worker string
	// Percent is the use in percent of one core.
	Percent float64
}

// maxPercent is far above the capacity of the largest machines.
const maxPercent = 1e6

// rawDelivery is part of the header, and of the termination message.
type rawDelivery struct {
	EndedBy    value        `json:"ended_by"`
	Lost       value        `json:"lost"`
	Missing    []value      `json:"missing"`
	Busiest    []value      `json:"cpu"`
	Exceptions []finalError `json:"exceptions"`
}

// read returns nil if a field other than an exception is invalid, or missing as with older reporters.
func (raw *rawDelivery) read() *Delivery {
	r := &reader{}
	d := &Delivery{WorkersLost: r.userCount(raw.Lost, "lost")}
	if raw.EndedBy != "null" {
		d.EndedBy = EndedBy(clean(r.text(raw.EndedBy, "ended_by"), MaxMethod))
	}
	switch len(raw.Missing) {
	case 0:
	case 2:
		d.Missing = &UsersMissing{Users: r.userCount(raw.Missing[0], "missing"), Due: r.userCount(raw.Missing[1], "missing")}
	default:
		r.fail("missing", "is not a pair", "")
	}
	if len(raw.Busiest) != 2 {
		r.fail("cpu", "is not a pair", "")
	} else if use := readUse(r, raw.Busiest[0], raw.Busiest[1]); use.Worker != "" {
		d.Busiest = use
	}
	d.Exceptions = readErrors(exceptions(raw.Exceptions))
	if r.err != nil {
		return nil
	}
	return d
}

func readUse(r *reader, percent, worker value) *ProcessorUse {
	return &ProcessorUse{Percent: math.Round(r.clamped(percent, "cpu", maxPercent)), Worker: clean(r.text(worker, "cpu"), MaxName)}
}
