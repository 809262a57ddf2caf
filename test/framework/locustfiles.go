package framework

// Locustfiles that need no target: users report requests that they do not send.
const (
	GoodLocustfile    = user + requests + `exception=None)` + "\n"
	FailingLocustfile = user + requests + `exception=OSError("on purpose"))` + "\n"
	// IdleLocustfile reports no requests.
	IdleLocustfile = user + "        pass\n"

	user = `
from locust import User, constant, task
class Quiet(User):
    wait_time = constant(0.2)
    @task
    def ask(self):
`
	requests = `        self.environment.events.request.fire(request_type="GET", name="/", response_time=5, response_length=0, context={}, `
)
