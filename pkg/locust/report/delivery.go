package report

import "math"

// EndedBy is who ended the load, as the reporter saw it.
type EndedBy string

const (
	// EndedByRunTime is the end by --run-time, or by the run time that the web UI was given.
	EndedByRunTime EndedBy = "run-time"
	// EndedByShape is the end of a load shape.
	EndedByShape EndedBy = "shape"
	// EndedByShapeFailed is the end of a load whose load shape raised an exception.
	EndedByShapeFailed EndedBy = "shape-failed"
	// EndedByWebUI is the Stop button of the web UI.
	EndedByWebUI EndedBy = "web-ui"
	// EndedByLocustfile is the user's own code on the master.
	EndedByLocustfile EndedBy = "locustfile"
	// EndedByWorkersMissing is Locust itself, after the last worker stopped sending heartbeats.
	EndedByWorkersMissing EndedBy = "workers-missing"
	// EndedByWorkersQuit is Locust itself, after the last worker has quit: by its locustfile, or because it got SIGTERM.
	EndedByWorkersQuit EndedBy = "workers-quit"
	// EndedBySignal is SIGTERM for the master.
	EndedBySignal EndedBy = "signal"
	// EndedByMain is Locust's main function, which goes on when the web UI is stopped, or by SIGINT.
	EndedByMain EndedBy = "main"
)

// Delivery is how the latest load of the master was delivered.
type Delivery struct {
	// EndedBy is who ended the load; empty while it runs, and when it is not known.
	EndedBy EndedBy
	// WorkersLost is how many workers left the master during the load, for whatever reason.
	WorkersLost int32
	// Missing is the largest shortage of users that lasted for 30 s or more; nil when there was none.
	Missing *UsersMissing
	// Busiest is the most that one worker used of a processor in two samples at least 10 s apart; nil when no worker was
	// sampled twice.
	Busiest *ProcessorUse
	// Exceptions of the user's code, most frequent first: at most MaxErrors.
	Exceptions []Error
}

// UsersMissing is a shortage of users.
type UsersMissing struct {
	// Users were at work, and Due should have been.
	Users, Due int32
}

// ProcessorUse is how much one worker used of a processor.
type ProcessorUse struct {
	// Worker is the name of the worker's pod.
	Worker string
	// Percent of one core.
	Percent float64
}

// maxPercent is far above what the largest machines have.
const maxPercent = 1e6

// rawDelivery is part of the header, and of the termination message.
type rawDelivery struct {
	EndedBy    value        `json:"ended_by"`
	Lost       value        `json:"lost"`
	Missing    []value      `json:"missing"`
	Busiest    []value      `json:"cpu"`
	Exceptions []finalError `json:"exceptions"`
}

// read returns nil when something but an exception is wrong, or missing as in the reports of older reporters.
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
		r.fail("missing", "is no pair", "")
	}
	if len(raw.Busiest) != 2 {
		r.fail("cpu", "is no pair", "")
	} else if use := readUse(r, raw.Busiest[0], raw.Busiest[1]); use.Worker != "" {
		d.Busiest = use
	}
	d.Exceptions = readErrors(nil, exceptions(raw.Exceptions))
	if r.err != nil {
		return nil
	}
	return d
}

func readUse(r *reader, percent, worker value) *ProcessorUse {
	return &ProcessorUse{Percent: math.Round(r.clamped(percent, "cpu", maxPercent)), Worker: clean(r.text(worker, "cpu"), MaxName)}
}
